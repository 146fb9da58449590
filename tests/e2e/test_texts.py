"""Texts in place of audio: sentences, cues, and engines that fail, through the inline engine."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from lipwise_ray.media.audio import extract_network_audio
from lipwise_ray.media.probe import probe_audio
from tests.conftest import ROOT
from tests.support.dub import BY_LEVEL, NOTHING_IN_FRONT, PASSTHROUGH, QUICK, dub
from tests.support.sayer import said, sayer

DEMO = ROOT / "manifests" / "demo"
TINY = ('lipsync.model="tiny_generator"', 'detect.detector="tiny"', NOTHING_IN_FRONT, QUICK)
PLAIN = (PASSTHROUGH, QUICK, BY_LEVEL, NOTHING_IN_FRONT)
BOX = "box:60,200,100,240"
STARTS_S = (0.5, 2.4, 4.2)
SRT = """1
00:00:00,500 --> 00:00:02,000
Buenas tardes a todos.

2
00:00:02,400 --> 00:00:03,400
<i>Hoy hablamos del mar.</i>

3
00:00:04,200 --> 00:00:05,500
¡Hasta mañana!
"""
WINDOW = 80
"""Samples at 16 kHz: 5 ms."""


def _row(name: str, **changes: Any) -> dict[str, Any]:
    return {"id": name, "video": DEMO / "presenter.mp4", "output": f"{name}.mp4", **changes}


def _onsets_s(video: Path, folder: Path) -> list[float]:
    """Return the times at which sound begins after a quarter of a second of silence."""
    extract_network_audio(probe_audio(video), folder / "wave.f32")
    wave = np.fromfile(folder / "wave.f32", np.float32)
    levels = np.sqrt((wave[: len(wave) // WINDOW * WINDOW].reshape(-1, WINDOW) ** 2).mean(1))
    loud = np.concatenate([np.zeros(50, bool), levels > levels.max() * 0.02])
    return [(n - 50) * WINDOW / 16_000 for n in range(50, len(loud)) if loud[n] and not loud[n - 50 : n].any()]


def _result(folder: Path, name: str) -> dict[str, Any]:
    found = [json.loads(path.read_bytes()) for path in folder.glob("out.state/jobs/*/result.json")]
    return next(one for one in found if one["row_id"] == name)


def _spoken(folder: Path) -> dict[Path, int]:
    return {path: path.stat().st_mtime_ns for path in folder.glob("out.state/speech/*/*")}


def test_an_srt_in_spanish_becomes_a_dubbed_clip(tmp_path: Path) -> None:
    """With espeak and the bundled networks: every cue within 40 ms of its time, engine, voice and terms in the result;
    a second run speaks and renders nothing.
    """
    pytest.importorskip("espeakng_loader", reason="extra espeak is not installed")
    (tmp_path / "cues.srt").write_text(SRT, "utf-8")
    rows = [_row("cues", text="@cues.srt", language="es")]
    report = dub(tmp_path, rows, *TINY, 'tts.engine="espeak"')
    assert report.done == 1, report.outcomes
    onsets = _onsets_s(tmp_path / "out" / "cues.mp4", tmp_path)
    assert len(onsets) == len(STARTS_S)
    assert np.abs(np.array(onsets) - STARTS_S).max() <= 0.04
    result = _result(tmp_path, "cues")
    (by,) = result["spoken_by"]
    assert (by["engine"].partition(" ")[0], by["voice"], by["licence"]) == ("espeak-ng", "es", "GPL-3.0-or-later")
    assert len(result["identity"]["speakers"]) == 3
    before = _spoken(tmp_path)
    again = dub(tmp_path, rows, *TINY, 'tts.engine="espeak"')
    assert [one.record["reused"] for one in again.outcomes] == [True]
    assert _spoken(tmp_path) == before


def test_rows_of_one_text_share_its_speech(tmp_path: Path) -> None:
    """It is spoken once for all of them; a state without it speaks it again and finds the rows done."""
    told = (*PLAIN, 'tts.engine="command"', f"tts.command={json.dumps(sayer(tmp_path))}")
    speakers = [{"faces": BOX, "text": "Good evening", "start": 0.2}]
    rows = [_row("a", text="Good evening", faces=BOX), _row("b", text="Good  evening", faces=BOX)]
    rows += [_row("c", speakers=speakers)]
    report = dub(tmp_path, rows, *told)
    assert report.done == 3, report.outcomes
    assert said(tmp_path) == ["|Good evening"]
    for path in _spoken(tmp_path):
        path.unlink()
    again = dub(tmp_path, rows, *told)
    assert [one.record["reused"] for one in again.outcomes] == [True] * 3
    assert len(said(tmp_path)) == 2


def test_a_text_that_cannot_be_spoken_fails_its_row_alone(tmp_path: Path) -> None:
    """The program's fault, a voice that it has not, cues that run into each other; the row beside them is dubbed."""
    (tmp_path / "long.srt").write_text(SRT.replace("Buenas tardes", "Buenas tardes " * 9), "utf-8")
    told = (*PLAIN, 'tts.engine="command"', f"tts.command={json.dumps(sayer(tmp_path))}", 'tts.voices=["ann"]')
    rows = [
        _row("good", text="Good evening", voice="ann", faces=BOX),
        _row("fails", text="FAIL now", faces=BOX),
        _row("voice", text="Good evening", voice="bob", faces=BOX),
        _row("cues", text="@long.srt", faces=BOX),
    ]
    report = dub(tmp_path, rows, *told)
    failed = {one.record["row_id"]: one.record for one in report.outcomes if one.record["status"] == "failed"}
    codes = {name: record["code"] for name, record in failed.items()}
    assert codes == {"fails": "tts_failed", "voice": "tts_voice", "cues": "cue_too_long"}
    assert report.done == 1
    assert "the voice box is broken" in failed["fails"]["message"]
    assert "cue 2 starts at 2.400 s" in failed["cues"]["message"]
