"""Facts about a finished video that its result tells."""

from __future__ import annotations

import json
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import pytest

from lipwise_ray.models.checkpoints import Checkpoint, Checkpoints
from lipwise_ray.pipeline.delivery.result_facts import (
    mask_by,
    notes,
    occluded,
    people_by,
    provenance,
    unfollowed,
    unmoved,
)
from lipwise_ray.pipeline.dubbing.job import JobSpec
from lipwise_ray.pipeline.dubbing.task_parts import Probed
from lipwise_ray.pipeline.flows.task_kinds import RenderPayload
from lipwise_ray.settings.layers import parse_assignment, resolve
from lipwise_ray.settings.model import Settings
from lipwise_ray.state.face_records import OcclusionMeans
from lipwise_ray.state.fitted_record import FittedClip, FittedRecord
from lipwise_ray.state.markers import ChunkMarker
from tests.support.task_context import Bench


def _marker(occlusion: list[float], smoothness: list[float] | None = None) -> ChunkMarker:
    return ChunkMarker(
        *("s", 10, 0, 5, "d" * 64, 1, 1, "17", "a", 1.0, {}), occlusion=occlusion, smoothness=smoothness or []
    )


def _settings(*sets: str) -> Settings:
    return resolve([("test", parse_assignment(text)) for text in sets])


def _checkpoint(name: str, network: str) -> Checkpoint:
    return Checkpoint(name, network, Path("x"), "e" * 64, "", "unclear", "", "drawn faces")


NOBODY = Checkpoints({})
OCCLUDER = Checkpoints({"occluder": (_checkpoint("xseg_1", "xseg"),)})
EMBEDDER = Checkpoints({"embedder": (_checkpoint("sface", "sface"),)})
PARSER = Checkpoints({"parser": (_checkpoint("face_parsing", "bisenet"),)})


def test_chunks_figures_are_added_up() -> None:
    """Chunks of before there were such figures have none; frames count once."""
    markers = [_marker([10, 2, 0.5]), _marker([]), _marker([30, 0, 0.0])]
    assert occluded(_settings(), NOBODY, markers) == OcclusionMeans(by=("neighbours",), frames=0.05, mask=0.25)
    assert occluded(_settings(), NOBODY, [_marker([5, 0, 0.0])]) == OcclusionMeans(
        by=("neighbours",), frames=0.0, mask=0.0
    )
    assert occluded(_settings(), NOBODY, [_marker([0, 0, 0.0])]) == OcclusionMeans(by=("neighbours",))


@pytest.mark.parametrize(
    ("weights", "sets", "by"),
    [
        (OCCLUDER, (), ("xseg_1",)),
        (PARSER, (), ("face_parsing", "neighbours")),
        (PARSER, ("composite.occlusion=false",), ("face_parsing",)),
        (NOBODY, ("composite.occlusion=false",), None),
        (NOBODY, ("composite.mask='box'",), None),
        (NOBODY, ("lipsync.model='passthrough'",), None),
    ],
)
def test_who_looked_is_named(weights: Checkpoints, sets: tuple[str, ...], by: tuple[str, ...] | None) -> None:
    """Networks by their names, the comparison of frames where there is no occluder, nothing where nobody looked."""
    found = occluded(_settings(*sets), weights, [_marker([4, 1, 0.2])])
    assert (found.by if found else None) == by


def test_what_masks_follow_is_named() -> None:
    """The network that sees jaws, or the five points of a typical face; nothing where they follow no face."""
    landmarks = Checkpoints({"landmarks": (_checkpoint("face_landmarker", "face_landmarker"),)})
    assert mask_by(_settings(), landmarks) == "face_landmarker"
    assert mask_by(_settings(), NOBODY) == "five points"
    for setting in ("composite.mask='soft'", "composite.mask='box'", "lipsync.model='passthrough'"):
        assert mask_by(_settings(setting), landmarks) is None


def test_the_file_tells_all_of_its_inputs(tmp_path: Path) -> None:
    """The turns of a diarisation too; what a row does without is no word of it."""
    bench = Bench(tmp_path)
    probed = bench.probed()
    told = replace(probed, identity={**probed.identity, "diarisation": "d" * 24})
    made = [json.loads(provenance(RenderPayload(bench.row, one, 0))["description"]) for one in (probed, told)]
    assert [sorted(one["inputs"]) for one in made] == [["audio", "video"], ["audio", "diarisation", "video"]]


def test_photographed_faces_are_noted() -> None:
    """Only where a network was made for others."""
    smooth, rough = _marker([], [9.0, 10]), _marker([], [0.0, 10])
    assert [len(notes(OCCLUDER, [one])) for one in (smooth, rough)] in ([0, 1], [1, 0])
    assert notes(NOBODY, [smooth]) == notes(NOBODY, [rough]) == []


def _people_by(weights: Checkpoints, *sets: str, embedded: bool) -> tuple[str | None, int]:
    job = JobSpec("r", "v.mp4", "a.wav", "o.mp4", "/o/o.mp4", None, 0.0, None, None, (), _settings(*sets))
    name = people_by(job, weights, Probed("j", {}, "v", "d", looks_id="l" if embedded else None))
    return name, len(unfollowed(job, name))


def test_what_told_people_apart_is_named() -> None:
    """The embedder where faces were embedded, else their places; nothing where a box is dubbed."""
    assert _people_by(EMBEDDER, embedded=True) == ("sface", 0)
    assert _people_by(EMBEDDER, embedded=False) == _people_by(NOBODY, embedded=False) == ("place", 0)
    assert _people_by(EMBEDDER, "faces.select='box:10,110,20,220'", embedded=False) == (None, 0)


def test_people_who_could_not_be_followed_are_noted() -> None:
    """Only where that was asked for, and would have decided who is dubbed."""
    follow = "faces.follow='video'"
    assert _people_by(NOBODY, follow, embedded=False) == ("place", 1)
    assert _people_by(EMBEDDER, follow, embedded=True) == ("sface", 0)
    assert _people_by(NOBODY, follow, "faces.select='all'", embedded=False) == ("place", 0)


def test_a_background_that_does_not_follow_a_stretched_video_is_noted() -> None:
    """Only a file, and only where the video was stretched in the slots of clips."""
    slot = FittedClip.of(1, Fraction(0), Fraction(2), audio=Fraction(1), video=Fraction(2))
    stretched = FittedRecord(clips=1, slots=(slot,))
    job = JobSpec("r", "v.mp4", None, "o.mp4", "/o/o.mp4", None, 0.0, None, None, (), _settings())
    asked = [(name, len(unmoved(replace(job, background=name), stretched))) for name in ("/m.wav", "keep", None)]
    assert asked == [("/m.wav", 1), ("keep", 0), (None, 0)]
    assert unmoved(replace(job, background="/m.wav"), FittedRecord(clips=1)) == []
