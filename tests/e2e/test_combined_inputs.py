"""What may go in, several kinds at once: texts, languages, streams, backgrounds and lengths in one row."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from lipwise_ray.media.audio_reader import AudioReader
from lipwise_ray.media.probe import probe_audio
from lipwise_ray.storage.stream_choice import StreamChoice
from lipwise_ray.synth.clips import ClipSpec, ToneSpec, write_clip, write_sound
from lipwise_ray.values import FloatArray, Size
from tests.e2e.test_languages import film_of_tones
from tests.support.dub import BY_LEVEL, PASSTHROUGH, QUICK, UNJUDGED, Dubbed, dub, run, settings_arguments
from tests.support.loudness_meter import integrated_lufs
from tests.support.sayer import said, sayer

BOX = "box:10,100,20,110"
SETS = (PASSTHROUGH, UNJUDGED, QUICK, BY_LEVEL)
ONE_CUE = "1\n00:00:00,500 --> 00:00:01,500\nBuenas tardes a todos.\n"
BED_HZ = 2500


def _clip(path: Path, seconds: float) -> None:
    write_clip(path, ClipSpec(frames=round(seconds * 25), size=Size(160, 120)))


def _tone(path: Path, seconds: float, tone_hz: float) -> None:
    write_sound(path, ToneSpec(seconds, 48000, 1, "pcm_s16le", tone_hz))


def _samples(path: Path, number: int = 0) -> tuple[FloatArray, int]:
    info = probe_audio(path, choice=StreamChoice("audio", number))
    return np.concatenate(list(AudioReader(info).blocks(info.rate_hz, "mono")), 1)[0], info.rate_hz


def _level(wave: FloatArray, rate_hz: int, tone_hz: float) -> float:
    """Return the amplitude of a tone."""
    return float(2 * abs(np.mean(wave * np.exp(-2j * np.pi * tone_hz * np.arange(len(wave)) / rate_hz))))


def _rms(wave: FloatArray) -> float:
    return float(np.sqrt((wave.astype(np.float64) ** 2).mean()))


def _pitch_hz(wave: FloatArray, rate_hz: int) -> float:
    return float(np.argmax(np.abs(np.fft.rfft(wave * np.hanning(len(wave)))))) * rate_hz / len(wave)


def _told(folder: Path) -> tuple[str, str]:
    return 'tts.engine="command"', f"tts.command={json.dumps(sayer(folder))}"


def _records(report: Dubbed) -> dict[str, dict[str, Any]]:
    return {one.row_id: one.record for one in report.outcomes}


def test_cues_are_fitted_into_their_times(tmp_path: Path) -> None:
    """Speech that would run into the next cue is made shorter; what cannot be is named, cue by cue, before any work."""
    _clip(tmp_path / "v.mp4", 4)
    times = ("00:00:00,500 --> 00:00:01,500", "00:00:01,500 --> 00:00:02,500", "00:00:03,000 --> 00:00:04,000")
    for name, lengths in (("near", (22, 18, 20)), ("far", (22, 50, 5))):
        cues = [f"{n}\n{time}\n{'x' * length}\n" for n, (time, length) in enumerate(zip(times, lengths, strict=True))]
        (tmp_path / f"{name}.srt").write_text("\n".join(cues))
    row = {"video": "v.mp4", "length": "fit", "faces": BOX}
    rows = [{**row, "id": name, "text": f"@{name}.srt", "output": f"{name}.mkv"} for name in ("near", "far")]
    report = dub(tmp_path, rows, *SETS, *_told(tmp_path))
    near, far = _records(report)["near"], _records(report)["far"]
    assert near["fitted"]["clips"] == 3
    assert near["video_s"] == near["audio_s"] == 4
    wave, rate_hz = _samples(tmp_path / "out" / "near.mkv")
    loud = np.abs(wave).reshape(-1, rate_hz // 100).max(1) > 0.02
    assert [loud[start + 3 : start + 95].all() for start in (50, 150, 300)] == [True] * 3
    assert not loud[:48].any()
    assert not loud[253:297].any()
    assert far["code"] == "beyond_stretch"
    assert far["tally"]["frames_rendered"] == 0
    assert "2 of 3 clips" in far["message"]
    assert "cue 2 of" in far["message"]
    assert "cue 3 of" in far["message"]
    assert "state:" not in far["message"]


@pytest.mark.parametrize("fit", [pytest.param("audio", marks=pytest.mark.slow), "video"])
def test_each_soundtrack_has_the_background_the_loudness_and_the_length(fit: str, tmp_path: Path) -> None:
    """Further languages are made as long as the first, whichever of audio and video gave way; each ducks the music."""
    _clip(tmp_path / "v.mp4", 3.6)
    seconds = {"es": 4.0, "de": 4.4, "fr": 3.6}
    tones_hz = dict(zip(seconds, (300, 700, 1100), strict=True))
    for language, length_s in seconds.items():
        _tone(tmp_path / f"{language}.wav", length_s, tones_hz[language])
    _tone(tmp_path / "bed.wav", 6, BED_HZ)
    audio = {language: f"{language}.wav" for language in seconds}
    row = {"id": "v", "video": "v.mp4", "audio": audio, "background": "bed.wav", "output": "v.mkv", "faces": BOX}
    fitted = (f'timing.fit="{fit}"', 'timing.length="fit"', 'encode.tracks="all"', "encode.keep=[]")
    mixed = ("encode.audio.loudness_lufs=-20", 'encode.audio.codec="flac"', "mix.duck_db=20")
    report = dub(tmp_path, [row], *SETS, *fitted, *mixed)
    assert report.done == 1, report.outcomes
    length_s = 3.6 if fit == "audio" else 4.0
    assert _records(report)["v"]["video_s"] == pytest.approx(length_s)
    for number, (language, tone_hz) in enumerate(tones_hz.items()):
        wave, rate_hz = _samples(tmp_path / "out" / "v.mkv", number)
        assert len(wave) == pytest.approx(length_s * rate_hz, abs=1)
        assert integrated_lufs(wave[None], rate_hz) == pytest.approx(-20, abs=0.1)
        assert _pitch_hz(wave, rate_hz) == pytest.approx(tone_hz, rel=0.01)
        voice, bed = (_samples(tmp_path / f"{name}.wav")[0] for name in (language, "bed"))
        ducked = _level(wave, rate_hz, BED_HZ) / _level(bed, rate_hz, BED_HZ)
        assert ducked == pytest.approx(0.1 * _rms(wave) / _rms(voice), rel=0.1)
        assert _pitch_hz(wave[-rate_hz // 10 :], rate_hz) == pytest.approx(tone_hz, rel=0.05)  # to the very end


def test_a_stream_of_a_film_is_a_background(tmp_path: Path) -> None:
    """Its music track under a new voice, and as what a speaker says; a stream that is not there fails its own row."""
    film_of_tones(tmp_path / "film.mkv", (300, 700))
    _tone(tmp_path / "a.wav", 1, 1500)
    row = {"video": "film.mkv#v:0", "audio": "a.wav", "faces": BOX}
    beds = {"bed": "film.mkv#a:1", "none": "film.mkv#a:7", "kind": "film.mkv#v:0"}
    rows = [{**row, "id": name, "background": bed, "output": f"{name}.mkv"} for name, bed in beds.items()]
    rows += [{"id": "said", "video": "film.mkv", "speakers": [{"faces": BOX, "audio": "film.mkv#a:1"}]}]
    rows[-1]["output"] = "said.mkv"
    records = _records(dub(tmp_path, rows, *SETS))
    codes = {name: record.get("code") for name, record in records.items()}
    assert codes == {"bed": None, "none": "no_stream", "kind": "row_background", "said": None}
    for name, heard in (("bed", [False, True, True]), ("said", [False, True, False])):
        wave, rate_hz = _samples(tmp_path / "out" / f"{name}.mkv")
        assert [_level(wave, rate_hz, tone_hz) > 0.05 for tone_hz in (300, 700, 1500)] == heard


def test_speech_that_the_state_has_lost_is_made_again(tmp_path: Path) -> None:
    """A file of one cue and a sentence: nothing is spoken a second time, but where the speech is gone or damaged; what
    was published stays, and what was not is dubbed at once.
    """
    _clip(tmp_path / "v.mp4", 2)
    (tmp_path / "one.srt").write_text(ONE_CUE)
    rows = [
        {"id": name, "video": "v.mp4", "text": text, "output": f"{name}.mkv", "faces": BOX}
        for name, text in (("cue", "@one.srt"), ("sentence", "Hola"))
    ]

    def reused() -> list[bool]:
        report = dub(tmp_path, rows, *SETS, *_told(tmp_path))
        assert report.done == 2, report.outcomes
        return [record["reused"] for _, record in sorted(_records(report).items())]

    assert reused() == [False, False]
    assert reused() == [True, True]
    assert sorted(said(tmp_path)) == ["|Buenas tardes a todos.", "|Hola"]
    lost, damaged = tmp_path.glob("out.state/speech/*/*.wav")
    lost.unlink()
    damaged.write_bytes(damaged.read_bytes()[:-4] + b"noise")
    assert reused() == [True, True]
    for row in rows:
        (tmp_path / "out" / row["output"]).unlink()
    for path in tmp_path.glob("out.state/speech/*/*.wav"):
        path.unlink()
    spoken = len(said(tmp_path))
    assert reused() == [False, False]
    assert len(said(tmp_path)) == spoken + 2


def test_a_manifest_of_all_kinds_is_checked_and_estimated(tmp_path: Path) -> None:
    """`validate` names each row's fault and none of the good rows; `plan` estimates the good ones."""
    pytest.importorskip("espeakng_loader", reason="extra espeak is not installed")
    film_of_tones(tmp_path / "film.mkv", (300, 700))
    (tmp_path / "one.srt").write_text(ONE_CUE)
    (tmp_path / "bad.srt").write_text(ONE_CUE.replace("01,500", "00,100"))
    row = {"video": "film.mkv#v:0", "language": "es", "background": "film.mkv#a:1", "length": "fit", "faces": BOX}
    audio = {"es": "film.mkv#a:0", "de": "film.mkv#a:1"}
    rows: list[dict[str, Any]] = [
        {**row, "id": "text", "text": "Hola"},
        {**row, "id": "cues", "text": "@one.srt"},
        {**row, "id": "speakers", "speakers": [{"faces": BOX, "text": "Hola", "end": 0.5}], "faces": None},
        {**row, "id": "languages", "audio": audio, "language": None},
        {**row, "id": "badcue", "text": "@bad.srt"},
        {**row, "id": "nostream", "audio": "film.mkv#a:0", "background": "film.mkv#a:9"},
        {**row, "id": "both", "audio": "film.mkv#a:0", "text": "Hola"},
    ]
    lines = [json.dumps({**one, "output": f"{one['id']}.mkv"}) for one in rows]
    sets = ('tts.engine="espeak"', "mix.duck_db=12", "encode.audio.loudness_lufs=-20", 'encode.tracks="all"')
    arguments = [*settings_arguments(*SETS, *sets)]
    (tmp_path / "all.jsonl").write_text("\n".join(lines))
    checked = run("validate", "all.jsonl", *arguments, cwd=tmp_path)
    assert checked.returncode == 1
    output = checked.stdout + checked.stderr
    assert "4 good rows, 3 bad rows" in output
    assert "the end of cue 1, 0.1 s, is not after its start" in output
    assert "film.mkv#a:9: the file has 2 audio streams" in output
    assert "(id=both)" in output
    assert not any(name in output for name in ("id=text", "id=cues", "id=speakers", "id=languages", "Traceback"))
    (tmp_path / "good.jsonl").write_text("\n".join(lines[:4]))
    planned = run("plan", "good.jsonl", *arguments, "--json", cwd=tmp_path)
    assert planned.returncode == 0, planned.stderr
    estimates = [json.loads(line) for line in planned.stdout.splitlines()]
    assert [one["frames"] for one in estimates if "frames" in one][:4] == [25] * 4
