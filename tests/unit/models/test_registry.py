"""Checkpoints that come with a Python package."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from pathlib import Path

import pytest

from lipwise_ray.errors import WeightsError
from lipwise_ray.models import fetch
from lipwise_ray.models.registry import Registry, packaged_copy
from lipwise_ray.resources import models_folder

DATA = b"weights" * 100
Make = Callable[[bytes], Registry]


@pytest.fixture
def make(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Make:
    """Makes a registry whose file comes with a package, which holds these bytes."""

    def made(found: bytes) -> Registry:
        name = f"package_of_{tmp_path.name}_{len(found)}"
        (tmp_path / name / "data").mkdir(parents=True)
        (tmp_path / name / "__init__.py").write_text("raise RuntimeError('nobody imports it')")
        (tmp_path / name / "data" / "w.onnx").write_bytes(found)
        monkeypatch.syspath_prepend(tmp_path)
        (tmp_path / "registry.toml").write_text(
            f'[net]\nnetwork = "silero_vad"\nfile = "w.onnx"\nsha256 = "{hashlib.sha256(DATA).hexdigest()}"\n'
            f'urls = []\nlicence = "MIT"\ncommercial = "yes"\npackage = "{name}/data/w.onnx"\nextra = "vad"\n'
        )
        return Registry(tmp_path / "registry.toml", tmp_path / "models")

    return made


def test_a_file_in_a_package_is_installed(make: Make, tmp_path: Path) -> None:
    """It is used where it lies; one that the user has added comes first."""
    registry = make(DATA)
    assert registry.installed("net")
    assert registry.resolve("net").path.parent.name == "data"
    (tmp_path / "mine.onnx").write_bytes(DATA)
    fetch.add(registry, "net", tmp_path / "mine.onnx")
    assert registry.resolve("net").path == tmp_path / "models" / "w.onnx"


def test_another_versions_file_is_not_the_published_one(make: Make) -> None:
    """A package of another version counts as none, and whoever asks is told what to install."""
    registry = make(DATA + b"new")
    assert not registry.installed("net")
    for ask in (registry.resolve, lambda name: fetch.pull(registry, name)):
        with pytest.raises(WeightsError, match=r"Run `pip install 'lipwise-ray\[vad\]'`, or `lipwise-ray models add"):
            ask("net")


def test_a_machine_finds_its_own_copy() -> None:
    """Another machine's driver names a path of its own; the file is known by its hash."""
    entry = Registry(models_folder() / "registry.toml", Path("nowhere")).entry("silero_vad")
    assert packaged_copy(entry.sha256) == entry.packaged
    assert packaged_copy("0" * 64) is None
