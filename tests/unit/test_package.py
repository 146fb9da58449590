"""What the package exports, and what its wheel holds."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest
from hatchling.builders.wheel import WheelBuilder

import lipwise_ray
from lipwise_ray.errors import InputError, LipwiseError, SetupError
from lipwise_ray.resources import import_root
from tests.conftest import ROOT

_TYPED = """
import lipwise_ray

def show(event: lipwise_ray.Event) -> None:
    if isinstance(event, lipwise_ray.RowEnded):
        print(event.outcome.row_id.upper())

report = lipwise_ray.submit("m.csv", progress=show, stop=lambda: False)
reveal_type(report.done)
reveal_type(lipwise_ray.dub("v.mp4", "a.wav", "o.mp4").status)
reveal_type(lipwise_ray.inspect("v.mp4").picture)
lipwise_ray.submit("m.csv", engine="inlin")
"""


def _names_for_type_checkers() -> set[str]:
    tree = ast.parse(Path(lipwise_ray.__file__).read_text())
    block = next(node for node in tree.body if isinstance(node, ast.If))
    return {name.name for node in block.body if isinstance(node, ast.ImportFrom) for name in node.names}


def test_what_a_cluster_is_told_to_import_from_holds_the_package() -> None:
    """Workers of this machine find the driver's own package there."""
    assert import_root() / "lipwise_ray" / "__init__.py" == Path(lipwise_ray.__file__).resolve()


def test_every_exported_name_is_there() -> None:
    """Each is found where it is said to be, type checkers are told of the same ones, and others are refused."""
    assert set(lipwise_ray.__all__) == _names_for_type_checkers()
    for name in lipwise_ray.__all__:
        assert getattr(lipwise_ray, name) is not None
        assert name in dir(lipwise_ray)
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        _ = lipwise_ray.nothing  # type: ignore[attr-defined]


def test_every_error_is_exported() -> None:
    """Whoever catches one need not know where it lives."""
    kinds: list[type[LipwiseError]] = [LipwiseError]
    for kind in kinds:
        kinds += [one for one in kind.__subclasses__() if one.__module__ == "lipwise_ray.errors"]
    assert {kind.__name__ for kind in kinds} <= set(lipwise_ray.__all__)
    assert lipwise_ray.InputError is InputError
    assert lipwise_ray.SetupError is SetupError


def test_the_wheel_says_that_it_is_typed_and_holds_its_data() -> None:
    """`py.typed`, presets, the registry, and the bundled networks are in it."""
    files = {file.distribution_path for file in WheelBuilder(str(ROOT)).recurse_included_files()}
    held = {"lipwise_ray/py.typed", "lipwise_ray/_data/jobs/quality.toml", "lipwise_ray/_data/models/registry.toml"}
    assert held <= files
    assert "lipwise_ray/_data/models/tiny/tiny_generator.safetensors" in files


def test_the_log_is_quiet_by_itself() -> None:
    """A program that sets up no logging sees nothing of it, not even errors."""
    code = "import logging, lipwise_ray; lipwise_ray.submit; logging.getLogger('lipwise_ray').error('seen')"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert (done.stdout, done.stderr) == ("", "")


@pytest.mark.slow
def test_type_checkers_see_what_is_exported(tmp_path: Path) -> None:
    """Pyright knows the types of arguments and results, and refuses an engine that is none."""
    (tmp_path / "program.py").write_text(_TYPED)
    pyright = [sys.executable, "-m", "pyright", "--pythonpath", sys.executable, str(tmp_path / "program.py")]
    done = subprocess.run(pyright, capture_output=True, text=True, check=False, cwd=ROOT)
    assert '"report.done" is "int"' in done.stdout, done.stdout
    assert "is \"Literal['done', 'failed']\"" in done.stdout
    assert "FrameFacts | Unusable | None" in done.stdout
    assert "1 error" in done.stdout
    assert "inlin" in done.stdout
