"""A state in an object store."""

from __future__ import annotations

import hashlib
import os
import threading
import time
from collections import OrderedDict
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from lipwise_ray.errors import StorageError
from lipwise_ray.state import layout
from lipwise_ray.state.log_lines import lines_in
from lipwise_ray.storage.cache import Cache
from lipwise_ray.storage.objects import Bucket, Download, Listed, ObjectInfo

MOST_RECORD_BYTES = 64 << 20
"""Records are kilobytes; what is larger than this was not written by this program."""

_HANDS = 16
_PART_BYTES = 128 << 10
_MOST_OPEN_LOGS = 256
_MOST_COPIES = 16_384
_MOST_FIXED, _MOST_FIXED_BYTES = 64, 1 << 20
_MAY_WAIT_S = 60.0
"""Lines that may wait are written so long after the first of them."""


@dataclass(slots=True)
class _Log:
    """The part of a log that grows: an object that is written again with each flush, until it is large enough."""

    key: str
    may_wait: bool = True
    data: bytearray = field(default_factory=bytearray)
    is_written: bool = True
    waits_since_s: float = 0.0

    @property
    def is_due(self) -> bool:
        """True where it has lines that are to be written now."""
        may_wait = self.may_wait and len(self.data) <= _PART_BYTES  # a part is no larger than it has to be
        waits = may_wait and time.monotonic() - self.waits_since_s < _MAY_WAIT_S
        return not self.is_written and not waits


@dataclass(frozen=True, slots=True)
class _Copy:
    """This machine's copy of an object."""

    path: Path
    tag: str

    def is_there(self) -> bool:
        """Tell whether it still is, and keep it from being the next to make room."""
        try:
            os.utime(self.path)
        except OSError:
            return False
        return True


