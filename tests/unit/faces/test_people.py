"""Who is who: tracks of one person, of others, and of nothing that is a face."""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

import numpy as np
import pytest

from lipwise_ray.errors import FaceError
from lipwise_ray.faces.embeddings import FaceEmbeddings
from lipwise_ray.faces.people import People, find_people, may_show
from lipwise_ray.faces.pointed import check_looked_at
from lipwise_ray.faces.select import parse_selection_rule, select_tracks
from lipwise_ray.faces.tracks import Tracks
from lipwise_ray.values import Size, Span
from tests.support.boxes import Boxes, link_boxes, make_detections

LEFT, RIGHT, FAR = (40.0, 100.0, 120.0, 200.0), (300.0, 100.0, 380.0, 200.0), (540.0, 100.0, 620.0, 200.0)


def _tracks(
    *spans: tuple[range, tuple[float, float, float, float]],
    cuts: Sequence[int] = (),
    colour: Callable[[float, int], float] | None = None,
) -> Tracks:
    frames = 1 + max(number for span, _ in spans for number in span)
    faces: Boxes = {}
    for span, box in spans:
        for number in span:
            faces.setdefault(number, []).append(box)
    edges = [0, *cuts, frames]
    shots = [Span(start, stop) for start, stop in itertools.pairwise(edges)]
    return link_boxes(make_detections(faces, frames, colour=colour), shots, gap=5)


def _frames(tracks: Tracks, people: People, rule: str) -> list[int]:
    chosen = select_tracks(people, parse_selection_rule(rule), tracks)
    return sorted(tracks.frame[np.isin(tracks.track, chosen)].tolist())


def _faces(tracks: Tracks, who: Callable[[float], str]) -> FaceEmbeddings:
    """Know people by where they are first seen; those without a name are not embedded."""
    names = {number: who(float(tracks.box[tracks.rows(number).start, 0])) for number in tracks.numbers}
    return _embedded({number: _ONE_HOT[name] for number, name in names.items() if name})


_ONE_HOT = {"he": (1.0, 0.0, 0.0), "she": (0.0, 1.0, 0.0), "it": (0.0, 0.0, 1.0)}


def _embedded(vectors: Mapping[int, Sequence[float]], same: float = 0.363) -> FaceEmbeddings:
    if not vectors:
        return FaceEmbeddings.empty()
    values = np.array(list(vectors.values()), np.float64)
    values /= np.linalg.norm(values, axis=1)[:, None]
    return FaceEmbeddings(np.array(list(vectors), np.int64), values, np.array([same]))


@pytest.mark.parametrize("rule", ["largest", "left", "right", "center", "index:0"])
@pytest.mark.parametrize("gap", [0, 20])
def test_somebody_alone_is_one_person_wherever_he_is(rule: str, gap: int) -> None:
    """Behind a jump cut that is no shot's end, and after he was unseen while he walked."""
    tracks = _tracks((range(40), LEFT), (range(40 + gap, 90), FAR))
    assert len(tracks.numbers) == 2
    assert _frames(tracks, find_people(tracks, 0.5), rule) == [*range(40), *range(40 + gap, 90)]


def test_who_passes_behind_somebody_comes_out_as_himself() -> None:
    """Of the two who are there the hidden one is gone, so it is he who comes."""
    tracks = _tracks(
        (range(90), (160.0, 100.0, 240.0, 200.0)), (range(30), LEFT), (range(50, 90), (280.0, 100.0, 360.0, 200.0))
    )
    people = find_people(tracks, 0.5)
    assert sorted(person.frames for person in people.shots[0]) == [70, 90]


def test_two_who_are_seen_together_are_two() -> None:
    """And whoever is there while both are is neither."""
    tracks = _tracks((range(60), LEFT), (range(60), RIGHT), (range(20, 40), FAR))
    assert len(find_people(tracks, 0.5).shots[0]) == 3


