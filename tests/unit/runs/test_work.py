"""Outputs and state stay apart."""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path

import pytest

from lipwise_ray.errors import OutputError, SettingsError, SetupError, WeightsError
from lipwise_ray.models.registry import Registry
from lipwise_ray.pipeline.manifest.dub_rows import read_manifest
from lipwise_ray.resources import jobs_folder, models_folder
from lipwise_ray.runs.model_requirements import ModelRequirements
from lipwise_ray.runs.settings_source import SettingsSource
from lipwise_ray.runs.work import Dubbing, RunFacts
from lipwise_ray.settings.layers import resolve
from lipwise_ray.storage.address import is_within
from tests.support.dub import INLINE, PASSTHROUGH, UNJUDGED, dub


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name in ("v.mp4", "s.wav"):
        (tmp_path / name).touch()
    return tmp_path


def test_an_output_in_the_state_fails_its_row(folder: Path) -> None:
    """Where the state lies among the outputs, by its own path and by way of a link; others go on."""
    out, state = folder / "out", folder / "out" / "kept"
    state.mkdir(parents=True)
    (out / "link").symlink_to("kept")
    lines = [f'{name},v.mp4,s.wav,{name}/jobs/{name}.mp4,"box:0,9,0,9"' for name in ("kept", "link", "beside")]
    (folder / "m.csv").write_text("\n".join(["id,video,audio,output,faces", *lines]))
    manifest = read_manifest(folder / "m.csv", str(out), ["quality"])
    source = SettingsSource(jobs_folder(), "quality", [("", {"lipsync": {"model": "passthrough"}})])
    requirements = ModelRequirements(Registry(models_folder() / "registry.toml", folder), gpu=False)
    work = Dubbing(str(out), str(state))
    refused: dict[str, str] = {}
    for row in manifest.rows:
        try:
            work.flow(row, source.for_row(row), requirements, RunFacts("cpu"), 0)
        except OutputError as error:
            refused[row.id] = error.code
    assert refused == {"kept": "output_in_state", "link": "output_in_state"}


def test_evaluations_without_a_reference_compare_no_faces(folder: Path) -> None:
    """What tells people apart is not even looked for: it changes no id of theirs, and a missing file fails no row."""
    (folder / "m.csv").write_text("id,video,audio,output\na,v.mp4,s.wav,a.mp4")
    (row,) = read_manifest(folder / "m.csv", str(folder / "out"), ["quality"]).rows
    missing = {"embedder_checkpoint": str(folder / "missing.onnx")}
    settings = resolve([("", {"lipsync": {"model": "passthrough"}, "detect": {"detector": "tiny"}, "faces": missing})])
    requirements = ModelRequirements(Registry(models_folder() / "registry.toml", folder), gpu=False)
    assert "detector" in requirements.for_evaluation(settings, row)[0]
    assert "embedder" not in requirements.for_evaluation(settings, row)[0]
    for needs in (requirements.of, requirements.for_evaluation):
        with pytest.raises(WeightsError, match=r"missing\.onnx"):
            needs(settings, replace(row, reference="r.mp4"))


@pytest.mark.parametrize(("embedder", "why"), [("none", "faces.embedder is none"), ("sface", "sface is not installed")])
def test_a_figure_that_nobody_gives_has_its_reason(folder: Path, embedder: str, why: str) -> None:
    """Whether its network is not wanted, as in parity, or not installed."""
    (folder / "m.csv").write_text("id,video,audio,output\na,v.mp4,s.wav,a.mp4")
    (row,) = read_manifest(folder / "m.csv", str(folder / "out"), ["quality"]).rows
    settings = resolve([("", {"detect": {"detector": "tiny"}, "faces": {"embedder": embedder}})])
    requirements = ModelRequirements(Registry(models_folder() / "registry.toml", folder), gpu=False)
    found, absent = requirements.for_evaluation(settings, replace(row, reference="r.mp4"))
    assert "embedder" not in found
    assert absent["identity_distance"].startswith(why)


def test_a_comparison_needs_its_extra(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without it a row that has a reference is refused, not measured in part; rows without one are measured."""
    (folder / "m.csv").write_text("id,video,audio,output\na,v.mp4,s.wav,a.mp4")
    (row,) = read_manifest(folder / "m.csv", str(folder / "out"), ["quality"]).rows
    settings = resolve([("", {"detect": {"detector": "tiny"}})])
    requirements = ModelRequirements(Registry(models_folder() / "registry.toml", folder), gpu=False)
    monkeypatch.setitem(sys.modules, "skimage", None)
    assert requirements.for_evaluation(settings, row)
    with pytest.raises(SetupError, match=r"line 2 .*lipwise-ray\[eval\]"):
        requirements.for_evaluation(settings, replace(row, reference="r.mp4"))


@pytest.mark.parametrize("inside", ["", "runs/x"])
def test_outputs_do_not_go_into_the_state(inside: str, folder: Path) -> None:
    """A run whose folder of outputs is its state, or lies in it, does not begin."""
    rows = [{"id": "a", "video": "v.mp4", "audio": "s.wav", "output": "a.mp4", "faces": "box:0,9,0,9"}]
    (folder / "out").symlink_to(folder / "out.state" / inside)
    (folder / "out.state" / inside).mkdir(parents=True)
    with pytest.raises(SettingsError) as caught:
        dub(folder, rows, INLINE, PASSTHROUGH, UNJUDGED)
    assert caught.value.code == "out_in_state"


def test_prefixes_of_buckets_are_told_apart() -> None:
    """A prefix that another one's name begins with is not within it."""
    assert is_within("s3://b/state/jobs/x.mp4", "S3://b/state/")
    assert is_within("s3://b/state", "s3://b/state")
    assert not is_within("s3://b/state2/x.mp4", "s3://b/state")
    assert not is_within("/state/x.mp4", "s3://b/state")
