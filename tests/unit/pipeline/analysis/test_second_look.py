"""What is looked at again: between frames in which faces are elsewhere, and at faces that a detector is not sure of."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from fractions import Fraction
from itertools import pairwise
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lipwise_ray.faces.detections import DetectedFaces, Detections
from lipwise_ray.faces.smoothing import smooth
from lipwise_ray.media.frames import make_recipe
from lipwise_ray.media.index import build_index
from lipwise_ray.media.pixels import plane_array
from lipwise_ray.media.probe import probe_video
from lipwise_ray.pipeline.analysis import stretch
from lipwise_ray.pipeline.analysis.face_detection import linked, scan
from lipwise_ray.pipeline.analysis.looks import Look
from lipwise_ray.pipeline.analysis.second_look import may_jump, moves
from lipwise_ray.settings.model import DetectSettings, Settings
from lipwise_ray.values import Size, Span
from tests.support.boxes import link_boxes, make_detections

SIZE, FRAMES, JUMP, STEP, GONE, SIDE_PX = Size(320, 180), 45, 17, 27, 33, 32
SETTINGS = DetectSettings(stride=5, batch_frames=4, size_px=320, min_size_px=8)


class _Squares:
    """Finds bright squares; what it makes of them is told, and otherwise from near."""

    def __init__(self, score: float, near: float, *, together: bool = False) -> None:
        self._score, self._near, self.together = score, near, together
        self.near_images = 0

    def detect(self, images: list[Any]) -> list[DetectedFaces]:
        return [self._found(image) for image in images]

    def _found(self, image: Any) -> DetectedFaces:
        is_near = image.shape[0] == image.shape[1]
        self.near_images += is_near
        rows, columns = np.nonzero(image[..., 1] > 180)
        score = self._near if is_near else self._score
        if not len(rows) or not score:
            return DetectedFaces.empty()
        box = np.array([[columns.min(), rows.min(), columns.max() + 1, rows.max() + 1]], np.float32)
        return DetectedFaces(box, np.repeat(box[:, None, :2], 5, axis=1), np.array([score], np.float32))


@pytest.fixture(scope="module")
def film(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """A square that jumps, steps aside, and is gone later; the first frame of each is none that is looked at first."""
    lefts = [None if n >= GONE else 60 if n < JUMP else 180 if n < STEP else 186 for n in range(FRAMES)]
    return _write_squares(tmp_path_factory.mktemp("film") / "v.mkv", lefts)


def _write_squares(path: Path, lefts: Sequence[int | None]) -> Any:
    """Write a film of a square that is at so many pixels from the left in each frame, None where it is gone."""
    with av.open(str(path), "w") as container:
        stream: Any = container.add_stream("ffv1", rate=25)
        stream.width, stream.height, stream.pix_fmt = SIZE.width, SIZE.height, "yuv420p"
        for number, left in enumerate(lefts):
            frame = av.VideoFrame(SIZE.width, SIZE.height, "yuv420p")
            for plane, level in enumerate((60, 128, 128)):
                plane_array(frame, plane)[:] = level
            if left is not None:
                plane_array(frame, 0)[60 : 60 + SIDE_PX, left : left + SIDE_PX] = 225
            frame.pts, frame.time_base = number, Fraction(1, 25)
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    info = probe_video(path)
    index = build_index(info)
    return info, index, make_recipe(info, index.sizes)


def _scanned(film: Any, detector: Any, span: Span, settings: DetectSettings = SETTINGS) -> Detections:
    return scan(*film, span, detector, settings, threads=1, salvage=False, on_frame=lambda: None)


def _without_cuts(settings: DetectSettings) -> DetectSettings:
    """Return settings by which nothing is a cut: the jump is none that the image's change shows."""
    return settings.model_copy(update={"cut_threshold": 1e6})


def test_a_jump_and_an_end_are_found_to_the_frame(film: Any) -> None:
    """Of five frames one is looked at, and the last; where a face jumps, steps aside or goes, all are, nowhere else."""
    found = _scanned(film, _Squares(1.0, 1.0), Span(0, FRAMES), _without_cuts(SETTINGS))
    between = {*range(15, 21), *range(25, 36)}
    assert set(found.looked) == between | {*range(0, FRAMES, 5), FRAMES - 1}
    lefts = dict(zip(found.frame.tolist(), found.box[:, 0].tolist(), strict=True))
    assert {number: left for number, left in lefts.items() if left < 120}.keys() == {0, 5, 10, 15, 16}
    assert max(lefts) == GONE - 1


