"""Objects of S3, Google Cloud Storage and Azure, over obstore."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Generator, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import obstore
from obstore.exceptions import AlreadyExistsError, BaseError, NotModifiedError

from lipwise_ray.errors import InputError, StorageError
from lipwise_ray.storage.address import bucket_and_key
from lipwise_ray.storage.clients import Patience, opened, reason_of

if TYPE_CHECKING:
    from obstore import GetResult

_NO_KEY = "Could not parse path"
"""Beginning of what obstore says of a name that no object can have, with an error of no kind of its own."""

_STREAM_BYTES = 8 << 20
_PART_BYTES = 256 << 10
"""Of what goes on to a client at once."""


@dataclass(frozen=True, slots=True)
class ObjectInfo:
    """Size and tag of an object, as its store states them.

    Attributes:
        size: Bytes; None where a web server does not state them.
        tag: Changes with the contents; empty where a web server states none.
        place: Address by which a site itself knows it; empty where that is the one that was asked.
        part: Name of the part of it that is fetched; empty for all of it.
        bytes_about: What arrives, where a site says about how much that is; else 0.
    """

    size: int | None
    tag: str
    place: str = ""
    part: str = ""
    bytes_about: int = 0


@dataclass(frozen=True, slots=True)
class Listed:
    """An object as a listing shows it.

    Attributes:
        key: Its key, without the prefix.
        bytes_total: Its size.
        changed_s: When it was last written, in seconds since 1970.
        tag: Changes with the contents; empty where none is stated.
    """

    key: str
    bytes_total: int
    changed_s: float
    tag: str = ""


class Download:
    """A store's answer to one request for an object: what it is, and its bytes, which need not be taken.

    Attributes:
        facts: Of the object; None where the caller has these bytes already.

    Args:
        where: Address of the object, for errors.
        answer: obstore's answer; None where the caller has these bytes already.
    """

    def __init__(self, where: str, answer: GetResult | None) -> None:
        self._where = where
        self._answer = answer
        self.facts = None if answer is None else _facts(answer.meta)

    def take(self, accept: Callable[[bytes], object], on_block: Callable[[], None] = lambda: None) -> None:
        """Hand over the bytes, block by block.

        Args:
            accept: Called with each block, in order.
            on_block: Called after each.

        Raises:
            StorageError: The store refused, or gave another number of bytes than it said.
        """
        assert self._answer is not None  # there are no bytes of what the caller has
        done = 0
        with _errors(self._where, "cannot be read"):
            for block in self._answer.stream(min_chunk_size=_STREAM_BYTES):
                accept(block)
                done += len(block)
                on_block()
        if self.facts is None or done != self.facts.size:
            size = self.facts.size if self.facts else 0
            raise StorageError(
                "download_cut", self._where, got=f"gave {done} of {size} bytes", do="Run the same command again"
            )

    def save(self, target: Path, on_block: Callable[[], None] = lambda: None) -> None:
        """Write the bytes to a file.

        Args:
            target: The file, which is replaced.
            on_block: Called after each block.

        Raises:
            StorageError: As `take`.
        """
        with target.open("wb") as file:
            self.take(file.write, on_block)


class Bucket:
    """Objects of one bucket under a prefix.

    Args:
        address: ``scheme://bucket/prefix``.
        patience: How long a store may refuse before that is an error.
    """

    def __init__(self, address: str, patience: Patience = "records") -> None:
        root, prefix = bucket_and_key(address)
        self.address = f"{root}/{prefix}" if prefix else root
        self._prefix = f"{prefix}/" if prefix else ""
        self._store = opened(root, patience)

    def read(self, key: str, most_bytes: int | None = None) -> bytes | None:
        """Return an object's bytes; None where there is no such object, or a larger one.

        Args:
            key: The object's.
            most_bytes: A larger object is not read; None for no limit.
        """
        with self._errors(key, "cannot be read"):
            try:
                answer = obstore.get(self._store, self._prefix + key)
                if most_bytes is not None and answer.meta["size"] > most_bytes:
                    return None
                return bytes(answer.bytes())
            except FileNotFoundError:
                return None

    def write(self, key: str, data: bytes) -> None:
        """Write an object; readers see the old or the new one."""
        with self._errors(key, "cannot be written"):
            obstore.put(self._store, self._prefix + key, data)

    def create(self, key: str, data: bytes) -> bool:
        """Write an object unless there is one; exactly one of many callers with different bytes gets True.

        An answer that got lost is asked for again, and then finds the caller's own bytes.
        """
        with self._errors(key, "cannot be written"):
            try:
                obstore.put(self._store, self._prefix + key, data, mode="create")
            except AlreadyExistsError:
                return self.read(key) == data
        return True

    def names(self, prefix: str) -> list[str]:
        """Return the keys under a prefix, sorted."""
        whole = f"{self._prefix}{prefix}"
        with self._errors(prefix, "cannot be listed"):
            keys = [item["path"] for batch in obstore.list(self._store, whole or None) for item in batch]
        return sorted(path.removeprefix(self._prefix) for path in keys)

    def listing(self, prefix: str = "") -> Iterator[Listed]:
        """Yield the objects under a prefix, in the order of the keys."""
        with self._errors(prefix, "cannot be listed"):
            for batch in obstore.list(self._store, f"{self._prefix}{prefix}" or None):
                for item in batch:
                    key = str(item["path"]).removeprefix(self._prefix)
                    yield Listed(key, item["size"], item["last_modified"].timestamp(), str(item["e_tag"] or ""))

    def folders(self, prefix: str) -> list[str]:
        """Return the names of the folders right under a prefix, sorted, without looking into them."""
        whole = f"{self._prefix}{prefix}"
        with self._errors(prefix, "cannot be listed"):
            prefixes = obstore.list_with_delimiter(self._store, whole or None)["common_prefixes"]
        return sorted(str(path).rstrip("/").rpartition("/")[2] for path in prefixes)

    def remove(self, key: str) -> None:
        """Remove an object; nothing happens when it is gone."""
        with self._errors(key, "cannot be removed"), suppress(FileNotFoundError):
            obstore.delete(self._store, self._prefix + key)

    def remove_all(self, keys: list[str]) -> None:
        """Remove objects, as many at a time as the store can; nothing happens to those that are gone."""
        if not keys:
            return
        with self._errors(keys[0], "cannot be removed"):
            try:
                obstore.delete(self._store, [self._prefix + key for key in keys])
            except FileNotFoundError:  # some stores say so, and leave the others
                for key in keys:
                    self.remove(key)

    def facts(self, key: str) -> ObjectInfo | None:
        """Return size and tag of an object, or None."""
        with self._errors(key, "cannot be read"):
            try:
                head = obstore.head(self._store, self._prefix + key)
            except FileNotFoundError:
                return None
        return _facts(head)

    def put(self, key: str, path: Path) -> str:
        """Store a file under a key: in parts where it is large, each with a checksum; visible at once and whole.

        Returns:
            The object's tag, empty where the store states none.
        """
        with self._errors(key, "cannot be written"):
            return obstore.put(self._store, self._prefix + key, path)["e_tag"] or ""

    def copy(self, key: str, target: str) -> bool:
        """Copy an object within the store, visible at once and whole; return False where there is none."""
        with self._errors(target, "cannot be written"), suppress(FileNotFoundError):
            obstore.copy(self._store, self._prefix + key, self._prefix + target)
            return True
        return False

    def upload(self, key: str, path: Path) -> ObjectInfo:
        """Do the same, and look at what is there then, which is returned: for what nobody reads again.

        Raises:
            StorageError: The store refused, or holds another number of bytes afterwards.
        """
        size = path.stat().st_size
        self.put(key, path)
        info = self.facts(key)
        if info is None or info.size != size:
            got = "is not there" if info is None else f"holds {info.size} of {size} bytes"
            do = "Run the same command again"
            raise StorageError("upload_cut", self._where(key), got=f"{got} after its upload", do=do)
        return info

    def ask(self, key: str, known_tag: str = "") -> Download | None:
        """Ask for an object, in one request; return None where there is none.

        Args:
            key: The object's.
            known_tag: Of the bytes that the caller has: they are not sent again.
        """
        has_some = known_tag.startswith(('"', "W/"))  # else it is a time stamp of ours
        with self._errors(key, "cannot be read"):
            try:
                answer = obstore.get(
                    self._store, self._prefix + key, options={"if_none_match": known_tag} if has_some else None
                )
            except FileNotFoundError:
                return None
            except NotModifiedError:
                return Download(self._where(key), None)
        return Download(self._where(key), answer)

    def stream(self, key: str, start: int, stop: int) -> Iterator[bytes]:
        """Yield a part of an object, block by block.

        Args:
            key: The object's.
            start: Number of its first byte.
            stop: Number of the byte behind it; there is at least one byte.

        Raises:
            StorageError: The store refused, or there is no such object.
        """
        with self._errors(key, "cannot be read"):
            answer = obstore.get(self._store, self._prefix + key, options={"range": (start, stop)})
            for block in answer.stream(min_chunk_size=_PART_BYTES):
                yield bytes(block)

    def download(self, key: str, target: Path, on_block: Callable[[], None] = lambda: None) -> ObjectInfo | None:
        """Write an object to a file; None where there is none.

        Args:
            key: The object's.
            target: The file.
            on_block: Called as blocks arrive.

        Raises:
            StorageError: The store refused, or gave another number of bytes than it has.
        """
        download = self.ask(key)
        if download is None:
            return None
        download.save(target, on_block)
        return download.facts

    def sha256(self, key: str, on_block: Callable[[], None] = lambda: None) -> str | None:
        """Return the SHA-256 of an object's bytes, in hex; None where there is no such object.

        Args:
            key: The object's.
            on_block: Called after each block.

        Raises:
            StorageError: The store refused, or gave another number of bytes than it has.
        """
        digest = hashlib.sha256()
        download = self.ask(key)
        if download is None:
            return None
        download.take(digest.update, on_block)
        return digest.hexdigest()

    def _where(self, key: str) -> str:
        return f"{self.address}/{key}" if key else self.address

    def _errors(self, key: str, failed: str) -> AbstractContextManager[None]:
        return _errors(self._where(key), failed)


@contextmanager
def _errors(where: str, failed: str) -> Generator[None]:
    """Raise a store's refusals as one clear error."""
    try:
        yield
    except FileNotFoundError as error:
        raise StorageError("store_refused", where, got=f"{failed}: no such bucket", do="Check the address") from error
    except BaseError as error:
        raise StorageError(
            "store_refused", where, got=f"{failed}: {reason_of(error)}", do="Check the store and the credentials"
        ) from error
    except ValueError as error:
        if not isinstance(error, UnicodeError) and not str(error).startswith(_NO_KEY):
            raise
        must = "no object can have a name with control characters, empty steps, `.` or `..` in it"
        raise InputError("bad_path", where, got=failed, must=must, do="Choose another name") from error


class BucketFile:
    """One object, as an input.

    Args:
        address: ``scheme://bucket/key``.
    """

    def __init__(self, address: str) -> None:
        self._bucket, self._key = bucket_and_key(address)

    def facts(self) -> ObjectInfo | None:
        """Return its size and tag, None where there is no such object."""
        return Bucket(self._bucket).facts(self._key)

    def download(self, target: Path, on_block: Callable[[], None]) -> ObjectInfo | None:
        """Write it to a file; None where there is no such object.

        Args:
            target: The file.
            on_block: Called after each block.
        """
        return Bucket(self._bucket, "files").download(self._key, target, on_block)


def _facts(meta: Mapping[str, Any]) -> ObjectInfo:
    """Return the facts of obstore's record of an object."""
    return ObjectInfo(meta["size"], meta["e_tag"] or str(meta["last_modified"].timestamp()))
