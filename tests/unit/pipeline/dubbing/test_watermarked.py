"""The mark's part in the id of a job, and what it is not to be put into."""

from __future__ import annotations

import pytest

from lipwise_ray.errors import SettingsError
from lipwise_ray.pipeline.dubbing.watermarked import check_markable, watermark_identity
from lipwise_ray.settings.layers import parse_assignment, resolve
from lipwise_ray.settings.model import Settings


def _settings(*sets: str) -> Settings:
    return resolve([("test", parse_assignment(text)) for text in sets])


def test_only_a_mark_that_is_made_counts() -> None:
    """Its message and strength do; without a mark nothing does, so older ids stay."""
    on = "marking.watermark='audioseal'"
    assert watermark_identity(_settings("marking.watermark_message=7").marking) == {}
    found = [
        watermark_identity(_settings(on, *more).marking)
        for more in ((), ("marking.watermark_message=7",), ("marking.watermark_strength=0.5",))
    ]
    assert len({str(one) for one in found}) == 3
    assert watermark_identity(_settings(on, "marking.watermark_detector='none'").marking) == found[0]


def test_what_is_copied_cannot_be_marked() -> None:
    """The contradiction is told before any work; without a mark copies are as they were."""
    check_markable(_settings("encode.audio.codec='copy'"))
    with pytest.raises(SettingsError) as caught:
        check_markable(_settings("encode.audio.codec='copy'", "marking.watermark='audioseal'"))
    assert caught.value.code == "watermark_copied"


@pytest.mark.parametrize("text", ["watermark='audiosael'", "watermark_message=65536", "watermark_strength=0"])
def test_slips_are_told(text: str) -> None:
    """A name, a message or a strength that cannot be is an error of the settings."""
    with pytest.raises(SettingsError, match=r"marking\.watermark"):
        _settings(f"marking.{text}")
