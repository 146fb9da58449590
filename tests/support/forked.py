"""The command line in a process of its own that finds everything imported, which takes longer than most commands."""

from __future__ import annotations

import multiprocessing
import os
import subprocess
import sys
import tempfile
from pathlib import Path

_processes = multiprocessing.get_context("forkserver")
# Nothing of tests: its server starts in whatever folder the first test is in, where `tests` may be another package's.
_processes.set_forkserver_preload([
    "lipwise_ray.cli.app",
    "lipwise_ray.pipeline.tasks.worker",
    "lipwise_ray.runs.nightly",
    "lipwise_ray.runs.submit",
    "lipwise_ray.backends.inline",
    "torch",
])  # fmt: skip


def run_forked(
    words: list[str], cwd: Path | None, environment: dict[str, str], timeout_s: float
) -> subprocess.CompletedProcess[str]:
    """Run the program and return the finished process, as `subprocess.run` does.

    Raises:
        subprocess.TimeoutExpired: It did not end in time, and was killed.
    """
    with tempfile.TemporaryDirectory() as folder:
        streams = [Path(folder, name) for name in ("stdout", "stderr")]
        for path in streams:
            path.touch()
        process = _processes.Process(target=_main, args=(words, cwd, environment, streams))
        process.start()
        try:
            process.join(timeout_s)
            if process.is_alive():
                raise subprocess.TimeoutExpired(words, timeout_s, *(path.read_bytes() for path in streams))
        finally:  # also when the test's own time is over
            process.kill()
            process.join()
        return subprocess.CompletedProcess(words, process.exitcode or 0, *(path.read_text() for path in streams))


def _main(words: list[str], cwd: Path | None, environment: dict[str, str], streams: list[Path]) -> None:
    for number, path in enumerate(streams, 1):
        with path.open("wb") as file:
            os.dup2(file.fileno(), number)
    sys.stdout, sys.stderr = (os.fdopen(number, "w", encoding="utf-8", closefd=False) for number in (1, 2))
    os.environ.clear()
    os.environ.update(environment)
    os.chdir(cwd or Path.cwd())
    tempfile.tempdir = None  # TMPDIR may be another one now
    sys.argv = ["lipwise-ray", *words]
    if "LIPWISE_TEST_FAULTS" in environment:
        import tests.integration.faults.inject.sitecustomize  # noqa: F401  # as PYTHONPATH does in a fresh interpreter
    from lipwise_ray.cli.app import main

    try:
        main()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