@pytest.mark.parametrize(("first", "frames"), [(16, 1), (17, 3), (19, 1), (18, 4), (21, 8)])
def test_who_is_elsewhere_for_some_frames_is_seen_there(first: int, frames: int, tmp_path: Path) -> None:
    """A face that jumps away and back is followed in every frame, be it back where it was before the next look."""
    lefts = [180 if first <= number < first + frames else 60 for number in range(FRAMES)]
    film = _write_squares(tmp_path / "v.mkv", lefts)
    settings = _without_cuts(SETTINGS)
    found = _scanned(film, _Squares(1.0, 1.0), Span(0, FRAMES), settings)
    tracks = smooth(linked(found, SIZE, 25.0, Settings(detect=settings)), 2)
    assert dict(zip(tracks.frame.tolist(), tracks.box[:, 0].tolist(), strict=True)) == dict(enumerate(lefts))
    parts = [_scanned(film, _Squares(1.0, 1.0), span, settings) for span in (Span(0, first), Span(first, FRAMES))]
    assert np.concatenate([part.looked for part in parts]).tolist() == found.looked.tolist()


def test_a_shot_is_looked_at_in_its_first_and_last_frame(film: Any) -> None:
    """A face that moves is not left behind before a cut; the chunk that ends there knows of the cut as well."""
    settings = SETTINGS.model_copy(update={"cut_threshold": 2.0})
    whole = _scanned(film, _Squares(1.0, 1.0), Span(0, FRAMES), settings)
    assert np.flatnonzero(whole.change >= 2.0).tolist() == [JUMP]
    assert {JUMP - 1, JUMP, FRAMES - 1} < set(whole.looked)
    for cut in range(JUMP - 3, JUMP + 4):
        parts = [_scanned(film, _Squares(1.0, 1.0), span, settings) for span in (Span(0, cut), Span(cut, FRAMES))]
        assert np.concatenate([part.looked for part in parts]).tolist() == whole.looked.tolist()


@pytest.mark.slow
def test_chunks_find_the_dissolve_of_the_whole(tmp_path: Path) -> None:
    """Where a film is cut into chunks, be it within a dissolve, does not change which frames are a part of it."""
    scenes = np.random.default_rng(0).integers(40, 160, (2, 18, 32)).repeat(10, axis=1).repeat(10, axis=2)
    with av.open(str(tmp_path / "v.mkv"), "w") as container:
        stream: Any = container.add_stream("ffv1", rate=25)
        stream.width, stream.height, stream.pix_fmt = SIZE.width, SIZE.height, "yuv420p"
        for share in np.clip((np.arange(FRAMES) - 15) / 10, 0, 1):
            image = np.rint(scenes[0] * (1 - share) + scenes[1] * share).astype(np.uint8)
            container.mux(stream.encode(av.VideoFrame.from_ndarray(image.repeat(3).reshape(*image.shape, 3))))
        container.mux(stream.encode(None))
    info = probe_video(tmp_path / "v.mkv")
    index = build_index(info)
    film = info, index, make_recipe(info, index.sizes)
    whole = _scanned(film, _Squares(1.0, 1.0), Span(0, FRAMES)).is_blend
    assert whole[20]
    assert not whole[[*range(14), *range(27, FRAMES)]].any()
    for cut in range(12, 30):
        parts = [_scanned(film, _Squares(1.0, 1.0), span) for span in (Span(0, cut), Span(cut, FRAMES))]
        assert np.array_equal(np.concatenate([part.is_blend for part in parts]), whole)


@pytest.mark.parametrize("together", [False, True])
@pytest.mark.parametrize(
    "cuts",
    [
        (16,),
        (18,),
        (17, 31),
        (15, 20, 34),
        (26,),
        (25, 30),
        (21, 26, 29),
        pytest.param(tuple(range(1, FRAMES)), marks=pytest.mark.slow),
    ],
)
@pytest.mark.parametrize("far", [0.8, pytest.param(1.0, marks=pytest.mark.slow)])
def test_chunks_find_what_the_whole_finds(cuts: tuple[int, ...], far: float, together: Any, film: Any) -> None:
    """Where a film is cut into chunks decides nothing, be it in the midst of a jump or next to one."""
    settings = _without_cuts(SETTINGS)
    whole = _scanned(film, _Squares(far, 0.9, together=together), Span(0, FRAMES), settings)
    edges = (0, *cuts, FRAMES)
    parts = [_scanned(film, _Squares(far, 0.9, together=together), Span(*pair), settings) for pair in pairwise(edges)]
    for name in ("looked", "frame", "box", "landmarks", "score", "change"):
        joined = np.concatenate([getattr(part, name) for part in parts])
        assert np.array_equal(joined, getattr(whole, name)), name


