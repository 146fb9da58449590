"""State of a video that is dubbed by itself: in the user's cache, found again by where its output goes."""

from __future__ import annotations

import hashlib
from contextlib import suppress
from pathlib import Path

from lipwise_ray.storage.address import normal
from lipwise_ray.storage.cache import own_folder

_DIGITS = 32
_DO = "Name another place with --state"


def kept_state(output: str, cache: Path) -> str:
    """Return the folder that keeps the progress of an output, made for this user alone: names of footage are in it.

    Args:
        output: Path or address of the finished video; however it is spelled, its state is one.
        cache: This program's folder in the user's cache.

    Raises:
        InputError: The path leads nowhere.
        StorageError: The folder is somebody else's, or cannot be made.
    """
    name = hashlib.sha256(normal(output).encode()).hexdigest()[:_DIGITS]
    return str(own_folder(own_folder(cache / "dub", _DO) / name, _DO))


def leave_if_empty(state: str) -> None:
    """Remove a kept state in which nothing was written: what was asked for could not start."""
    with suppress(OSError):  # it holds something, or is not a folder on this machine
        Path(state).rmdir()
