"""A mark in the new audio that nobody hears: in the output, in the result, and read again."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from lipwise_ray.errors import WeightsError
from lipwise_ray.media.probe import probe_audio
from lipwise_ray.media.watermark import marked_wave
from lipwise_ray.nets.watermark import AudioSealMarker, AudioSealReader
from lipwise_ray.synth.clips import ClipSpec, ToneSpec, write_clip, write_sound
from lipwise_ray.values import F32Array, Json, Size
from tests.support.audioseal import write_detector, write_generator
from tests.support.dub import PASSTHROUGH, QUICK, UNJUDGED, Dubbed, dub, packets, run
from tests.support.loudness_meter import samples_in

SECONDS, RATE_HZ = 1.6, 44_100
PLAIN = (PASSTHROUGH, UNJUDGED, QUICK)
BOX = "box:10,100,10,100"
_DRAWN = ("--set", 'detect.detector="tiny"')


def _row(name: str, **cells: Any) -> Json:
    return {"id": name, "video": "v.mkv", "audio": "a.flac", "output": f"{name}.mkv", "faces": BOX, **cells}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A clip, a voice that could be copied, and seeded networks."""
    folder = tmp_path_factory.mktemp("watermark")
    write_clip(folder / "v.mkv", ClipSpec(frames=40, size=Size(160, 120), tone=ToneSpec(SECONDS, codec="flac")))
    write_sound(folder / "a.flac", ToneSpec(SECONDS, codec="flac", rate_hz=RATE_HZ, tone_hz=200))
    write_generator(folder / "generator.pth")
    write_detector(folder / "detector.pth")
    return folder


def _marked(folder: Path, strength: float = 0.01) -> tuple[str, ...]:
    return (
        'marking.watermark="audioseal"',
        f"marking.watermark_checkpoint={json.dumps(str(folder / 'generator.pth'))}",
        f"marking.watermark_detector_checkpoint={json.dumps(str(folder / 'detector.pth'))}",
        "marking.watermark_message=42300",
        f"marking.watermark_strength={strength}",
    )


def _result(report: Dubbed, state: Path) -> Json:
    (outcome,) = report.outcomes
    return json.loads((state / "jobs" / outcome.result.job_id / "result.json").read_text())


def _frames(path: Path) -> list[bytes]:
    return [data for stream, _, data in packets(path) if stream == 0]


def _audio(path: Path) -> F32Array:
    return samples_in(path)[0]


def test_new_audio_has_its_mark_and_nothing_else_changes(folder: Path) -> None:
    """It is the network's, in audio that would have been copied; the result tells of it; a second run makes nothing."""
    row = _row("r")
    plain = dub(folder, [row], *PLAIN, out="plain")
    marked = dub(folder, [row], *PLAIN, *_marked(folder), out="marked")
    assert (plain.failed, marked.failed) == (0, 0)
    assert _frames(folder / "plain" / "r.mkv") == _frames(folder / "marked" / "r.mkv")
    before, after = (_audio(folder / name / "r.mkv") for name in ("plain", "marked"))
    assert before.shape == after.shape
    added = (after - before).mean(axis=0)
    wave = np.concatenate([*marked_wave(probe_audio(folder / "a.flac"))])
    wanted = 0.01 * np.concatenate([*AudioSealMarker(folder / "generator.pth", "cpu").marks([wave], 42300, int)])
    at_44_hz = np.interp(np.arange(len(added)) * 16_000 / RATE_HZ, np.arange(len(wanted)), wanted)
    assert np.corrcoef(added, at_44_hz)[0, 1] > 0.95
    assert "watermark" not in _result(plain, folder / "plain.state")
    told = _result(marked, folder / "marked.state")
    record = told["watermark"]
    assert (record["message"], record["strength"]) == (42300, 0.01)
    assert record["snr_db"] == pytest.approx(10 * np.log10((before**2).sum() / ((after - before) ** 2).sum()), abs=0.1)
    reading = AudioSealReader(folder / "detector.pth").detect(marked_wave(probe_audio(folder / "marked" / "r.mkv")))
    assert record["found"] == pytest.approx(reading.share, abs=1e-3)
    assert record["found_message"] == reading.message
    assert told["weights"]["watermark"]["network"] == "audioseal"
    again = dub(folder, [row], *PLAIN, *_marked(folder), out="marked")
    assert again.outcomes[0].result.reused


def test_what_lies_under_the_voice_is_not_marked_and_the_loudness_is_kept(folder: Path) -> None:
    """The mark is made before the mix: a limiter and a target of loudness see it; AAC carries it."""
    write_sound(folder / "bed.wav", ToneSpec(SECONDS, codec="pcm_s16le", tone_hz=1000))
    mixing = ("encode.audio.loudness_lufs=-20", 'encode.audio.codec="aac"')
    report = dub(folder, [_row("r", background="bed.wav")], *PLAIN, *_marked(folder), *mixing, out="mixed")
    told = _result(report, folder / "mixed.state")
    assert told["mixed"]["after"]["lufs"] == pytest.approx(-20, abs=0.1)
    assert told["watermark"]["snr_db"] > 0
    assert told["sound"] == "aac"


def test_what_is_missing_is_told_before_work(folder: Path) -> None:
    """A network that is not installed, and audio that was to be copied, are the run's or the row's errors."""
    with pytest.raises(WeightsError, match="models pull audioseal`"):
        dub(folder, [_row("r")], *PLAIN, 'marking.watermark="audioseal"', out="absent")
    report = dub(folder, [_row("r")], *PLAIN, *_marked(folder), 'encode.audio.codec="copy"', out="copied")
    assert [outcome.record["code"] for outcome in report.outcomes] == ["watermark_copied"]


def test_inspect_reads_a_mark_of_any_file(folder: Path) -> None:
    """With the detector's file it tells the share and the message; without one it does not look."""
    voice, detector = folder / "a.flac", folder / "detector.pth"
    reading = AudioSealReader(detector).detect(marked_wave(probe_audio(voice)))
    done = run("inspect", voice, "--json", *_DRAWN, "--watermark", detector)
    assert done.returncode == 0, done.stderr
    sound = json.loads(done.stdout)["sound"]
    assert (sound["watermark_share"], sound["watermark_message"]) == (round(reading.share, 3), reading.message)
    assert "watermark_share" not in json.loads(run("inspect", voice, "--json", *_DRAWN).stdout)["sound"]
    wrong = run("inspect", voice, *_DRAWN, "--watermark", folder / "generator.pth")
    assert wrong.returncode != 0
    assert "not a checkpoint of AudioSealDetector" in wrong.stderr
