"""Which frames of an output show a sign, and what of it names jobs and chunks."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest

from lipwise_ray.errors import SettingsError
from lipwise_ray.media.pixels import planar_format
from lipwise_ray.media.region import Canvas
from lipwise_ray.media.timeline import Timeline
from lipwise_ray.pipeline.dubbing.labelled import (
    label_identity,
    label_look,
    label_of,
    label_record,
    labelled_frames,
    labelled_rendering,
)
from lipwise_ray.settings.layers import resolve
from lipwise_ray.settings.marking import MarkingSettings
from lipwise_ray.values import ColorTags, Size, Span

TIMELINE = Timeline(np.array([0, 40, 80, 140, 160, 200, 240], np.int64), 280, Fraction(1, 1000))
CHUNKS = (Span(0, 2), Span(2, 4), Span(4, 7))


def _marking(**told: object) -> MarkingSettings:
    return resolve([("test", {"marking": told})]).marking


@pytest.mark.parametrize(
    ("told", "frames"),
    [
        ({}, 0),
        ({"label_text": "KI"}, 0),
        ({"label": "always"}, 7),
        ({"label": "start"}, 7),
        ({"label": "start", "label_s": 0.14}, 3),
        ({"label": "start", "label_s": 0.1401}, 4),
        ({"label": "start", "label_s": 0.0001}, 1),
    ],
)
def test_frames_count_by_their_times(told: dict[str, object], frames: int) -> None:
    """A frame shows the sign if it is shown itself before the seconds are over, at a variable rate too."""
    assert labelled_frames(_marking(**told), TIMELINE) == Span(0, frames)


def test_chunks_beyond_the_sign_are_those_without_one() -> None:
    """Their ids stay, so that they are taken over; other texts, corners and lengths name the chunks that differ."""
    plain, at_start = _marking(), _marking(label="start", label_s=0.12)

    def ids(marking: MarkingSettings) -> list[str]:
        frames = labelled_frames(marking, TIMELINE)
        return [labelled_rendering("r", label_look(marking), frames, chunk) for chunk in CHUNKS]

    assert ids(plain) == ["r"] * 3
    assert [one == "r" for one in ids(at_start)] == [False, False, True]
    longer, always = ids(_marking(label="start", label_s=0.2)), ids(_marking(label="always"))
    assert [one == other for one, other in zip(ids(at_start), longer, strict=True)] == [True, False, False]
    assert [one == other for one, other in zip(longer, always, strict=True)] == [True, True, False]
    others = [_marking(label="always", label_text="KI"), _marking(label="always", label_corner="top-right")]
    assert len({always[0], *(ids(one)[0] for one in others)}) == 3


def test_a_font_counts_by_its_contents(tmp_path: Path) -> None:
    """The same file at another path is the same sign; one that is gone is an error."""
    for name, data in (("a.ttf", b"1"), ("b.ttf", b"1"), ("c.ttf", b"2")):
        (tmp_path / name).write_bytes(data)
    a, b, c = (
        label_identity(_marking(label="always", label_font=str(tmp_path / name)))
        for name in ("a.ttf", "b.ttf", "c.ttf")
    )
    assert a == b
    assert a != c
    assert a != label_identity(_marking(label="always"))
    with pytest.raises(SettingsError, match=r"none\.ttf cannot be read: No such file"):
        label_identity(_marking(label="always", label_font=str(tmp_path / "none.ttf")))
    assert label_identity(_marking(label_font=str(tmp_path / "none.ttf"))) == {}


def test_a_result_says_where_the_sign_is() -> None:
    """By shares of the shown frame, so at whatever size it is delivered; without a sign it says nothing."""
    shape = planar_format("yuv420p")
    assert shape is not None
    small, large = (Canvas(Size(320 * times, 240 * times), shape, ColorTags(1)) for times in (1, 4))
    marking = _marking(label="start", label_s=0.1, label_corner="bottom-right")
    one, other = (label_record(marking, TIMELINE, canvas) for canvas in (small, large))
    assert one is not None
    assert other is not None
    assert (one.text, one.frames) == ("AI", 3)
    assert one.box == pytest.approx(other.box)
    assert 0.5 < one.box[0] < one.box[2] < 1
    assert 0.5 < one.box[1] < one.box[3] < 1
    assert label_record(_marking(), TIMELINE, small) is None
    assert label_of(_marking(), small) is None


@pytest.mark.parametrize(
    ("told", "words"),
    [
        ({"label_text": ""}, r"marking.label_text = '': string should have at least 1 character"),
        ({"label_text": "  "}, r"must be one line that shows something"),
        ({"label_text": "A\nI"}, r"must be one line that shows something"),
        ({"label_text": "Généré"}, r"has 'é': name a font that has it in marking.label_font"),
        ({"label_text": "a" * 41}, r"marking.label_text"),
        ({"label_s": 0}, r"marking.label_s = 0"),
        ({"label_corner": "middle"}, r"marking.label_corner = 'middle'.*top-left"),
        ({"label": "on"}, r"marking.label = 'on'.*start"),
    ],
)
def test_signs_that_cannot_be_are_refused(told: dict[str, object], words: str) -> None:
    """Before anything runs the settings say what is wrong."""
    with pytest.raises(SettingsError, match=words):
        _marking(**told)


def test_a_font_may_bring_its_letters() -> None:
    """With a font any text is taken; whether the font has it is seen when it is drawn."""
    assert _marking(label_text="人工智能生成", label_font="font.otf").label_text == "人工智能生成"
