PYTHON ?= python3
BIN := .venv/bin
STAMP := .venv/installed

# Every test and command starts processes; what Python compiles for one is kept for the next, whatever the shell says.
unexport PYTHONDONTWRITEBYTECODE

.PHONY: demo test test-all check bench faults clean

# The stamp carries the project file's time: a changed dependency installs again.
$(STAMP): pyproject.toml
	$(PYTHON) -m venv .venv
	$(BIN)/pip install --quiet --disable-pip-version-check --editable '.[dev]'
	@# Its opencv-python would overwrite the headless build, which is there already.
	$(BIN)/pip install --quiet --disable-pip-version-check --no-deps 'face-alignment>=1.5,<1.6'
	touch $(STAMP)

demo: $(STAMP)
	$(BIN)/lipwise-ray demo demo-out

# Four processes, one of them for what starts a Ray; see tests/conftest.py.
PYTEST := OMP_NUM_THREADS=1 $(BIN)/python -m pytest -q -n 4 --no-loadscope-reorder --durations=25

test: $(STAMP)
	$(PYTEST) -m "not slow"

test-all: $(STAMP)
	$(PYTEST)

check: $(STAMP)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/pyright
	$(BIN)/lint-imports

bench: $(STAMP)
	$(BIN)/python -m benchmarks.pipeline
	$(BIN)/python -m benchmarks.original $(ORIGINAL)
	$(BIN)/python -m benchmarks.scan
	$(BIN)/python -m benchmarks.own_code
	$(BIN)/python -m benchmarks.driver
	$(BIN)/python -m benchmarks.scale --store-requests
	$(BIN)/python -m benchmarks.restorer
	$(BIN)/python -m benchmarks.speech
	$(BIN)/python -m benchmarks.threads
	$(BIN)/python -m benchmarks.runtimes
	$(BIN)/python -m benchmarks.scoring
	$(BIN)/python -m benchmarks.startup
	$(BIN)/python -m benchmarks.encoding

faults: $(STAMP)
	$(BIN)/python -m tests.integration.faults.table

clean:
	rm -rf .venv demo-out demo-out.state build dist
