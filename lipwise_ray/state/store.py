"""Records and files by key, with atomic creation: in a local folder or in an object store."""

from __future__ import annotations

import hashlib
import json
import math
import os
import re
import shutil
from collections.abc import Callable, Generator, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO, Protocol, TypeVar, cast

import obstore
from obstore.exceptions import AlreadyExistsError
from obstore.store import LocalStore as ObstoreLocal

from lipwise_ray.errors import InputError, StateError, StorageError
from lipwise_ray.state.remote import MOST_RECORD_BYTES, RemoteStore
from lipwise_ray.storage.address import is_local, is_store, scheme_of, shown, whole_path
from lipwise_ray.storage.cache import Cache
from lipwise_ray.storage.redact import scrub
from lipwise_ray.values import Json

Loaded = TypeVar("Loaded")
_MOST_LINE_BYTES = 16 << 20
"""Of a log. A longer line was not written by this program, and is passed over."""
_MOST_LEVELS = 32
_CHECKSUM, _CHECKSUM_CHARACTERS = "checksum", 16
_LONE_SURROGATE = re.compile("[\ud800-\udfff]")
"""What Python reads a byte as that is not UTF-8."""


class Store(Protocol):
    """Small records and finished files under keys such as ``jobs/<id>/plan.json``.

    Attributes:
        address: Where it is, as ``--state`` takes it.
    """

    address: str

    def read(self, key: str) -> bytes | None:
        """Return a record, or None."""
        ...

    def write(self, key: str, data: bytes) -> None:
        """Write a record; readers see the old or the new one, never a part."""
        ...

    def create(self, key: str, data: bytes) -> bool:
        """Write a record unless it is there; exactly one of many callers gets True."""
        ...

    def read_all(self, keys: list[str]) -> list[bytes | None]:
        """Return many records."""
        ...

    def append(self, key: str, line: bytes) -> None:
        """Add a line to a log that one process writes; `flush` makes it last."""
        ...

    def flush(self) -> None:
        """Make the lines last that were added."""
        ...

    def log(self, key: str) -> Iterator[bytes]:
        """Yield a log's lines, however long it is; the last one may be half written."""
        ...

    def names(self, prefix: str) -> list[str]:
        """Return the keys under a folder, sorted."""
        ...

    def remove(self, key: str) -> None:
        """Remove a record or file; nothing happens when it is gone."""
        ...

    def size(self, key: str) -> int | None:
        """Return how many bytes a record or file has, None where there is none."""
        ...

    def put_file(self, key: str, path: Path) -> None:
        """Move a finished local file to a key, atomically."""
        ...

    def fetch(self, key: str) -> Path | None:
        """Return a local path with a file's contents, or None."""
        ...


class LocalStore:
    """A store in a local folder.

    Args:
        root: The folder; made when missing.

    Raises:
        StateError: The folder cannot be made.
    """

    def __init__(self, root: Path) -> None:
        try:
            self.root = whole_path(root)
        except InputError as error:
            raise StateError("no_state", str(root), error.must, error.got, "Choose another --state") from error
        self.address = str(self.root)
        try:
            root.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise StateError(
                "no_state", str(root), "must be a writable folder", error.strerror or "", "Choose another --state"
            ) from error
        self._store = ObstoreLocal(root)

    def read(self, key: str) -> bytes | None:
        """Return a record, or None."""
        with self._opened(key) as file:
            data = file.read(MOST_RECORD_BYTES + 1) if file else None
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
            raise StorageError(
                "state_read", str(path), "must be readable", str(error), "Check the folder's mode and the disk"
            ) from error

    def _path(self, key: str) -> Path:
        """Return where a record is.

        Raises:
            StorageError: The key leaves the state's folder.
        """
        if {"", ".", ".."} & {*key.split("/")}:
            raise StorageError("bad_key", self.address, "must hold its records inside", repr(key))
        return self.root / key

    def write(self, key: str, data: bytes) -> None:
        """Write a record; readers see the old or the new one, never a part."""
        try:
            self._store.put(key, data)
        except (obstore.exceptions.BaseError, OSError) as error:
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

    def append(self, key: str, line: bytes) -> None:
        """Add a line to a log that one process writes."""
        path = self._path(key)
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            number = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_NONBLOCK, 0o666)  # no wait at a pipe
            with open(number, "ab") as file:  # noqa: PTH123  # of the number
                file.write(line + b"\n")
        except OSError as error:
            raise self._refused(key, error) from error

    def flush(self) -> None:
        """Do nothing: lines are written as they come."""

    def log(self, key: str) -> Iterator[bytes]:
        """Yield a log's lines, however long it is; the last one may be half written."""
        with self._opened(key) as file:
            begins = True
            while file and (line := file.readline(_MOST_LINE_BYTES)):
                is_whole = line.endswith(b"\n") or len(line) < _MOST_LINE_BYTES
                if begins and is_whole:
                    yield line.rstrip(b"\r\n")
                begins = line.endswith(b"\n")

    def names(self, prefix: str) -> list[str]:
        """Return the keys under a folder, sorted."""
        try:
            return sorted(item["path"] for batch in self._store.list(prefix) for item in batch)
        except (obstore.exceptions.BaseError, OSError):  # links in circles, or folders that may not be read, lie there
            found = (Path(folder, name) for folder, _, names in os.walk(self._path(prefix)) for name in names)
            return sorted(path.relative_to(self.root).as_posix() for path in found if path.is_file())

    def remove(self, key: str) -> None:
        """Remove a record or file; nothing happens when it is gone."""
        try:
            self._path(key).unlink(missing_ok=True)
        except OSError as error:
            raise self._refused(key, error) from error

    def size(self, key: str) -> int | None:
        """Return how many bytes a record or file has, None where there is none."""
        path = self._path(key)
        return path.stat().st_size if path.is_file() else None

    def put_file(self, key: str, path: Path) -> None:
        """Move a finished local file to a key, atomically."""
        target = self._path(key)
        try:
            target.parent.mkdir(parents=True, exist_ok=True)
            move_into_place(path, target)
        except OSError as error:
            raise self._refused(key, error) from error

    def fetch(self, key: str) -> Path | None:
        """Return the local path of a file, or None."""
        path = self._path(key)
        return path if path.is_file() else None

    def _refused(self, key: str, error: Exception) -> StorageError:
        return StorageError(
            "state_write",
            str(self.root / key),
            "must be written",
            str(error).splitlines()[0] if str(error) else type(error).__name__,
            "Check the disk's space and the folder's mode, then run the same command again",
        )


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
        # Another file system: copy beside the target, then rename there.
        beside = target.with_name(f".{target.name}.{os.getpid()}.part")
        try:
            shutil.copyfile(path, beside)
            with beside.open("rb") as file:
                os.fsync(file.fileno())
            beside.replace(target)
        finally:
            beside.unlink(missing_ok=True)
        path.unlink()


