"""Settings of a run, key by key."""

from __future__ import annotations

import pytest

from lipwise_ray.errors import SettingsError
from lipwise_ray.settings.effective import effective_settings, named
from lipwise_ray.settings.reference import settings_of

LAYERS = [
    ("preset fast", {"detect": {"stride": 5, "size_px": 416}}),
    ("job.toml", {"detect": {"size_px": 300}, "encode": {"audio": {"codec": "aac"}}}),
    ("--set gate.retry", {"gate": {"retry": [{"detect": {"stride": 1}}]}}),
]


def test_every_key_tells_its_value_and_its_layer() -> None:
    """The latest layer that names a key is told; keys that none names are at their defaults."""
    found = {one.setting.name: one for one in effective_settings(LAYERS)}
    assert list(found) == [one.name for one in settings_of()]
    assert (found["detect.stride"].shown, found["detect.stride"].set_by) == ("5", "preset fast")
    assert (found["detect.size_px"].value, found["detect.size_px"].set_by) == (300, "job.toml")
    assert (found["encode.audio.codec"].shown, found["encode.audio.codec"].set_by) == ('"aac"', "job.toml")
    assert found["gate.retry"].value == [{"detect": {"stride": 1}}]
    assert (found["lipsync.checkpoint"].shown, found["lipsync.checkpoint"].set_by) == ("-", "default")
    assert found["detect.detector"].setting.choices == ("auto", "yunet", "s3fd", "tiny")


@pytest.mark.parametrize(
    ("name", "keys"),
    [
        ("detect.stride", ["detect.stride"]),
        ("encode.audio", ["codec", "bitrate", "loudness_lufs", "true_peak_dbtp"]),
        ("limits", ["gb", "megapixels", "hours", "streams"]),
    ],
)
def test_a_key_or_a_section_is_found(name: str, keys: list[str]) -> None:
    """With all sections within."""
    found = [one.setting.name for one in named(effective_settings([]), name)]
    assert [one.removeprefix(f"{name}.") for one in found] == keys


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("detect.strid", r'unknown setting "detect.strid" - did you mean "detect.stride"\?'),
        ("strenght", r'did you mean "lipsync.strength" or "restore.strength"\?'),
        ("encode.audoi", r'did you mean "encode.audio"\?'),
        ("qqq", r"Sections: asr, chunk"),
    ],
)
def test_an_unknown_key_suggests_the_nearest(name: str, words: str) -> None:
    """Or the sections, where nothing is near."""
    with pytest.raises(SettingsError, match=words):
        named(effective_settings([]), name)
