"""The image's files: what is copied is there, what is installed is locked, and hadolint is content."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
import tomllib
from collections.abc import Iterable, Iterator
from importlib.metadata import PackageNotFoundError, requires, version
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from tests.conftest import ROOT

FOLDER = ROOT / "cluster" / "image"
DOCKERFILE = FOLDER / "Dockerfile"
LOCKS = {name: (FOLDER / f"{name}.lock").read_text() for name in ("requirements", "torch-gpu", "torch-cpu")}
USERS = (ROOT / "requirements.lock").read_text()


def _instructions(text: str) -> Iterator[tuple[str, str]]:
    joined = re.sub(r"\\\n", " ", re.sub(r"^#.*\n", "", text, flags=re.MULTILINE))
    for line in joined.splitlines():
        if line.strip():
            word, _, rest = line.strip().partition(" ")
            yield word, re.sub(r"\s+", " ", rest)


def _pinned(lock: str) -> dict[str, tuple[str, int]]:
    """Return version and number of hashes by package."""
    parts = re.split(r"^(?=[a-z0-9])", lock, flags=re.MULTILINE)
    found = {}
    for part in filter(None, parts):
        name, rest = part.split("==", 1)
        found[canonicalize_name(name)] = (re.split(r"[ ;\\]", rest)[0].strip(), part.count("--hash=sha256:"))
    return found


def _lint(text: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [Path(sys.executable).parent / "hadolint", "-"], input=text, capture_output=True, text=True, check=False
    )


def test_hadolint_is_content_and_sees_a_typo() -> None:
    """No finding in the Dockerfile; a planted mistake is one."""
    text = DOCKERFILE.read_text()
    clean = _lint(text)
    assert clean.returncode == 0, clean.stdout
    assert _lint(text.replace("WORKDIR /home/ray", "WORKDRI /home/ray")).returncode != 0


def _ignored(path: str) -> bool:
    """Tell whether .dockerignore keeps a path out; it lists what is let in."""
    kept = [line[1:] for line in (ROOT / ".dockerignore").read_text().splitlines() if line.startswith("!")]
    return not any(path == one or path.startswith(f"{one}/") or one.startswith(f"{path}/") for one in kept)


def _missing(text: str) -> list[str]:
    copied = [word for word, rest in _instructions(text) if word == "COPY" for word in shlex.split(rest)[:-1]]
    return [path for path in copied if not (ROOT / path).exists() or _ignored(path)]


def test_what_is_copied_is_there() -> None:
    """Every path of COPY exists and is let into the build; a misspelt one is found."""
    text = DOCKERFILE.read_text()
    assert _missing(text) == []
    assert _missing(text.replace("COPY jobs jobs", "COPY jbos jobs")) == ["jbos"]
    for path in ("models/wav2lip.pth", "cluster/auth_token", ".git", "tests"):
        assert _ignored(path), path


def test_the_image_is_safe_by_default() -> None:
    """Nobody is root, health is what doctor says, tokens are asked for, the base is a slim one of a fixed version."""
    found = list(_instructions(DOCKERFILE.read_text()))
    assert [rest for word, rest in found if word == "USER"] == ["10001"]
    assert [rest for word, rest in found if word == "HEALTHCHECK" and '"doctor"' in rest]
    assert any("RAY_AUTH_MODE=token" in rest for word, rest in found if word == "ENV")
    (base,) = [rest for word, rest in found if word == "ARG" and rest.startswith("BASE=")]
    assert re.fullmatch(r"BASE=python:3\.11-slim-\w+", base)


def test_locks_hold_what_the_program_needs() -> None:
    """Everything has hashes, and every dependency of the image's extras is locked in a version that it allows."""
    pinned = {name: found for lock in LOCKS.values() for name, found in _pinned(lock).items()}
    assert all(hashes for _, hashes in pinned.values())
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    extras = project["optional-dependencies"]
    wanted = [*project["dependencies"], *extras["asr"], *extras["cluster"], *extras["s3"]]
    wanted += [line for line in (FOLDER / "torch.in").read_text().splitlines() if not line.startswith("#")]
    _assert_locked(wanted, pinned)
    for line in DOCKERFILE.read_text().splitlines():
        assert (
            "pip install" not in line
            or "--require-hashes" in line
            or line.endswith("--no-build-isolation . && rm -rf /opt/lipwise-ray/*")
        )


def _assert_locked(wanted: Iterable[str], pinned: dict[str, tuple[str, int]]) -> None:
    for one in map(Requirement, wanted):
        assert one.specifier.contains(pinned[canonicalize_name(one.name)][0]), f"{one}: run cluster/image/lock.sh"


def test_users_have_a_lock_of_every_dependency() -> None:
    """Each has hashes and a version that pyproject.toml allows, as has what it brings; no index is named."""
    pinned = _pinned(USERS)
    assert all(hashes for _, hashes in pinned.values())
    assert "://" not in USERS
    _assert_locked(tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["dependencies"], pinned)
    for name in pinned:
        try:
            needed = [Requirement(text) for text in requires(name) or []]
        except PackageNotFoundError:  # of another system
            continue
        here = [one for one in needed if one.marker is None or one.marker.evaluate({"extra": ""})]
        assert all(canonicalize_name(one.name) in pinned for one in here), f"{name}: run cluster/image/lock.sh"


@pytest.mark.slow
def test_the_steps_install(tmp_path: Path) -> None:
    """The CPU image's steps, run in a clean environment, give a program that works."""
    if sys.version_info[:2] != (3, 11):
        pytest.skip("the locks are for Python 3.11")
    subprocess.run([sys.executable, "-m", "venv", tmp_path / "venv"], check=True)
    binary, source = tmp_path / "venv" / "bin", tmp_path / "src"
    subprocess.run(["git", "clone", "--quiet", ROOT, source], check=True)
    steps = [rest for word, rest in _instructions(DOCKERFILE.read_text()) if word == "RUN" and "pip install" in rest]
    assert len(steps) == 3
    for step in steps:
        # The index of the CPU builds is left out: pip takes what it has, if that is the same.
        line = step.replace('--index-url "${TORCH_CPU_INDEX}"', "")
        line = line.replace("rm -rf /opt/lipwise-ray/*", "true")
        environment = {**os.environ, "PATH": f"{binary}:/usr/bin:/bin", "VARIANT": "cpu"}
        folder = source if "--no-build-isolation" in line else FOLDER
        done = subprocess.run(
            ["sh", "-ec", line], cwd=folder, env=environment, capture_output=True, text=True, check=False, timeout=900
        )
        assert done.returncode == 0, done.stderr[-3000:]
    said = subprocess.run([binary / "lipwise-ray", "doctor"], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert f"ok   ray        {version('ray')}" in said.stdout
    assert "ok   encoders" in said.stdout
    assert "ok   ray starts" in said.stdout