def open_store(address: str, cache: Cache | None = None) -> Store:
    """Return the store behind a state address.

    Args:
        address: A folder, or ``s3://``, ``gs://``, ``az://`` with bucket and prefix.
        cache: For local copies of what lies in a bucket; the machine's default one without it.

    Raises:
        StateError: The address is of another kind, or the folder cannot be made.
    """
    if is_local(address):
        return LocalStore(Path(address))
    if not is_store(address):
        raise StateError(
            "state_scheme",
            shown(address),
            "must be a folder or an address of s3, gs or az",
            scheme_of(address),
            "Choose another --state",
        )
    return RemoteStore(address, cache or Cache())


def read_json(store: Store, key: str) -> Json | None:
    """Return a JSON record, or None when it is missing or damaged."""
    return as_json(store.read(key))


def load_file(store: Store, key: str, load: Callable[[Path], Loaded]) -> Loaded | None:
    """Return what a file holds, or None when it is missing or damaged; a damaged one is removed, to be made again."""
    path = store.fetch(key)
    if path is None:
        return None
    try:
        return load(path)
    except (OSError, ValueError):
        store.remove(key)
        return None


def as_json(data: bytes | None) -> Json | None:
    """Return the JSON object that bytes hold, or None where that is none, or not what was written.

    Its numbers are finite. Records that were written without a checksum are believed.
    """
    if data is None or len(data) > MOST_RECORD_BYTES:
        return None
    try:
        loaded: object = json.loads(data, parse_constant=_refused_number, parse_float=_finite)
    except (ValueError, RecursionError):
        return None
    if not isinstance(loaded, dict) or not _is_shallow(loaded, _MOST_LEVELS):
        return None
    record = cast("Json", loaded)
    known = record.pop(_CHECKSUM, None)
    return record if known is None or known == _checksum(record) else None


def to_json(record: Json) -> bytes:
    """Return a record as readable JSON, without secrets, and with a checksum by which damage is seen."""
    text = json.dumps(scrub(record), sort_keys=True, ensure_ascii=False)
    plain: Json = json.loads(_LONE_SURROGATE.sub(_spelt_in_json, text))
    whole = {**plain, _CHECKSUM: _checksum(plain)}
    return json.dumps(whole, indent=1, sort_keys=True, ensure_ascii=False).encode()


def _spelt_in_json(found: re.Match[str]) -> str:
    """Return a byte of a name that is not UTF-8 as letters, because no reader takes it for text."""
    return f"\\\\u{ord(found[0]):04x}"


def _checksum(record: Json) -> str:
    canonical = json.dumps(record, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(canonical.encode()).hexdigest()[:_CHECKSUM_CHARACTERS]


def _is_shallow(value: object, levels: int) -> bool:
    if not isinstance(value, (dict, list)):
        return True
    inside = cast("dict[str, object]", value).values() if isinstance(value, dict) else cast("list[object]", value)
    return levels > 0 and all(_is_shallow(one, levels - 1) for one in inside)


def _finite(text: str) -> float:
    value = float(text)
    if not math.isfinite(value):
        raise ValueError(text)
    return value


def _refused_number(text: str) -> float:
    raise ValueError(text)
