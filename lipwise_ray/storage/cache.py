"""Local copies of what lies elsewhere, within a bound."""

from __future__ import annotations

import fcntl
import os
import tempfile
import time
import uuid
from collections.abc import Callable, Generator
from contextlib import contextmanager, suppress
from pathlib import Path

from lipwise_ray.errors import StorageError

DEFAULT_BYTES = 20 << 30
_GRACE_S = 3600.0
"""A copy that was asked for within this time stays: somebody may be about to open it."""

_LOCKS = 64


def machine_folder() -> Path:
    """Return this user's folder for what is of use on this machine only."""
    return Path(tempfile.gettempdir()) / f"lipwise-ray-{os.getuid()}"


class Cache:
    """Files by name, the longest unused ones removed first.

    Processes of one machine share it; each file is made by one of them while the others wait.

    Args:
        folder: Where copies are, made when the first one comes; None for one of this user among the machine's
            temporary files.
        most_bytes: What they may take together, as long as none of them is in use.
    """

    def __init__(self, folder: Path | None = None, most_bytes: int = DEFAULT_BYTES) -> None:
        self._folder = folder or machine_folder() / "cache"
        self._most_bytes = most_bytes

    def get(self, name: str, fill: Callable[[Path], bool]) -> Path | None:
        """Return a file, made by `fill` when it is not there; None where `fill` says that there is none.

        Raises:
            StorageError: The folder cannot be written.
        """
        path = self._folder / name
        try:
            self._make_folder()
            with self._locked(name):
                if path.is_file():
                    os.utime(path)
                    return path
                part = path.with_name(f".{uuid.uuid4().hex[:12]}.part")
                try:
                    if not fill(part):
                        return None
                    part.replace(path)
                finally:
                    part.unlink(missing_ok=True)
        except OSError as error:
            raise StorageError(
                "cache", str(self._folder), "must be writable", error.strerror or str(error),
                "Set paths.scratch to a folder with room",
            ) from error  # fmt: skip
        self._make_room()
        return path

    def _make_folder(self) -> None:
        for folder in (self._folder.parent, self._folder):
            folder.mkdir(parents=True, exist_ok=True, mode=0o700)
            if folder.stat().st_uid not in (os.getuid(), 0):
                raise StorageError(
                    "cache", str(folder), "must belong to this user", "another owner", "Set paths.scratch, or TMPDIR"
                )

    @contextmanager
    def _locked(self, name: str) -> Generator[None]:
        number = sum(name.encode()) % _LOCKS
        with (self._folder / f".lock-{number:02d}").open("a") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield

    def _make_room(self) -> None:
        files: list[tuple[float, int, Path]] = []
        for path in self._folder.iterdir():
            if path.name.startswith(".lock-"):
                continue
            with suppress(OSError):  # another process removed it
                facts = path.stat()
                files.append((facts.st_mtime, facts.st_size, path))
        total = sum(size for _, size, _ in files)
        for used, size, path in sorted(files):
            if total <= self._most_bytes or used > time.time() - _GRACE_S:
                return
            path.unlink(missing_ok=True)
            total -= size
