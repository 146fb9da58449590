"""Fixtures that many tests share."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

from lipwise_ray.engine.factory import guard_local_ray

# Before any test imports ray: it reads its authentication mode on import.
guard_local_ray()

# Examples write files and share two cores with other work: their time says nothing about the code.
settings.register_profile("product", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("product")

ROOT = Path(__file__).resolve().parents[1]
GOLDEN = ROOT / "tests" / "golden"


@pytest.fixture(scope="session")
def shared() -> Path:
    """Real clips and weights that are not part of the repository."""
    folder = Path(os.environ.get("LIPWISE_SHARED", ROOT.parent / "shared"))
    if not (folder / "clips").is_dir():
        pytest.skip(f"no real clips: {folder} is not there (set LIPWISE_SHARED)")
    return folder


@pytest.fixture(scope="session")
def yunet_file(shared: Path) -> Path:
    """The published YuNet file."""
    path = shared / "weights" / "face_detection_yunet_2023mar.onnx"
    if not path.is_file():
        pytest.skip(f"no YuNet weights: {path} is not there")
    return path
