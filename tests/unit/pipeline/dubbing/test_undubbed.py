"""Frames in which somebody who is to be dubbed is seen and left as he is."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest

from lipwise_ray.faces.embeddings import FaceEmbeddings
from lipwise_ray.faces.people import People, find_people
from lipwise_ray.faces.select import FaceSelection, every_face, fixed_box, parse_selection_rule, select_faces
from lipwise_ray.faces.select import select_tracks as tracks_of
from lipwise_ray.faces.tracks import Tracks
from lipwise_ray.pipeline.dubbing.undubbed import most_undubbed, seen_by_part
from lipwise_ray.pipeline.quality.gate import verdict
from lipwise_ray.settings.model import GateSettings
from lipwise_ray.state.job_result import Counts, VideoMeasures
from lipwise_ray.values import Size, Span
from tests.support.boxes import Boxes, link_boxes, make_detections

FRAMES = 100
LEFT, RIGHT, SMALL = (40.0, 100.0, 120.0, 200.0), (300.0, 100.0, 380.0, 200.0), (540.0, 100.0, 560.0, 122.0)
CROPS = replace(every_face((0, 0, 0, 0), (0.0, 0.0, 0.0, 0.0)), min_face_px=24.0)
"""Somebody of 20 px is left alone."""


def _tracks(*spans: tuple[range, tuple[float, float, float, float]]) -> Tracks:
    faces: Boxes = {}
    for span, box in spans:
        for number in span:
            faces.setdefault(number, []).append(box)
    return link_boxes(make_detections(faces, FRAMES), [Span(0, FRAMES)], gap=5)


def _undubbed(tracks: Tracks, people: People, source: Sequence[int], *texts: str) -> tuple[int, int]:
    rules = [parse_selection_rule(text) for text in texts]
    chosen = {part: tracks_of(people, rule, tracks) for part, rule in enumerate(rules) if rule.kind != "box"}
    boxes = {part: rule for part, rule in enumerate(rules) if rule.kind == "box"}
    seen, seen_part = seen_by_part(tracks, people, rules, chosen, {})
    faces = select_faces(tracks, sorted({n for numbers in chosen.values() for n in numbers}), CROPS)
    fixed = [fixed_box(rule, FRAMES, Size(640, 360), -1 - part) for part, rule in boxes.items()]
    selection = FaceSelection.joined([*fixed, replace(faces, seen=seen, seen_part=seen_part)])
    parts = [chosen.get(part, (-1 - part,)) for part in range(len(rules))]
    return most_undubbed(np.array(source, np.int64), selection, parts)


@pytest.mark.parametrize(
    ("rules", "seen", "undubbed"),
    [
        (("left",), 100, 0),
        (("right",), 50, 50),
        (("left", "right"), 50, 50),
        (("all",), 150, 50),
        (("left", "box:0,50,0,50"), 100, 0),
        (("box:0,50,0,50",), 0, 0),
    ],
)
def test_a_second_man_is_missed_beside_one_who_is_dubbed(rules: tuple[str, ...], seen: int, undubbed: int) -> None:
    """Of several speakers the one counts of whom most is left; with all of them every face does."""
    tracks = _tracks((range(FRAMES), LEFT), (range(50), SMALL))
    assert _undubbed(tracks, find_people(tracks, 0.5), range(FRAMES), *rules) == (seen, undubbed)


def test_frames_of_the_output_count() -> None:
    """One that is shown three times is missed three times, one that is not shown never."""
    tracks = _tracks((range(FRAMES), LEFT), (range(50), SMALL))
    assert _undubbed(tracks, find_people(tracks, 0.5), [10, 10, 10, 60], "all") == (7, 3)


def test_whom_another_speaker_is_is_not_missed() -> None:
    """Who may be the one that was chosen, and is dubbed as somebody else, is nobody whom a part left out."""
    tracks = _tracks((range(40), LEFT), (range(60, 100), RIGHT), (range(30, 70), SMALL))
    people = find_people(tracks, 0.5, FaceEmbeddings(np.arange(3), np.eye(3), np.array([0.5])))
    unsure = replace(people, embeddings=None)
    assert _undubbed(tracks, unsure, range(FRAMES), "left") == (80, 40)
    assert _undubbed(tracks, unsure, range(FRAMES), "left", "index:1") == (40, 0)


@pytest.mark.parametrize(
    ("counts", "share"),
    [
        (Counts(frames_with_face=950, frames_seen=100, frames_undubbed=50), 0.5),
        (Counts(frames_with_face=150, frames_undubbed=50), 0.25),
        (Counts(frames_with_face=0, frames_seen=0, frames_undubbed=0), 0),
        (Counts(frames_with_face=9), None),
    ],
)
def test_they_are_a_share_of_those_of_their_own_person(counts: Counts, share: float | None) -> None:
    """Somebody else who is dubbed all the time does not outweigh them; results of before know no better."""
    found = verdict(VideoMeasures(counts=counts), GateSettings())
    reason = f"share of frames whose face is seen and not dubbed is {share}; it must be at most 0.05"
    assert found.reasons == ((reason,) if share else ())
    assert counts.undubbed_share == share
