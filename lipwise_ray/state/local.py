"""A state in a local folder."""

from __future__ import annotations

import os
import shutil
import stat
from collections.abc import Generator, Iterator
from contextlib import contextmanager, suppress
from itertools import count
from pathlib import Path
from typing import BinaryIO

import obstore
from obstore.exceptions import AlreadyExistsError
from obstore.store import LocalStore as ObstoreLocal

from lipwise_ray.errors import InputError, StateError, StorageError, os_reason
from lipwise_ray.state.log_lines import lines_in
from lipwise_ray.state.remote import MOST_RECORD_BYTES
from lipwise_ray.storage.address import whole_path
from lipwise_ray.storage.objects import Listed

_APPENDING = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_NONBLOCK  # no wait at a pipe
_LATER_LINES = "later.jsonl"
"""Part of a log that came from a bucket, where parts are named after times: lines that were added since."""


class LocalStore:
    """A store in a local folder.

    Args:
        root: The folder; made when missing.

    Raises:
        StateError: The folder cannot be made.
    """

    def __init__(self, root: str | Path) -> None:
        try:
            self.root = whole_path(root)
        except InputError as error:
            raise StateError(
                "no_state", str(root), got=error.got, must=error.must, do="Choose another --state"
            ) from error
        self.address = str(self.root)
        try:
            self.root.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise StateError(
                "no_state", str(root), got=f"cannot be made: {os_reason(error)}", do="Choose another --state"
            ) from error
        self._store = ObstoreLocal(self.root)

    def read(self, key: str) -> bytes | None:
        """Return a record, or None."""
        with self._opened(key) as file:
            # What is asked for is allocated before anything is read: not 64 MiB for a kilobyte.
            data = file.read(min(os.fstat(file.fileno()).st_size, MOST_RECORD_BYTES) + 1) if file else None
        return data if data is not None and len(data) <= MOST_RECORD_BYTES else None

    @contextmanager
    def _opened(self, key: str) -> Generator[BinaryIO | None]:
        """Open a record or log for reading; None where there is none.

        Raises:
            StorageError: It cannot be read.
        """
        path = self._path(key)
        try:
            if not path.is_file():  # what waits for a writer is none
                yield None
                return
            with path.open("rb") as file:
                yield file
        except (OSError, ValueError) as error:
            raise _unreadable(path, error) from error

    def _path(self, key: str) -> Path:
        """Return the path of a record.

        Raises:
            StorageError: The key leaves the state's folder.
        """
        if {"", ".", ".."} & {*key.split("/")}:
            raise StorageError("bad_key", self.address, got=f"the key {key!r} leads out of the state")
        return self.root / key

    def write(self, key: str, data: bytes) -> None:
        """Write a record; readers see the old or the new one, never a part.

        A file beside it takes its place, named as `obstore` names such files, so that listings pass it over; written
        here, as that hands each over to a thread, which costs a driver a third of a millisecond.
        """
        path = self._path(key)
        try:
            descriptor, beside = _opened_beside(path)
            try:
                with open(descriptor, "wb") as file:  # noqa: PTH123  # of the descriptor
                    file.write(data)
                beside.replace(path)
            except OSError:
                beside.unlink(missing_ok=True)
                raise
        except OSError as error:
            raise self._refused(key, error) from error

    def create(self, key: str, data: bytes) -> bool:
        """Write a record unless it is there; exactly one of many callers gets True."""
        try:
            self._store.put(key, data, mode="create")
        except (AlreadyExistsError, FileExistsError):
            return False
        except (obstore.exceptions.BaseError, OSError) as error:
            raise self._refused(key, error) from error
        return True

    def read_all(self, keys: list[str]) -> list[bytes | None]:
        """Return many records."""
        return [self.read(key) for key in keys]

    def append(self, key: str, line: bytes, *, may_wait: bool = False) -> None:
        """Add a line to a log that one process writes."""
        del may_wait  # none has to
        path = self._path(key)
        try:
            try:
                number = os.open(path, _APPENDING, 0o666)
            except FileNotFoundError:
                path.parent.mkdir(parents=True, exist_ok=True)
                number = os.open(path, _APPENDING, 0o666)
            except IsADirectoryError:  # a bucket had it, in parts
                number = os.open(path / _LATER_LINES, _APPENDING, 0o666)
            with open(number, "ab") as file:  # noqa: PTH123  # of the number
                file.write(line + b"\n")
        except OSError as error:
            raise self._refused(key, error) from error

    def flush(self, *, everything: bool = False) -> None:
        """Do nothing: lines are written as they come."""

    def log(self, key: str) -> Iterator[bytes]:
        """Yield a log's lines, however long it is; the last one may be half written."""
        for part in self.names(key) if self._path(key).is_dir() else [key]:  # a bucket had it, in parts
            with self._opened(part) as file:
                if file:
                    yield from lines_in(file)

    def names(self, prefix: str) -> list[str]:
        """Return the keys under a folder, sorted."""
        try:
            return sorted(item["path"] for batch in self._store.list(prefix) for item in batch)
        except (obstore.exceptions.BaseError, OSError):  # links in circles, or folders that may not be read, lie there
            found = (Path(folder, name) for folder, _, names in os.walk(self._path(prefix)) for name in names)
            return sorted(path.relative_to(self.root).as_posix() for path in found if path.is_file())

    def listing(self, prefix: str) -> Iterator[Listed]:
        """Yield the keys under a folder, all of one folder together."""
        for folder, folders, names in os.walk(self._path(prefix)):
            folders.sort()
            for name in sorted(names):
                path = Path(folder, name)
                with suppress(OSError):  # somebody removed it
                    found = path.stat()
                    yield Listed(path.relative_to(self.root).as_posix(), found.st_size, found.st_mtime)

    def folders(self, prefix: str) -> list[str]:
        """Return the names of the folders right in a folder, sorted, without looking into them.

        Raises:
            StorageError: It is there, and cannot be read.
        """
        path = self._path(prefix)
        try:
            with os.scandir(path) as entries:
                return sorted(entry.name for entry in entries if _is_folder(entry))
        except (FileNotFoundError, NotADirectoryError):
            return []
        except OSError as error:  # what lies there must not pass for nothing
            raise _unreadable(path, error) from error

    def remove(self, key: str) -> None:
        """Remove a record or file; nothing happens when it is gone."""
        try:
            self._path(key).unlink(missing_ok=True)
        except OSError as error:
            raise self._refused(key, error) from error

    def remove_all(self, keys: list[str]) -> None:
        """Remove many records or files, as `remove` does."""
        for key in keys:
            self.remove(key)

    def remove_empty(self, prefix: str) -> None:
        """Remove a folder in which nothing lies."""
        for folder, _, _ in os.walk(self._path(prefix), topdown=False):
            with suppress(OSError):  # something lies there
                Path(folder).rmdir()

    def forget(self, key: str) -> None:
        """Do nothing: files are looked at where they lie."""

    def drop_copy(self, key: str) -> None:
        """Do nothing: files lie here."""

    def size(self, key: str) -> int | None:
        """Return the size of a record or file in bytes, None where there is none."""
        path = self._path(key)
        return path.stat().st_size if path.is_file() else None

    def put_file(self, key: str, path: Path) -> None:
        """Move a finished local file to a key, atomically."""
        target = self._path(key)
        try:
            mode = _mode_beside(target)
            with suppress(OSError):  # a disk that knows no modes
                path.chmod(mode)  # temporary files are this user's alone: others who may read records may read it
            move_into_place(path, target)
        except OSError as error:
            raise self._refused(key, error) from error

    def copy(self, key: str, target: str) -> bool:
        """Make a file known by another key too, atomically: it takes no room, where the disk knows links."""
        source, place = self._path(key), self._path(target)
        if not source.is_file():
            return False
        try:
            place.parent.mkdir(parents=True, exist_ok=True)
            try:
                os.link(source, place)
            except OSError:  # other disks, and those without links
                copy_into_place(source, place)
        except FileNotFoundError:  # somebody removed it
            return False
        except OSError as error:
            raise self._refused(target, error) from error
        return True

    def fetch(self, key: str) -> Path | None:
        """Return the local path of a file, or None."""
        path = self._path(key)
        return path if path.is_file() else None

    def _refused(self, key: str, error: Exception) -> StorageError:
        return StorageError(
            "state_write",
            str(self.root / key),
            got=f"cannot be written: {str(error).splitlines()[0] if str(error) else type(error).__name__}",
            do="Check the disk's space and the folder's permissions, then run the same command again",
        )


