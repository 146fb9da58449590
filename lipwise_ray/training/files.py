"""Writing files that are there whole or not at all."""

from __future__ import annotations

import fcntl
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

from lipwise_ray.errors import StateError
from lipwise_ray.media.container import write_problem


def replace_text(path: Path, text: str) -> None:
    """Write a text file; the one before stays until the new one is whole.

    Raises:
        StorageError: The disk is full, or the folder not writable.
    """
    partial = path.with_name(f".{path.name}.partial")
    try:
        partial.write_text(text, "utf-8")
        partial.replace(path)
    except OSError as error:
        partial.unlink(missing_ok=True)
        raise write_problem(path, error) from error


@contextmanager
def in_turn(folder: Path) -> Generator[None]:
    """Let one process at a time make a folder: workers of a team open it together."""
    with folder.with_name(f"{folder.name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


@contextmanager
def alone_in(folder: Path) -> Generator[None]:
    """Hold the folder of a run or of a data set; the system lets go when the process ends.

    Raises:
        StateError: Another process is at work there.
        StorageError: The folder cannot be written.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        lock = (folder / ".lock").open("w")
    except OSError as error:
        raise write_problem(folder, error) from error
    with lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            raise StateError(
                "run_in_use",
                str(folder),
                got="another run is at work in this folder",
                do="Wait for it, or choose another folder",
            ) from error
        yield
