"""Records by key, with atomic creation, over obstore."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path
from typing import Protocol, cast

import obstore
from obstore.exceptions import AlreadyExistsError
from obstore.store import LocalStore as ObstoreLocal

from lipwise_ray.errors import StateError, StorageError
from lipwise_ray.values import Json


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

    def append(self, key: str, line: bytes) -> None:
        """Add a line to a log that one process writes."""
        ...

    def names(self, prefix: str) -> list[str]:
        """Return the keys under a prefix, sorted."""
        ...

    def remove(self, key: str) -> None:
        """Remove a record or file; nothing happens when it is gone."""
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
        self.root = root
        self.address = str(root)
        try:
            root.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise StateError(
                "no_state", str(root), "must be a writable folder", error.strerror or "", "Choose another --state"
            ) from error
        self._store = ObstoreLocal(root)

    def read(self, key: str) -> bytes | None:
        """Return a record, or None."""
        try:
            return bytes(self._store.get(key).bytes())
        except FileNotFoundError:
            return None

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

    def append(self, key: str, line: bytes) -> None:
        """Add a line to a log that one process writes."""
        path = self.root / key
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            with path.open("ab") as file:
                file.write(line + b"\n")
        except OSError as error:
            raise self._refused(key, error) from error

    def names(self, prefix: str) -> list[str]:
        """Return the keys under a prefix, sorted."""
        found = (item["path"] for batch in self._store.list(prefix) for item in batch)
        return sorted(found)

    def remove(self, key: str) -> None:
        """Remove a record or file; nothing happens when it is gone."""
        (self.root / key).unlink(missing_ok=True)

    def put_file(self, key: str, path: Path) -> None:
        """Move a finished local file to a key, atomically."""
        target = self.root / key
        try:
            target.parent.mkdir(parents=True, exist_ok=True)
            move_into_place(path, target)
        except OSError as error:
            raise self._refused(key, error) from error

    def fetch(self, key: str) -> Path | None:
        """Return the local path of a file, or None."""
        path = self.root / key
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


def open_store(root: str) -> LocalStore:
    """Return the store behind a state address.

    Raises:
        StateError: The address is no local path.
    """
    if "://" in root:
        raise StateError(
            "state_scheme",
            root,
            "must be a local folder",
            f"a {root.split(':', maxsplit=1)[0]} address",
            "Choose another --state",
        )
    return LocalStore(Path(root))


def read_json(store: Store, key: str) -> Json | None:
    """Return a JSON record, or None when it is missing or damaged."""
    data = store.read(key)
    if data is None:
        return None
    try:
        loaded: object = json.loads(data)
    except ValueError:
        return None
    return cast("Json", loaded) if isinstance(loaded, dict) else None


def to_json(record: Json) -> bytes:
    """Return a record as readable JSON."""
    return json.dumps(record, indent=1, sort_keys=True, ensure_ascii=False).encode()
