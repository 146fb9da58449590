"""What is uploaded: the sdist holds the repository, the wheel what runs, and the same source gives the same bytes."""

from __future__ import annotations

import subprocess
import sys
import tarfile
import tomllib
import zipfile
from dataclasses import dataclass
from pathlib import Path

import pytest
from hatchling.builders.sdist import SdistBuilder
from hatchling.builders.wheel import WheelBuilder

from lipwise_ray.version import __version__
from tests.conftest import ROOT

_SHIPPED = ("image", "kuberay", "metrics")
"""Folders of `cluster` that `cluster init` writes."""


@dataclass(frozen=True)
class Built:
    """Paths of what was built."""

    sdist: Path
    wheel: Path
    again: Path

    def names(self) -> set[str]:
        with zipfile.ZipFile(self.wheel) as wheel:
            return set(wheel.namelist())


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Built:
    """An sdist, its contents, a wheel of the checkout, and one of those contents, as `make dist` builds it."""
    folder = tmp_path_factory.mktemp("dist")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SOURCE_DATE_EPOCH", "1764000000")
        (sdist,) = SdistBuilder(str(ROOT)).build(directory=str(folder), versions=["standard"])
        with tarfile.open(sdist) as archive:
            archive.extractall(folder / "source", filter="data")
        (source,) = (folder / "source").iterdir()
        (wheel,) = WheelBuilder(str(ROOT)).build(directory=str(folder / "one"), versions=["standard"])
        (again,) = WheelBuilder(str(source)).build(directory=str(folder / "two"), versions=["standard"])
    return Built(Path(sdist), Path(wheel), Path(again))


def _tool(name: str, *words: str | Path) -> subprocess.CompletedProcess[str]:
    program = Path(sys.executable).parent / name
    return subprocess.run([program, *words], capture_output=True, text=True, check=False, cwd=ROOT)


@pytest.mark.slow
def test_the_sdist_gives_the_same_wheel(built: Built) -> None:
    """Nothing that it needs is missing, and no time or order of files gets into it."""
    assert built.wheel.read_bytes() == built.again.read_bytes()


def test_the_sdist_is_the_repository(built: Built) -> None:
    """All that is tracked is in it, tests too, and nothing that lies about."""
    if not (ROOT / ".git").exists():
        pytest.skip("no repository of git: this is an sdist already")

    def listed(*words: str) -> set[str]:
        found = subprocess.run(["git", "ls-files", "-z", *words], cwd=ROOT, capture_output=True, text=True, check=True)
        return {name for name in found.stdout.split("\0") if name and (ROOT / name).exists()}

    with tarfile.open(built.sdist) as archive:  # what was unpacked of it holds what was built there besides
        held = {one.name.partition("/")[2] for one in archive if one.isfile()}
    assert listed() - held == set()
    assert held - listed("--cached", "--others", "--exclude-standard") == {"PKG-INFO"}


def test_the_wheel_holds_what_runs(built: Built) -> None:
    """Every bundled network and every file of clusters is in it; pictures of training are not, nor tests."""
    names = built.names()
    registry = tomllib.loads((ROOT / "models" / "registry.toml").read_text())
    bundled = {entry["file"] for entry in registry.values() if isinstance(entry, dict) and entry.get("bundled")}
    assert bundled
    assert {f"lipwise_ray/_data/models/tiny/{file}" for file in bundled} <= names
    cluster = [path for folder in _SHIPPED for path in (ROOT / "cluster" / folder).iterdir()]
    assert {f"lipwise_ray/_data/{path.relative_to(ROOT).as_posix()}" for path in cluster} <= names
    assert not [name for name in names if "curves" in name or name.endswith((".pth", ".onnx", ".ipynb"))]
    assert {name.partition("/")[0] for name in names} == {"lipwise_ray", f"lipwise_ray-{__version__}.dist-info"}


def test_what_is_uploaded_is_well_made(built: Built) -> None:
    """By the rules of wheels, and of the index for its description."""
    for words in (("check-wheel-contents", built.wheel), ("twine", "check", "--strict", built.wheel, built.sdist)):
        done = _tool(*map(str, words))
        assert done.returncode == 0, done.stdout