@pytest.mark.parametrize(
    ("far", "near", "score", "looks"), [(0.99, 0.1, 0.99, 0), (0.7, 0.95, 0.95, 7), (0.7, 0.0, 0.0, 7)]
)
def test_faces_in_doubt_are_looked_at_from_near(far: float, near: float, score: float, looks: int, film: Any) -> None:
    """The second look decides: a face that is none from near has the score 0; a sure one costs no second look, and
    one between looks none either where it is a face in them.
    """
    detector = _Squares(far, near)
    found = _scanned(film, detector, Span(0, FRAMES), SETTINGS.model_copy(update={"cut_threshold": 5.0}))
    assert found.score == pytest.approx(np.full(len(found.frame), score))
    assert detector.near_images == looks


@pytest.mark.parametrize(("side", "score"), [(30, 0.9), (60, 0.2)])
def test_a_large_face_is_one_in_the_mirror_too(side: int, score: float, film: Any) -> None:
    """What is large enough to be seen well is doubtful where a mirror makes it none, as hands are; of what is small
    too little is seen for that.
    """

    class Shadow(_Squares):
        """Something that is taken for a face unless it is mirrored: as a hand is."""

        def _found(self, image: Any) -> DetectedFaces:
            if image.shape[0] != image.shape[1]:
                box = np.array([[100, 60, 100 + side, 60 + side]], np.float32)
                return DetectedFaces(box, np.repeat(box[:, None, :2], 5, axis=1), np.array([0.75], np.float32))
            middle = image.shape[0] / 2
            half = middle * 0.35
            box = np.array([[middle - half, middle - half, middle + half, middle + half]], np.float32)
            is_mirrored = image[:, : image.shape[1] // 2].mean() < image[:, image.shape[1] // 2 :].mean()
            found = np.array([0.2 if is_mirrored else 0.9], np.float32)
            return DetectedFaces(box, np.repeat(box[:, None, :2], 5, axis=1), found)

    at_jump = _scanned(film, Shadow(1.0, 1.0), Span(JUMP - 1, JUMP), SETTINGS.model_copy(update={"stride": 1}))
    assert at_jump.score.tolist() == [pytest.approx(score)]


def test_a_face_reaches_the_bound_in_one_look_at_least(film: Any) -> None:
    """What is below `detect.min_score` from afar and from near is none; a strict bound leaves nothing to chance."""
    assert not len(_scanned(film, _Squares(0.6, 0.6), Span(0, FRAMES)).frame)
    strict = SETTINGS.model_copy(update={"min_score": 1.0})
    assert not len(_scanned(film, _Squares(0.95, 0.97), Span(0, FRAMES), strict).frame)


def test_a_film_is_decoded_once(film: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Second looks are at images that are in hand; only what is too much to hold is read again, and is seen alike."""
    read: list[int] = []
    images = stretch.SearchedVideo.images

    def again(footage: Any, numbers: Any) -> Any:
        read.extend(numbers)
        return images(footage, numbers)

    monkeypatch.setattr(stretch.SearchedVideo, "images", again)
    held = _scanned(film, _Squares(0.8, 0.9), Span(0, FRAMES), _without_cuts(SETTINGS))
    assert not read
    monkeypatch.setattr(stretch, "_MOST_HELD_BYTES", 200_000)
    unheld = _scanned(film, _Squares(0.8, 0.9), Span(0, FRAMES), _without_cuts(SETTINGS))
    assert read
    assert np.array_equal(held.looked, unheld.looked)
    assert np.array_equal(held.box, unheld.box)


def test_a_stretch_looks_at_little_of_what_is_next_to_it(film: Any) -> None:
    """A chunk whose edges leave no doubt is looked at in its own frames and in the looks around it, in no others."""

    class Counting(_Squares):
        images = 0

        def detect(self, images: list[Any]) -> list[DetectedFaces]:
            self.images += len(images)
            return super().detect(images)

    detector = Counting(1.0, 1.0)
    _scanned(film, detector, Span(7, 13), _without_cuts(SETTINGS))
    assert detector.images == len([5, 10, 15])


def test_only_so_many_faces_of_a_frame_are_looked_at_from_near(film: Any) -> None:
    """A crowd of doubtful faces costs no more second looks than a few: the largest have them."""

    class Crowd(_Squares):
        def _found(self, image: Any) -> DetectedFaces:
            if image.shape[0] == image.shape[1]:
                return super()._found(image)
            corners = np.array([[20 * n, 10 + 3 * n] for n in range(9)], np.float32)
            box = np.concatenate([corners, corners + 15 + np.arange(9, dtype=np.float32)[:, None]], axis=1)
            return DetectedFaces(box, np.repeat(box[:, None, :2], 5, axis=1), np.full(9, 0.75, np.float32))

    crowd = Crowd(0.75, 0.9)
    found = _scanned(film, crowd, Span(0, 1))
    assert crowd.near_images == 4
    assert np.flatnonzero(found.score != np.float32(0.75)).tolist() == [5, 6, 7, 8]


def _look(number: int, *boxes: tuple[float, float, float, float]) -> Look:
    faces = make_detections({0: list(boxes)}, 1)
    found = DetectedFaces(faces.box, faces.landmarks, faces.score)
    every = np.ones(len(boxes), np.bool_)
    return Look(number, found, every, every, faces.colour)


def _at(x: float) -> tuple[float, float, float, float]:
    return (x, 100, x + 100, 200)


HERE, NEXT, FURTHER, THERE = (_at(x) for x in (100, 103, 112, 300))


@pytest.mark.parametrize(
    ("old", "new", "in_doubt"),
    [
        ([HERE], [NEXT], False),
        ([HERE], [FURTHER], None),
        ([HERE], [_at(130)], True),
        ([HERE], [THERE], True),
        ([HERE], [], True),
        ([], [HERE], True),
        ([], [], False),
        ([HERE, THERE], [THERE, HERE], False),
    ],
)
def test_frames_between_are_looked_at_where_somebody_is_elsewhere(old: Any, new: Any, in_doubt: Any) -> None:
    """A face that rests needs no look between; one that comes, goes or moves far does; else what is around decides."""
    assert moves(_look(0, *old), _look(5, *new)).in_doubt is in_doubt


@pytest.mark.parametrize("shift", [8.0, 15.0, 24.0])
def test_a_step_is_a_jump_where_the_moves_around_are_small(shift: float) -> None:
    """Someone who walks needs no look between; the same step of somebody who stands does, also next to a cut."""
    walk = [_look(5 * n, _at(100 + shift * n), THERE) for n in range(4)]
    assert not may_jump(moves(*walk[1:3]), moves(*walk[:2]), moves(*walk[2:]))
    still = [_look(5 * n, _at(100 + shift * (n > 1)), THERE) for n in range(4)]
    assert may_jump(moves(*still[1:3]), moves(*still[:2]), moves(*still[2:]))
    assert may_jump(moves(*walk[1:3]), None, None)


@given(
    places=st.lists(st.floats(0, 90), min_size=4, max_size=20),
    stride=st.integers(2, 6),
)
def test_a_track_is_cut_between_looks_only_where_they_are_looked_at(places: list[float], stride: int) -> None:
    """Where a chain of looks is cut, the rule of second looks sees a jump as well."""
    looks = [_look(stride * n, _at(x)) for n, x in enumerate(places)]
    steps = [moves(*pair) for pair in pairwise(looks)]
    found = make_detections(
        {look.number: [_at(x)] for look, x in zip(looks, places, strict=True)}, looks[-1].number + 1
    )
    tracks = link_boxes(replace(found, looked=np.array([look.number for look in looks])), stride=stride, gap=stride)
    for number in tracks.numbers[1:]:
        seen = tracks.rows(number)
        first = int(tracks.frame[seen][tracks.seen[seen]][0]) // stride
        place = first - 1
        later = steps[place + 1] if first < len(steps) else None
        doubt = steps[place].in_doubt
        assert may_jump(steps[place], steps[place - 1] if place else None, later) if doubt is None else doubt