class RemoteStore:
    """A store under a prefix of a bucket.

    Files come and go by way of a cache on this machine. A log is a folder of parts there, for
    objects do not grow; lines count once they are flushed. What never changes (`layout.is_fixed`) is asked for once a
    process, everything else once a call.

    Args:
        address: ``scheme://bucket/prefix``.
        cache: For local copies.
    """

    def __init__(self, address: str, cache: Cache) -> None:
        self._records = Bucket(address, "records")
        self._files = Bucket(address, "files")
        self.address = self._records.address
        self._cache = cache
        self._logs: OrderedDict[str, _Log] = OrderedDict()
        self._logs_lock = threading.Lock()
        self._copies: OrderedDict[str, _Copy] = OrderedDict()
        self._fixed: OrderedDict[str, bytes] = OrderedDict()
        self._known_lock = threading.Lock()

    def read(self, key: str) -> bytes | None:
        """Return a record, or None."""
        if not layout.is_fixed(key):
            return self._records.read(key, MOST_RECORD_BYTES)
        with self._known_lock:
            known = self._fixed.get(key)
        if known is not None:
            return known
        data = self._records.read(key, MOST_RECORD_BYTES)
        self._note_fixed(key, data)
        return data

    def _note_fixed(self, key: str, data: bytes | None) -> None:
        """Take note of a record's present contents, if they stay so; None where they are not known."""
        with self._known_lock:
            self._fixed.pop(key, None)
            if data is not None and len(data) <= _MOST_FIXED_BYTES and layout.is_fixed(key):
                self._fixed[key] = data
                if len(self._fixed) > _MOST_FIXED:
                    self._fixed.popitem(last=False)

    def read_all(self, keys: list[str]) -> list[bytes | None]:
        """Return many records, asked for side by side."""
        with ThreadPoolExecutor(_HANDS) as hands:
            return list(hands.map(self.read, keys))

    def write(self, key: str, data: bytes) -> None:
        """Write a record; readers see the old or the new one, never a part."""
        self._note_fixed(key, None)
        self._records.write(key, data)
        self._note_fixed(key, data)

    def create(self, key: str, data: bytes) -> bool:
        """Write a record unless it is there; exactly one of many callers gets True."""
        self._note_fixed(key, None)
        is_ours = self._records.create(key, data)
        self._note_fixed(key, data if is_ours else None)
        return is_ours

    def append(self, key: str, line: bytes, *, may_wait: bool = False) -> None:
        """Add a line to a log that one process writes; `flush` makes it last, of one that may wait sooner or later."""
        with self._logs_lock:
            log = self._logs.pop(key, None)
            if log is None or (log.is_written and len(log.data) > _PART_BYTES):
                log = _Log(f"{key}/{time.time_ns():020d}.jsonl")
            if log.is_written:
                log.is_written, log.may_wait, log.waits_since_s = False, True, time.monotonic()
            log.may_wait &= may_wait
            log.data += line + b"\n"
            self._logs[key] = log

    def flush(self, *, everything: bool = False) -> None:
        """Write the lines that were added, or raise and keep them; lines that may wait when they have, or with all.

        Raises:
            StorageError: The store refused.
        """
        with self._logs_lock:
            spare = dict.fromkeys(list(self._logs)[:-_MOST_OPEN_LOGS])
            due = [log for key, log in self._logs.items() if log.is_due or (key in spare and not log.is_written)]
            if everything:
                due = [log for log in self._logs.values() if not log.is_written]
            if len(due) == 1:
                self._write_log(due[0])
            elif due:
                with ThreadPoolExecutor(_HANDS) as hands:
                    list(hands.map(self._write_log, due))
            for key in spare:
                del self._logs[key]

    def _write_log(self, log: _Log) -> None:
        self._records.write(log.key, bytes(log.data))
        log.is_written = True

    def log(self, key: str) -> Iterator[bytes]:
        """Yield a log's lines, some parts of it in memory at a time.

        Raises:
            StorageError: A part is larger than any that this program writes.
        """
        if (whole := self.fetch(key)) is not None:  # a folder had it, in one file
            with whole.open("rb") as file:
                yield from lines_in(file)
        parts = self._records.names(f"{key}/")
        for start in range(0, len(parts), _HANDS):
            some = parts[start : start + _HANDS]
            for part, data in zip(some, self.read_all(some), strict=True):
                if data is None and self.size(part) is not None:
                    raise StorageError(
                        "state_read",
                        part,
                        got=f"is {self.size(part)} bytes long",
                        must=f"parts of logs have at most {MOST_RECORD_BYTES >> 20} MiB",
                        do="Remove it",
                    )
                yield from (data or b"").splitlines()

    def names(self, prefix: str) -> list[str]:
        """Return the keys under a folder, sorted."""
        return self._records.names(f"{prefix.rstrip('/')}/")

    def listing(self, prefix: str) -> Iterator[Listed]:
        """Yield the keys under a folder, all of one folder together."""
        return self._records.listing(f"{prefix.rstrip('/')}/")

    def folders(self, prefix: str) -> list[str]:
        """Return the names of the folders right in a folder, sorted."""
        return self._records.folders(f"{prefix.rstrip('/')}/")

    def remove(self, key: str) -> None:
        """Remove a record or file, and this process's copy; nothing happens when it is gone."""
        self._records.remove(key)
        self.drop_copy(key)

    def remove_all(self, keys: list[str]) -> None:
        """Remove many records or files, as `remove` does, in few requests."""
        self._records.remove_all(keys)
        for key in keys:
            self.drop_copy(key)

    def remove_empty(self, prefix: str) -> None:
        """Do nothing: a bucket has no folders besides what lies in them."""

    def forget(self, key: str) -> None:
        """Ask for a record or file anew when it is wanted next: another process may have replaced it."""
        self._drop(key)

    def drop_copy(self, key: str) -> None:
        """Remove this machine's copy of a file."""
        copy = self._drop(key)
        if copy is not None:
            copy.path.unlink(missing_ok=True)

    def _drop(self, key: str) -> _Copy | None:
        with self._known_lock:
            self._fixed.pop(key, None)
            return self._copies.pop(key, None)

    def size(self, key: str) -> int | None:
        """Return the size of a record or file in bytes, None where there is none."""
        facts = self._records.facts(key)
        return None if facts is None else facts.size

    def put_file(self, key: str, path: Path) -> None:
        """Move a finished local file to a key, atomically; it is also this machine's copy from then on."""
        self._drop(key)
        size = path.stat().st_size
        tag = self._files.put(key, path)
        if tag:
            with suppress(StorageError):  # without a copy it is asked for like any other
                self._note_copy(key, _Copy(self._cache.keep(self._name_of(key, tag, size), path), tag))
        path.unlink(missing_ok=True)

    def copy(self, key: str, target: str) -> bool:
        """Copy a file to another key without taking its bytes; return False where there is none."""
        self._drop(target)
        return self._files.copy(key, target)

    def fetch(self, key: str) -> Path | None:
        """Return a local copy of a file, or None."""
        with self._known_lock:
            known = self._copies.get(key)
        if known is not None and not known.is_there():
            known = None
        if known is not None and layout.is_fixed(key):
            return known.path
        found = self._files.ask(key, known.tag if known else "")
        if found is None:
            self._drop(key)
            return None
        if found.facts is None:  # nothing changed
            assert known is not None
            return known.path
        return self._taken(key, found, found.facts)

    def _taken(self, key: str, found: Download, facts: ObjectInfo) -> Path | None:
        """Return a copy of what was found; where this machine has one by another process its bytes are not taken."""

        def fill(part: Path) -> bool:
            found.save(part)
            return True

        path = self._cache.get(self._name_of(key, facts.tag, facts.size), fill)
        if path is not None:
            self._note_copy(key, _Copy(path, facts.tag))
        return path

    def _name_of(self, key: str, tag: str, size: int | None) -> str:
        digest = hashlib.sha256(f"{self.address}/{key} {tag} {size}".encode()).hexdigest()[:24]
        return f"{digest}-{key.rpartition('/')[2]}"

    def _note_copy(self, key: str, copy: _Copy) -> None:
        with self._known_lock:
            self._copies[key] = copy
            if len(self._copies) > _MOST_COPIES:
                self._copies.popitem(last=False)