def test_faces_tell_people_apart() -> None:
    """Another face at the same place is somebody else, and the same face elsewhere is the same man, over cuts too."""
    tracks = _tracks((range(20), LEFT), (range(30, 50), FAR), (range(50, 80), LEFT), cuts=[50])
    others = _faces(tracks, lambda x: "she" if x > 500 else "he")
    people = find_people(tracks, 0.5, others, over_cuts=True)
    assert [len(shot) for shot in people.shots] == [2]
    assert _frames(tracks, people, "left") == [*range(20), *range(50, 80)]
    assert _frames(tracks, find_people(tracks, 0.5, others), "left") == [*range(20), *range(50, 80)]
    assert _frames(tracks, find_people(tracks, 0.5, others), "right") == [*range(30, 50), *range(50, 80)]


def test_what_is_hardly_a_face_is_nobody() -> None:
    """A hand that is taken for a face is neither left-most nor one of all, and is counted."""
    tracks = _tracks((range(60), RIGHT), (range(10, 50), LEFT))
    hand = int(np.argmin([tracks.box[tracks.rows(number).start, 0] for number in tracks.numbers]))
    tracks = replace(tracks, score=np.where(tracks.track == hand, 0.2, 0.9).astype(np.float32))
    people = find_people(tracks, 0.6)
    assert people.doubtful == [hand]
    for rule in ("left", "all", "largest"):
        assert _frames(tracks, people, rule) == list(range(60))


def test_points_that_are_no_face_make_doubt() -> None:
    """However sure the detector is; of a user's tracks without points nothing can be told."""
    tracks = _tracks((range(30), LEFT))
    line = np.linspace(0, 1, 5)[:, None] * np.array([80.0, 100.0]) + np.array([40.0, 100.0])
    flat = replace(tracks, landmarks=np.tile(line.astype(np.float32), (30, 1, 1)))
    assert find_people(flat, 0.6).shots == []
    assert find_people(replace(tracks, landmarks=np.zeros_like(tracks.landmarks)), 0.6).doubtful == []


def test_who_may_be_the_one_that_was_chosen() -> None:
    """Whoever is never there with them, unless faces deny it."""
    tracks = _tracks((range(60), LEFT), (range(30), FAR), (range(40, 60), (300.0, 20.0, 360.0, 90.0)))
    first, second, third = (int(n) for n in np.argsort([tracks.frame[tracks.rows(n).start] for n in tracks.numbers]))
    apart = find_people(tracks, 0.5, _faces(tracks, lambda x: {LEFT[0]: "he", FAR[0]: "she"}.get(x, "it")))
    assert len(apart.shots[0]) == 3
    assert may_show(apart, [third]) == [third]
    unsure = replace(apart, embeddings=None)
    lone = {n for n in (first, second) if tracks.frame[tracks.rows(n).stop - 1] < 40}
    assert may_show(unsure, [third]) == sorted({third, *lone})


def test_a_false_face_where_somebody_was_is_not_theirs() -> None:
    """A hand that appears at a man's place once he is gone is doubtful by itself, and takes nothing from his mean."""
    tracks = _tracks((range(150), LEFT), (range(160, 206), LEFT))
    tracks = replace(tracks, score=np.where(tracks.frame < 155, 0.92, 0.42).astype(np.float32))
    people = find_people(tracks, 0.6)
    (man,), (hand,) = people.shots[0], people.doubtful
    assert man.confidence == pytest.approx(0.92)
    assert tracks.frame[tracks.rows(hand).start] == 160
    assert _frames(tracks, people, "largest") == list(range(150))


@pytest.mark.parametrize(
    ("frames", "gap", "score", "kept"), [(6, 0, 0.5, 1), (6, 4, 0.5, 0), (6, 0, 0.4, 0), (20, 0, 0.5, 0)]
)
def test_a_blurred_moment_of_a_sure_face_is_his(frames: int, gap: int, score: float, kept: int) -> None:
    """Where his track breaks while his head turns fast: no longer, no later, and no less like a face than that."""
    box = (70.0, 100.0, 150.0, 200.0)
    tracks = _tracks((range(40), LEFT), (range(40 + gap, 40 + gap + frames), box))
    assert len(tracks.numbers) == 2
    tracks = replace(tracks, score=np.where(tracks.frame < 40, 0.9, score).astype(np.float32))
    people = find_people(tracks, 0.6)
    assert len(people.doubtful) == 1 - kept
    assert _frames(tracks, people, "largest") == list(range(40 + kept * frames))


