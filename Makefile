PYTHON ?= python3
BIN := .venv/bin
STAMP := .venv/installed

# Every test and command starts processes; what Python compiles for one is kept for the next, whatever the shell says.
unexport PYTHONDONTWRITEBYTECODE

.PHONY: demo test test-all check check-files docs links pictures dist bench faults clean

# The stamp carries the project file's time: a changed dependency installs again.
$(STAMP): pyproject.toml
	$(PYTHON) -m venv .venv
	$(BIN)/pip install --quiet --disable-pip-version-check --editable '.[dev]'
	@# Its opencv-python would overwrite the headless build, which is there already.
	$(BIN)/pip install --quiet --disable-pip-version-check --no-deps 'face-alignment>=1.5,<1.6'
	touch $(STAMP)

demo: $(STAMP)
	$(BIN)/lipwise-ray demo demo-out

# Four processes, one of them for what starts a Ray (tests/conftest.py); one that dies ends the run. TESTS="tests/unit" runs those alone.
PYTEST := OMP_NUM_THREADS=1 $(BIN)/python -m pytest -q -n 4 --max-worker-restart=0 --no-loadscope-reorder --durations=25

test: $(STAMP)
	$(PYTEST) -m "not slow" $(TESTS)

test-all: $(STAMP)
	$(PYTEST) $(TESTS)

check: $(STAMP)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/pyright
	$(BIN)/lint-imports
	$(MAKE) --no-print-directory check-files
	$(MAKE) --no-print-directory docs

# Strict, and without asking anything of the network. A page of the reference that differs from the source ends it.
docs: $(STAMP)
	$(BIN)/python -m docs.generate --check
	$(BIN)/python -m sphinx --fail-on-warning --keep-going --nitpicky --quiet -b html docs docs/_build/html

# Whether the addresses of others that the site names still answer: by night, for it asks each of them.
links: $(STAMP)
	$(BIN)/python -m sphinx --keep-going --quiet -b linkcheck docs docs/_build/links

# Stills for the README and the gallery, of a demo in a folder of its own.
pictures: $(STAMP)
	$(BIN)/python -m docs.stills

# Files that others than Python read: change notes, and what hosts of repositories go by.
check-files: $(STAMP)
	$(BIN)/towncrier build --draft --version next >/dev/null
	$(BIN)/check-jsonschema --quiet --builtin-schema vendor.github-workflows .github/workflows/*.yml
	$(BIN)/check-jsonschema --quiet --builtin-schema vendor.github-issue-forms .github/ISSUE_TEMPLATE/[0-9]*.yml
	$(BIN)/check-jsonschema --quiet --builtin-schema vendor.github-issue-config .github/ISSUE_TEMPLATE/config.yml
	$(BIN)/check-jsonschema --quiet --builtin-schema vendor.dependabot .github/dependabot.yml
	$(BIN)/check-jsonschema --quiet --builtin-schema vendor.citation-file-format CITATION.cff
	$(BIN)/zizmor --quiet --offline --no-progress .github/workflows

# The sdist, and the wheel that is made of it: the same bytes for the same commit.
dist: $(STAMP)
	rm -rf dist
	SOURCE_DATE_EPOCH=$${SOURCE_DATE_EPOCH:-$$(git log -1 --format=%ct)} \
	    $(BIN)/python -m build --no-isolation --outdir dist .
	$(BIN)/check-wheel-contents dist/*.whl
	$(BIN)/twine check --strict dist/*
	$(BIN)/python -m benchmarks.install_size --extra eval --extra parquet

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
	$(BIN)/python -m benchmarks.lip_models
	$(BIN)/python -m benchmarks.scoring
	$(BIN)/python -m benchmarks.startup
	$(BIN)/python -m benchmarks.encoding
	$(BIN)/python -m benchmarks.credentials

faults: $(STAMP)
	$(BIN)/python -m tests.integration.faults.table

clean:
	rm -rf .venv demo-out demo-out.state build dist docs/_build
