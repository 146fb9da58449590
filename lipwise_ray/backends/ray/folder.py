"""The folder of an embedded Ray: in one that only this user may enter, and swept once its driver is gone.

Ray opens its own folder to everybody, and its sockets obey whoever reaches them. Their paths must stay under 107 bytes,
of which Ray itself takes some 70, so the folder's path is short.
"""

from __future__ import annotations

import fcntl
import os
import re
import shutil
import stat
import tempfile
import time
from collections.abc import Generator
from contextlib import contextmanager, suppress
from pathlib import Path

from lipwise_ray.errors import SetupError, os_reason

_ROOT = Path("/tmp")  # noqa: S108  # see above; what is in it is private
_PREFIX = "lw-ray-"
_LOCK = ".lock"
_REPLACEMENT = re.compile(rf"{_PREFIX}[a-z0-9_]{{8}}")
_JUST_MADE_S = 60.0
_held: dict[Path, int] = {}
"""Locks of this process's folders, until they are removed or it ends: a process has one Ray anyway."""


def make_folder() -> Path:
    """Return a new folder for an embedded Ray; those of drivers that are gone are removed.

    A driver holds a lock on a file beside its folder. The kernel gives it back when the driver ends, whichever
    container or namespace it ran in, so nobody has to judge a process by its number.

    Raises:
        SetupError: It cannot be made.
    """
    try:
        _sweep_replacements()
        parent = _private_parent()
        with _locked(parent / _LOCK):
            _sweep(parent)
            folder = Path(tempfile.mkdtemp(prefix="", dir=parent))
            lock = os.open(_lock_of(folder), os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600)
            with suppress(OSError):  # a file system without locks: then nobody sweeps either
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            _held[folder] = lock
    except OSError as error:
        where = str(error.filename or _ROOT)
        raise SetupError(
            "ray",
            where,
            got=f"an embedded Ray cannot write there: {os_reason(error)}",
            do="Make room, or change its permissions",
        ) from error
    return folder


def remove_folder(folder: Path) -> None:
    """Remove a folder that `make_folder` returned, and give its lock back."""
    shutil.rmtree(folder, ignore_errors=True)
    _lock_of(folder).unlink(missing_ok=True)
    if folder in _held:
        os.close(_held.pop(folder))
    if folder.parent != _shared_parent():
        shutil.rmtree(folder.parent, ignore_errors=True)


def _shared_parent() -> Path:
    return _ROOT / f"{_PREFIX}{os.getuid()}"


def _private_parent() -> Path:
    """Return the folder around all of this user's; another one where somebody else has laid out that name."""
    parent = _shared_parent()
    with suppress(FileExistsError):
        parent.mkdir(mode=0o700)
    found = parent.lstat()
    if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.getuid():
        return Path(tempfile.mkdtemp(prefix=_PREFIX, dir=_ROOT))
    if stat.S_IMODE(found.st_mode) != stat.S_IRWXU:
        parent.chmod(stat.S_IRWXU)
    return parent


def _sweep_replacements() -> None:
    """Remove the private folders of drivers that are gone; one that was just made may still become a driver's."""
    for parent in _ROOT.glob(f"{_PREFIX}*"):
        with suppress(OSError):  # somebody else's, or removed meanwhile
            found = parent.lstat()
            is_old = time.time() - found.st_mtime > _JUST_MADE_S
            if (
                _REPLACEMENT.fullmatch(parent.name)
                and stat.S_ISDIR(found.st_mode)
                and found.st_uid == os.getuid()
                and is_old
            ):
                with _locked(parent / _LOCK):
                    _sweep(parent)
                    if not any(path.is_dir() for path in parent.iterdir()):
                        shutil.rmtree(parent)


def _lock_of(folder: Path) -> Path:
    return folder.with_name(f"{folder.name}{_LOCK}")


def _sweep(parent: Path) -> None:
    """Remove the folders whose lock nobody holds. Others are neither made nor swept meanwhile."""
    for path in parent.iterdir():
        if path.is_symlink() or not path.is_dir():
            continue
        lock = _lock_of(path)
        try:
            with lock.open("r+") as file:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except FileNotFoundError:
            pass  # of a driver that was killed while it made it
        except OSError:
            continue  # it lives, or this file system has no locks
        shutil.rmtree(path, ignore_errors=True)
        lock.unlink(missing_ok=True)


@contextmanager
def _locked(path: Path) -> Generator[None]:
    lock = os.open(path, os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600)
    try:
        with suppress(OSError):
            fcntl.flock(lock, fcntl.LOCK_EX)
        yield
    finally:
        os.close(lock)
