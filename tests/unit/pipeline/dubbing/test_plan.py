from __future__ import annotations

from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lipwise_ray.errors import FaceError, InputError
from lipwise_ray.faces.select import FaceSelection
from lipwise_ray.lipsync.mel import mel_columns
from lipwise_ray.media.edits import edits_of
from lipwise_ray.media.index import FrameIndex
from lipwise_ray.pipeline.dubbing.make_plan import make_plan
from lipwise_ray.pipeline.dubbing.plan import DialogueFacts, Facts, Plan, chunk_frames
from lipwise_ray.settings.layers import resolve
from lipwise_ray.settings.model import Settings


def _index(frames: int, rate: Fraction = Fraction(25), steps: list[int] | None = None) -> FrameIndex:
    if steps:
        pts = np.cumsum([0, *steps[:-1]]).astype(np.int64)
        tick, end, known = Fraction(1, 1000), int(pts[-1]) + steps[-1], None
    else:
        pts, tick, end, known = np.arange(frames, dtype=np.int64), 1 / rate, frames, rate
    return FrameIndex(pts, np.ones(len(pts), bool), pts, np.zeros(0, np.int64), end, tick, known)


def _facts(index: FrameIndex, audio_s: float | Fraction, **changes: Any) -> Facts:
    length = Fraction(audio_s)
    parts = (DialogueFacts("largest", (0,), "mel", changes.pop("voiced", None)),)
    facts = Facts(index, False, Fraction(0), length, mel_columns(int(length * 16000)), parts, 0.0, None)
    return replace(facts, **changes)


def _faces(frames: Any) -> FaceSelection:
    frame = np.array(list(frames), np.int64)
    boxes = np.tile(np.array([10, 10, 50, 50], np.float32), (len(frame), 1))
    count = len(frame)
    points = np.zeros((count, 5, 2), np.float32)
    return FaceSelection(frame, np.zeros(count, np.int64), boxes, boxes, points, np.ones(count, np.float32))


def _settings(**sections: Any) -> Settings:
    return resolve([("test", sections)])


def test_the_output_lasts_as_long_as_the_sound() -> None:
    """3 s of video under 11 s of sound give 275 frames, back and forth."""
    plan = make_plan(_facts(_index(75), 11), _faces(range(75)), _settings())
    assert len(plan.source) == 275
    assert plan.source[70:80].tolist() == [70, 71, 72, 73, 74, 73, 72, 71, 70, 69]
    assert plan.audio_s == 11
    assert [len(chunk) for chunk in plan.chunks] == [275]  # 250 are asked for, and a rest is no chunk


def test_start_and_end_cut_the_video() -> None:
    """Frames are taken by their time; an empty range is an error that tells the length."""
    facts = _facts(_index(100), 1, start_s=1.0, end_s=2.0)
    plan = make_plan(facts, _faces(range(100)), _settings(timing={"length": "video"}))
    assert plan.source.tolist() == list(range(25, 50))
    assert plan.audio_s == 1
    with pytest.raises(InputError, match=r"4\.00 s"):
        make_plan(replace(facts, start_s=9.0, end_s=None), _faces([]), _settings())


def test_start_and_end_cut_frames_that_stand_still() -> None:
    """At a variable rate the frame that is shown at the start comes first, for what is left of it; so does the last."""
    index = _index(0, steps=[40, 40, 3000, 40, 40, 2000])
    facts = _facts(index, 9, start_s=2.0, end_s=4.0, lead_s=Fraction(1, 2))
    plan = make_plan(facts, _faces(range(6)), _settings(timing={"length": "video"}))
    assert plan.source.tolist() == [2, 3, 4, 5]
    assert plan.timeline.pts.tolist() == [0, 1080, 1120, 1160]
    assert plan.timeline.duration_s == 2
    (edit,) = edits_of(index, plan.source, plan.timeline)
    assert (edit.start_s, edit.stop_s, edit.shift_s) == (2, 4, -2)


def test_silence_pads_and_the_end_is_cut_for_the_videos_length() -> None:
    """The delivered sound is as long as the picture when the two differ by more than half a frame."""
    for audio_s in (Fraction(1), Fraction(9)):
        plan = make_plan(_facts(_index(100), audio_s), _faces(range(100)), _settings(timing={"length": "video"}))
        assert plan.audio_s == 4
        assert len(plan.source) == 100


