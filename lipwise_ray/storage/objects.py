"""Objects of S3, Google Cloud Storage and Azure, over obstore.

Credentials come from each cloud's standard chain alone; none is ever a setting.
"""

from __future__ import annotations

import hashlib
import importlib.util
import os
from collections.abc import Callable, Generator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import obstore
from obstore.exceptions import AlreadyExistsError, BaseError
from obstore.store import from_url

from lipwise_ray.errors import StorageError
from lipwise_ray.storage.address import bucket_and_key, scheme_of
from lipwise_ray.storage.redact import redact

if TYPE_CHECKING:
    from obstore import GetResult
    from obstore.auth.boto3 import Boto3CredentialProvider
    from obstore.store import ObjectStore

Patience = Literal["records", "files"]
"""``records`` gives up early, for somebody waits; ``files`` bears with a store that is busy for minutes."""

_RETRY_S: dict[Patience, float] = {"records": 20.0, "files": 180.0}
_MOST_RETRIES = 10_000
_STREAM_BYTES = 8 << 20


@dataclass(frozen=True, slots=True)
class Facts:
    """What a store says about an object.

    Attributes:
        size: Bytes; None where a web server does not state them.
        tag: Changes with the contents; empty where a web server states none.
    """

    size: int | None
    tag: str


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
        """Return an object's bytes, or None where there is none, or one of more than `most_bytes`."""
        with self._errors(key, "must be readable"):
            try:
                answer = obstore.get(self._store, self._prefix + key)
                if most_bytes is not None and answer.meta["size"] > most_bytes:
                    return None
                return bytes(answer.bytes())
            except FileNotFoundError:
                return None

    def write(self, key: str, data: bytes) -> None:
        """Write an object; readers see the old or the new one."""
        with self._errors(key, "must be written"):
            obstore.put(self._store, self._prefix + key, data)

    def create(self, key: str, data: bytes) -> bool:
        """Write an object unless there is one; exactly one of many callers with different bytes gets True.

        An answer that got lost is asked for again, and then finds the caller's own bytes.
        """
        with self._errors(key, "must be written"):
            try:
                obstore.put(self._store, self._prefix + key, data, mode="create")
            except AlreadyExistsError:
                return self.read(key) == data
        return True

    def names(self, prefix: str) -> list[str]:
        """Return the keys under a prefix, sorted."""
        whole = f"{self._prefix}{prefix}"
        with self._errors(prefix, "must be listed"):
            found = [item["path"] for batch in obstore.list(self._store, whole or None) for item in batch]
        return sorted(path.removeprefix(self._prefix) for path in found)

    def listing(self) -> list[tuple[str, float, str]]:
        """Return key, time of the last change (seconds since 1970) and tag of each object."""
        with self._errors("", "must be readable"):
            found = [item for batch in obstore.list(self._store, self._prefix or None) for item in batch]
        return [
            (str(item["path"]).removeprefix(self._prefix), item["last_modified"].timestamp(), str(item["e_tag"] or ""))
            for item in found
        ]

    def remove(self, key: str) -> None:
        """Remove an object; nothing happens when it is gone."""
        with self._errors(key, "must be removed"):
            try:
                obstore.delete(self._store, self._prefix + key)
            except FileNotFoundError:
                return

    def facts(self, key: str) -> Facts | None:
        """Return size and tag of an object, or None."""
        with self._errors(key, "must be readable"):
            try:
                head = obstore.head(self._store, self._prefix + key)
            except FileNotFoundError:
                return None
        return _facts(head)

    def upload(self, key: str, path: Path) -> None:
        """Store a file under a key: in parts where it is large, visible at once and whole.

        Raises:
            StorageError: The store refused, or holds another number of bytes afterwards.
        """
        size = path.stat().st_size
        with self._errors(key, "must be written"):
            obstore.put(self._store, self._prefix + key, path)
        found = self.facts(key)
        if found is None or found.size != size:
            got = "nothing" if found is None else f"{found.size} bytes"
            raise StorageError("upload_cut", self._where(key), f"must hold {size} bytes", got, "Run again")

    def download(self, key: str, target: Path, on_block: Callable[[], None] = lambda: None) -> Facts | None:
        """Write an object to a file; None where there is none.

        Args:
            key: The object's.
            target: The file.
            on_block: Called as blocks arrive.

        Raises:
            StorageError: The store refused, or gave another number of bytes than it has.
        """
        with self._errors(key, "must be readable"):
            try:
                answer = obstore.get(self._store, self._prefix + key)
            except FileNotFoundError:
                return None
            with target.open("wb") as file:
                return self._taken(key, answer, file.write, on_block)

    def sha256(self, key: str, on_block: Callable[[], None] = lambda: None) -> str | None:
        """Return the hash of an object's bytes, telling of blocks as they arrive; None where there is none.

        Raises:
            StorageError: The store refused, or gave another number of bytes than it has.
        """
        digest = hashlib.sha256()
        with self._errors(key, "must be readable"):
            try:
                answer = obstore.get(self._store, self._prefix + key)
            except FileNotFoundError:
                return None
            self._taken(key, answer, digest.update, on_block)
        return digest.hexdigest()

    def _taken(
        self, key: str, answer: GetResult, take: Callable[[bytes], object], on_block: Callable[[], None]
    ) -> Facts:
        """Take an answer's bytes block by block."""
        done = 0
        for block in answer.stream(min_chunk_size=_STREAM_BYTES):
            take(block)
            done += len(block)
            on_block()
        found = _facts(answer.meta)
        if done != found.size:
            raise StorageError(
                "download_cut", self._where(key), f"must give {found.size} bytes", str(done), "Run again"
            )
        return found

    def _where(self, key: str) -> str:
        return f"{self.address}/{key}" if key else self.address

    @contextmanager
    def _errors(self, key: str, must: str) -> Generator[None]:
        try:
            yield
        except FileNotFoundError as error:
            got = "no such bucket"
            raise StorageError("store_refused", self._where(key), must, got, "Check the address") from error
        except BaseError as error:
            raise StorageError(
                "store_refused", self._where(key), must, _reason(error), "Check the store and the credentials"
            ) from error