def _is_folder(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_dir()
    except OSError:  # a link in a circle
        return False


def _unreadable(path: Path, error: Exception) -> StorageError:
    do = "Check the folder's permissions and the disk"
    return StorageError("state_read", str(path), got=f"cannot be read: {error}", do=do)


def _opened_beside(path: Path) -> tuple[int, Path]:
    """Open a new file for writing beside a path, in a folder that is made when missing.

    Raises:
        OSError: The disk is full or the folder not writable.
    """
    for number in count(1):
        beside = path.with_name(f"{path.name}#{number}")
        try:
            return os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o666), beside
        except FileExistsError:  # another writer's, or left by one that was killed
            pass
        except FileNotFoundError:
            path.parent.mkdir(parents=True, exist_ok=True)
    raise AssertionError  # numbers do not end


def _mode_beside(path: Path) -> int:
    """Return the mode of a new file beside a path, in a folder that is made when missing.

    Raises:
        OSError: The disk is full or the folder not writable.
    """
    descriptor, beside = _opened_beside(path)
    try:
        return stat.S_IMODE(os.fstat(descriptor).st_mode)
    finally:
        os.close(descriptor)
        beside.unlink()


def move_into_place(path: Path, target: Path) -> None:
    """Move a finished file to its place: flushed to the disk first, then visible at once and whole.

    Raises:
        OSError: The disk is full or the folder not writable.
    """
    with path.open("rb") as file:
        os.fsync(file.fileno())
    try:
        path.replace(target)
    except OSError:
        copy_into_place(path, target)  # another file system
        path.unlink()


def copy_into_place(path: Path, target: Path) -> None:
    """Copy a file beside its place, and rename it there: visible at once and whole.

    Raises:
        OSError: The disk is full or the folder not writable.
    """
    beside = target.with_name(f".{target.name}.{os.getpid()}.part")
    try:
        shutil.copyfile(path, beside)
        with beside.open("rb") as file:
            os.fsync(file.fileno())
        beside.replace(target)
    finally:
        beside.unlink(missing_ok=True)
