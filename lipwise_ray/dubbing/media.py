"""Inputs wherever they lie: their identities, and local copies of what lies in a bucket."""

from __future__ import annotations

from pathlib import Path

from lipwise_ray.dubbing.ids import content_id, record_id
from lipwise_ray.errors import LipwiseError, MediaError
from lipwise_ray.settings import Paths
from lipwise_ray.storage.address import Policy, bucket_and_key, file_name, is_local, normal
from lipwise_ray.storage.cache import Cache
from lipwise_ray.storage.objects import Bucket

_MOST_NAME_BYTES = 100


class Media:
    """What a worker knows of inputs; FFmpeg is given local files only.

    Args:
        cache: For copies of objects.
    """

    def __init__(self, cache: Cache) -> None:
        self._cache = cache
        self._addresses: dict[str, str] = {}

    def identity(self, address: str, paths: Paths) -> str:
        """Return what names an input's contents: a hash of a file's bytes, or of an object's address, tag and size.

        Raises:
            InputError: It may not be read, or is not there.
            StorageError: The store refused.
        """
        policy_of(paths).check(address)
        if is_local(address):
            return content_id(Path(address))
        bucket, key = bucket_and_key(address)
        facts = Bucket(bucket).facts(key)
        if facts is None:
            raise MediaError("missing_file", address, "must exist and be readable", "no such object", "Check the path")
        return record_id({"address": normal(address), "tag": facts.tag, "bytes": facts.size})

    def local(self, address: str, identity: str, paths: Paths) -> Path:
        """Return a local file with an input's contents, downloaded once a machine.

        Raises:
            InputError: It may not be read, or is not what it was when the job began.
            StorageError: The store refused, or the disk is full.
        """
        if is_local(address):
            return Path(address)
        name = file_name(address).encode()[-_MOST_NAME_BYTES:].decode(errors="ignore")

        def fill(part: Path) -> bool:
            bucket, key = bucket_and_key(address)
            if Bucket(bucket, "files").download(key, part) is None or self.identity(address, paths) != identity:
                raise MediaError(
                    "changed", address, "must stay as it is while it is dubbed", "another object", "Run again"
                )
            return True

        found = self._cache.get(f"{identity}-{name}", fill)
        assert found is not None  # fill raises where there is none
        self._addresses[str(found)] = address
        return found

    def named(self, error: LipwiseError) -> LipwiseError:
        """Return an error that names addresses where it named their local copies."""
        words = [str(word) for word in error.args]
        for local, address in self._addresses.items():
            words = [word.replace(local, address) for word in words]
        return type(error)(*words)


def cache_of(paths: Paths) -> Cache:
    """Return the cache that a run's settings ask for."""
    return Cache(Path(paths.scratch) / "cache" if paths.scratch else None, round(paths.cache_gb * 1e9))


def policy_of(paths: Paths) -> Policy:
    """Return what a run's inputs may be."""
    return Policy(paths.schemes, paths.roots)
