"""Speakers in a plan: who may say what, when."""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lipwise_ray.errors import FaceError
from lipwise_ray.faces.select import FaceSelection
from lipwise_ray.media.index import FrameIndex
from lipwise_ray.pipeline.dubbing.dialogue import check_alone, why_left_alone
from lipwise_ray.pipeline.dubbing.make_plan import make_plan
from lipwise_ray.pipeline.dubbing.plan import DialogueFacts, Facts
from lipwise_ray.settings.layers import resolve
from lipwise_ray.settings.model import Settings

FRAMES = 100


def _part(rule: str, track: int, *times: tuple[float, float]) -> DialogueFacts:
    return DialogueFacts(rule, (track,), rule, None, tuple((Fraction(a), Fraction(b)) for a, b in times))


def _faces(frames: dict[int, Any]) -> FaceSelection:
    """Return faces by track: in which frames."""
    rows = sorted((n, track) for track, shown in frames.items() for n in shown)
    count = len(rows)
    box = np.tile(np.array([10, 10, 50, 50], np.float32), (count, 1))
    return FaceSelection(
        np.array([n for n, _ in rows], np.int64),
        np.array([track for _, track in rows], np.int64),
        box,
        box,
        np.zeros((count, 5, 2), np.float32),
        np.ones(count, np.float32),
    )


def _plan(
    parts: tuple[DialogueFacts, ...], chosen: FaceSelection, step: int = 1, frames: int = FRAMES, **sections: Any
) -> Any:
    """Plan frames of 1/25 s, each held for `step`."""
    pts = np.arange(frames, dtype=np.int64) * step
    index = FrameIndex(
        pts,
        np.ones(frames, bool),
        pts,
        np.zeros(0, np.int64),
        frames * step,
        Fraction(1, 25),
        Fraction(25) if step == 1 else None,
    )
    length = Fraction(frames * step, 25)
    facts = Facts(index, False, Fraction(0), length, int(length * 80) + 1, parts, 0.0, None)
    settings: Settings = resolve([("test", sections)])
    return make_plan(facts, chosen, settings)


BOTH = _faces({1: range(FRAMES), 2: range(FRAMES)})


def test_each_frame_has_its_faces_and_what_they_say() -> None:
    """A face that two rules choose is one face with two parts; the others have one."""
    one, other = _part("left", 1, (0, 1)), _part("index:0", 1, (1, 2))
    plan = _plan((one, other, _part("right", 2, (0, 4))), BOTH)
    assert [(face.track, face.parts) for face in plan.faces(30)] == [(1, (0, 1)), (2, (2,))]


def test_rounded_times_are_no_overlap() -> None:
    """A few milliseconds between two rules for one face are forgiven, more are not."""
    _plan((_part("left", 1, (0, 2.005)), _part("index:0", 1, (2, 3))), BOTH)
    with pytest.raises(FaceError, match=r"left and index:0 are one face at 2\.00 s"):
        _plan((_part("left", 1, (0, 2.1)), _part("index:0", 1, (2, 3))), BOTH)


def test_a_box_over_a_face_is_that_face() -> None:
    """A fixed box (tracks below nought) may not speak while the face beneath it does; beside it, it may."""
    over = _faces({1: range(FRAMES), -2: range(FRAMES)})
    parts = (_part("left", 1, (0, 3)), _part("box:10,50,10,50", -2, (2, 4)))
    with pytest.raises(FaceError, match=r"left and box:10,50,10,50 are one face at 2\.00 s"):
        _plan(parts, over)
    beside = replace(over, face_box=np.where((over.track < 0)[:, None], over.face_box + 100, over.face_box))
    assert len(_plan(parts, beside).parts) == 2
    with pytest.raises(FaceError, match="are one face"):
        _plan((_part("box:1", -1, (0, 3)), _part("box:2", -2, (2, 4))), _faces({-1: range(FRAMES), -2: range(FRAMES)}))


