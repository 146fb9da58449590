"""Cues, music and a sentence that is replaced, as one row has them: an SRT in Spanish becomes a dubbed clip."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from lipwise_ray.media.audio_reader import AudioReader
from lipwise_ray.media.probe import probe_audio
from lipwise_ray.tts.engine import write_speech
from lipwise_ray.values import FloatArray
from tests.conftest import ROOT
from tests.e2e.test_exactness import digest
from tests.support.dub import LOSSLESS, NOTHING_IN_FRONT, Dubbed, dub

SENTENCES = (
    "Buenas tardes a todos.",
    "Hoy hablamos del mar.",
    "El agua es muy clara.",
    "Las olas son altas.",
    "Mira el barco rojo.",
    "El viento sopla fuerte.",
    "Dos niños juegan aquí.",
    "La arena quema mucho.",
    "El sol baja despacio.",
    "¡Hasta mañana, amigos!",
)
FIRST_S, APART_S, SLOT_S = 0.8, 2.6, 1.6
RATE, RATE_HZ = 25, 48_000
CHORD_HZ = (5000, 6250, 7500)
GAIN_DB, DUCK_DB = -26.0, 12.0
REPLACED, INSTEAD = 1, "El barco llega hoy."
SETS = (
    'lipsync.model="tiny_generator"',
    'detect.detector="tiny"',
    NOTHING_IN_FRONT,
    LOSSLESS,
    "source.crop=[0,134,0,240]",
    "source.resize_factor=2",
    "chunk.frames=65",
    'tts.engine="espeak"',
    'encode.audio.codec="flac"',
    f"mix.duck_db={DUCK_DB}",
)


def _clock(seconds: float) -> str:
    ms = round(seconds * 1000)
    return f"{ms // 3_600_000:02}:{ms // 60_000 % 60:02}:{ms // 1000 % 60:02},{ms % 1000:03}"


def _srt(path: Path, sentences: Sequence[str]) -> None:
    """Write sentences as cues, one every `APART_S`."""
    starts_s = [FIRST_S + APART_S * number for number in range(len(sentences))]
    cues = [
        f"{number}\n{_clock(start_s)} --> {_clock(start_s + SLOT_S)}\n{text}\n"
        for number, (start_s, text) in enumerate(zip(starts_s, sentences, strict=True), 1)
    ]
    path.write_text("\n".join(cues), "utf-8")


def _chord(seconds: float) -> FloatArray:
    at_s = np.arange(round(seconds * RATE_HZ)) / RATE_HZ
    return np.asarray(0.3 * np.sin(2 * np.pi * np.outer(CHORD_HZ, at_s)).sum(0), np.float32)


def _samples(path: Path) -> FloatArray:
    return np.concatenate(list(AudioReader(probe_audio(path)).blocks(RATE_HZ, "mono")), 1)[0]


def _rms(wave: FloatArray) -> float:
    return float(np.sqrt((wave.astype(np.float64) ** 2).mean()))


def _speech(folder: Path, result: dict[str, Any]) -> list[FloatArray]:
    """Return the speech of each cue, as the state has it under the first digits of its hash."""
    files = {path.stem[:24]: path for path in folder.glob("out.state/speech/*/*.wav")}
    return [_samples(files[one["audio"]]) for one in result["identity"]["speakers"]]


def _onset_s(mix: FloatArray, speech: FloatArray, start_s: float) -> float:
    """Return the time in a mix at which speech is first heard: where it is most like the mix, near a time."""
    first = round((start_s - 0.3) * RATE_HZ)
    part = mix[first : first + len(speech) + round(0.6 * RATE_HZ)]
    size = 1 << (len(part) + len(speech)).bit_length()
    alike = np.fft.irfft(np.fft.rfft(part, size) * np.conj(np.fft.rfft(speech, size)), size)
    at = int(np.argmax(alike[: len(part) - len(speech) + 1]))
    assert np.corrcoef(part[at : at + len(speech)], speech)[0, 1] > 0.95
    return (first + at + int(np.argmax(np.abs(speech) > 0.02 * np.abs(speech).max()))) / RATE_HZ


def _counted(report: Dubbed) -> tuple[int, dict[str, Any]]:
    """Return how many chunks were rendered, and the result."""
    assert (report.done, report.failed) == (1, 0), report.outcomes
    return report.chunks_rendered, report.outcomes[0].record


@pytest.mark.slow
@pytest.mark.parametrize("count", [4, pytest.param(10, marks=pytest.mark.slow)])
def test_an_srt_becomes_a_dubbed_clip_with_music(count: int, tmp_path: Path) -> None:
    """With espeak and the bundled networks: each cue begins within 40 ms of its time, over a chord that is as loud as
    asked for in pauses, and quieter under speech. One cue replaced: two chunks at most are rendered, all else stays.
    """
    pytest.importorskip("espeakng_loader", reason="extra espeak is not installed")
    sentences = [*SENTENCES[: count - 1], SENTENCES[-1]]
    _srt(tmp_path / "cues.srt", sentences)
    chord = _chord(30)
    write_speech(tmp_path / "bed.wav", chord, RATE_HZ)
    row = {
        "id": "film",
        "video": ROOT / "manifests" / "demo" / "presenter.mp4",
        "output": "film.mkv",
        "text": "@cues.srt",
        "language": "es",
        "background": "bed.wav",
        "background_gain_db": GAIN_DB,
    }
    rendered, result = _counted(dub(tmp_path, [row], *SETS))
    assert rendered == result["chunks"]
    gain = 10 ** (result["mixed"]["gain_db"] / 20)  # speech that was resampled may peak above 1
    film = tmp_path / "out" / "film.mkv"
    frames, mix, speech = digest(film), _samples(film), _speech(tmp_path, result)
    starts_s = [FIRST_S + APART_S * number for number in range(count)]
    onsets_s = [_onset_s(mix, *one) for one in zip(speech, starts_s, strict=True)]
    assert np.abs(np.subtract(onsets_s, starts_s)).max() <= 0.04
    asked, ducked = (_rms(chord) * 10 ** (gain_db / 20) for gain_db in (GAIN_DB, GAIN_DB - DUCK_DB))
    for wave, start_s, next_s in zip(speech, starts_s, starts_s[1:], strict=False):
        first, stop = round(start_s * RATE_HZ), round(start_s * RATE_HZ) + len(wave)
        middle = (stop + round(next_s * RATE_HZ)) // 2
        assert _rms(mix[middle - RATE_HZ // 20 : middle + RATE_HZ // 20]) == pytest.approx(asked, rel=0.02)
        under = (mix[first:stop] - gain * wave)[len(wave) // 4 : len(wave) * 3 // 4]
        assert _rms(under) == pytest.approx(ducked, rel=0.1)

    spoken = {path: path.stat().st_mtime_ns for path in tmp_path.glob("out.state/speech/*/*")}
    _srt(tmp_path / "cues.srt", [*sentences[:REPLACED], INSTEAD, *sentences[REPLACED + 1 :]])
    rendered, result = _counted(dub(tmp_path, [row], *SETS))
    assert 1 <= rendered <= 2
    assert rendered + result["tally"]["chunks_reused"] == result["chunks"]
    now = {path: path.stat().st_mtime_ns for path in tmp_path.glob("out.state/speech/*/*")}
    assert {path: now.get(path) for path in spoken} == spoken
    assert len(now) == len(spoken) + 2  # one recording and its record
    after, new_mix = digest(film), _samples(film)
    differ = [number for number, (one, other) in enumerate(zip(frames, after, strict=True)) if one != other]
    begin_s, end_s = starts_s[REPLACED] - 0.7, starts_s[REPLACED + 1] - 0.1
    assert begin_s * RATE < differ[0] <= differ[-1] < end_s * RATE
    heard = np.flatnonzero(mix != new_mix)
    assert begin_s * RATE_HZ < heard[0] <= heard[-1] < end_s * RATE_HZ
