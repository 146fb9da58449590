"""Fixtures that many tests share."""

from __future__ import annotations

import gc
import os
import tempfile
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, settings

from lipwise_ray.backends.ray.environment import guard_local_ray

# The certificate that signs what tests make, in their processes too, is none of the user's.
_SETTINGS_FOLDER = tempfile.TemporaryDirectory(prefix="lipwise-config-")
os.environ["XDG_CONFIG_HOME"] = _SETTINGS_FOLDER.name

# Before any test imports ray: it reads its authentication mode on import.
guard_local_ray()

# Examples write files and share two cores with other work: their time says nothing about the code.
settings.register_profile("product", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("product")

ROOT = Path(__file__).resolve().parents[1]
GOLDEN = ROOT / "tests" / "golden"
_LONGEST = ("ray", "tests/unit/training/test_runs.py")
_RAY = ("tests/integration/", "tests/contract/test_engines.py", "tests/e2e/test_terminal.py")


def _group(nodeid: str) -> str:
    """Return what one process runs together: a module, for its fixtures' sake, or all that starts a Ray."""
    path = nodeid.partition("::")[0]
    return "ray" if path.startswith(_RAY) else path


def pytest_collection() -> None:
    """What is collected is kept to the end: to look through it for what is not takes seconds, in every process."""
    gc.disable()


def pytest_collection_finish() -> None:
    """From here on only what tests leave is looked through."""
    gc.freeze()
    gc.enable()


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The longest groups come first, so that all processes end together."""
    items.sort(key=lambda item: _LONGEST.index(group) if (group := _group(item.nodeid)) in _LONGEST else len(_LONGEST))


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Any:
    """Give groups to the processes of `make test`: one Ray at a time, which mostly waits, beside tests that compute."""
    from xdist.scheduler import LoadScopeScheduling

    class ByGroup(LoadScopeScheduling):
        _split_scope = staticmethod(_group)

    return ByGroup(config, log)


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
