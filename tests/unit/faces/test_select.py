"""Which face is dubbed, and how its crop lies."""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction

import numpy as np
import pytest

from lipwise_ray.errors import FaceError
from lipwise_ray.faces.people import find_people
from lipwise_ray.faces.select import (
    beyond,
    every_face,
    fixed_box,
    parse_selection_rule,
    rivals,
    select_faces,
    yaw_degrees,
)
from lipwise_ray.lipsync.align import roll_degrees
from lipwise_ray.pipeline.analysis.face_detection import crop_rules
from lipwise_ray.settings.model import Settings
from lipwise_ray.values import Size, Span
from tests.support.boxes import SIZE, chosen_tracks, link_boxes, make_detections, three_people, turned

EVERY = every_face((0, 0, 0, 0), (0, 0, 0, 0))


@pytest.mark.parametrize(
    ("rule", "left_edges"),
    [
        ("largest", [260]),
        ("left", [20]),
        ("right", [400]),
        ("center", [260]),
        ("index:0", [20]),
        ("index:2", [400]),
        ("index:9", []),
        ("all", [20, 260, 400, 600]),
    ],
)
def test_which_face_is_meant(rule: str, left_edges: list[int]) -> None:
    """Each rule picks its face; a blip of a passer-by does not count as the right-most."""
    tracks = three_people()
    chosen = chosen_tracks(tracks, parse_selection_rule(rule))
    assert sorted(round(float(tracks.box[tracks.rows(n).start, 0])) for n in chosen) == left_edges


@pytest.mark.parametrize("rule", ["largest", "left", "index:0"])
def test_someone_who_was_hidden_for_long_is_still_meant(rule: str) -> None:
    """A speaker who turns away for longer than the gap limit is dubbed before and after."""
    faces = {n: [(100.0, 80.0, 220.0, 230.0), (400.0, 90.0, 460.0, 160.0)] for n in range(100)}
    for n in range(40, 60):
        faces[n] = faces[n][1:]
    tracks = link_boxes(make_detections(faces, 100), gap=5)
    assert len(tracks.numbers) == 3
    chosen = select_faces(tracks, chosen_tracks(tracks, parse_selection_rule(rule)), EVERY)
    assert chosen.frame.tolist() == [*range(40), *range(60, 100)]
    assert set(chosen.crop_box[:, 0].tolist()) == {100.0}


def test_the_choice_is_made_in_every_shot() -> None:
    """`largest` follows the cut to the other person."""
    faces = {
        n: [(10, 10, 200, 200), (400, 10, 440, 60)] if n < 10 else [(10, 10, 50, 60), (400, 10, 600, 200)]
        for n in range(20)
    }
    tracks = link_boxes(make_detections(faces, 20), [Span(0, 10), Span(10, 20)])
    chosen = select_faces(tracks, chosen_tracks(tracks, parse_selection_rule("largest")), EVERY)
    assert chosen.frame.tolist() == list(range(20))
    assert chosen.crop_box[:10, 0].tolist() == [10.0] * 10
    assert chosen.crop_box[10:, 0].tolist() == [400.0] * 10


def test_pads_grow_the_box_up_to_the_edge() -> None:
    """Pads are top, bottom, left, right, and the picture's edge is the limit."""
    tracks = link_boxes(make_detections({0: [(5, 300, 100, 350)]}, 1))
    chosen = select_faces(
        tracks, chosen_tracks(tracks, parse_selection_rule("largest")), every_face((1, 20, 10, 3), (0, 0, 0, 0))
    )
    assert chosen.crop_box[0].tolist() == [0, 299, 103, 360]


def test_a_fixed_box_is_top_bottom_left_right() -> None:
    """The order is the original's; outside the picture it is an error."""
    chosen = fixed_box(parse_selection_rule("box:10,110,20,220"), 3, SIZE)
    assert chosen.crop_box.tolist() == [[20, 10, 220, 110]] * 3
    with pytest.raises(FaceError, match="640x360"):
        fixed_box(parse_selection_rule("box:400,500,0,50"), 3, SIZE)


@pytest.mark.parametrize("text", ["biggest", "index:-1", "box:1,2,3", "box:5,5,0,9", ""])
def test_unknown_rules(text: str) -> None:
    """What is no rule is an error that lists the rules."""
    with pytest.raises(FaceError, match="largest"):
        parse_selection_rule(text)


