"""The image's files: what is copied is there, what is installed is locked, and hadolint is content."""

from __future__ import annotations

import os
import re
import shlex
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Iterable
from importlib.metadata import PackageNotFoundError, packages_distributions, requires, version
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from lipwise_ray.synth.clips import ClipSpec, ToneSpec, write_clip, write_sound
from tests.conftest import ROOT
from tests.support.dockerfile import FOLDER, VARIANTS, environment, instructions, of_variant
from tests.support.dub import QUICK

DOCKERFILE = FOLDER / "Dockerfile"
LOCKS = {name: (FOLDER / f"{name}.lock").read_text() for name in ("requirements", "torch-gpu", "torch-cpu")}
USERS = (ROOT / "requirements.lock").read_text()
LOCKER = (FOLDER / "lock.sh").read_text()


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
    copied = [word for word, rest in instructions(text) if word == "COPY" for word in shlex.split(rest)[:-1]]
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
    for variant in VARIANTS:
        found = of_variant(variant)
        assert [rest for word, rest in found if word == "USER"] == ["10001"]
        (health,) = [rest for word, rest in found if word == "HEALTHCHECK"]
        assert ('"doctor"' in health) == (variant != "head")  # which would miss torch there
        assert environment(variant)["RAY_AUTH_MODE"] == "token"
    (base,) = [rest for word, rest in instructions() if word == "ARG" and rest.startswith("BASE=")]
    assert re.fullmatch(r"BASE=python:3\.11-slim-\w+", base)


def test_gpus_are_asked_for_by_the_gpu_image_alone() -> None:
    """NVIDIA's toolkit passes GPUs with the encoder to it, and to no head or CPU worker; scratch has a place in all."""
    gpu = environment("gpu")
    assert gpu["NVIDIA_VISIBLE_DEVICES"] == "all"
    assert set(gpu["NVIDIA_DRIVER_CAPABILITIES"].split(",")) == {"compute", "utility", "video"}
    assert not [name for variant in ("cpu", "head") for name in environment(variant) if name.startswith("NVIDIA")]
    assert {environment(variant)["LIPWISE_SCRATCH"] for variant in VARIANTS} == {"/scratch"}


def _head_lock(folder: Path) -> dict[str, tuple[str, int]]:
    """Return what the head's image installs, by the image's own step."""
    (step,) = [rest for word, rest in of_variant("head") if word == "RUN" and "head.lock" in rest]
    for name in ("head-without.txt", "requirements.lock"):
        shutil.copy(FOLDER / name, folder)
    subprocess.run(["sh", "-ec", step.partition("&& pip")[0]], cwd=folder, check=True)
    return _pinned((folder / "head.lock").read_text())


def _without() -> list[str]:
    lines = (FOLDER / "head-without.txt").read_text().splitlines()
    return [line for line in lines if not line.startswith("#")]


def test_the_heads_image_is_the_others_without_networks(tmp_path: Path) -> None:
    """Its packages are those of requirements.lock, pin by pin, without the listed ones, which are all there."""
    whole, head = _pinned(LOCKS["requirements"]), _head_lock(tmp_path)
    assert set(_without()) <= set(whole)
    assert head == {name: pin for name, pin in whole.items() if name not in _without()}
    assert not any("torch" in name for name in head)


_LACKING = """
import sys
for name in {modules!r}:
    sys.modules[name] = None
"""
_DRIVER = """
import lipwise_ray.api, lipwise_ray.cli.app, lipwise_ray.cli.progress, lipwise_ray.backends.ray.actors
import lipwise_ray.backends.ray.engine, lipwise_ray.runs.validation, lipwise_ray.reports.write
if sys.argv[1:]:
    from lipwise_ray.__main__ import main
    main()
"""
_LOOK = """
from lipwise_ray.cli.doctor import check_here
from lipwise_ray import load_settings
for finding in check_here(load_settings(assignments=sys.argv[1:]).for_run(), computes=False):
    print(*finding)
"""


