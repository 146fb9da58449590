"""Lengths that are made equal: stretched audio, frames that are shown twice or left out, clips in their slots."""

from __future__ import annotations

import json
from fractions import Fraction
from functools import cache
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest

from lipwise_ray.media.audio_reader import AudioReader
from lipwise_ray.media.index import build_index
from lipwise_ray.media.pixels import plane_array
from lipwise_ray.media.probe import probe_audio, probe_video
from lipwise_ray.synth.clips import ClipSpec, ToneSpec, read_code, write_clip, write_sound
from tests.e2e.test_exactness import B_FRAMES, BOX, FRAMES, RATES, SIZE, digest
from tests.support.dub import BY_LEVEL, LOSSLESS, PASSTHROUGH, dub

NAMES = ("24", "25", "ntsc", "variable")
TONE_HZ = 330.0
SETS = (PASSTHROUGH, LOSSLESS, BY_LEVEL, 'timing.length="fit"')
FLAC = 'encode.audio.codec="flac"'


@cache
def _length_s(path: Path) -> Fraction:
    """The length of a clip, exactly."""
    index = build_index(probe_video(path))
    return (index.end_pts - int(index.pts[0])) * index.time_base


@pytest.fixture(scope="module")
def inputs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Numbered clips, and for each a tone of 1.2 and one of 0.8 times its length."""
    folder = tmp_path_factory.mktemp("fit")
    for name in NAMES:
        write_clip(folder / f"{name}.mp4", RATES[name])
        for factor in (0.8, 1.2):
            seconds = float(_length_s(folder / f"{name}.mp4")) * factor
            write_sound(folder / f"{name}-{factor}.wav", ToneSpec(seconds, 16000, 1, "pcm_s16le", TONE_HZ))
    return folder


def _rows(folder: Path, factor: float, names: tuple[str, ...] = NAMES) -> list[dict[str, Any]]:
    return [
        {
            "id": name,
            "video": folder / f"{name}.mp4",
            "audio": folder / f"{name}-{factor}.wav",
            "output": f"{name}.mkv",
            "faces": BOX,
        }
        for name in names
    ]


def _codes(path: Path) -> list[int]:
    with av.open(str(path)) as container:
        return [read_code(plane_array(frame, 0)) for frame in container.decode(video=0)]


def _wave(path: Path) -> tuple[np.ndarray, int]:
    info = probe_audio(path)
    return np.concatenate(list(AudioReader(info).blocks(info.rate_hz, info.layout)), 1)[0], info.rate_hz


def _pitch_hz(wave: np.ndarray, rate_hz: int) -> float:
    middle = wave[len(wave) // 4 : len(wave) * 3 // 4]
    spectrum = np.abs(np.fft.rfft(middle * np.hanning(len(middle)), 1 << 20))
    return float(np.argmax(spectrum)) * rate_hz / (1 << 20)


def _result(state: Path, row_id: str) -> dict[str, Any]:
    found = (json.loads(path.read_bytes()) for path in state.glob("jobs/*/result.json"))
    return next(result for result in found if result["row_id"] == row_id)


@pytest.mark.parametrize("factor", [0.8, pytest.param(1.2, marks=pytest.mark.slow)])
def test_audio_is_made_as_long_as_the_video(inputs: Path, tmp_path: Path, factor: float) -> None:
    """Every frame is shown once, at its time; the audio has its pitch, and ends with the last frame to the sample."""
    report = dub(tmp_path, _rows(inputs, factor), *SETS, FLAC)
    assert report.done == len(NAMES), report.outcomes
    for name in NAMES:
        output = tmp_path / "out" / f"{name}.mkv"
        assert _codes(output) == list(range(FRAMES))
        wave, rate_hz = _wave(output)
        assert len(wave) == round(_length_s(inputs / f"{name}.mp4") * rate_hz)
        assert _pitch_hz(wave, rate_hz) == pytest.approx(TONE_HZ, rel=0.01)
        result = _result(tmp_path / "out.state", name)
        assert abs(result["video_s"] - result["audio_s"]) < 0.001
        assert result["fitted"]["clips"] == 1
        assert result["fitted"]["median"] == pytest.approx(1 / factor, rel=1e-3)


@pytest.mark.parametrize("factor", [pytest.param(0.8, marks=pytest.mark.slow), 1.2])
def test_the_video_is_made_as_long_as_the_audio(inputs: Path, tmp_path: Path, factor: float) -> None:
    """Frames are shown twice or left out in order and not side by side; at a variable rate each is shown for longer."""
    report = dub(tmp_path, _rows(inputs, factor), *SETS, 'timing.fit="video"', "chunk.frames=13")
    assert report.done == len(NAMES), report.outcomes
    for name in NAMES:
        output, wanted_s = tmp_path / "out" / f"{name}.mkv", _length_s(inputs / f"{name}.mp4") * Fraction(str(factor))
        codes = _codes(output)
        result = _result(tmp_path / "out.state", name)
        assert abs(result["video_s"] - result["audio_s"]) <= 0.5 / float(RATES[name].rate) + 1e-3
        assert result["sound"] == "copied"
        assert result["fitted"] == {"clips": 0, "video": pytest.approx(factor, abs=0.01)}
        if name == "variable":
            assert codes == list(range(FRAMES))
            continue
        assert len(codes) == round(wanted_s * RATES[name].rate)
        times = np.bincount(codes, minlength=FRAMES)
        taken = np.flatnonzero(times != 1)
        assert codes == sorted(codes)
        assert set(times[taken].tolist()) == {2 if factor > 1 else 0}
        assert (np.diff(taken) > 1).all()


def test_both_share_what_is_needed(inputs: Path, tmp_path: Path) -> None:
    """Each takes the square root, together more than either could take; the network hears what is delivered."""
    report = dub(tmp_path, _rows(inputs, 1.2), *SETS, FLAC, 'timing.fit="both"', "timing.max_stretch=1.1")
    assert report.done == len(NAMES), report.outcomes
    for name in NAMES:
        result = _result(tmp_path / "out.state", name)
        assert result["fitted"]["median"] == pytest.approx(1.2**-0.5, rel=1e-3)
        assert result["fitted"]["video"] == pytest.approx(1.2**0.5, rel=0.02)
        assert result["audio_s"] == pytest.approx(float(_length_s(inputs / f"{name}.mp4")) * 1.2**0.5, abs=0.002)
        wave, rate_hz = _wave(tmp_path / "out" / f"{name}.mkv")
        assert _pitch_hz(wave, rate_hz) == pytest.approx(TONE_HZ, rel=0.01)
        plan = json.loads(next((tmp_path / "out.state").glob(f"jobs/{result['job_id']}/plan.json")).read_bytes())
        mel = np.load(tmp_path / "out.state" / "sounds" / plan["parts"][0]["sound_id"] / "mel.npy", "r")
        assert len(mel) == pytest.approx(80 * result["audio_s"], abs=2)


@pytest.mark.slow
def test_chunks_do_not_show_and_what_is_done_is_not_done_again(inputs: Path, tmp_path: Path) -> None:
    """Chunks of 7 frames give the frames of one chunk, bit by bit; the same command again makes nothing."""
    rows, by_video = _rows(inputs, 1.2, ("ntsc", "variable")), 'timing.fit="video"'
    dub(tmp_path, rows, *SETS, by_video, "chunk.frames=100000", out="whole")
    assert dub(tmp_path, rows, *SETS, by_video, "chunk.frames=7", out="cut").done == 2
    for row in rows:
        assert digest(tmp_path / "cut" / row["output"]) == digest(tmp_path / "whole" / row["output"])
    again = dub(tmp_path, rows, *SETS, by_video, "chunk.frames=7", "timing.max_stretch=1.3", out="cut")
    assert [one.result.reused for one in again.outcomes] == [True, True]  # a bound decides no frame
    assert not list((tmp_path / "cut.state").glob("jobs/*/stretched/**/*.mka"))


def test_what_does_not_fit_is_told_before_any_work(inputs: Path, tmp_path: Path) -> None:
    """A row fails with both lengths and the factor; so does one whose frames are counted only later, or a copy."""
    write_sound(inputs / "twice.wav", ToneSpec(2 * float(_length_s(inputs / "25.mp4")), 16000, 1, "pcm_s16le"))
    row = _rows(inputs, 1.2, ("25",))[0]
    report = dub(tmp_path, [row | {"audio": inputs / "twice.wav"}], *SETS)
    assert report.failed == 1
    (outcome,) = report.outcomes
    assert outcome.result.code == "beyond_stretch"
    assert outcome.result.stage == "probe"
    assert "4.80 s for 2.40 s" in outcome.result.message
    assert "0.500" in outcome.result.message
    for setting, code in (('faces.on_no_face="skip"', "fit_skips"), ('encode.audio.codec="copy"', "fit_copies")):
        (outcome,) = dub(tmp_path, [row], *SETS, setting, out=code).outcomes
        assert (outcome.result.code, outcome.result.stage) == (code, "probe")


def test_speakers_clips_fit_into_their_times(inputs: Path, tmp_path: Path) -> None:
    """Clips begin and end with their slots at their own pitch; one without an end is as long as it was."""
    write_clip(tmp_path / "v.mkv", ClipSpec(size=SIZE, frames=150, rate=Fraction(25), options=B_FRAMES))
    clips = [(0.4, 1.5, 1.2, 220.0), (2.0, 2.8, 1.0, 330.0), (3.0, None, 1.0, 440.0)]
    speakers = []
    for number, (start, end, seconds, tone_hz) in enumerate(clips):
        file = tmp_path / f"{number}.wav"
        write_sound(file, ToneSpec(seconds, 16000, 1, "pcm_s16le", tone_hz))
        speakers.append({"faces": BOX, "audio": str(file), "start": start, **({"end": end} if end else {})})
    row = {"id": "cues", "video": tmp_path / "v.mkv", "output": "cues.mkv", "length": "fit", "speakers": speakers}
    report = dub(tmp_path, [row], PASSTHROUGH, LOSSLESS, BY_LEVEL, FLAC)
    assert report.done == 1, report.outcomes
    result = _result(tmp_path / "out.state", "cues")
    assert result["fitted"] == {"clips": 2, "least": 0.8, "median": 0.8583, "most": 0.9167, "video": 1.0}
    assert result["frames"] == 150
    wave, rate_hz = _wave(tmp_path / "out" / "cues.mkv")
    assert len(wave) == 6 * rate_hz
    for start, end, seconds, tone_hz in clips:
        stop = end or start + seconds
        inside = wave[round((start + 0.05) * rate_hz) : round((stop - 0.05) * rate_hz)]
        assert _pitch_hz(inside, rate_hz) == pytest.approx(tone_hz, rel=0.01)
        around = wave[round((stop + 0.02) * rate_hz) : round((stop + 0.1) * rate_hz)]
        assert np.abs(around).max() < 0.01 * np.abs(inside).max()
    cut = dub(tmp_path, [row | {"length": "video"}], PASSTHROUGH, LOSSLESS, BY_LEVEL, FLAC, out="cut")
    assert cut.done == 1  # the same times, where clips are cut instead
    assert not np.array_equal(_wave(tmp_path / "cut" / "cues.mkv")[0], wave)
    row["speakers"] = [speakers[0] | {"end": 0.9}, speakers[1], speakers[2] | {"end": 5.0}]
    (outcome,) = dub(tmp_path, [row], PASSTHROUGH, LOSSLESS, BY_LEVEL, out="far").outcomes
    assert outcome.result.code == "beyond_stretch"
    assert "2 of 3 clips" in outcome.result.message
    assert "0.wav" in outcome.result.message
    assert "2.wav" in outcome.result.message
    assert "1.wav" not in outcome.result.message
