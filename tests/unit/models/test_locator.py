"""Checkpoints on the machine that loads them."""

from __future__ import annotations

import hashlib
import multiprocessing
import os
from dataclasses import replace
from pathlib import Path

import pytest

from lipwise_ray.errors import SettingsError, WeightsError
from lipwise_ray.models.checkpoints import Checkpoint
from lipwise_ray.models.locator import Mirror, WeightsLocator, mirror_of
from lipwise_ray.models.registry import Registry
from lipwise_ray.resources import models_folder
from lipwise_ray.settings.model import PathsSettings
from lipwise_ray.storage.cache import Cache

DATA = b"weights" * 1000


def _checkpoint(path: Path, data: bytes = DATA) -> Checkpoint:
    return Checkpoint("wav2lip", "wav2lip", path, hashlib.sha256(data).hexdigest())


@pytest.fixture
def mirror(tmp_path: Path) -> Mirror:
    (tmp_path / "mirror").mkdir()
    (tmp_path / "mirror" / "w.pth").write_bytes(DATA)
    return Mirror(str(tmp_path / "mirror"), Cache(tmp_path / "cache"))


def test_a_file_that_is_there_is_taken(tmp_path: Path, mirror: Mirror) -> None:
    """The path that the driver names comes first."""
    (tmp_path / "w.pth").write_bytes(b"mine")
    assert WeightsLocator(mirror)(_checkpoint(tmp_path / "w.pth")) == tmp_path / "w.pth"


def test_a_bundled_file_is_found_where_this_machine_has_it() -> None:
    """The driver's copy of the program lies elsewhere than this machine's."""
    file = models_folder() / "tiny" / "tiny_restorer.safetensors"
    checkpoint = _checkpoint(Path("/elsewhere") / file.name, file.read_bytes())
    assert WeightsLocator()(checkpoint) == file


def test_a_file_of_a_package_is_found_where_this_machine_has_it() -> None:
    """The driver's Python lies elsewhere than this machine's."""
    weights = Registry(models_folder() / "registry.toml", Path("nowhere")).resolve("silero_vad")
    assert WeightsLocator()(replace(weights, path=Path("/elsewhere") / weights.path.name)) == weights.path


def test_the_mirror_gives_what_is_not_there(tmp_path: Path, mirror: Mirror) -> None:
    """It is fetched once, whole; afterwards the mirror is not needed."""
    found = WeightsLocator(mirror)(_checkpoint(Path("/nowhere/w.pth")))
    assert found.read_bytes() == DATA
    assert found.parent == tmp_path / "cache"
    (tmp_path / "mirror" / "w.pth").unlink()
    assert WeightsLocator(mirror)(_checkpoint(Path("/nowhere/w.pth"))) == found


def test_a_copy_that_was_removed_is_fetched_again(mirror: Mirror) -> None:
    """A worker may load a checkpoint again long after the first time."""
    locate = WeightsLocator(mirror)
    locate(_checkpoint(Path("/nowhere/w.pth"))).unlink()
    assert locate(_checkpoint(Path("/nowhere/w.pth"))).read_bytes() == DATA


def test_nothing_pushes_checkpoints_out(tmp_path: Path) -> None:
    """They are not kept among the copies of inputs, whose room is bounded."""
    (tmp_path / "m").mkdir()
    (tmp_path / "m" / "w.pth").write_bytes(DATA)
    found = mirror_of(PathsSettings(mirror=str(tmp_path / "m"), scratch=str(tmp_path / "s"), cache_gb=1e-9))
    assert found is not None
    path = found.fetch("w.pth", hashlib.sha256(DATA).hexdigest())
    assert path is not None
    os.utime(path, (0, 0))
    (tmp_path / "m" / "v.pth").write_bytes(b"other")
    found.fetch("v.pth", hashlib.sha256(b"other").hexdigest())
    assert path.is_file()


def test_another_file_is_refused_and_not_kept(tmp_path: Path, mirror: Mirror) -> None:
    """What does not have the published hash is no checkpoint."""
    with pytest.raises(
        WeightsError, match=r"w\.pth: is not the published file: its sha256 is \w{12}\.\.\., not \w{12}"
    ):
        WeightsLocator(mirror)(_checkpoint(Path("/nowhere/w.pth"), b"other"))
    assert [path for path in (tmp_path / "cache").iterdir() if not path.name.startswith(".lock-")] == []


def test_what_is_nowhere_is_named_with_its_machine(mirror: Mirror) -> None:
    """The error says which file, where it was looked for, and what to do."""
    with pytest.raises(WeightsError, match=r"model \S+ on \S+: no file at /nowhere/x\.pth, nor in paths\.mirror\."):
        WeightsLocator(mirror)(_checkpoint(Path("/nowhere/x.pth")))
    with pytest.raises(WeightsError, match=r"Mount the folder of models on all machines, or set paths\.mirror"):
        WeightsLocator()(_checkpoint(Path("/nowhere/x.pth")))


def test_addresses_of_other_kinds_are_refused(tmp_path: Path) -> None:
    """A mirror is a folder or a bucket."""
    with pytest.raises(SettingsError, match=r"paths\.mirror"):
        Mirror("ftp://host/folder", Cache(tmp_path))
    assert mirror_of(PathsSettings()) is None


def _fetch(arguments: tuple[str, str, int]) -> int:
    mirror, cache, _ = arguments
    begun: list[int] = []
    Mirror(mirror, Cache(Path(cache))).fetch(
        "w.pth", hashlib.sha256(DATA).hexdigest(), on_block=lambda: begun.append(1)
    )
    return len(begun)


def test_processes_share_one_copy(tmp_path: Path, mirror: Mirror) -> None:
    """Several at once leave one file."""
    with multiprocessing.get_context("spawn").Pool(3) as pool:
        pool.map(_fetch, [(str(tmp_path / "mirror"), str(tmp_path / "cache"), n) for n in range(6)])
    copies = [path for path in (tmp_path / "cache").iterdir() if not path.name.startswith(".lock-")]
    assert len(copies) == 1
    assert copies[0].read_bytes() == DATA


def test_the_registry_counts_what_the_mirror_has(tmp_path: Path) -> None:
    """A checkpoint that workers can fetch needs not be on the driver's machine; its hash is the registry's."""
    registry = Registry(models_folder() / "registry.toml", tmp_path, lambda file: file.startswith("wav2lip"))
    assert registry.installed("wav2lip_gan")
    assert not registry.installed("yunet")
    weights = registry.resolve("wav2lip_gan")
    assert weights.sha256 == registry.entry("wav2lip_gan").sha256
    assert not weights.path.exists()
