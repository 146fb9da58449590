"""Checkpoints on the machine that loads them: found there, or fetched from a mirror, once a machine."""

from __future__ import annotations

import shutil
import socket
from collections.abc import Callable
from pathlib import Path

from lipwise_ray.dubbing.media import weights_cache_of
from lipwise_ray.errors import SettingsError, WeightsError
from lipwise_ray.nets.checkpoint import sha256_of
from lipwise_ray.resources import models_folder
from lipwise_ray.settings import Paths
from lipwise_ray.storage.address import is_local, is_store, shown, whole_path
from lipwise_ray.storage.cache import Cache
from lipwise_ray.storage.objects import BucketFile
from lipwise_ray.values import Json


class Mirror:
    """A folder or prefix that holds the registry's files under their own names.

    Args:
        address: A folder, s3://, gs:// or az://.
        cache: Keeps what was fetched; the machine's processes share it.

    Raises:
        SettingsError: The address is of another kind.
    """

    def __init__(self, address: str, cache: Cache) -> None:
        if not is_local(address) and not is_store(address):
            raise SettingsError(
                "mirror", "paths.mirror", "must be a folder, or a prefix in a bucket of s3, gs or az", shown(address)
            )
        self._address = str(whole_path(address)) if is_local(address) else address.rstrip("/")
        self._cache = cache
        self._known: dict[str, bool] = {}

    def has(self, file: str) -> bool:
        """Tell whether a file is there; it is asked once.

        Raises:
            StorageError: The store refused.
        """
        if file not in self._known:
            place = self._place(file)
            self._known[file] = Path(place).is_file() if is_local(place) else BucketFile(place).facts() is not None
        return self._known[file]

    def fetch(self, file: str, sha256: str, on_block: Callable[[], None] = lambda: None) -> Path | None:
        """Return this machine's copy, fetched by one process while the others wait; None where the mirror has none.

        Args:
            file: Its name.
            sha256: Of the published file.
            on_block: Called now and then.

        Raises:
            WeightsError: The mirror holds another file of that name.
            StorageError: The store refused, or the disk is full.
        """
        place = self._place(file)

        def fill(part: Path) -> bool:
            if is_local(place):
                if not Path(place).is_file():
                    return False
                shutil.copyfile(place, part)
            elif BucketFile(place).download(part, on_block) is None:
                return False
            found = sha256_of(part)
            if found != sha256:
                raise WeightsError(
                    "wrong_hash",
                    shown(place),
                    f"must be the published file (sha256 {sha256[:12]}...)",
                    f"sha256 {found[:12]}...",
                    "Put the right file into the mirror",
                )
            return True

        return self._cache.get(f"{sha256[:24]}-{file}", fill, on_block)

    def _place(self, file: str) -> str:
        return f"{self._address}/{file}"


class Placing:
    """Where a worker finds the checkpoints that its run names.

    Args:
        mirror: Asked for what is not on this machine.
        on_block: Called now and then while a file comes.
    """

    def __init__(self, mirror: Mirror | None = None, on_block: Callable[[], None] = lambda: None) -> None:
        self._mirror = mirror
        self._on_block = on_block
        self._known: dict[str, Path] = {}

    def __call__(self, reference: Json) -> Path:
        """Return a checkpoint's path on this machine.

        Args:
            reference: What `nets.registry.Weights.record` gave on the driver's.

        Raises:
            WeightsError: It is not here and cannot be fetched, or the mirror holds another file.
            StorageError: The store refused, or the disk is full.
        """
        sha256 = reference["sha256"]
        known = self._known.get(sha256)
        if known is None or not known.is_file():  # somebody tidied up
            known = self._known[sha256] = self._find(reference)
        return known

    def _find(self, reference: Json) -> Path:
        path = Path(reference["path"])
        if path.is_file():
            return path
        bundled = models_folder() / "tiny" / path.name
        if bundled.is_file() and sha256_of(bundled) == reference["sha256"]:
            return bundled
        found = self._mirror and self._mirror.fetch(path.name, reference["sha256"], self._on_block)
        if found is None:
            raise WeightsError(
                "not_on_machine",
                f"model {reference['name']} on {socket.gethostname()}",
                "must be on every machine",
                f"no file at {path}" + (", nor in paths.mirror" if self._mirror else ""),
                "Mount the folder of models on all machines, or set paths.mirror",
            )
        return found


def mirror_of(paths: Paths) -> Mirror | None:
    """Return the mirror that settings name, None where they name none."""
    return Mirror(paths.mirror, weights_cache_of(paths)) if paths.mirror else None