def _drive(words: list[str], folder: Path, code: str = _DRIVER) -> subprocess.CompletedProcess[str]:
    """Run the program in a process that has only the head's packages; workers of its Ray have all."""
    lacking = {canonicalize_name(name) for name in (*_without(), "torch")}
    modules = [
        module for module, names in packages_distributions().items() if lacking & set(map(canonicalize_name, names))
    ]
    assert {"torch", "torchvision", "spandrel"} <= set(modules)
    code = _LACKING.format(modules=modules) + code
    return subprocess.run(
        [sys.executable, "-c", code, *words], cwd=folder, capture_output=True, text=True, timeout=200, check=False
    )


def test_the_heads_image_has_what_drivers_load(tmp_path: Path) -> None:
    """Everything that a driver imports is there without what the head's image lacks."""
    done = _drive([], tmp_path)
    assert done.returncode == 0, done.stderr[-2000:]


def test_doctor_asks_a_head_for_no_networks(tmp_path: Path) -> None:
    """On a node that computes nothing it looks at packages, disk and checkpoints with what the head's image has."""
    words = [f"paths.scratch={tmp_path}", f"paths.models={ROOT / 'models'}", "lipsync.model=passthrough"]
    words += ["detect.detector=tiny", "restore.model=none"]
    done = _drive(words, tmp_path, _LOOK)
    assert done.returncode == 0, done.stderr[-2000:]
    found = {line.split()[1]: line.split()[0] for line in done.stdout.splitlines()}
    assert "torch" not in found
    assert {"ray", "av", "obstore", "disk"} <= set(found)
    missing = {name for name, good in found.items() if good != "True"}
    assert missing <= {"disk"}, done.stdout  # how full the tests' own disk is says nothing of the image


@pytest.mark.slow
def test_a_driver_runs_with_the_heads_image_alone(tmp_path: Path) -> None:
    """A whole run on Ray, networks, scores and report included, whose driver has no torch."""
    write_clip(tmp_path / "v.mp4", ClipSpec(frames=25))
    write_sound(tmp_path / "s.wav", ToneSpec(seconds=1.0, codec="pcm_s16le"))
    (tmp_path / "m.csv").write_text('id,video,audio,output,faces\na,v.mp4,s.wav,a.mp4,"box:10,90,40,120"\n')
    words = ["submit", "m.csv", "--out", "out", "--workers", "1", "--job", str(ROOT / "jobs" / "demo.toml")]
    done = _drive([*words, "--set", "engine.kind=ray", "--set", "score.judge=tiny_judge", "--set", QUICK], tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr
    assert (tmp_path / "out" / "a.mp4").is_file()


def test_locks_hold_what_the_program_needs() -> None:
    """Everything has hashes, and every dependency of the image's extras is locked in a version that it allows."""
    pinned = {name: found for lock in LOCKS.values() for name, found in _pinned(lock).items()}
    assert all(hashes for _, hashes in pinned.values())
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    extras = project["optional-dependencies"]
    wanted = [*project["dependencies"], *(one for name in re.findall(r"--extra (\w+)", LOCKER) for one in extras[name])]
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
    steps = [rest for word, rest in of_variant("cpu") if word == "RUN" and "pip install" in rest]
    assert len(steps) == 2
    for step in steps:
        # The index of the CPU builds is left out: pip takes what it has, if that is the same.
        line = step.replace('--index-url "${TORCH_CPU_INDEX}"', "")
        line = line.replace("rm -rf /opt/lipwise-ray/*", "true")
        environment = {**os.environ, "PATH": f"{binary}:/usr/bin:/bin"}
        folder = source if "--no-build-isolation" in line else FOLDER
        done = subprocess.run(
            ["sh", "-ec", line], cwd=folder, env=environment, capture_output=True, text=True, check=False, timeout=900
        )
        assert done.returncode == 0, done.stderr[-3000:]
    said = subprocess.run([binary / "lipwise-ray", "doctor"], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert f"ok   ray        {version('ray')}" in said.stdout
    assert "ok   encoders" in said.stdout
    assert "ok   ray starts" in said.stdout
