"""Which codec a job's sound is delivered in."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from lipwise_ray.errors import SettingsError
from lipwise_ray.media.probe import AudioInfo, probe_audio
from lipwise_ray.pipeline.delivery.delivered_audio import sound_codec
from lipwise_ray.settings.model import Settings
from lipwise_ray.synth.clips import ToneSpec, write_sound


def _asked(deliver: str, codec: str) -> Settings:
    encode: dict[str, Any] = {"deliver": deliver, "audio": {"codec": codec}}
    return Settings.model_validate({"encode": encode})


def _sound(folder: Path, name: str, codec: str) -> AudioInfo:
    write_sound(folder / name, ToneSpec(0.2, codec=codec))
    return probe_audio(folder / name)


def test_a_compatible_file_has_aac_or_is_refused(tmp_path: Path) -> None:
    """Opus and FLAC become AAC, AAC may be copied, and asking for any other codec beside is a contradiction."""
    opus, flac = _sound(tmp_path, "o.mp4", "libopus"), _sound(tmp_path, "f.mp4", "flac")
    aac = _sound(tmp_path, "a.mp4", "aac")
    assert [sound_codec(_asked("compatible", "auto"), one) for one in (opus, flac, aac)] == ["aac", "aac", "auto"]
    assert sound_codec(_asked("compatible", "copy"), aac) == "copy"
    assert sound_codec(_asked("source", "flac"), opus) == "flac"
    for codec, info in (("libopus", aac), ("flac", flac), ("copy", opus)):
        with pytest.raises(SettingsError) as caught:
            sound_codec(_asked("compatible", codec), info)
        assert caught.value.code == "not_compatible"