def test_a_picture_that_starts_late_is_held() -> None:
    """When the source's picture starts 0.2 s after its sound, its first frame stands for 5 frames."""
    plan = make_plan(_facts(_index(50), 2, lead_s=Fraction(1, 5)), _faces(range(50)), _settings())
    assert plan.source[:8].tolist() == [0, 0, 0, 0, 0, 0, 1, 2]
    assert len(plan.source) == 50
    video = make_plan(
        _facts(_index(50), 9, lead_s=Fraction(1, 5)), _faces(range(50)), _settings(timing={"length": "video"})
    )
    assert len(video.source) == 55
    assert video.source[-1] == 49


def test_faces_that_are_missing() -> None:
    """Pass leaves the frames in, skip takes them out, fail fails; all count them."""
    some = _faces([*range(30), *range(40, 100)])
    facts = _facts(_index(100), 4)
    passing = make_plan(facts, some, _settings())
    assert passing.counts.frames_without_face == 10
    assert list(passing.faces(35)) == []
    assert len(list(passing.faces(36 + 10))) == 1
    skipping = make_plan(facts, some, _settings(faces={"on_no_face": "skip"}, timing={"length": "video"}))
    assert skipping.source.tolist() == [*range(30), *range(40, 100)]
    assert skipping.counts.source_frames_skipped == 10
    with pytest.raises(FaceError, match="is missing in 10 of 100 frames, first in frame 30"):
        make_plan(facts, some, _settings(faces={"on_no_face": "fail"}))


def test_a_video_without_the_face_fails_unless_allowed() -> None:
    """The error says in how many frames was looked; a minimum of 0 lets the video through."""
    facts = _facts(_index(100), 4)
    with pytest.raises(FaceError, match="0 of 100 frames"):
        make_plan(facts, _faces([]), _settings())
    plan = make_plan(facts, _faces([]), _settings(faces={"min_face_share": 0.0}))
    assert plan.counts.frames_without_face == 100
    with pytest.raises(FaceError):
        make_plan(facts, _faces([]), _settings(faces={"min_face_share": 0.0, "on_no_face": "skip"}))


def test_a_still_image_lasts_as_long_as_the_sound() -> None:
    """One picture at the chosen rate; the rule `video` has no meaning for it."""
    facts = _facts(_index(1), 2, is_still=True)
    plan = make_plan(facts, _faces([0]), _settings(source={"still_rate": "30000/1001"}))
    assert len(plan.source) == 60
    assert plan.rate == Fraction(30000, 1001)
    with pytest.raises(InputError, match="still image"):
        make_plan(facts, _faces([0]), _settings(timing={"length": "video"}))


def test_static_shows_one_frame() -> None:
    """`static` shows the first used frame all the time."""
    plan = make_plan(_facts(_index(100), 2, start_s=1.0), _faces(range(100)), _settings(source={"static": True}))
    assert set(plan.source.tolist()) == {25}
    assert len(plan.source) == 50


def test_the_parity_rule_ends_early() -> None:
    """With the original's windows, ten seconds at 25 frames a second have 247 frames."""
    plan = make_plan(_facts(_index(100), 10), _faces(range(100)), _settings(lipsync={"windows": "reference"}))
    assert len(plan.source) == 247
    assert plan.timeline.end_pts == 247


@given(
    st.one_of(
        st.tuples(st.integers(1, 120), st.sampled_from([Fraction(24), Fraction(30000, 1001), Fraction(60)])),
        st.lists(st.integers(5, 200), min_size=1, max_size=80),
    ),
    st.fractions(Fraction(1, 16000), 12),
    st.sampled_from(["audio", "video", "shortest", "longest"]),
    st.sampled_from(["pingpong", "loop", "hold"]),
    st.integers(1, 90),
)
@settings(max_examples=150)
def test_every_plan_is_whole(video: Any, audio_s: Fraction, length: str, extend: str, chunk: int) -> None:
    """Chunks cover the output once, times rise, sound and picture end within a frame, and files keep it all."""
    index = _index(*video) if isinstance(video, tuple) else _index(0, steps=video)
    plan = make_plan(
        _facts(index, audio_s),
        _faces(range(len(index))),
        _settings(timing={"length": length, "extend": extend}, chunk={"frames": chunk}),
    )
    covered = [n for span in plan.chunks for n in range(span.start, span.stop)]
    assert covered == list(range(len(plan.source)))
    assert (np.diff(plan.timeline.pts) > 0).all()
    assert plan.timeline.end_pts > plan.timeline.pts[-1]
    # Half a frame, or what rounding to a tick and the smallest count of one frame leave.
    slack_s = max(1 / (2 * plan.rate), index.time_base if index.rate is None else Fraction(0))
    if len(plan.source) == 1:
        slack_s = plan.timeline.duration_s
    assert abs(plan.timeline.duration_s - plan.audio_s) <= slack_s
    assert plan.source.min() >= 0
    assert plan.source.max() < len(index)


