"""What is kept of a video's own audio, as the output shows it."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lipwise_ray.media.edits import Edit
from lipwise_ray.pipeline.dubbing.background import check_mixable
from lipwise_ray.pipeline.dubbing.separated import separator_id, spliced
from lipwise_ray.settings.model import Settings

_RATE_HZ = 10


def _edit(start: int, stop: int, shift: int) -> Edit:
    return Edit(Fraction(start, _RATE_HZ), Fraction(stop, _RATE_HZ), Fraction(shift, _RATE_HZ))


@given(st.lists(st.integers(1, 7), min_size=1, max_size=12))
def test_stretches_stand_where_the_output_shows_them(sizes: list[int]) -> None:
    """However the audio comes in blocks: what was left out is gone, what comes later has silence before it."""
    wave = np.arange(1.0, sum(sizes) + 1)[None]
    blocks = np.split(wave, np.cumsum(sizes)[:-1], axis=1)
    edits = [_edit(2, 5, -2), _edit(8, 12, -5), _edit(14, 20, -3)]
    wanted = np.zeros(17)
    for start, stop, shift in ((2, 5, -2), (8, 12, -5), (14, 20, -3)):
        piece = wave[0, start:stop]
        wanted[start + shift : start + shift + len(piece)] = piece
    found = np.concatenate([np.zeros((1, 0)), *spliced(iter(blocks), edits, _RATE_HZ)], axis=1)[0]
    assert np.array_equal(found, wanted[: len(found)])
    assert not wanted[len(found) :].any()


def test_what_the_output_shows_before_the_audio_begins_is_silent() -> None:
    """A stretch that begins before the audio does."""
    found = np.concatenate(list(spliced(iter([np.ones((2, 4))]), [_edit(-3, 4, 3)], _RATE_HZ)), axis=1)
    assert found.tolist() == [[0, 0, 0, 1, 1, 1, 1]] * 2


def test_another_network_separates_anew() -> None:
    """The id of what is kept goes by its checkpoint."""
    one, other = ({"weights": {"separator": sha256 * 64}} for sha256 in "ab")
    assert separator_id(one) != separator_id(other)


@pytest.mark.parametrize("codec", ["auto", "aac"])
def test_what_is_encoded_can_be_mixed(codec: str) -> None:
    """Only copying cannot."""
    check_mixable(Settings.model_validate({"encode": {"audio": {"codec": codec}}}), "bed.wav")
    check_mixable(Settings.model_validate({"encode": {"audio": {"codec": "copy"}}}), None)