def _three_shots(
    names: Sequence[str], *others: tuple[range, tuple[float, float, float, float]]
) -> tuple[Tracks, People]:
    """Return three shots of one face each, of these names, and others beside."""
    places = ((40.0, 100.0, 120.0, 200.0), (240.0, 100.0, 320.0, 200.0), (440.0, 100.0, 520.0, 200.0))
    spans = [(range(20 * n, 20 * n + 20), place) for n, place in enumerate(places)]
    tracks = _tracks(*spans, *others, cuts=[20, 40])
    who = {place[0]: name for place, name in zip(places, names, strict=True)}
    return tracks, find_people(tracks, 0.5, _faces(tracks, lambda x: who.get(x, "")), over_cuts=True)


@pytest.mark.parametrize("rule", ["largest", "left", "index:0"])
def test_an_embedder_takes_nobody_away(rule: str) -> None:
    """A man whose face is turned too far to be embedded in one shot is dubbed there as he is without an embedder."""
    tracks, people = _three_shots(["he", "", "he"])
    assert [len(shot) for shot in people.shots] == [1]
    assert _frames(tracks, people, rule) == list(range(60))
    tracks, people = _three_shots(["", "", ""])
    assert _frames(tracks, people, rule) == list(range(60))


def test_shots_that_cannot_be_told_go_by_their_own() -> None:
    """A lone face that may be either of two people, or two where nobody can be told, are chosen among by the rule; a
    clear face of somebody else is not taken for the person who is followed.
    """
    tracks, people = _three_shots(["he", "she", ""])
    assert [len(shot) for shot in people.shots] == [2, 1]
    assert _frames(tracks, people, "left") == [*range(20), *range(40, 60)]
    tracks, people = _three_shots(["he", "", "he"], (range(20, 40), (540.0, 60.0, 630.0, 180.0)))
    assert [len(shot) for shot in people.shots] == [1, 2]
    assert _frames(tracks, people, "left") == list(range(60))
    tracks, people = _three_shots(["he", "she", "he"])
    assert _frames(tracks, people, "left") == [*range(20), *range(40, 60)]


def test_who_may_be_the_one_that_was_chosen_in_shots_of_their_own() -> None:
    """Where a rule chooses nobody in a shot that cannot be told, its people may be the one whom it chose elsewhere."""
    tracks, people = _three_shots(["he", "she", ""])
    chosen = select_tracks(people, parse_selection_rule("index:1"), tracks)
    assert sorted(tracks.frame[np.isin(tracks.track, chosen)]) == list(range(20, 40))
    assert sorted(tracks.frame[np.isin(tracks.track, may_show(people, chosen))]) == list(range(20, 60))


def test_nobody_is_followed_by_places_alone() -> None:
    """Without an embedder each shot has its own people, whatever was asked for."""
    tracks = _tracks((range(20), LEFT), (range(20, 40), RIGHT), cuts=[20])
    people = find_people(tracks, 0.5, over_cuts=True)
    assert not people.over_cuts
    assert _frames(tracks, people, "largest") == list(range(40))


def test_a_face_is_that_of_whom_it_is_most_like() -> None:
    """Not of whom it is just like enough and who is larger."""
    tracks = _tracks((range(30), LEFT), (range(30, 50), RIGHT), (range(50, 70), FAR), cuts=[30, 50])
    a, b, c = sorted(tracks.numbers, key=lambda number: int(tracks.frame[tracks.rows(number).start]))
    like_a = 0.38
    vectors = {a: (1.0, 0.0, 0.0), b: (0.2, np.sqrt(1 - 0.04), 0.0)}
    y = (0.96 - 0.2 * like_a) / vectors[b][1]
    vectors[c] = (like_a, y, np.sqrt(1 - like_a**2 - y**2))
    people = find_people(tracks, 0.5, _embedded(vectors), over_cuts=True)
    assert sorted(person.tracks for person in people.shots[0]) == [(a,), (b, c)]


