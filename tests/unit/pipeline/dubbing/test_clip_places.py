"""Places of clips that fit into their times: what audio and video do for each, and what follows."""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lipwise_ray.errors import AudioError
from lipwise_ray.media.edits import edits_of, in_output
from lipwise_ray.pipeline.dubbing.clip_places import PlacedClips, SlottedClip, placed_clips
from lipwise_ray.pipeline.dubbing.make_plan import make_plan
from lipwise_ray.settings.model import TimingSettings
from tests.unit.pipeline.dubbing.test_plan import _faces, _facts, _index, _settings

BY_VIDEO = TimingSettings(length="fit", fit="video")
BY_BOTH = TimingSettings(length="fit", fit="both")


def _clip(length_s: float, start_s: float, end_s: float | None) -> SlottedClip:
    end = None if end_s is None else Fraction(str(end_s))
    return SlottedClip(f"clip at {start_s:g}", Fraction(str(length_s)), Fraction(str(start_s)), end)


def _starts_s(placed: PlacedClips) -> list[float]:
    return [place.start_s for place in placed.places]


def test_a_clip_that_is_too_long_makes_its_video_longer_and_moves_what_follows() -> None:
    """Its audio stays as it is, to the sample; one that is too short makes it shorter; one without an end moves."""
    clips = [_clip(1, 0, 1), _clip(1.2, 2, 3), _clip(5, 3.5, None), _clip(0.9, 4, 5), _clip(1, 6, 7)]
    placed = placed_clips(clips, BY_VIDEO)
    assert _starts_s(placed) == pytest.approx([0, 2, 3.7, 4.2, 6.1])
    assert [place.length_s for place in placed.places] == [1, Fraction(6, 5), None, Fraction(9, 10), 1]
    assert placed.factors == ()
    assert placed.time_map
    assert placed.time_map.moved_s(Fraction(10)) == Fraction(101, 10)
    assert [(one.number, one.start_s, one.end_s, one.audio, one.video) for one in placed.record] == [
        (1, 0, 1, 1, 1),
        (2, 2, 3.2, 1, 1.2),
        (4, 4.2, 5.1, 1, 0.9),
        (5, 6.1, 7.1, 1, 1),
    ]


def test_audio_and_video_share_what_a_clip_needs() -> None:
    """Each by the square root, together more than either may alone."""
    placed = placed_clips([_clip(1.44, 1, 2), _clip(1, 3, 4)], BY_BOTH)
    assert placed.factors == (pytest.approx(1 / 1.2, abs=1e-5),)
    assert placed.record[0].video == 1.2
    assert _starts_s(placed) == pytest.approx([1, 3.2])


def test_the_audio_fits_alone_where_it_is_asked_to() -> None:
    """No time moves, and each clip is as long as its slot."""
    clips = [_clip(1.2, 0.5, 1.5), _clip(1, 2, None)]
    placed = placed_clips(clips, TimingSettings(length="fit"))
    assert [(place.start_s, place.end_s, place.length_s) for place in placed.places] == [(0.5, 1.5, 1), (2, None, None)]
    assert placed.time_map is None


def test_slots_that_overlap_share_one_stretch() -> None:
    """The video takes the middle of what they need, the audio of each the rest; both keep their order in time."""
    placed = placed_clips([_clip(1.21, 1, 2), _clip(1, 1.5, 2.5)], BY_VIDEO)
    first, second = placed.record
    assert first.video == second.video == 1.1
    assert (first.audio, second.audio) == (pytest.approx(1 / 1.1, abs=1e-4), 1.1)
    assert (first.start_s, first.end_s, second.start_s, second.end_s) == (1, 2.1, 1.55, 2.65)


def test_slots_that_overlap_by_rounding_follow_one_another() -> None:
    """Each has a stretch of its own, and the second begins where the first ends."""
    placed = placed_clips([_clip(1.2, 0, 1.01), _clip(1, 1, 2)], BY_VIDEO)
    assert [one.video for one in placed.record] == [1.2, 1]
    assert placed.record[0].end_s == placed.record[1].start_s == 1.2