def test_of_a_box_and_the_face_beneath_it_the_one_who_speaks_is_drawn() -> None:
    """The closed lips of the other would hide his; in the pause between it is whose words are nearer."""
    for one, other in ((1, -2), (-2, 1), (-1, -2), (-2, -1)):
        over = _faces({one: range(FRAMES), other: range(FRAMES)})
        plan = _plan((_part("one", one, (0, 1)), _part("other", other, (2, 4))), over)
        assert [[face.track for face in plan.faces(number)] for number in range(FRAMES)] == [[one]] * 38 + [
            [other]
        ] * 62
        beside = replace(over, face_box=np.where((over.track == other)[:, None], over.face_box + 100, over.face_box))
        plan = _plan((_part("one", one, (0, 1)), _part("other", other, (2, 4))), beside)
        assert all(len([*plan.faces(number)]) == 2 for number in range(FRAMES))


def test_a_clash_where_the_face_is_not_shown_is_none() -> None:
    """Both speak, but the face is elsewhere meanwhile."""
    shown = _faces({1: range(50)})
    parts = (_part("left", 1, (0, 3)), _part("index:0", 1, (2.5, 4)))
    plan = _plan(parts, shown, faces={"min_face_share": 0.0})
    assert len(plan.parts) == 2


@pytest.mark.parametrize("times", [(41.0, 43.5), (2.01, 2.03)])
def test_a_line_within_a_held_frame_is_heard(times: tuple[float, float]) -> None:
    """Slides are shown for 4 s each: a line that begins and ends within one belongs to it."""
    plan = _plan((_part("left", 1, (0, 40)), _part("right", 2, times)), BOTH, step=100)
    assert [face.parts for face in plan.faces(int(times[0] / 4))] == [(0,), (1,)]


def test_a_speaker_after_the_end_is_refused() -> None:
    """Nobody would hear him."""
    with pytest.raises(FaceError, match=r"is not heard: speaks only from 60\.00 s on, and 4\.00 s are delivered"):
        _plan((_part("left", 1, (0, 2)), _part("right", 2, (60, 61))), BOTH)


def test_rules_for_missing_faces_hold_for_each_speaker() -> None:
    """`fail`, the smallest share, and letting through go by the frames in which somebody speaks."""
    some = _faces({1: range(FRAMES), 2: range(50, 55)})
    parts = (_part("left", 1, (0, 4)), _part("right", 2, (2, 4)))
    _plan(parts, some)
    with pytest.raises(FaceError, match=r"right.*is missing in 45 of the 50 frames in which it speaks"):
        _plan(parts, some, faces={"on_no_face": "fail"})
    with pytest.raises(FaceError, match=r"right.*is in 5 of the 50 frames .*at least 20\.0% are needed"):
        _plan(parts, some, faces={"min_face_share": 0.2})
    nobody = replace(_faces({1: range(FRAMES)}), too_small=np.arange(FRAMES))
    with pytest.raises(FaceError, match=r"is in 0 of the 50 frames in which it speaks; under 24 px in 50"):
        _plan(parts, nobody)
    assert _plan(parts, nobody, faces={"min_face_share": 0.0}).counts.frames_with_face == FRAMES


@pytest.mark.timeout(60)
def test_an_hour_of_turns_is_checked() -> None:
    """Twenty thousand turns of two who talk at once are looked through as they come, and not each with each."""
    frames = 90_000
    chosen = _faces({1: range(frames), 2: range(frames)})
    times = [(n * Fraction(36, 100), n * Fraction(36, 100) + Fraction(3, 10)) for n in range(10_000)]
    one = DialogueFacts("left", (1,), "left", None, tuple(times))
    later = tuple((start + Fraction(1, 10), stop + Fraction(1, 10)) for start, stop in times)
    other = DialogueFacts("right", (2,), "right", None, later)
    assert _plan((one, other), chosen, frames=frames).counts.frames_with_face == frames
    with pytest.raises(FaceError, match=r"left and right are one face at 0\.10 s"):
        _plan((one, replace(other, tracks=(1,))), chosen, frames=frames)


_TICKS = st.lists(st.tuples(st.integers(1, 30), st.integers(1, 30)), min_size=1, max_size=8)


def _turns_of(ticks: list[tuple[int, int]]) -> tuple[tuple[Fraction, Fraction], ...]:
    """Return turns of a hundredth of a second's multiples, by pauses and lengths."""
    found: list[tuple[Fraction, Fraction]] = []
    now = 0
    for pause, length in ticks:
        found.append((Fraction(now + pause, 100), Fraction(now + pause + length, 100)))
        now += pause + length
    return tuple(found)


