from __future__ import annotations

import io
import zipfile
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lipwise_ray.errors import FaceError
from lipwise_ray.faces.detections import DetectedFaces, Detections
from lipwise_ray.faces.select import (
    every_face,
    parse_selection_rule,
    select_faces,
)
from lipwise_ray.faces.shots import ChangeMeter, shots
from lipwise_ray.faces.smoothing import reference_smooth, smooth
from lipwise_ray.faces.tracks import Tracks, read_tracks
from lipwise_ray.values import Span
from tests.support.boxes import Boxes, chosen_tracks, link_boxes, make_detections, three_people, turned, walk


def test_two_people_are_two_tracks() -> None:
    """Faces that pass their whole time side by side are told apart in every frame."""
    left, right = walk(50, 1, range(40)), walk(400, -1, range(40))
    tracks = link_boxes(make_detections({n: right[n] + left[n] for n in range(40)}, 40))
    assert len(tracks.numbers) == 2
    for number in tracks.numbers:
        xs = tracks.box[tracks.rows(number), 0]
        assert len(xs) == 40
        assert np.abs(np.diff(xs)).max() <= 1.001


def test_what_was_not_looked_at_is_interpolated() -> None:
    """With a stride, boxes and landmarks between looks lie on the line between them."""
    every = make_detections(walk(50, 3, range(0, 61, 3)), 61, stride=3)
    tracks = link_boxes(every, stride=3)
    assert tracks.frame.tolist() == list(range(61))
    assert np.allclose(tracks.box[:, 0], 50 + 3 * np.arange(61), atol=1e-3)
    assert np.allclose(tracks.landmarks[:, 2, 0], 50 + 3 * np.arange(61) + 40, atol=1e-3)
    assert tracks.seen.sum() == 21


def test_a_short_gap_is_filled_and_a_long_one_is_not() -> None:
    """A face hidden for less than the limit keeps its track; after a longer time it gets a new one."""
    faces = walk(50, 1, range(60))
    for n in [*range(10, 15), *range(30, 50)]:
        faces[n] = []
    tracks = link_boxes(make_detections(faces, 60), gap=8)
    assert len(tracks.numbers) == 2
    assert set(tracks.frame.tolist()) == set(range(60)) - set(range(30, 50))


def test_no_track_crosses_a_cut() -> None:
    """The same place in two shots is two tracks, and smoothing does not mix them."""
    faces = {n: [(100 if n < 20 else 140, 100, 180 if n < 20 else 220, 200)] for n in range(40)}
    tracks = smooth(link_boxes(make_detections(faces, 40), [Span(0, 20), Span(20, 40)]), 3)
    assert len(tracks.numbers) == 2
    assert set(tracks.box[:20, 0].tolist()) == {100.0}
    assert set(tracks.box[20:, 0].tolist()) == {140.0}


def test_chunks_do_not_show() -> None:
    """Detections joined from any chunking give the same tracks."""
    faces = walk(50, 2, range(50))
    whole = make_detections(faces, 50)
    for length in (1, 7, 25):
        parts = []
        for start in range(0, 50, length):
            stop = min(50, start + length)
            rows = (whole.frame >= start) & (whole.frame < stop)
            looked = whole.looked[(whole.looked >= start) & (whole.looked < stop)]
            parts.append(
                Detections(
                    looked,
                    whole.frame[rows],
                    whole.box[rows],
                    whole.landmarks[rows],
                    whole.score[rows],
                    whole.colour[rows],
                    whole.change[start:stop],
                    whole.is_blend[start:stop],
                )
            )
        assert np.array_equal(link_boxes(Detections.joined(parts)).box, link_boxes(whole).box)


