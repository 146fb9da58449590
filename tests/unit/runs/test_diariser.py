"""Who speaks when in a file: audio, videos, and files in which nobody does."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from scipy.io import wavfile

import lipwise_ray
from lipwise_ray.errors import AudioError, MediaError, OutputError, SettingsError
from lipwise_ray.pipeline.manifest.diarisation import read_diarisation
from lipwise_ray.runs.diariser import diarise
from lipwise_ray.settings.model import Settings
from lipwise_ray.synth.clips import ClipSpec, ToneSpec, write_clip
from tests.support.voices import HIGH_HZ, LOW_HZ, talk, write_embedding, write_segmentation

pytest.importorskip("sherpa_onnx", reason="extra diarise is not installed")


@pytest.fixture(scope="module")
def settings(tmp_path_factory: pytest.TempPathFactory) -> Settings:
    folder = tmp_path_factory.mktemp("voices")
    files = {"segmentation": write_segmentation(folder / "s.onnx"), "embedding": write_embedding(folder / "e.onnx")}
    return Settings.model_validate({"diarise": {key: str(path) for key, path in files.items()}})


def test_two_people_in_a_stereo_file(settings: Settings, tmp_path: Path) -> None:
    """Heard at the networks' rate, and written to a file that a manifest takes; one that is there stays."""
    low, high = (talk(parts, 44_100) for parts in ([(6, (LOW_HZ,)), (6, ())], [(6, ()), (6, (HIGH_HZ,))]))
    wavfile.write(tmp_path / "a talk.wav", 44_100, np.stack([low, high], axis=1))
    target = tmp_path / "talk.rttm"
    found = diarise(tmp_path / "a talk.wav", out=target, settings=settings)
    assert isinstance(found, lipwise_ray.Diarisation)
    assert read_diarisation(target) == found.turns
    assert target.read_text().startswith("SPEAKER a_talk 1 0.0")
    ((start, end),) = found.turns["SPEAKER_01"]
    assert abs(start - 6) < 0.3
    assert abs(end - 12) < 0.3
    target.write_text("corrected")
    with pytest.raises(OutputError, match="and may hold corrections") as caught:
        diarise(tmp_path / "a talk.wav", out=target, settings=settings)
    assert caught.value.code == "diarisation_is_there"
    assert target.read_text() == "corrected"


def test_somebody_in_a_video(settings: Settings, tmp_path: Path) -> None:
    """Its audio stream is heard from where the video starts."""
    write_clip(tmp_path / "v.mp4", ClipSpec(frames=100, tone=ToneSpec(4, tone_hz=LOW_HZ)))
    found = lipwise_ray.diarise(tmp_path / "v.mp4", speakers=1, settings=settings)
    ((start, end),) = found.turns["SPEAKER_00"]
    assert start < 0.3
    assert 3.7 < end <= 4.1


def test_files_in_which_nobody_speaks(settings: Settings, tmp_path: Path) -> None:
    """Silence, noise, no audio, no media: each is said, and no file is written that no manifest would take."""
    wavfile.write(tmp_path / "silent.wav", 16_000, np.zeros(64_000, np.float32))
    wavfile.write(tmp_path / "noise.wav", 16_000, np.random.default_rng(1).normal(0, 0.01, 64_000).astype(np.float32))
    wavfile.write(tmp_path / "nan.wav", 16_000, np.full(64_000, np.nan, np.float32))
    write_clip(tmp_path / "mute.mp4", ClipSpec(frames=25))
    (tmp_path / "text.wav").write_text("hello")
    for name, kind, told in (
        ("silent.wav", AudioError, "nobody is heard to speak in 4.0 s of audio, which is silent. Listen to it"),
        ("noise.wav", AudioError, "nobody is heard to speak in 4.0 s of audio. Listen to it"),
        ("mute.mp4", AudioError, "has no audio stream, only video. Name a file in which somebody speaks"),
        ("nan.wav", AudioError, ""),
        ("text.wav", MediaError, ""),
        ("gone.wav", MediaError, "file not found"),
    ):
        with pytest.raises(kind) as caught:
            diarise(tmp_path / name, out=tmp_path / "o.rttm", settings=settings)
        assert str(caught.value).startswith(f"{tmp_path / name}: {told}")
    assert not (tmp_path / "o.rttm").exists()


@pytest.mark.parametrize(
    ("name", "speakers", "code"),
    [
        ("o.txt", None, "not_rttm"),
        ("o", None, "not_rttm"),
        ("no/o.rttm", None, "not_writable"),
        ("o.rttm", 0, "bad_value"),
        ("o.rttm", 101, "bad_value"),
    ],
)
def test_arguments_are_checked_before_the_audio_is_read(
    name: str, speakers: int | None, code: str, settings: Settings, tmp_path: Path
) -> None:
    """It would take minutes to hear of them afterwards."""
    with pytest.raises((OutputError, SettingsError)) as caught:
        diarise(tmp_path / "gone.wav", out=tmp_path / name, speakers=speakers, settings=settings)
    assert caught.value.code == code
