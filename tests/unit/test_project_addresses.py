"""Addresses in the package's metadata: those of the repository that it is built in, where others can open them."""

from __future__ import annotations

import shutil
import subprocess
import tarfile
from pathlib import Path

import pytest
from hatchling.builders.sdist import SdistBuilder
from hatchling.builders.wheel import WheelBuilder

from tests.conftest import ROOT

_ADDRESS = "https://github.com/someone/dubs"
_WHOLE = {
    "Homepage": _ADDRESS,
    "Repository": _ADDRESS,
    "Issues": f"{_ADDRESS}/issues",
    "Changelog": f"{_ADDRESS}/blob/HEAD/CHANGELOG.md",
    "Documentation": f"{_ADDRESS}/blob/HEAD/docs/index.md",
}


@pytest.fixture
def checkout(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A repository of git with all that the metadata is made of, built by no workflow."""
    for name in ("GITHUB_SERVER_URL", "GITHUB_REPOSITORY"):
        monkeypatch.delenv(name, raising=False)
    folder = tmp_path / "checkout"
    (folder / "lipwise_ray").mkdir(parents=True)
    for name in ("pyproject.toml", "hatch_build.py", "README.md", "LICENSE", "lipwise_ray/version.py"):
        shutil.copy(ROOT / name, folder / name)
    subprocess.run(["git", "init", "--quiet"], cwd=folder, check=True)
    return folder


def _urls(folder: Path) -> dict[str, str]:
    return WheelBuilder(str(folder)).metadata.core.urls


def _with_origin(folder: Path, address: str) -> Path:
    subprocess.run(["git", "remote", "add", "origin", address], cwd=folder, check=True)
    return folder


@pytest.mark.parametrize(
    "origin",
    [
        _ADDRESS,
        f"{_ADDRESS}.git",
        "http://github.com/someone/dubs/",
        "https://someone:ghp_s3cret@github.com/someone/dubs.git",
        "https://s3cret@github.com:443/someone/dubs.git",
        "git@github.com:someone/dubs.git",
        "ssh://git@github.com:22/someone/dubs.git",
    ],
)
def test_a_checkouts_origin_gives_the_addresses(checkout: Path, origin: str) -> None:
    """In each form that git knows, without its user, token and port."""
    assert _urls(_with_origin(checkout, origin)) == _WHOLE


def test_a_workflow_says_what_it_builds(checkout: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its repository goes before the checkout's origin."""
    monkeypatch.setenv("GITHUB_SERVER_URL", "https://github.com")
    monkeypatch.setenv("GITHUB_REPOSITORY", "someone/dubs")
    assert _urls(_with_origin(checkout, "https://gitlab.com/another/copy")) == _WHOLE


def test_pages_of_a_host_are_named_where_they_are_known(checkout: Path) -> None:
    """Of another host, what is sure is where the repository is."""
    address = "https://git.example.org/team/media/dubs"
    assert _urls(_with_origin(checkout, f"{address}.git")) == {"Homepage": address, "Repository": address}


@pytest.mark.parametrize(
    "origin",
    [
        None,
        "/srv/git/team/dubs.git",
        "../dubs",
        "file:///srv/git/team/dubs.git",
        "https://localhost/team/dubs",
        "https://10.0.0.7/team/dubs",
        "https://git.example.org:8443/team/dubs",
        "https://[::1/team/dubs",
        "git@git.corp:team/dubs.git",
        "git@builds:team/dubs.git",
        "https://github.com/team/dubs?token=s3cret",
    ],
)
def test_an_address_that_others_cannot_open_is_not_named(checkout: Path, origin: str | None) -> None:
    """No path of a machine, no host of a network of its own, no secret; nothing is invented in its place."""
    folder = _with_origin(checkout, origin) if origin else checkout
    assert _urls(folder) == {}
    assert WheelBuilder(str(folder)).metadata.core.name == "lipwise-ray"


def test_a_folder_in_another_repository_has_none_of_its_addresses(checkout: Path) -> None:
    """Unpacked sources of no repository do not take on whatever they lie in."""
    inner = _with_origin(checkout, _ADDRESS) / "unpacked"
    shutil.copytree(checkout, inner, ignore=shutil.ignore_patterns(".git", "unpacked"))
    assert _urls(inner) == {}


@pytest.mark.parametrize("known", [True, False])
def test_a_wheel_of_an_sdist_keeps_its_addresses(checkout: Path, known: bool, monkeypatch: pytest.MonkeyPatch) -> None:  # noqa: FBT001
    """As `make dist` builds it: what the sdist says is true of the wheel, wherever that is made."""
    (sdist,) = SdistBuilder(str(_with_origin(checkout, _ADDRESS) if known else checkout)).build(
        directory=str(checkout.parent), versions=["standard"]
    )
    with tarfile.open(sdist) as archive:
        archive.extractall(checkout.parent / "out", filter="data")
    (source,) = (checkout.parent / "out").iterdir()
    monkeypatch.setenv("GITHUB_SERVER_URL", "https://github.com")
    monkeypatch.setenv("GITHUB_REPOSITORY", "another/builder")
    assert _urls(source) == (_WHOLE if known else {})