def test_smoothing_is_centred() -> None:
    """A steady movement is not delayed, at the ends neither; jitter gets less."""
    steady = smooth(link_boxes(make_detections(walk(50, 2, range(40)), 40)), 4)
    assert np.allclose(steady.box[:, 0], 50 + 2 * np.arange(40), atol=1e-3)
    rng = np.random.default_rng(1)
    shaky = {n: [(x := 100 + rng.normal(0, 3), 100, x + 80, 200)] for n in range(100)}
    raw = link_boxes(make_detections(shaky, 100))
    assert smooth(raw, 3).box[10:90, 0].std() < 0.6 * raw.box[10:90, 0].std()


def test_the_originals_smoothing() -> None:
    """The vectors of the reference, which smooths in place and looks forward."""
    assert reference_smooth(np.array([10, 20, 30, 40, 50])).tolist() == [30, 34, 36, 38, 37]
    assert reference_smooth(np.arange(10, 90, 10)).tolist() == [30, 40, 50, 60, 64, 66, 68, 67]


@given(st.lists(st.integers(0, 2000), min_size=1, max_size=30))
def test_the_originals_smoothing_for_any_length(values: list[int]) -> None:
    """Equal to the reference's loop, negative slice starts of short clips included."""
    expected = np.array(values)
    for i in range(len(expected)):
        part = expected[len(expected) - 5 :] if i + 5 > len(expected) else expected[i : i + 5]
        expected[i] = np.mean(part, axis=0)
    assert reference_smooth(np.array(values)).tolist() == expected.tolist()


def test_tracks_survive_their_file(tmp_path: Path) -> None:
    """Saved tracks load as they were; other files are refused."""
    tracks = three_people()
    tracks.save(tmp_path / "t.npz")
    loaded = Tracks.load(tmp_path / "t.npz")
    assert np.array_equal(loaded.box, tracks.box)
    assert loaded.frames == 30
    np.savez(tmp_path / "bad.npz", track=np.zeros(3))
    (tmp_path / "text.npz").write_text("hello")
    far: dict[str, Any] = dict(np.load(tmp_path / "t.npz"))
    np.savez(tmp_path / "far.npz", **{**far, "frame": far["frame"] + 900})
    (tmp_path / "empty.npz").touch()
    (tmp_path / "cut.npz").write_bytes((tmp_path / "t.npz").read_bytes()[:-40])
    np.save(tmp_path / "array.npy", np.zeros(3))
    (tmp_path / "array.npy").rename(tmp_path / "array.npz")
    for name in ("bad.npz", "text.npz", "far.npz", "missing.npz", "empty.npz", "cut.npz", "array.npz"):
        with pytest.raises(FaceError) as caught:
            read_tracks(tmp_path / name)
        assert name in str(caught.value)