@pytest.mark.parametrize(("later", "people"), [(None, 3), (70.0, 2), (74.0, 2), (80.0, 3)])
def test_who_comes_back_far_away_is_known_by_his_clothes(later: float | None, people: int) -> None:
    """Beside somebody else, from one end of the picture to the other: without colours nobody says that it is he."""
    spans = ((range(40), LEFT), (range(90), RIGHT), (range(60, 90), FAR))
    colour = later and (lambda x, n: 20 if x == RIGHT[0] else 70 if n < 40 else later)
    assert len(find_people(_tracks(*spans, colour=colour or None), 0.5).shots[0]) == people


@pytest.mark.parametrize(("later", "people"), [(70.0, 2), (20.0, 3)])
def test_who_comes_to_his_place_is_another_by_his_clothes(later: float, people: int) -> None:
    """One goes, one comes where he was, beside somebody who stays."""
    tracks = _tracks(
        (range(40), LEFT),
        (range(90), RIGHT),
        (range(60, 90), LEFT),
        colour=lambda x, n: 45 if x == RIGHT[0] else 70 if n < 40 else later,
    )
    assert len(find_people(tracks, 0.5).shots[0]) == people


@pytest.mark.parametrize("first", [30.0, 70.0])
def test_of_two_who_have_gone_the_one_comes_who_looks_like_it(first: float) -> None:
    """He comes between their places, nearer to the first one's."""
    second, middle = (180.0, 100.0, 260.0, 200.0), (100.0, 100.0, 180.0, 200.0)
    tracks = _tracks(
        (range(40), LEFT),
        (range(45), second),
        (range(90), FAR),
        (range(60, 90), middle),
        colour=lambda x, _: {LEFT[0]: first, second[0]: 100 - first, middle[0]: 70}.get(x, 50),
    )
    (comes,) = (person for person in find_people(tracks, 0.5).shots[0] if len(person.tracks) > 1)
    assert [tracks.box[tracks.rows(n).start, 0] for n in comes.tracks] == [
        LEFT[0] if first == 70 else second[0],
        middle[0],
    ]