def test_every_clip_that_cannot_fit_is_named() -> None:
    """Alone by its own factor; where slots overlap, by what is left to its audio. Those that fit are not named."""
    clips = [_clip(1.3, 0, 1), _clip(1, 2, 3), _clip(0.7, 4, 5), _clip(1.6, 6, 7), _clip(0.7, 6.5, 7.5)]
    with pytest.raises(
        AudioError, match=r"4 of 5 clips .*at 0: 1\.30 s for 1\.00 s.*at 4: .*at 6, whose slot"
    ) as caught:
        placed_clips(clips, BY_VIDEO)
    assert caught.value.code == "beyond_stretch"
    assert "clip at 2" not in str(caught.value)
    assert placed_clips(clips[:3], BY_BOTH).time_map  # 1.25 squared


@st.composite
def rows(draw: st.DrawFn) -> list[SlottedClip]:
    """Clips with and without slots, in any order, some of which overlap."""
    clips: list[SlottedClip] = []
    for _ in range(draw(st.integers(1, 8))):
        start_ms, slot_ms = draw(st.integers(0, 10_000)), draw(st.integers(1, 3000))
        end_s = draw(st.sampled_from([Fraction(start_ms + slot_ms, 1000), None]))
        samples = max(1, round(slot_ms * 16 * draw(st.floats(0.8, 1.25))))
        clips.append(SlottedClip("clip", Fraction(samples, 16_000), Fraction(start_ms, 1000), end_s))
    return clips


@settings(max_examples=50)
@given(rows(), st.sampled_from(["video", "both"]))
def test_clips_lie_in_their_moved_slots(clips: list[SlottedClip], fit: str) -> None:
    """Each begins where the output shows its start, and ends where it shows its end, but for overlaps by rounding."""
    placed = placed_clips(clips, TimingSettings.model_validate({"length": "fit", "fit": fit, "max_stretch": 2}))
    slotted = [clip for clip in clips if clip.end_s is not None]
    assert (placed.time_map is not None) == bool(slotted)
    for clip, place in zip(clips, placed.places, strict=True):
        moved = placed.time_map.moved_s if placed.time_map else lambda time_s: time_s
        assert place.start_s == pytest.approx(float(moved(clip.start_s)), abs=1e-9)
        if clip.end_s is None:
            assert place.length_s is None
            continue
        assert place.length_s
        ends_s = Fraction(place.start_s) + place.length_s
        assert (
            moved(clip.end_s - Fraction(1, 50)) - Fraction(1, 10**6) <= ends_s <= moved(clip.end_s) + Fraction(1, 10**6)
        )
    ordered = sorted(zip((clip.start_s for clip in clips), _starts_s(placed), strict=True))
    assert all(one[1] <= other[1] for one, other in pairwise(ordered))


def test_the_original_sound_and_subtitles_move_with_the_video() -> None:
    """What the source has after a stretched slot belongs to the output's time at which its frames are shown."""
    placed = placed_clips([_clip(1.2, 1, 2), _clip(0.92, 2.4, 3.4)], BY_VIDEO)
    assert placed.time_map
    facts = replace(_facts(_index(100), placed.time_map.moved_s(Fraction(4))), time_map=placed.time_map)
    plan = make_plan(facts, _faces(range(100)), _settings(timing={"length": "fit", "fit": "video"}))
    assert plan.timeline.duration_s == plan.audio_s == Fraction(412, 100)
    edits = edits_of(facts.index, plan.source, plan.timeline)
    for start_s, stop_s in ((0.2, 0.8), (2.08, 2.32), (3.44, 3.96)):
        exact = [placed.time_map.moved_s(Fraction(str(time_s))) for time_s in (start_s, stop_s)]
        shown = in_output(edits, Fraction(str(start_s)), Fraction(str(stop_s)))
        assert shown is not None
        assert np.abs(np.array(shown, np.float64) - np.array(exact, np.float64)).max() <= 1 / 50 + 1e-9
