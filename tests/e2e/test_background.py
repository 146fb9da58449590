"""Music and effects go along: a track of one's own, or what the video's own audio holds beside its voices."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from lipwise_ray.errors import WeightsError
from lipwise_ray.synth.clips import ClipSpec, ToneSpec, write_clip, write_sound
from lipwise_ray.values import Size
from tests.support.demucs import seeded_network, write_pickle
from tests.support.dub import PASSTHROUGH, QUICK, UNJUDGED, dub
from tests.support.loudness_meter import integrated_lufs, samples_in

_BOX = "box:10,100,10,100"


def _results(folder: Path) -> dict[str, Any]:
    found = [json.loads(path.read_text()) for path in (folder / "out.state" / "jobs").glob("*/result.json")]
    return {one["row_id"]: one for one in found}


def _row(name: str, **cells: Any) -> dict[str, Any]:
    return {"id": name, "video": "v.mkv", "audio": "a.wav", "output": f"{name}.mkv", "faces": _BOX, **cells}


def _inputs(folder: Path) -> None:
    spec = ClipSpec(frames=40, size=Size(160, 120), tone=ToneSpec(1.6, codec="flac", tone_hz=500))
    write_clip(folder / "v.mkv", spec)
    for name, hz in (("a", 200), ("b", 250)):
        write_sound(folder / f"{name}.wav", ToneSpec(1.6, codec="pcm_s16le", channels=1, tone_hz=hz))


def test_a_row_has_its_bed_and_loudness_and_another_rows_fault_is_its_own(tmp_path: Path) -> None:
    """The result says what was mixed; a damaged background fails its row alone; a second run renders nothing."""
    _inputs(tmp_path)
    write_sound(tmp_path / "bed.wav", ToneSpec(0.5, codec="pcm_s16le", tone_hz=1000))
    (tmp_path / "bad.wav").write_bytes(b"RIFF" + bytes(200))
    rows = [
        _row("with", background="bed.wav", background_gain_db="-6"),
        _row("without"),
        _row("bad", background="bad.wav"),
    ]
    arguments = (PASSTHROUGH, UNJUDGED, QUICK, "encode.audio.loudness_lufs=-20")
    report = dub(tmp_path, rows, *arguments)
    assert (report.done, report.failed) == (2, 1)
    results = _results(tmp_path)
    mixed = results["with"]["mixed"]
    assert (Path(mixed["background"]).name, mixed["background_gain_db"]) == ("bed.wav", -6.0)
    assert "background" not in results["without"]["mixed"]
    for name in ("with", "without"):
        samples, rate_hz = samples_in(tmp_path / "out" / f"{name}.mkv")
        assert samples.shape[1] == pytest.approx(1.6 * rate_hz, abs=1)
        assert integrated_lufs(samples, rate_hz) == pytest.approx(-20, abs=0.1)
    again = dub(tmp_path, rows, *arguments)
    assert (again.done, again.failed) == (2, 1)
    assert all(outcome.result.reused for outcome in again.outcomes if outcome.row_id != "bad")


def test_the_background_of_a_video_is_separated_once_for_all_its_languages(tmp_path: Path) -> None:
    """It is under both voices, made by the network of the checkpoint; a video without audio says so."""
    _inputs(tmp_path)
    write_clip(tmp_path / "mute.mkv", ClipSpec(frames=10, size=Size(160, 120)))
    checkpoint = write_pickle(tmp_path / "small.th", seeded_network())
    rows = [
        _row("one", background="keep"),
        _row("two", background="keep", audio="b.wav"),
        _row("none", background="keep", video="mute.mkv"),
    ]
    report = dub(
        tmp_path, rows, PASSTHROUGH, UNJUDGED, QUICK, f"mix.separator_checkpoint={json.dumps(str(checkpoint))}"
    )
    assert (report.done, report.failed) == (2, 1)
    (message,) = [outcome.result.message for outcome in report.outcomes if outcome.row_id == "none"]
    assert "has no audio whose background could be kept" in message
    beds = list((tmp_path / "out.state" / "sounds").glob("*/background-*/*.mka"))
    assert len(beds) == 1
    bed = samples_in(beds[0])[0]
    for result in _results(tmp_path).values():
        assert result["mixed"]["background"] == "keep"
        assert result["weights"]["separator"]["network"] == "htdemucs"
    for name, voice in (("one", "a.wav"), ("two", "b.wav")):
        mixed, alone = samples_in(tmp_path / "out" / f"{name}.mkv")[0], samples_in(tmp_path / voice)[0][0]
        rest = mixed[0] - alone * np.float32(10 ** (_results(tmp_path)[name]["mixed"]["gain_db"] / 20))
        at_44_hz = np.interp(np.arange(bed.shape[1]) / 44100, np.arange(len(rest)) / 48000, rest)
        assert np.corrcoef(at_44_hz, bed[0])[0, 1] > 0.95


def test_a_separator_that_is_not_there_says_how_to_get_it(tmp_path: Path) -> None:
    """Before any work, by the name of the command."""
    _inputs(tmp_path)
    with pytest.raises(WeightsError, match="lipwise-ray models pull htdemucs"):
        dub(tmp_path, [_row("one", background="keep")], PASSTHROUGH, UNJUDGED, QUICK)
