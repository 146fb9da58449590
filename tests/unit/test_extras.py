"""What `pip install lipwise-ray` brings by itself, and what says which extra brings the rest."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tomllib
from importlib.metadata import packages_distributions
from pathlib import Path
from typing import Any

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from benchmarks.install_size import closure
from lipwise_ray.errors import SetupError
from lipwise_ray.metrics.fidelity import check_fidelity
from lipwise_ray.metrics.inception import Inception
from lipwise_ray.pipeline.manifest.dub_rows import read_manifest
from lipwise_ray.reports.write import file_names
from lipwise_ray.resources import import_root
from lipwise_ray.synth.clips import ClipSpec, ToneSpec, write_clip, write_sound
from tests.conftest import ROOT
from tests.support.dub import INLINE, PASSTHROUGH, QUICK, UNJUDGED, settings_arguments

PROJECT: dict[str, Any] = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
EXTRAS: dict[str, list[str]] = PROJECT["optional-dependencies"]
_LEFT_OUT = {"codeformer", "gradio", "reference", "s3", "s3fd"}
"""Extras that `dev` is without: their packages are of other terms, versions or displays, or it names what they have."""

_FOR_DEVELOPERS = {"dev", "docs", "reference"}

_PLAIN = """
import sys
for name in {absent!r}:
    sys.modules[name] = None
from lipwise_ray.__main__ import main
main()
"""


def test_every_extra_that_a_message_names_is_one() -> None:
    """Whoever follows it installs something; pip would only warn of a name that is none."""
    text = "\n".join(path.read_text() for path in (ROOT / "lipwise_ray").rglob("*.py"))
    named = set(re.findall(r"lipwise-ray\[(\w+)\]", text))
    assert {"eval", "parquet", "serve"} <= named
    assert named <= set(EXTRAS)


def test_developers_have_all_extras() -> None:
    """No test is skipped for want of an extra, but for those whose packages cannot stand beside the others."""
    (own,) = [one for one in map(Requirement, EXTRAS["dev"]) if one.name == "lipwise-ray"]
    assert own.extras == set(EXTRAS) - _LEFT_OUT - {"dev"}


def test_the_page_of_installation_names_every_extra() -> None:
    """Users find each in its table, and none that is not there."""
    page = (ROOT / "docs" / "howto" / "install.md").read_text()
    rows = re.findall(r"^\| (`[^|]+) \|", page, re.MULTILINE)
    assert {name for row in rows for name in re.findall(r"`(\w+)`", row)} == set(EXTRAS) - _FOR_DEVELOPERS


def test_the_extra_of_onnx_models_asks_for_what_is_there() -> None:
    """Whoever asks for it gets the versions of the plain install, not others."""
    assert set(EXTRAS["onnx"]) <= set(PROJECT["dependencies"])
    assert {Requirement(one).name for one in EXTRAS["onnx"]} == {"onnx", "onnxruntime"}


def test_the_plain_install_dubs(tmp_path: Path) -> None:
    """A video is dubbed and reported in a process that has nothing but what the plain package brings."""
    plain = closure() | {"lipwise-ray"}
    modules = packages_distributions()
    absent = [name for name in modules if not plain & set(map(canonicalize_name, modules[name]))]
    assert {"pyarrow", "skimage", "torch_fidelity", "fastapi"} <= set(absent)
    assert not {"torch", "ray", "av", "lipwise_ray"} & set(absent)
    write_clip(tmp_path / "v.mp4", ClipSpec(frames=10))
    write_sound(tmp_path / "s.wav", ToneSpec(seconds=0.4, codec="pcm_s16le"))
    (tmp_path / "m.csv").write_text('id,video,audio,output,faces\na,v.mp4,s.wav,a.mp4,"box:10,90,40,120"\n')
    words = ["-v", "submit", "m.csv", "--out", "out", *settings_arguments(INLINE, PASSTHROUGH, UNJUDGED, QUICK)]
    program = [sys.executable, "-c", _PLAIN.format(absent=absent), *words]
    environment = {**os.environ, "PYTHONPATH": str(import_root())}
    done = subprocess.run(
        program, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=100, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "results.parquet is left out" in done.stderr
    (page,) = (tmp_path / "out.state" / "runs").glob("*/report.html")
    assert {path.name for path in page.parent.glob("results.*")} == {"results.csv", "results.jsonl"}


@pytest.fixture
def plain(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [one for one in sys.modules if one.partition(".")[0] in ("pyarrow", "torch_fidelity")]:
        monkeypatch.delitem(sys.modules, name)
    for name in ("pyarrow", "skimage", "torch_fidelity"):
        monkeypatch.setitem(sys.modules, name, None)


@pytest.mark.usefixtures("plain")
def test_what_needs_an_extra_names_it(tmp_path: Path) -> None:
    """Parquet, a comparison, the Fréchet distance: each error says what to install."""
    (tmp_path / "m.parquet").write_bytes(b"PAR1")
    with pytest.raises(SetupError, match=r"lipwise-ray\[parquet\]"):
        read_manifest(tmp_path / "m.parquet", str(tmp_path / "out"), ["quality"])
    with pytest.raises(SetupError, match=r"row 3: .* \S*lipwise-ray\[eval\]"):
        check_fidelity("row 3")
    with pytest.raises(SetupError, match=r"lipwise-ray\[eval\]"):
        Inception(tmp_path / "any.pth")
    assert file_names() == ("report.html", "results.csv", "results.jsonl")