def test_a_plan_survives_its_files(tmp_path: Path) -> None:
    """What was saved is what a worker reads."""
    plan = make_plan(_facts(_index(0, steps=[40, 33, 41]), 1), _faces([0, 2]), _settings())
    plan.save(tmp_path / "p.npz")
    loaded = Plan.load(tmp_path / "p.npz", plan.record())
    assert np.array_equal(loaded.source, plan.source)
    assert np.array_equal(loaded.timeline.pts, plan.timeline.pts)
    assert loaded.chunks == plan.chunks
    assert loaded.audio_s == plan.audio_s
    assert np.array_equal(next(loaded.faces(0)).crop_box, next(plan.faces(0)).crop_box)


def _voices(columns: int, *pauses: tuple[int, int]) -> Any:
    heard = np.ones(columns, bool)
    for start, stop in pauses:
        heard[start:stop] = False
    return heard


def test_filmed_lips_return_where_both_sounds_pause() -> None:
    """The new lips fade out behind the last sound of either, and in before the next; a pause of one alone is none."""
    both = _facts(_index(100), 4, voiced=_voices(321, (80, 240)), own_voiced=_voices(321, (0, 200)))
    plan = make_plan(both, _faces(range(100)), _settings())
    heard = [n for n in range(100) if n * 80 // 25 < 80 or n * 80 // 25 >= 200]
    assert all(plan.parts[0].opacity[n] == 1 for n in heard)
    assert plan.parts[0].opacity[24:30].tolist() == pytest.approx([1, 1, 2 / 3, 1 / 3, 0, 0])
    assert plan.parts[0].opacity[59:64].tolist() == pytest.approx([0, 1 / 3, 2 / 3, 1, 1])
    assert list(plan.faces(40)) == []
    assert next(plan.faces(26)).opacity == pytest.approx(2 / 3)
    assert plan.parts[0].pauses.tolist() == [[80, 240]]
    assert plan.counts.frames_in_pauses == int((plan.parts[0].opacity == 0).sum())


@pytest.mark.parametrize("case", ["closed", "no own sound", "off"])
def test_new_lips_stay_where_the_filmed_ones_may_move(case: str) -> None:
    """With `closed`, or without a sound of the source to tell, no filmed lips return; with `off` nothing is gated."""
    heard = _voices(321, (80, 240))
    facts = _facts(
        _index(100), 4, voiced=None if case == "off" else heard, own_voiced=heard if case == "closed" else None
    )
    plan = make_plan(
        facts, _faces(range(100)), _settings(lipsync={"silence": "closed" if case == "closed" else "original"})
    )
    assert (plan.parts[0].opacity == 1).all()
    assert plan.parts[0].pauses.tolist() == ([] if case == "off" else [[80, 240]])


def test_the_sources_own_sound_is_asked_at_the_sources_time() -> None:
    """In a video that plays backwards, or whose sound begins earlier, its pauses lie where its frames are."""
    own = _voices(161, (0, 80))  # its first second is silent
    facts = _facts(_index(50), 4, voiced=_voices(321, (0, 321)), own_voiced=own, lead_s=Fraction(1, 2))
    plan = make_plan(facts, _faces(range(50)), _settings())
    rests = plan.parts[0].opacity == 0
    column = (plan.source / 25 + 0.5) * 80
    assert not (rests & (column >= 80) & (column < 161)).any()
    assert rests[column < 60].all()
    assert rests.sum() > 10


def test_faces_left_alone_are_named_when_none_is_left() -> None:
    """The error says that faces were there, and which setting left them out."""
    nobody = replace(_faces([]), over_yaw=np.arange(100, dtype=np.int64))
    with pytest.raises(FaceError, match=r"turned by over 70 degrees in 100 \(faces.max_yaw_deg\)"):
        make_plan(_facts(_index(100), 4), nobody, _settings())


@pytest.mark.parametrize(
    ("left", "remedy"),
    [
        ({}, "Lower detect.min_score, give faces"),
        ({"doubtful": 90}, "Lower faces.min_confidence, give faces"),
        ({"doubtful": 10, "too_small": 90}, "Lower faces.min_face_px, give faces"),
        ({"over_yaw": 50, "too_small": 1}, "Raise faces.max_yaw_deg, give faces"),
    ],
)
def test_the_remedy_is_for_what_left_most_faces_alone(left: dict[str, int], remedy: str) -> None:
    """Where none was found it is the detector's bound."""
    nobody = replace(_faces([]), **{name: np.arange(count, dtype=np.int64) for name, count in left.items()})
    with pytest.raises(FaceError, match=remedy):
        make_plan(_facts(_index(100), 4), nobody, _settings())


@pytest.mark.parametrize(
    ("rule", "people", "told"),
    [
        (
            "index:7",
            2,
            r"in 0 of 100 frames; up to 2 people are seen; .*Take a number that `lipwise-ray inspect` shows",
        ),
        ("index:1", 1, "1 person is seen"),
        ("like:a.png", 3, r"up to 3 people are seen; .*Lower faces.min_likeness or take another portrait"),
        ("index:7", 0, "Lower detect.min_score"),
        ("like:a.png", 0, "Lower detect.min_score"),
    ],
)
def test_a_rule_that_means_none_of_those_who_are_there_is_told(rule: str, people: int, told: str) -> None:
    """The remedy is for the rule, whatever else is hardly a face; where nobody is found it is the detector's bound."""
    nobody = _faces([])
    if people:
        nobody = replace(nobody, doubtful=np.arange(5, dtype=np.int64))
    parts = (DialogueFacts(rule, (), "mel", kind=rule.split(":", maxsplit=1)[0]),)
    with pytest.raises(FaceError, match=told):
        make_plan(_facts(_index(100), 4, parts=parts, people=people), nobody, _settings())


def test_pads_that_leave_nothing_of_a_face_are_told() -> None:
    """The face was found; it is not the detector's bound."""
    cropped = replace(_faces([]), seen=np.arange(80), seen_part=np.zeros(80, np.int64))
    with pytest.raises(FaceError, match=r"without a crop in 80 \(faces.pads\).*Make faces.pads larger"):
        make_plan(_facts(_index(100), 4), cropped, _settings())


def test_faces_left_alone_are_not_missing() -> None:
    """A profile is neither skipped nor a reason to fail; a static picture is one that can be dubbed."""
    turned = replace(_faces(range(20, 100)), over_yaw=np.arange(20, dtype=np.int64))
    for rule in ("skip", "fail"):
        assert len(make_plan(_facts(_index(100), 4), turned, _settings(faces={"on_no_face": rule})).source) == 100
    still = _settings(faces={"on_no_face": "skip"}, source={"static": True})
    assert set(make_plan(_facts(_index(100), 4), turned, still).source.tolist()) == {20}
    nobody = replace(_faces([]), over_yaw=np.arange(100, dtype=np.int64))
    let_through = _settings(faces={"on_no_face": "skip", "min_face_share": 0.0})
    assert make_plan(_facts(_index(100), 4), nobody, let_through).counts.frames_with_face == 0


@given(seconds=st.integers(1, 100_000), rate=st.sampled_from([Fraction(25), Fraction(30_000, 1001), Fraction(50)]))
def test_chunks_grow_with_the_video(seconds: int, rate: Fraction) -> None:
    """``auto`` cuts clips as ever, and films into a 120th, as long as that is no more than a minute."""
    frames = round(seconds * rate)
    length = chunk_frames(_settings(chunk={"length_s": "auto"}), rate, frames)
    assert length == chunk_frames(
        _settings(chunk={"length_s": min(max(10.0, frames / float(rate) / 120), 60.0)}), rate, 1
    )
    if 1200 <= seconds <= 7200:
        assert 119 <= frames / length <= 121
    assert chunk_frames(_settings(chunk={"length_s": "auto", "frames": 7}), rate, frames) == 7