@pytest.mark.parametrize("shots", [1, 400])
@pytest.mark.parametrize("spread", [0.1, 1.5])
def test_the_people_of_a_long_film_are_found_at_once(shots: int, spread: float) -> None:
    """Two thousand tracks of twenty people take about a second, in one shot or many, alike or hardly alike."""
    rng = np.random.default_rng(0)
    frames = np.repeat(np.arange(2000) // 5 * 10, 10) + np.tile(np.arange(10), 2000)
    place = np.tile(np.array([[40.0, 100, 120, 200]]), (20000, 1)) + np.repeat(np.arange(2000) % 5 * 110, 10)[:, None]
    tracks = Tracks(
        np.repeat(np.arange(2000), 10),
        frames,
        place.astype(np.float32),
        np.zeros((20000, 5, 2), np.float32),
        np.ones(20000, np.float32),
        np.ones(20000, np.bool_),
        np.array([[4000 // shots * n, 4000 // shots * (n + 1)] for n in range(shots)]),
        4000,
        Size(640, 360),
    )
    who = np.concatenate([rng.permutation(20)[:5] for _ in range(400)])
    faces = rng.normal(size=(20, 128))[who] + spread * rng.normal(size=(2000, 128))
    embeddings = _embedded(dict(enumerate(faces)))
    begin = time.process_time()
    people = find_people(tracks, 0.5, embeddings, over_cuts=True)
    assert time.process_time() - begin < 4
    if spread < 1:
        assert len(people.shots[0]) == 20


@pytest.mark.parametrize(("frames", "side", "doubtful"), [(20, 80, 1), (20, 30, 0), (40, 80, 0)])
def test_a_large_face_that_passes_has_to_be_surer(frames: int, side: int, doubtful: int) -> None:
    """A hand that moves beside a man is a face for some frames; who is small, or stays, needs no more than others."""
    man, passing = (400.0, 100.0, 500.0, 220.0), (20.0, 100.0, 20.0 + side, 100.0 + side)
    found = make_detections({n: [man, passing] if 40 <= n < 40 + frames else [man] for n in range(120)}, 120)
    score = np.where(found.box[:, 0] < 400, 0.7, 0.95).astype(np.float32)
    people = find_people(link_boxes(replace(found, score=score)), 0.6)
    assert len(people.doubtful) == doubtful


@pytest.mark.parametrize("cuts", [[], [40, 60]])
def test_somebody_in_a_short_shot_does_not_pass(cuts: list[int]) -> None:
    """Whoever is there from cut to cut, however short that is, needs to be no surer than others."""
    found = make_detections({n: [LEFT] for n in range(40, 60)}, 120)
    edges = [0, *cuts, 120]
    spans = [Span(start, stop) for start, stop in itertools.pairwise(edges)]
    tracks = link_boxes(replace(found, score=np.full(20, 0.7, np.float32)), spans)
    assert len(find_people(tracks, 0.6).doubtful) == (0 if cuts else 1)


def test_a_point_names_the_person_whose_face_holds_it() -> None:
    """`at` takes whoever is at the point of that frame, in the whole shot and nowhere else without an embedder."""
    spans = (range(40), LEFT), (range(20), RIGHT), (range(40, 60), RIGHT)
    tracks = _tracks(*spans, cuts=[40])
    people = find_people(tracks, 0.0)
    assert _frames(tracks, people, "at:5,340,150") == [*range(20)]
    assert _frames(tracks, people, "at:39,40,100") == [*range(40)]
    with pytest.raises(FaceError, match=r"no face holds the point; faces of that frame.*: 40,100 to 120,200"):
        _frames(tracks, people, "at:39,340,150")
    with pytest.raises(FaceError, match="frame 60 is not in a video of 60 frames"):
        _frames(tracks, people, "at:60,340,150")


def test_a_frame_that_was_not_looked_at_is_said_to_be_outside() -> None:
    """Nobody is known to be in a frame that start and end leave out: the message says that, and no more."""
    check_looked_at("at:50,10,10", 50, Span(50, 90))
    for frame in (49, 90):
        with pytest.raises(FaceError, match=f"frame {frame} is outside what the row uses.* 50 to 89"):
            check_looked_at(f"at:{frame},10,10", frame, Span(50, 90))


def test_a_point_in_two_faces_names_the_nearer_one() -> None:
    """Where boxes overlap, the one whose middle is nearest counts."""
    tracks = _tracks((range(20), LEFT), (range(20), (90.0, 100.0, 170.0, 200.0)))
    chosen = select_tracks(find_people(tracks, 0.0), parse_selection_rule("at:3,112,150"), tracks)
    assert [float(tracks.box[tracks.rows(number).start, 0]) for number in chosen] == [90.0]


def test_a_person_at_a_point_is_followed_over_cuts_by_face() -> None:
    """With an embedder the person of one frame is dubbed in every shot."""
    tracks = _tracks((range(20), LEFT), (range(20), RIGHT), (range(20, 40), LEFT), (range(20, 40), RIGHT), cuts=[20])
    names = iter(["he", "she", "she", "he"])
    order = {number: next(names) for number in sorted(tracks.numbers, key=lambda n: tracks.rows(n).start)}
    faces = _embedded({number: _ONE_HOT[name] for number, name in order.items()})
    people = find_people(tracks, 0.0, faces, over_cuts=True)
    his = select_tracks(people, parse_selection_rule("at:3,80,150"), tracks)
    assert sorted(his) == sorted(number for number, name in order.items() if name == order[his[0]])
    assert len(his) == 2
