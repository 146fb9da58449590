from __future__ import annotations

import inspect
import pickle
import subprocess
import sys
from pathlib import Path

import pytest

import lipwise_ray.errors as errors_module
from lipwise_ray.errors import LipwiseError
from lipwise_ray.synth.clips import ClipSpec, ToneSpec, write_clip, write_sound
from lipwise_ray.values import Size
from tests.support.dub import (
    BY_LEVEL,
    NOTHING_IN_FRONT,
    PASSTHROUGH,
    UNJUDGED,
    settings_arguments,
    write_manifest,
)

_UNUSED = (
    *("ray", "spandrel", "onnxruntime", "skimage"),
    *("librosa", "numba", "sklearn", "matplotlib", "scenedetect"),
    *("scipy.signal", "scipy.optimize", "scipy.stats", "scipy.interpolate"),
)

ALL_ERRORS = [kind for _, kind in inspect.getmembers(errors_module, inspect.isclass) if issubclass(kind, LipwiseError)]


@pytest.mark.parametrize("kind", ALL_ERRORS)
def test_errors_survive_pickle(kind: type[LipwiseError]) -> None:
    """Ray sends errors between processes: nothing of them is lost."""
    error = kind("code", "row 3", got="no face in 10 frames", must="at least 1 is needed", do="Look again")
    copy = pickle.loads(pickle.dumps(error))
    assert type(copy) is kind
    assert (copy.code, str(copy)) == ("code", "row 3: no face in 10 frames; at least 1 is needed. Look again.")


@pytest.mark.parametrize("module", ["lipwise_ray", "lipwise_ray.cli", "lipwise_ray.cli.app"])
def test_the_command_line_loads_nothing_heavy(module: str) -> None:
    """Importing it, or the package, loads neither torch nor ray, nor the media libraries."""
    code = (
        f"import sys, {module};"
        "print([m for m in ('torch', 'ray', 'av', 'cv2', 'librosa', 'scipy', 'pyarrow') if m in sys.modules])"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert result.stdout.strip() == "[]"


def test_a_worker_loads_torch_with_its_first_network() -> None:
    """Workers that probe, plan and assemble need no network: importing them loads neither torch nor spandrel."""
    code = (
        "import sys, lipwise_ray.pipeline.tasks.worker;"
        "print([m for m in ('torch', 'spandrel', 'ray') if m in sys.modules])"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert result.stdout.strip() == "[]"


def test_a_driver_loads_no_worker() -> None:
    """Workers on Ray load what tasks need where they are; a report loads its templates when it is written."""
    code = (
        "import sys, lipwise_ray.api;"
        "print([m for m in ('lipwise_ray.pipeline.tasks.worker', 'jinja2', 'scipy', 'pyarrow') if m in sys.modules])"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert result.stdout.strip() == "[]"


def test_one_row_loads_neither_ray_nor_what_it_does_not_use(tmp_path: Path) -> None:
    """A single row is done in this process; faces whose place is told are linked by nothing."""
    write_clip(tmp_path / "v.mp4", ClipSpec(size=Size(96, 64), frames=5))
    write_sound(tmp_path / "s.wav", ToneSpec(0.2, codec="pcm_s16le", rate_hz=16000, channels=1))
    row = {"id": "a", "video": "v.mp4", "audio": "s.wav", "output": "a.mp4", "faces": "box:10,50,20,60"}
    manifest = write_manifest(tmp_path / "m.csv", [row])
    told = (PASSTHROUGH, UNJUDGED, BY_LEVEL, NOTHING_IN_FRONT, "engine.workers=1", 'composite.mask="soft"')
    words = ["submit", str(manifest), "--out", str(tmp_path / "o"), *settings_arguments(*told)]
    code = (
        "import sys; from lipwise_ray.cli.app import app\n"
        "try:\n"
        f"    app({words})\n"
        "except SystemExit as end:\n"
        "    assert end.code == 0\n"
        f"print([m for m in {_UNUSED} if m in sys.modules])"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert result.stdout.strip().splitlines()[-1] == "[]"


@pytest.mark.parametrize("package", ["media", "state", "synth"])
def test_lower_layers_know_no_torch(package: str) -> None:
    """Importing every module of the layer loads neither torch nor ray."""
    code = (
        f"import importlib, pkgutil, sys, lipwise_ray.{package} as p;"
        "[importlib.import_module(f'{p.__name__}.{m.name}') for m in pkgutil.iter_modules(p.__path__)];"
        "print([m for m in ('torch', 'ray') if m in sys.modules])"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert result.stdout.strip() == "[]"
