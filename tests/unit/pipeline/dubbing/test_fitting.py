"""Lengths that are made equal: bounds, the used video's length, and which frames make up the difference."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest

from lipwise_ray.errors import AudioError, InputError
from lipwise_ray.lipsync.mel import MEL_RATE_HZ
from lipwise_ray.pipeline.dubbing.fitting import Slot, check_slots
from lipwise_ray.pipeline.dubbing.make_plan import make_plan
from lipwise_ray.pipeline.dubbing.used_video import used_video
from lipwise_ray.settings.model import TimingSettings
from tests.unit.pipeline.dubbing.test_plan import _faces, _facts, _index, _settings

BY_VIDEO = {"length": "fit", "fit": "video"}


def test_each_clip_that_does_not_fit_is_named_with_its_factor() -> None:
    """A factor at the bound is within it; all others are listed, with both lengths."""
    timing = TimingSettings(length="fit")
    at_bounds = [Slot("a", Fraction(4), Fraction(5), 1.25), Slot("b", Fraction(5), Fraction(4), 1.25)]
    check_slots(at_bounds, timing)
    wrong = [Slot("cue 3", Fraction(3), Fraction(2), 1.25), Slot("cue 9", Fraction(1), Fraction(2), 1.25)]
    with pytest.raises(
        AudioError, match=r"2 of 4 clips .*cue 3: 3\.00 s for 2\.00 s.* 0\.667.*cue 9.* 2\.000"
    ) as caught:
        check_slots([*at_bounds, *wrong], timing)
    assert caught.value.code == "beyond_stretch"


@pytest.mark.parametrize("audio_s", [Fraction(32, 10), Fraction(48, 10)])
def test_frames_are_taken_at_cuts_and_in_pauses(audio_s: Fraction) -> None:
    """Where nobody speaks in either sound, frames are shown twice or left out; where a shot begins, before all."""
    speaks = np.ones(int(audio_s * MEL_RATE_HZ), np.bool_)
    own = np.ones(4 * MEL_RATE_HZ, np.bool_)
    own[20:60], own[200:260] = False, False  # frames 6 to 18, 63 to 80
    facts = _facts(_index(100), audio_s, voiced=speaks, own_voiced=own, cuts=np.array([35], np.int64))
    plan = make_plan(facts, _faces(range(100)), _settings(timing=BY_VIDEO))
    assert len(plan.source) == round(audio_s * 25)
    assert plan.audio_s == audio_s
    taken = np.flatnonzero(np.bincount(plan.source, minlength=100) != 1)
    assert len(taken) == 20
    assert {34, 35} & set(taken.tolist())
    calm = [frame for frame in taken if 6 <= frame < 18 or 63 <= frame < 80]
    assert len(calm) >= 10


def test_frames_before_the_first_moves_are_stretched_with_the_others() -> None:
    """A first frame that is held while the source's own audio runs already is part of the used video."""
    facts = _facts(_index(50), 3, lead_s=Fraction(2, 5))
    shown = used_video(
        facts.index, np.arange(50), _settings().source, is_still=False, lead_s=facts.lead_s, start_s=0.0, end_s=None
    )
    assert (shown.lead, shown.held.total_s) == (10, Fraction(12, 5))
    plan = make_plan(facts, _faces(range(50)), _settings(timing=BY_VIDEO))
    assert len(plan.source) == 75
    assert plan.source[-1] == 49
    assert 10 < (plan.source == 0).sum() < 16


def test_a_variable_rate_shows_every_frame_for_longer() -> None:
    """Times of frames are stretched to the tick, and the last ends with the audio."""
    index = _index(0, steps=[40, 80, 20, 60, 200])
    plan = make_plan(_facts(index, Fraction(1, 2)), _faces(range(5)), _settings(timing=BY_VIDEO))
    assert plan.source.tolist() == [0, 1, 2, 3, 4]
    assert plan.timeline.pts.tolist() == [0, 50, 150, 175, 250]
    assert plan.timeline.duration_s == Fraction(1, 2)


def test_a_still_image_has_no_length_to_fit() -> None:
    """The message names the rule, and the one that works."""
    with pytest.raises(InputError, match=r'"fit" for a still image.*"audio"'):
        make_plan(_facts(_index(1), 2, is_still=True), _faces([0]), _settings(timing=BY_VIDEO))