class BucketFile:
    """One object, as an input.

    Args:
        address: ``scheme://bucket/key``.
    """

    def __init__(self, address: str) -> None:
        self._bucket, self._key = bucket_and_key(address)

    def facts(self) -> Facts | None:
        """Return its size and tag, None where there is no such object."""
        return Bucket(self._bucket).facts(self._key)

    def download(self, target: Path, on_block: Callable[[], None]) -> Facts | None:
        """Write it to a file, telling of blocks as they arrive; None where there is no such object."""
        return Bucket(self._bucket, "files").download(self._key, target, on_block)


def _facts(meta: Mapping[str, Any]) -> Facts:
    """Return the facts of obstore's record of an object."""
    return Facts(meta["size"], meta["e_tag"] or str(meta["last_modified"].timestamp()))


def _reason(error: BaseException) -> str:
    """Return an error's first line; what follows is for those who write obstore."""
    first = next(iter(str(error).splitlines()), type(error).__name__)
    return redact(first.removesuffix('<?xml version="1.0" encoding="utf-8"?>').rstrip(": "))[:300]


@lru_cache(maxsize=64)
def opened(root: str, patience: Patience) -> ObjectStore:
    """Return a client for a bucket, kept for the next caller.

    Raises:
        StorageError: There is no such kind of store, or its settings in the environment are wrong.
    """
    options: dict[str, Any] = {
        "client_options": {"connect_timeout": "10s", "timeout": "120s"},
        "retry_config": {
            "max_retries": _MOST_RETRIES,  # the time decides: waits are drawn by chance, and many are short
            "retry_timeout": timedelta(seconds=_RETRY_S[patience]),
            "backoff": {"init_backoff": timedelta(milliseconds=100), "max_backoff": timedelta(seconds=5), "base": 4},
        },
    }
    if scheme_of(root) == "s3":
        # Given options replace what obstore takes from the environment.
        options["client_options"]["allow_http"] = os.environ.get("AWS_ALLOW_HTTP", "").lower() in ("1", "true")
        options["config"] = {"checksum_algorithm": "SHA256"}
        options["credential_provider"] = _boto3_credentials()
    try:
        return from_url(root, **options)
    except (BaseError, ValueError) as error:
        raise StorageError("store_refused", root, "must be a store", _reason(error), "Check the address") from error


def _boto3_credentials() -> Boto3CredentialProvider | None:
    """Return boto3's chain (profiles, single sign-on too) where boto3 is installed and finds something.

    Without it obstore has a chain of its own: environment, web identity, container, instance.
    """
    if os.environ.get("AWS_ACCESS_KEY_ID") or importlib.util.find_spec("boto3") is None:
        return None
    import boto3  # noqa: PLC0415  # optional
    from obstore.auth.boto3 import Boto3CredentialProvider  # noqa: PLC0415  # needs it

    session = boto3.Session()
    return Boto3CredentialProvider(session) if session.get_credentials() is not None else None
