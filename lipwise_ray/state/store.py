"""Records and files by key, with atomic creation: what a store is, and how records are written in it."""

from __future__ import annotations

import hashlib
import json
import math
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Protocol, TypeVar, cast

from lipwise_ray.errors import StateError
from lipwise_ray.state.local import LocalStore
from lipwise_ray.state.remote import MOST_RECORD_BYTES, RemoteStore
from lipwise_ray.storage.address import is_local, is_store, scheme_of, shown
from lipwise_ray.storage.cache import Cache
from lipwise_ray.storage.objects import Listed
from lipwise_ray.storage.redact import scrub
from lipwise_ray.values import Json

Loaded = TypeVar("Loaded")
_MOST_LEVELS = 32
_CHECKSUM, _CHECKSUM_CHARACTERS = "checksum", 16
_LONE_SURROGATE = re.compile("[\ud800-\udfff]")
"""Character as which Python reads a byte that is not UTF-8."""


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

    def append(self, key: str, line: bytes, *, may_wait: bool = False) -> None:
        """Add a line to a log that one process writes; `flush` makes it last.

        Args:
            key: Key of the log.
            line: One line, without its end.
            may_wait: `flush` need not write it yet, unless it is to write everything.
        """
        ...

    def flush(self, *, everything: bool = False) -> None:
        """Make the lines last that were added; those that may wait sooner or later, or with all."""
        ...

    def log(self, key: str) -> Iterator[bytes]:
        """Yield a log's lines, however long it is; the last one may be half written."""
        ...

    def names(self, prefix: str) -> list[str]:
        """Return the keys under a folder, sorted."""
        ...

    def listing(self, prefix: str) -> Iterator[Listed]:
        """Yield the keys under a folder, all of one folder together."""
        ...

    def folders(self, prefix: str) -> list[str]:
        """Return the names of the folders right in a folder, sorted, without looking into them."""
        ...

    def remove(self, key: str) -> None:
        """Remove a record or file; nothing happens when it is gone."""
        ...

    def remove_all(self, keys: list[str]) -> None:
        """Remove many records or files, as `remove` does."""
        ...

    def remove_empty(self, prefix: str) -> None:
        """Remove a folder in which nothing lies."""
        ...

    def forget(self, key: str) -> None:
        """Ask for a record or file anew when it is wanted next: another process may have replaced it."""
        ...

    def drop_copy(self, key: str) -> None:
        """Remove this machine's copy of a file that lies elsewhere."""
        ...

    def size(self, key: str) -> int | None:
        """Return the size of a record or file in bytes, None where there is none."""
        ...

    def put_file(self, key: str, path: Path) -> None:
        """Move a finished local file to a key, atomically.

        Args:
            key: Key of the file.
            path: The local file; it is gone from there afterwards.
        """
        ...

    def copy(self, key: str, target: str) -> bool:
        """Copy a file that nobody writes to any more to another key, atomically; return False where there is none."""
        ...

    def fetch(self, key: str) -> Path | None:
        """Return a local path with a file's contents, or None; one of what never changes may be of earlier."""
        ...


def open_store(address: str, cache: Cache | None = None) -> Store:
    """Return the store behind a state address.

    Args:
        address: A folder, or ``s3://``, ``gs://``, ``az://`` with bucket and prefix.
        cache: For local copies of what lies in a bucket; the machine's default one without it.

    Raises:
        StateError: The address is of another kind, or the folder cannot be made.
    """
    if is_local(address):
        return LocalStore(address)
    if not is_store(address):
        raise StateError(
            "state_scheme",
            shown(address),
            got=f"unknown scheme {scheme_of(address)}",
            must="a state is a folder or an address of s3, gs or az",
            do="Choose another --state",
        )
    return RemoteStore(address, cache or Cache())


def read_json(store: Store, key: str) -> Json | None:
    """Return a JSON record, or None when it is missing or damaged."""
    return as_json(store.read(key))


def load_file(store: Store, key: str, load: Callable[[Path], Loaded]) -> Loaded | None:
    """Return the contents of a file, or None when it is missing or damaged; a damaged one is removed, to be made again.

    A copy that makes room before it is opened, or that a crash left in part, says nothing of the file, and neither does
    this machine's want of descriptors: it is fetched once more.

    Args:
        store: The state.
        key: Key of the file.
        load: Reads the local copy; called once more, with a fresh copy, where it raised `OSError` or `ValueError`.
    """
    for is_last in (False, True):
        path = store.fetch(key)
        if path is None:
            return None
        try:
            return load(path)
        except (OSError, ValueError) as error:
            store.drop_copy(key)
            if is_last and not (isinstance(error, OSError) and error.errno):  # numpy's own have no number
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


def to_json(record: Json, *, keeps_secrets: bool = False) -> bytes:
    """Return a record as readable JSON, with a checksum by which damage is seen.

    Args:
        record: The record.
        keeps_secrets: Keep what else is left out: the signatures of addresses, for example.
    """
    text = json.dumps(record if keeps_secrets else scrub(record), sort_keys=True, ensure_ascii=False)
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
