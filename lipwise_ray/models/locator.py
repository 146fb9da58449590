"""Checkpoints on the machine that loads them: located there, or fetched from a mirror, once a machine."""

from __future__ import annotations

import shutil
import socket
from collections.abc import Callable
from pathlib import Path

from lipwise_ray.errors import SettingsError, WeightsError
from lipwise_ray.models.checkpoints import Checkpoint
from lipwise_ray.models.registry import packaged_copy
from lipwise_ray.resources import models_folder
from lipwise_ray.settings.model import PathsSettings
from lipwise_ray.storage.address import is_local, is_store, shown, whole_path
from lipwise_ray.storage.cache import Cache, machine_folder
from lipwise_ray.storage.digest import sha256_of
from lipwise_ray.storage.objects import BucketFile

_NO_BOUND = 1 << 62


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
                "mirror",
                "paths.mirror",
                got=f"{shown(address)} is neither a folder nor a prefix in a bucket of s3, gs or az",
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
            address = self._address_of(file)
            self._known[file] = (
                Path(address).is_file() if is_local(address) else BucketFile(address).facts() is not None
            )
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
        address = self._address_of(file)

        def fill(part: Path) -> bool:
            if is_local(address):
                if not Path(address).is_file():
                    return False
                shutil.copyfile(address, part)
            elif BucketFile(address).download(part, on_block) is None:
                return False
            actual_sha256 = sha256_of(part)
            if actual_sha256 != sha256:
                raise WeightsError(
                    "wrong_hash",
                    shown(address),
                    got=f"is not the published file: its sha256 is {actual_sha256[:12]}..., not {sha256[:12]}...",
                    do="Put the right file into the mirror",
                )
            return True

        return self._cache.get(f"{sha256[:24]}-{file}", fill, on_block)

    def _address_of(self, file: str) -> str:
        return f"{self._address}/{file}"


class WeightsLocator:
    """Locates the checkpoints that a run names on the machine of a worker.

    Args:
        mirror: Asked for what is not on this machine.
        on_block: Called now and then while a file comes.
    """

    def __init__(self, mirror: Mirror | None = None, on_block: Callable[[], None] = lambda: None) -> None:
        self._mirror = mirror
        self._on_block = on_block
        self._known: dict[str, Path] = {}

    def __call__(self, checkpoint: Checkpoint) -> Path:
        """Return a checkpoint's path on this machine.

        Args:
            checkpoint: As the driver's machine has it.

        Raises:
            WeightsError: It is not here and cannot be fetched, or the mirror holds another file.
            StorageError: The store refused, or the disk is full.
        """
        known = self._known.get(checkpoint.sha256)
        if known is None or not known.is_file():  # somebody tidied up
            known = self._known[checkpoint.sha256] = self._find(checkpoint)
        return known

    def _find(self, checkpoint: Checkpoint) -> Path:
        path = checkpoint.path
        if path.is_file():
            return path
        bundled = models_folder() / "tiny" / path.name
        if bundled.is_file() and sha256_of(bundled) == checkpoint.sha256:
            return bundled
        packaged = packaged_copy(checkpoint.sha256)
        if packaged is not None:
            return packaged
        mirrored = self._mirror and self._mirror.fetch(path.name, checkpoint.sha256, self._on_block)
        if mirrored is None:
            raise WeightsError(
                "not_on_machine",
                f"model {checkpoint.name} on {socket.gethostname()}",
                got=f"no file at {path}" + (", nor in paths.mirror" if self._mirror else ""),
                do="Mount the folder of models on all machines, or set paths.mirror",
            )
        return mirrored


def mirror_of(paths: PathsSettings) -> Mirror | None:
    """Return the mirror that settings name, None where they name none."""
    return Mirror(paths.mirror, weights_cache_of(paths)) if paths.mirror else None


def weights_cache_of(paths: PathsSettings) -> Cache:
    """Return the folder of checkpoints from a mirror. Nothing is removed from it: workers may load them again."""
    return Cache(Path(paths.scratch) / "weights" if paths.scratch else machine_folder() / "weights", _NO_BOUND)