def test_cuts_are_found_on_small_pictures() -> None:
    """A hard cut scores far above a slow change; the score of a frame depends on the one before only."""
    rng = np.random.default_rng(0)
    scene = [rng.integers(0, 255, (90, 160, 3), dtype=np.uint8) for _ in range(2)]
    pictures = [np.clip(scene[n // 10].astype(int) + n, 0, 255).astype(np.uint8) for n in range(20)]
    meter = ChangeMeter()
    change = np.array([meter.measure(p) for p in pictures], np.float32)
    assert shots(change, np.zeros(20, np.bool_), 27.0) == [Span(0, 10), Span(10, 20)]
    late = ChangeMeter()
    again = [late.measure(p) for p in pictures[6:]]
    assert np.allclose(again[1:], change[7:])


def test_small_faces_are_left_out() -> None:
    """The shorter side decides."""
    found = DetectedFaces(
        np.array([[0, 0, 30, 10], [0, 0, 20, 20]], np.float32), np.zeros((2, 5, 2), np.float32), np.ones(2, np.float32)
    )
    assert found.keep(16).box.tolist() == [[0, 0, 20, 20]]


def test_tracks_whose_eyes_are_swapped_are_refused(tmp_path: Path) -> None:
    """A file with the subject's left first would turn every face round: loading it says which order is meant."""
    tracks = link_boxes(make_detections({n: [(100, 100, 200, 200)] for n in range(5)}, 5))
    points = np.stack([turned(0)] * 5)
    replace(tracks, landmarks=points).save(tmp_path / "good.npz")
    read_tracks(tmp_path / "good.npz")
    replace(tracks, landmarks=points[:, [1, 0, 2, 4, 3]]).save(tmp_path / "bad.npz")
    with pytest.raises(FaceError, match="image's left first"):
        read_tracks(tmp_path / "bad.npz")


@pytest.mark.parametrize("crossed_px", [0, 1, 4, 10])
def test_a_full_profile_is_turned_away(tmp_path: Path, crossed_px: float) -> None:
    """Where a detector's eyes change places in a profile the face is left alone all the same, and its file is read."""
    tracks = link_boxes(make_detections({n: [(150, 150, 250, 250)] for n in range(9)}, 9))
    points = np.stack([turned(90)] * 9)
    points[:, 0, 0] += crossed_px / 2
    points[:, 1, 0] -= crossed_px / 2
    profile = replace(tracks, landmarks=points)
    crops = replace(every_face((0, 0, 0, 0), (0, 0, 0, 0)), max_yaw_deg=70)
    assert len(select_faces(profile, chosen_tracks(profile, parse_selection_rule("largest")), crops).over_yaw) == 9
    profile.save(tmp_path / "t.npz")
    assert np.array_equal(read_tracks(tmp_path / "t.npz").landmarks, points)


def _one_euro(values: Any, rate: float) -> Any:
    """The One-Euro filter (Casiez 2012) with a minimal cutoff of 1 Hz, a speed coefficient of 0.05, as for pixels."""

    def share(cutoff_hz: float) -> float:
        return 1 / (1 + rate / (2 * np.pi * cutoff_hz))

    found, speed = [values[0]], 0.0
    for value in values[1:]:
        speed += share(1.0) * ((value - found[-1]) * rate - speed)
        found.append(found[-1] + share(1.0 + 0.05 * abs(speed)) * (value - found[-1]))
    return np.array(found)


@pytest.mark.parametrize("motion", ["still", "sway", "nod", "walk", "turn"])
def test_smoothing_is_no_worse_than_one_euro(motion: str) -> None:
    """Noisy detections in every third frame: boxes tremble as little as through a One-Euro filter (to 15 %), and are
    nearer to where a moving face is, behind which that filter lags; one that rests they miss by 0.2 px more.
    """
    rate, seconds = 25.0, np.arange(200) / 25
    place = {
        "still": 0 * seconds,
        "sway": 8 * np.sin(np.pi * seconds),
        "nod": 10 * np.sin(3 * np.pi * seconds),
        "walk": 60 * seconds,
        "turn": np.clip((seconds - 4) * 150, 0, 60),
    }[motion]
    rng = np.random.default_rng(7)
    ours, theirs = [], []
    for _ in range(20):
        seen = {n: [(100 + x, 100, 200 + x, 200)] for n in range(0, 200, 3) for x in [place[n] + rng.normal()]}
        tracks = link_boxes(make_detections(seen, 200, 3), stride=3)
        ours.append(smooth(tracks, round(0.2 * rate / 2)).box[:199, 0] - 100 - place[:199])
        theirs.append(_one_euro(tracks.box[:199, 0].astype(np.float64), rate) - 100 - place[:199])
    jitter, error = (
        [float(np.sqrt((np.diff(np.array(x), n, axis=1) ** 2).mean())) for x in (ours, theirs)] for n in (2, 0)
    )
    assert jitter[0] < 1.15 * jitter[1]
    assert error[0] < {"still": 1.2, "turn": 0.9}.get(motion, 0.65) * error[1]


_STRIDES = st.integers(1, 7)


def _lone(places: Sequence[float], stride: int, change: Sequence[float]) -> Tracks:
    """Return the raw tracks of a lone face, 200 px wide, that is looked at in every so many frames."""
    seen: Boxes = {n: [(x, 100, x + 200, 320)] for n, x in enumerate(places) if n % stride == 0}
    found = replace(make_detections(seen, len(places), stride), change=np.array(change, np.float32))
    return link_boxes(found, stride=stride, gap=10)


@given(
    places=st.lists(st.sampled_from([0.0, 1.0, 3.0, 20.0, 50.0, 80.0]), min_size=8, max_size=60),
    stride=_STRIDES,
    seed=st.integers(0, 99),
)
def test_pieces_of_one_face_share_no_frame(places: list[float], stride: int, seed: int) -> None:
    """However a face jumps, and wherever nobody looked: a frame shows it once, and no frame shows nobody."""
    change = np.random.default_rng(seed).uniform(0, 9, len(places))
    tracks = _lone(places, stride, change.tolist())
    frames = sorted(tracks.frame.tolist())
    assert frames == list(range(len(places)))


@pytest.mark.parametrize("stride", [1, 2, 3, 4, 5, 7])
@pytest.mark.parametrize("step", [0.07, 0.1, 0.12, 0.15, 0.18, 0.22, 0.25])
@pytest.mark.parametrize("frames", [1, 2])
def test_a_lone_face_that_steps_aside_stays_one_person(step: float, stride: int, frames: int) -> None:
    """A noisy face that moves by a part of itself at once is dubbed in every frame, whichever frames were looked at."""
    rng = np.random.default_rng(round(1000 * step) + stride)
    for first in (40, 43, 44, 47):
        places = 200 * step * np.clip((np.arange(90) - first) / frames, 0, 1) + rng.normal(0, 1.5, 90)
        tracks = smooth(_lone(places.tolist(), stride, rng.uniform(0, 2, 90).tolist()), 2)
        chosen = chosen_tracks(tracks, parse_selection_rule("largest"))
        assert sorted(tracks.frame[np.isin(tracks.track, chosen)].tolist()) == list(range(90))


def test_between_looks_a_jump_is_where_the_image_changes() -> None:
    """Where nobody looked, the frame in which the image changes most begins the new place."""
    for jump in (46, 47, 48):
        change = np.where(np.arange(90) == jump, 9.0, 1.0)
        tracks = _lone(np.where(np.arange(90) < jump, 0.0, 30.0).tolist(), 3, change.tolist())
        assert [int(tracks.frame[tracks.rows(number).start]) for number in tracks.numbers] == [0, jump]
        assert np.unique(tracks.box[:, 0]).tolist() == [0.0, 30.0]


@pytest.mark.parametrize(("hz", "share"), [(0.5, 0.002), (1.0, 0.004), (2.0, 0.03)])
def test_boxes_keep_up_with_a_nod(hz: float, share: float) -> None:
    """A head that nods by an eighth of its face is seen in every third frame: boxes are off by so much of the face."""
    frames = np.arange(250)
    nod = 20 * np.sin(2 * np.pi * hz * frames / 25 + 0.3)
    seen = {int(n): [(300, 200 + nod[n], 420, 360 + nod[n])] for n in frames[::3]}
    box = smooth(link_boxes(make_detections(seen, 250, 3), stride=3), 2).box
    assert np.abs(box[10:240, 1] - 200 - nod[10:240]).max() < share * 160


@pytest.mark.parametrize(
    "change",
    [
        {"track": np.full(20, -1)},
        {"frame": np.zeros(20, np.int64)},
        {"frame": np.arange(20) + 0.5},
        {"score": np.full(20, np.nan)},
        {"box": np.full((20, 4), np.nan)},
        {"box": np.tile([0, 0, 1e300, 1e300], (20, 1))},
        {"box": np.tile([0, 0, 1e9, 1e9], (20, 1))},
        {"landmarks": np.full((20, 5, 2), np.inf)},
        {"shots": np.array([[0, 10**15]])},
        {"shots": np.array([[-5, 3]])},
        {"shots": np.array([[1, 1]])},
        {"shots": np.array([[0, 12], [10, 20]])},
        {"shots": np.array([[10, 20], [0, 10]])},
        {"video": np.array([10**9, 10**9, 10**9])},
        {"video": np.array([20, 0, 400])},
    ],
)
def test_every_field_of_a_users_tracks_is_checked(change: dict[str, np.ndarray], tmp_path: Path) -> None:
    """Numbers that no video can have are refused, whichever array they are in."""
    link_boxes(make_detections({n: [(150, 150, 250, 250)] for n in range(20)}, 20)).save(tmp_path / "good.npz")
    assert len(read_tracks(tmp_path / "good.npz").frame) == 20
    with np.load(tmp_path / "good.npz") as good:
        np.savez(tmp_path / "bad.npz", **{**good, **change})
    with pytest.raises(FaceError) as caught:
        read_tracks(tmp_path / "bad.npz")
    assert caught.value.code == "bad_tracks"


def test_a_small_file_of_many_faces_is_refused_by_its_headers(tmp_path: Path) -> None:
    """What would take hundreds of megabytes is not read, though nothing in it is wrong."""
    count = 40_000_000
    plain = {"track": (), "frame": (), "box": (4,), "landmarks": (5, 2), "score": (), "seen": ()}
    with zipfile.ZipFile(tmp_path / "bomb.npz", "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive:
        for name, axes in plain.items():
            head = io.BytesIO()
            dtype = "<i8" if name in ("track", "frame") else "|b1" if name == "seen" else "<f4"
            shape = (count, *axes)
            np.lib.format.write_array_header_1_0(head, {"descr": dtype, "fortran_order": False, "shape": shape})
            archive.writestr(f"{name}.npy", head.getvalue() + bytes(1 << 20))
        for name, values in {"shots": np.array([[0, 9]]), "video": np.array([9, 160, 120])}.items():
            body = io.BytesIO()
            np.save(body, values)
            archive.writestr(f"{name}.npy", body.getvalue())
    with pytest.raises(FaceError, match=r"not a tracks file: .*does not fit into \d+ bytes"):
        read_tracks(tmp_path / "bomb.npz")


def test_some_rows_keep_the_colours_of_their_tracks() -> None:
    """Of a track whose rows are all left out nothing is kept, and nothing moves to another."""
    faces = {n: [(20, 100, 100, 200), (400, 100, 480, 200)] for n in range(10)}
    tracks = link_boxes(make_detections(faces, 10, colour=lambda x, _: x))
    assert tracks.colour is not None
    for number in tracks.numbers:
        part = tracks.only((tracks.track == number) & (tracks.frame < 4))
        assert (part.numbers, len(part.frame)) == ([number], 4)
        assert part.colour is not None
        assert part.colour[:, 3].tolist() == [float(part.box[0, 0])]
    assert replace(tracks, colour=None).only(tracks.frame < 4).colour is None


def test_tracks_that_a_user_edited_may_be_others(tmp_path: Path) -> None:
    """A track that was taken out of an exported file is no fault, and its colours are nobody else's."""
    tracks = link_boxes(make_detections({0: [(20, 100, 100, 200), (400, 100, 480, 200)]}, 1, colour=lambda x, _: x))
    tracks.save(tmp_path / "all.npz")
    with np.load(tmp_path / "all.npz") as found:
        arrays = dict(found)
    for name in ("track", "frame", "box", "landmarks", "score", "seen"):
        arrays[name] = arrays[name][1:]
    np.savez(tmp_path / "own.npz", **arrays)
    own = read_tracks(tmp_path / "own.npz")
    assert (own.numbers, own.colour) == ([1], None)
    with pytest.raises(ValueError, match="colours of other tracks"):
        Tracks.load(tmp_path / "own.npz")
