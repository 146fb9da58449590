"""The people whom `inspect` lists: their numbers are those of `index:N`."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from lipwise_ray.faces.embeddings import FaceEmbeddings
from lipwise_ray.faces.people import People, find_people
from lipwise_ray.faces.select import parse_selection_rule, select_tracks
from lipwise_ray.faces.tracks import Tracks
from lipwise_ray.media.frames import make_recipe
from lipwise_ray.media.index import build_index
from lipwise_ray.media.probe import probe_video
from lipwise_ray.pipeline.quality.inspected_faces import inspect_faces
from lipwise_ray.pipeline.quality.inspection_facts import FacesFacts
from lipwise_ray.synth.clips import ClipSpec, write_clip
from lipwise_ray.values import Size, Span
from tests.support.boxes import SIZE, link_boxes, make_detections, three_people

FRAMES = 30


def _inspected(tracks: Tracks, folder: Path, *, over_cuts: bool = False) -> tuple[FacesFacts, dict[str, bytes]]:
    number = np.array(tracks.numbers)
    apart = FaceEmbeddings(number, np.eye(len(number)), np.array([0.5]))
    people = find_people(tracks, 0.5, apart if over_cuts else None, over_cuts=over_cuts)
    return _listed(tracks, people, folder)


def _listed(tracks: Tracks, people: People, folder: Path) -> tuple[FacesFacts, dict[str, bytes]]:
    path = folder / "v.mkv"
    write_clip(path, ClipSpec(size=Size(SIZE.width, SIZE.height), frames=FRAMES, codec="ffv1"))
    info = probe_video(path)
    index = build_index(info)
    return inspect_faces(info, index, make_recipe(info, index.sizes), tracks, people)


def test_numbers_are_those_of_the_rule(tmp_path: Path) -> None:
    """`index:N` chooses the faces that are listed under N; a passer-by has no number and comes last."""
    tracks = three_people()
    facts, images = _inspected(tracks, tmp_path)
    people = find_people(tracks, 0.5)
    for person in facts.people[:3]:
        rule = parse_selection_rule(f"index:{person.person}")
        assert tuple(select_tracks(people, rule, tracks)) == person.faces
    assert [person.person for person in facts.people] == [0, 1, 2, None]
    assert [person.seconds for person in facts.people] == [1.2, 1.2, 1.2, 0.04]
    assert {f"shot-0-person-{n}" for n in range(3)} < images.keys()
    assert f"shot-0-person-passing-{facts.people[3].faces[0]}" in images


@pytest.mark.parametrize("over_cuts", [False, True])
def test_people_are_of_a_shot_or_of_the_video(*, over_cuts: bool, tmp_path: Path) -> None:
    """Two shots have a person 0 each; those of a whole video have one number each throughout."""
    boxes = {n: [(100, 100, 180, 200) if n < 15 else (400, 100, 480, 200)] for n in range(FRAMES)}
    tracks = link_boxes(make_detections(boxes, FRAMES), [Span(0, 15), Span(15, FRAMES)])
    facts, _ = _inspected(tracks, tmp_path, over_cuts=over_cuts)
    assert [(person.person, person.shot) for person in facts.people] == (
        [(0, None), (1, None)] if over_cuts else [(0, 0), (0, 1)]
    )
    assert (facts.shots, facts.most_in_a_shot) == (2, 1)


def test_shots_of_their_own_have_their_own_numbers(tmp_path: Path) -> None:
    """Beside those of the whole video: where it cannot be told which of its people somebody is."""
    boxes = {n: [(100 + 10 * (n // 10), 100, 180 + 10 * (n // 10), 200)] for n in range(FRAMES)}
    tracks = link_boxes(make_detections(boxes, FRAMES), [Span(0, 10), Span(10, 20), Span(20, FRAMES)])
    people = find_people(tracks, 0.5, FaceEmbeddings(np.array([0, 2]), np.eye(2), np.array([0.5])), over_cuts=True)
    facts, images = _listed(tracks, people, tmp_path)
    assert [(person.person, person.shot, person.faces) for person in facts.people] == [
        (0, None, (0,)),
        (1, None, (2,)),
        (0, 1, (1,)),
    ]
    assert {"person-0", "person-1", "shot-1-person-0"} < images.keys()


def test_what_is_hardly_a_face_is_nobody(tmp_path: Path) -> None:
    """It is counted as doubtful, and in no number of people or frames."""
    found = make_detections({n: [(100, 100, 180, 200), (400, 100, 480, 200)] for n in range(FRAMES)}, FRAMES)
    found.score[1::2] = np.float32(0.2)
    facts, images = _inspected(link_boxes(found), tmp_path)
    assert (len(facts.people), facts.most_in_a_shot, facts.doubtful_frames) == (1, 1, FRAMES)
    assert [name for name in images if "person" in name] == ["shot-0-person-0"]