@pytest.mark.parametrize("roll", [-30, 0, 20])
@pytest.mark.parametrize("yaw", [-75, -30, 0, 45, 80])
def test_how_a_face_is_turned(yaw: float, roll: float) -> None:
    """Yaw and roll come back from the five points of a face that was turned."""
    points = turned(yaw, roll)[None]
    assert yaw_degrees(points)[0] == pytest.approx(yaw, abs=1)
    assert yaw_degrees(points / np.array([1.6, 1.0], np.float32), 1.6)[0] == pytest.approx(yaw, abs=1)
    assert roll_degrees(points[0]) == pytest.approx(roll, abs=0.1)


def test_faces_left_alone_fade_out() -> None:
    """A face that turns away is left alone from there on, fades before it, and is told apart from one too small."""
    tracks = link_boxes(make_detections({n: [(150, 150, 250, 250)] for n in range(60)}, 60))
    points = np.stack([turned(min(90, n * 2)) for n in range(60)])
    turning = replace(tracks, landmarks=points)
    chosen = select_faces(
        turning, chosen_tracks(turning, parse_selection_rule("largest")), replace(EVERY, max_yaw_deg=60)
    )
    first = int(chosen.over_yaw[0])
    assert first == 33  # 4 degrees past the bound
    assert chosen.over_yaw.tolist() == list(range(first, 60))
    assert chosen.frame.tolist() == list(range(first))
    assert np.allclose(chosen.opacity[-4:], [1, 0.75, 0.5, 0.25])
    small = select_faces(
        turning, chosen_tracks(turning, parse_selection_rule("largest")), replace(EVERY, min_face_px=110)
    )
    assert (len(small.frame), len(small.too_small), len(small.over_yaw)) == (0, 60, 0)


@pytest.mark.parametrize("mean", [66.0, 69.0, 70.0, 71.0, 74.0])
@pytest.mark.parametrize("seed", range(5))
def test_a_face_that_hovers_at_the_bound_of_yaw_flips_at_most_once(mean: float, seed: int) -> None:
    """Yaw that trembles around the bound does not dub a face on and off; nobody fades in and out all the time."""
    frames = 300
    tracks = link_boxes(make_detections({n: [(150, 150, 250, 250)] for n in range(frames)}, frames))
    yaws = mean + np.random.default_rng(seed).normal(0, 1.2, frames)
    trembling = replace(tracks, landmarks=np.stack([turned(yaw) for yaw in yaws]))
    chosen = select_faces(trembling, [0], replace(EVERY, max_yaw_deg=70))
    is_left = np.isin(np.arange(frames), chosen.over_yaw)
    assert np.abs(np.diff(is_left.astype(int))).sum() <= 1
    assert (np.diff((np.abs(yaws) > 70).astype(int)) != 0).sum() > 1 or mean in (66.0, 74.0)


@pytest.mark.parametrize("seed", range(5))
def test_a_face_that_hovers_at_the_least_size_flips_at_most_once(seed: int) -> None:
    """The same for a box that is now a little larger, now a little smaller than the least one."""
    rng = np.random.default_rng(seed)
    sides = 24 + rng.normal(0, 0.6, 200)
    tracks = link_boxes(make_detections({n: [(150, 150, 150 + side, 160 + side)] for n, side in enumerate(sides)}, 200))
    chosen = select_faces(tracks, [0], replace(EVERY, min_face_px=24))
    is_small = np.isin(np.arange(200), chosen.too_small)
    assert np.abs(np.diff(is_small.astype(int))).sum() <= 1


def test_a_face_that_turns_away_and_back_is_left_alone_in_between() -> None:
    """It goes past the far threshold and returns past the near one; before and after it is dubbed."""
    values = np.concatenate([np.linspace(0, 90, 91), np.linspace(89, 0, 90)]).astype(np.float32)
    over = np.flatnonzero(beyond(values, 70, 4))
    assert (values[over[0]], values[over[-1] + 1]) == (75, 65)
    assert np.array_equal(over, np.arange(over[0], over[-1] + 1))


@pytest.mark.parametrize(
    ("values", "over"),
    [([], []), ([71, 70, 71], [1, 1, 1]), ([68, 70, 69], [0, 0, 0]), ([71, 69, 80, 69, 60], [1, 1, 1, 1, 0])],
)
def test_what_was_never_decided(values: list[float], over: list[int]) -> None:
    """Within the band all the time the mean decides; before the first decision, that one does."""
    assert beyond(np.array(values, np.float32), 70, 4).astype(int).tolist() == over