def _clash(one: DialogueFacts, other: DialogueFacts) -> tuple[float, float] | None:
    """Return when two of one face first overlap by more than 20 ms, and the first frame then: each turn with each."""
    slack = Fraction(1, 50)
    both = [
        (max(a[0], b[0]), min(a[1], b[1]) - slack)
        for a in one.times_s
        for b in other.times_s
        if max(a[0], b[0]) < min(a[1], b[1]) - slack
    ]
    begins = [n / 25 for n in range(FRAMES) if any(n / 25 < stop and (n + 1) / 25 > start for start, stop in both)]
    return (float(min(start for start, _ in both)), begins[0]) if begins else None


@given(one_ticks=_TICKS, other_ticks=_TICKS)
def test_overlaps_are_those_of_each_turn_with_each(
    one_ticks: list[tuple[int, int]], other_ticks: list[tuple[int, int]]
) -> None:
    """A face that says two things at once for more than a rounding is found, and when; nothing else is."""
    one, other = (
        DialogueFacts(rule, (1,), rule, None, _turns_of(ticks))
        for rule, ticks in (("left", one_ticks), ("right", other_ticks))
    )
    known = _clash(one, other)
    shown = _faces({1: range(FRAMES)})
    if known is None:
        assert len(_plan((one, other), shown, faces={"min_face_share": 0.0}).parts) == 2
    else:
        with pytest.raises(FaceError, match=f"left and right are one face at {max(known):.2f} s"):
            _plan((one, other), shown)


def test_a_narrator_whose_face_is_found_for_a_moment_fails_nothing() -> None:
    """Who was looked for, and seen in two seconds of six minutes of speech, is mostly not in the video."""
    shown = _faces({1: range(9000), 2: range(50)})
    anna = _part("ANNA=speaking", 1, (0, 360))
    narrator = replace(_part("NARRATOR=speaking", 2, (0, 360)), is_sought=True)
    plan = _plan((anna, narrator), shown, frames=9000)
    assert plan.counts.frames_with_face == 9000
    assert [face.track for face in plan.faces(10)] == [1, 2]
    _plan((anna, narrator), shown, frames=9000, faces={"on_no_face": "fail"})
    with pytest.raises(FaceError, match="is in 50 of the 9000 frames"):
        _plan((anna, replace(narrator, is_sought=False)), shown, frames=9000)


def _times(*pairs: tuple[str, str]) -> tuple[tuple[Fraction, Fraction], ...]:
    return tuple((Fraction(start), Fraction(stop)) for start, stop in pairs)


def test_one_face_says_one_thing_at_a_time() -> None:
    """Sounds that follow each other are fine, also where times were rounded; the message says when two collide."""
    check_alone("left", _times(("0", "2"), ("2", "3"), ("2.985", "4")))
    with pytest.raises(FaceError, match=r"left says two things at once at 2\.50 s; a face says one thing") as caught:
        check_alone("left", _times(("0", "2"), ("2", "3"), ("2.5", "4")))
    assert caught.value.code == "speakers_overlap"


def test_why_faces_were_left_alone_is_counted_in_the_frames_that_matter() -> None:
    """Small, turned and doubtful ones by the settings that leave them out; nothing where none were."""
    none = np.zeros(0, np.int64)
    boxes = np.zeros((0, 4), np.float32)
    nobody = FaceSelection(none, none, boxes, boxes, np.zeros((0, 5, 2), np.float32), np.zeros(0, np.float32))
    assert why_left_alone(np.arange(9), nobody, Settings()) == ""
    found = FaceSelection(
        *(nobody.frame, nobody.track, boxes, boxes, nobody.landmarks, nobody.opacity),
        too_small=np.arange(5, 9),
        over_yaw=np.array([1]),
        doubtful=np.arange(4, 9),
    )
    settings = Settings.model_validate({"faces": {"min_face_px": 24.0, "max_yaw_deg": 70.0}})
    said = why_left_alone(np.arange(6), found, settings)
    assert "under 24 px in 1 (faces.min_face_px)" in said
    assert "turned by over 70 degrees in 1 (faces.max_yaw_deg)" in said
    assert "hardly a face in 2 (faces.min_confidence)" in said
