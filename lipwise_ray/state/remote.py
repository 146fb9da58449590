"""A state in an object store."""

from __future__ import annotations

import hashlib
import threading
import time
from collections import OrderedDict
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

from lipwise_ray.errors import StorageError
from lipwise_ray.storage.cache import Cache
from lipwise_ray.storage.objects import Bucket

MOST_RECORD_BYTES = 64 << 20
"""Records are kilobytes; what is larger than this was not written by this program."""

_HANDS = 16
_PART_BYTES = 128 << 10
_MOST_OPEN_LOGS = 256
_MOST_COPIES = 4096


@dataclass(slots=True)
class _Log:
    """The part of a log that grows: an object that is written again with each flush, until it is large enough."""

    key: str
    data: bytearray = field(default_factory=bytearray)
    is_written: bool = True


class RemoteStore:
    """A store under a prefix of a bucket.

    Files come and go by way of a cache on this machine. A log is a folder of parts there, for
    objects do not grow; lines count once they are flushed.

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
        self._copies: OrderedDict[str, Path] = OrderedDict()

    def read(self, key: str) -> bytes | None:
        """Return a record, or None."""
        return self._records.read(key, MOST_RECORD_BYTES)

    def read_all(self, keys: list[str]) -> list[bytes | None]:
        """Return many records, asked for side by side."""
        with ThreadPoolExecutor(_HANDS) as hands:
            return list(hands.map(self.read, keys))

    def write(self, key: str, data: bytes) -> None:
        """Write a record; readers see the old or the new one, never a part."""
        self._records.write(key, data)

    def create(self, key: str, data: bytes) -> bool:
        """Write a record unless it is there; exactly one of many callers gets True."""
        return self._records.create(key, data)

    def append(self, key: str, line: bytes) -> None:
        """Add a line to a log that one process writes; `flush` makes it last."""
        with self._logs_lock:
            log = self._logs.pop(key, None)
            if log is None or (log.is_written and len(log.data) > _PART_BYTES):
                log = _Log(f"{key}/{time.time_ns():020d}.jsonl")
            log.data += line + b"\n"
            log.is_written = False
            self._logs[key] = log

    def flush(self) -> None:
        """Write the lines that were added, or raise and keep them.

        Raises:
            StorageError: The store refused.
        """
        with self._logs_lock:
            due = [log for log in self._logs.values() if not log.is_written]
            if len(due) == 1:
                self._write_log(due[0])
            elif due:
                with ThreadPoolExecutor(_HANDS) as hands:
                    list(hands.map(self._write_log, due))
            while len(self._logs) > _MOST_OPEN_LOGS:
                self._logs.popitem(last=False)

    def _write_log(self, log: _Log) -> None:
        self._records.write(log.key, bytes(log.data))
        log.is_written = True

    def log(self, key: str) -> Iterator[bytes]:
        """Yield a log's lines, some parts of it in memory at a time.

        Raises:
            StorageError: A part is larger than any that this program writes.
        """
        parts = self._records.names(f"{key}/")
        for start in range(0, len(parts), _HANDS):
            some = parts[start : start + _HANDS]
            for part, data in zip(some, self.read_all(some), strict=True):
                if data is None and self.size(part) is not None:
                    must = f"must be at most {MOST_RECORD_BYTES >> 20} MiB, as parts of logs are"
                    raise StorageError("state_read", part, must, f"{self.size(part)} bytes", "Remove it")
                yield from (data or b"").splitlines()

    def names(self, prefix: str) -> list[str]:
        """Return the keys under a folder, sorted."""
        return self._records.names(f"{prefix.rstrip('/')}/")

    def remove(self, key: str) -> None:
        """Remove a record or file, and this process's copy; nothing happens when it is gone."""
        self._records.remove(key)
        copy = self._copies.pop(key, None)
        if copy is not None:
            copy.unlink(missing_ok=True)

    def size(self, key: str) -> int | None:
        """Return how many bytes a record or file has, None where there is none."""
        facts = self._records.facts(key)
        return None if facts is None else facts.size

    def put_file(self, key: str, path: Path) -> None:
        """Move a finished local file to a key, atomically."""
        self._files.upload(key, path)
        path.unlink()

    def fetch(self, key: str) -> Path | None:
        """Return a local copy of a file, or None."""
        facts = self._records.facts(key)
        if facts is None:
            return None
        digest = hashlib.sha256(f"{self.address}/{key} {facts.tag} {facts.size}".encode()).hexdigest()[:24]
        name = f"{digest}-{key.rpartition('/')[2]}"
        found = self._cache.get(name, lambda part: self._files.download(key, part) is not None)
        if found is not None:
            self._copies[key] = found
            if len(self._copies) > _MOST_COPIES:
                self._copies.popitem(last=False)
        return found
