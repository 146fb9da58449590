"""Local copies of files that lie elsewhere, within a bound."""

from __future__ import annotations

import fcntl
import os
import shutil
import stat
import tempfile
import time
import uuid
from collections.abc import Callable, Generator
from contextlib import contextmanager, suppress
from pathlib import Path

from lipwise_ray.errors import StorageError, os_reason

DEFAULT_BYTES = 20 << 30
_GRACE_S = 3600.0
"""A copy that was asked for within this time stays: somebody may be about to open it."""

_UNSEEN_SHARE = 64
"""Files are looked through when such a part of the bound has come since: that takes long where they are many."""

_LOCKS = 64
_POLL_S = 0.05


def machine_folder() -> Path:
    """Return this user's folder for files that are of use on this machine only.

    It lies in LIPWISE_SCRATCH of the environment, which holds for this machine alone, else among everybody's temporary
    files.

    Raises:
        StorageError: It is not this user's own, or cannot be made.
    """
    return own_folder(Path(named_scratch() or tempfile.gettempdir()) / f"lipwise-ray-{os.getuid()}")


def named_scratch() -> str | None:
    """Return the folder for scratch that this machine's environment names; an image's own layer is no place for it."""
    return os.environ.get("LIPWISE_SCRATCH") or None


_DO = "Make LIPWISE_SCRATCH (or TMPDIR) such a folder, or set paths.scratch"


def own_folder(folder: Path, do: str = _DO) -> Path:
    """Make a folder among those of others, readable by this user alone.

    It must be this user's own and no link: somebody else may have laid it out to see what is put there.

    Args:
        folder: It.
        do: Advice, for the message, where it cannot be used.

    Raises:
        StorageError: It is not, or cannot be made.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        status = folder.lstat()
    except OSError as error:
        raise _refused(folder, os_reason(error), do) from error
    if not stat.S_ISDIR(status.st_mode) or status.st_uid != os.getuid():
        raise _refused(folder, "it is somebody else's, or a link", do)
    return folder


def _refused(folder: Path, got: str, do: str = _DO) -> StorageError:
    return StorageError("cache", str(folder), got=f"cannot be used as this user's own folder: {got}", do=do)


class Cache:
    """Files by name, the longest unused ones removed first.

    Processes of one machine share it; each file is made by one of them while the others wait. They may take a little
    more than the bound for a while, because each looks through the files only now and then.

    Args:
        folder: Where copies are, made when the first one comes; None for one of this user among the machine's
            temporary files.
        most_bytes: What they may take together, as long as none of them is in use.
    """

    def __init__(self, folder: Path | None = None, most_bytes: int = DEFAULT_BYTES) -> None:
        self._given = folder
        self._most_bytes = most_bytes
        self._unseen_bytes = most_bytes  # what others left is not known yet

    def get(self, name: str, fill: Callable[[Path], bool], on_wait: Callable[[], None] = lambda: None) -> Path | None:
        """Return a file, made by `fill` when it is not there; None where `fill` says that there is none.

        Args:
            name: Of the file.
            fill: Makes it at a path.
            on_wait: Called now and then while another process makes it.

        Raises:
            StorageError: The folder cannot be written.
        """
        folder = self._folder()
        path = folder / name
        try:
            folder.mkdir(parents=True, exist_ok=True, mode=0o700)
            with _locked(folder, name, on_wait):
                with suppress(FileNotFoundError):  # it may just make room
                    os.utime(path)
                    return path
                with _arriving(path) as part:
                    if not fill(part):
                        return None
                    part.replace(path)
            self._make_room(folder, path.stat().st_size)
        except OSError as error:
            raise _refused(folder, os_reason(error)) from error
        return path

    def keep(self, name: str, path: Path) -> Path:
        """Take over a file that is not needed elsewhere any more, and return its new place.

        Nobody has asked for it yet, so it is among the first to make room.

        Args:
            name: Its name in the cache.
            path: The file, on any file system; it is gone from there afterwards.

        Raises:
            StorageError: The folder cannot be written.
        """
        folder = self._folder()
        target = folder / name
        try:
            folder.mkdir(parents=True, exist_ok=True, mode=0o700)
            unused_s = time.time() - _GRACE_S
            os.utime(path, (unused_s, unused_s))
            size = path.stat().st_size
            with _arriving(target) as part:
                shutil.move(path, part)  # from another file system it is copied, which takes its time
                part.replace(target)
            self._make_room(folder, size)
        except OSError as error:
            raise _refused(folder, os_reason(error)) from error
        return target

    def _folder(self) -> Path:
        return self._given or machine_folder() / "cache"

    def _make_room(self, folder: Path, more_bytes: int) -> None:
        self._unseen_bytes += more_bytes
        if self._unseen_bytes < self._most_bytes / _UNSEEN_SHARE:
            return
        self._unseen_bytes = 0
        files: list[tuple[float, int, Path]] = []
        for path in folder.iterdir():
            if path.name.startswith(".lock-"):
                continue
            with suppress(OSError):  # another process removed it
                facts = path.stat()
                files.append((facts.st_mtime, facts.st_size, path))
        total = sum(size for _, size, _ in files)
        for used, size, path in sorted(files):
            if total <= self._most_bytes or used > time.time() - _GRACE_S:
                return
            with suppress(OSError):  # another process removed it
                if path.stat().st_mtime == used:  # else somebody has asked for it meanwhile
                    path.unlink()
                    total -= size


@contextmanager
def _arriving(target: Path) -> Generator[Path]:
    """Yield a temporary path for a file that is moved to its place afterwards; what stays there is removed."""
    part = target.with_name(f".{uuid.uuid4().hex[:12]}.part")
    try:
        yield part
    finally:
        part.unlink(missing_ok=True)


@contextmanager
def _locked(folder: Path, name: str, on_wait: Callable[[], None]) -> Generator[None]:
    number = sum(name.encode()) % _LOCKS
    with (folder / f".lock-{number:02d}").open("a") as lock:
        while True:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                on_wait()
                time.sleep(_POLL_S)
                continue
            break
        yield
