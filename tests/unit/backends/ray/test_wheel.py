"""The program as clusters get it."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any, cast

import pytest
from ray._private.runtime_env.packaging import get_uri_for_directory
from ray.runtime_env.runtime_env import _merge_runtime_env

from lipwise_ray.backends.ray import wheel
from lipwise_ray.backends.ray.cluster_jobs import _environment
from lipwise_ray.backends.ray.processes import SAFE_PATH
from lipwise_ray.backends.ray.wheel import write_program
from lipwise_ray.resources import models_folder


def _names(program: list[Path]) -> set[str]:
    return {file.relative_to(one.parent).as_posix() for one in program for file in one.rglob("*") if file.is_file()}


def test_the_program_is_small_and_the_same_each_time(tmp_path: Path) -> None:
    """No demo media, no checkpoint but the small bundled networks; Ray knows equal contents by equal names."""
    first, second = write_program(tmp_path / "a"), write_program(tmp_path / "b")
    uris = [[get_uri_for_directory(str(one), include_gitignore=True) for one in each] for each in (first, second)]
    assert uris[0] == uris[1]
    names = _names(first)
    assert {"lipwise_ray/cli/app.py", "lipwise_ray/_data/models/registry.toml"} < names
    assert not [name for name in names if name.endswith((".mp4", ".pyc"))]
    assert sum(file.stat().st_size for one in first for file in one.rglob("*")) < 16e6


def test_no_checkpoint_goes_along(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What somebody put beside the registry stays where it is."""
    models = tmp_path / "models"
    shutil.copytree(models_folder(), models)
    (models / "wav2lip_gan.pth").write_bytes(b"weights")
    (models / "tiny" / "wav2lip.safetensors").write_bytes(b"weights")
    monkeypatch.setattr(wheel, "models_folder", lambda: models)
    names = _names(write_program(tmp_path / "out"))
    assert not [name for name in names if "wav2lip" in name and name.endswith((".pth", ".safetensors"))]
    assert "lipwise_ray/_data/models/tiny/tiny_judge.safetensors" in names


def test_it_runs_where_python_looks_for_modules(tmp_path: Path) -> None:
    """From a folder on the path, with presets and networks of its own, and known by its version."""
    write_program(tmp_path / "target")
    told = "from importlib.metadata import version; from lipwise_ray import resources as r; "
    told += "print(version('lipwise-ray'), r.models_folder(), r.__file__)"
    said = subprocess.run(
        [sys.executable, "-c", told], cwd=tmp_path, env={"PYTHONPATH": str(tmp_path / "target")}, capture_output=True,
        text=True, check=True,
    ).stdout.split()  # fmt: skip
    package = tmp_path / "target" / "lipwise_ray"
    assert said == ["0.1.0", str(package / "_data" / "models"), str(package / "resources.py")]


def test_a_run_has_one_environment(tmp_path: Path) -> None:
    """Ray refuses a driver that asks for what its job's environment says already, also where both say the same."""
    environment = _environment(tmp_path, write_program(tmp_path / "target"))
    merged = _merge_runtime_env(cast("Any", environment), cast("Any", {"env_vars": SAFE_PATH}))
    assert merged is not None
    assert {**environment["env_vars"], **SAFE_PATH} == merged["env_vars"]
    assert not [one for one in environment["py_modules"] if one.endswith(".whl")]
