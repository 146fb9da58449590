"""The program as a wheel that clusters get."""

from __future__ import annotations

import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from lipwise_ray.engine import shipping
from lipwise_ray.engine.shipping import make_wheel
from lipwise_ray.resources import models_folder


def test_the_wheel_is_small_and_the_same_each_time(tmp_path: Path) -> None:
    """No demo media, no checkpoint but the small bundled networks; equal contents give equal bytes and names."""
    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    first, second = make_wheel(tmp_path / "a"), make_wheel(tmp_path / "b")
    assert first.name == second.name
    assert first.read_bytes() == second.read_bytes()
    names = zipfile.ZipFile(first).namelist()
    assert "lipwise_ray/cli/app.py" in names
    assert "lipwise_ray/_data/models/registry.toml" in names
    assert not [name for name in names if name.endswith((".mp4", ".pyc"))]
    assert first.stat().st_size < 12e6


def test_no_checkpoint_goes_along(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What somebody put beside the registry stays where it is."""
    models = tmp_path / "models"
    shutil.copytree(models_folder(), models)
    (models / "wav2lip_gan.pth").write_bytes(b"weights")
    (models / "tiny" / "wav2lip.safetensors").write_bytes(b"weights")
    monkeypatch.setattr(shipping, "models_folder", lambda: models)
    names = zipfile.ZipFile(make_wheel(tmp_path)).namelist()
    assert not [name for name in names if "wav2lip" in name and name.endswith((".pth", ".safetensors"))]
    assert "lipwise_ray/_data/models/tiny/tiny_judge.safetensors" in names


def test_pip_installs_it_as_ray_does(tmp_path: Path) -> None:
    """Into a folder of its own, nothing else with it; what lies there runs."""
    wheel = make_wheel(tmp_path)
    target = tmp_path / "target"
    subprocess.run([sys.executable, "-m", "pip", "install", "-q", f"--target={target}", wheel], check=True)
    assert {path.name.split("-")[0] for path in target.iterdir()} == {"lipwise_ray"}
    done = subprocess.run(
        [sys.executable, "-m", "lipwise_ray", "doctor", "--help"],
        cwd=tmp_path, env={"PYTHONPATH": str(target), "PATH": ""}, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    place = "from lipwise_ray import resources; print(resources.models_folder())"
    said = subprocess.run(
        [sys.executable, "-c", place], cwd=tmp_path, env={"PYTHONPATH": str(target)}, capture_output=True, text=True,
        check=True,
    )  # fmt: skip
    assert said.stdout.strip() == str(target / "lipwise_ray" / "_data" / "models")