def test_pads_as_a_share_of_the_face() -> None:
    """Shares are of the face's own height and width, and add to the pixels."""
    tracks = link_boxes(make_detections({0: [(100, 100, 200, 300)]}, 1))
    crops = every_face((1, 2, 3, 4), (0.1, 0.2, 0.3, 0.4))
    assert select_faces(tracks, chosen_tracks(tracks, parse_selection_rule("largest")), crops).crop_box[0].tolist() == [
        67,
        79,
        244,
        342,
    ]


def test_the_crop_is_the_same_at_every_size() -> None:
    """By the usual settings the mouth is at one height of the crop, in small faces and in large ones."""
    rules = crop_rules(Settings(), Fraction(25))
    heights: list[float] = []
    for height in (75, 150, 300, 600, 1200):
        tracks = link_boxes(make_detections({0: [(100, 100, 100 + 0.75 * height, 100 + height)]}, 1))
        chosen = select_faces(replace(tracks, size=Size(3840, 2160)), [0], rules)
        top, bottom = chosen.crop_box[0, [1, 3]]
        heights.append(float((chosen.landmarks[0, 3, 1] - top) / (bottom - top)))
    assert max(heights) - min(heights) < 0.001


def test_tracks_without_landmarks_can_be_dubbed() -> None:
    """A user's tracks may give boxes alone: points are put where a face has them."""
    tracks = link_boxes(make_detections({0: [(100, 100, 200, 200)]}, 1))
    bare = replace(tracks, landmarks=np.zeros_like(tracks.landmarks))
    points = select_faces(bare, chosen_tracks(bare, parse_selection_rule("largest")), EVERY).landmarks[0]
    assert (points > 100).all()
    assert (points < 200).all()


def test_one_person_in_two_places_is_like_the_portrait_in_both() -> None:
    """Who is hidden and comes back elsewhere is dubbed again; of two who are there together only the more like one."""
    faces = {n: [(10, 10, 110, 110)] for n in range(20)}
    faces |= {n: [(400, 10, 500, 110), (200, 10, 300, 110)] for n in range(40, 60)}
    tracks = link_boxes(make_detections(faces, 60), gap=5)
    first, near, far = sorted(tracks.numbers, key=lambda n: float(tracks.box[tracks.rows(n).start, 0]))
    rule = parse_selection_rule("like:x.png")
    found = {first: 0.8, near: 0.6, far: 0.7}
    assert chosen_tracks(tracks, rule, lambda who: found[who[0]]) == sorted([first, far])
    assert chosen_tracks(tracks, rule, lambda who: -np.inf) == []


def test_rules_are_equal_however_they_are_written() -> None:
    """Blanks and capitals do not make another face of one."""
    assert parse_selection_rule("box: 1,20,3,40") == parse_selection_rule("box:1,20,3,40")
    assert len({parse_selection_rule("Left"), parse_selection_rule("left"), parse_selection_rule("right")}) == 2


def test_who_speaks_is_found_shot_by_shot() -> None:
    """`speaking` follows the voice, not the size; someone alone in a shot speaks; a passer-by never does."""
    faces = {n: [(10, 10, 110, 110), (400, 10, 600, 200)] for n in range(20)}
    faces |= {n: [(100, 50, 300, 250)] for n in range(20, 30)}
    faces[5] = [*faces[5], (250, 10, 270, 30)]
    tracks = link_boxes(make_detections(faces, 30), [Span(0, 20), Span(20, 30)])
    small, large = tracks.numbers[0], tracks.numbers[1]
    assert sorted(rivals(find_people(tracks, 0.0))) == [small, large]
    voice = {small: 0.6, large: 0.1}
    numbers = chosen_tracks(tracks, parse_selection_rule("speaking"), lambda who: voice.get(who[0], 0.9))
    chosen = select_faces(tracks, numbers, EVERY)
    assert set(chosen.crop_box[chosen.frame < 20, 0].tolist()) == {10.0}
    assert set(chosen.crop_box[chosen.frame >= 20, 0].tolist()) == {100.0}
    with pytest.raises(FaceError, match="compares"):
        chosen_tracks(tracks, parse_selection_rule("speaking"))
