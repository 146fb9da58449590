"""`inspect`: what files hold, before anything is made of them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from lipwise_ray.media.loudness import loudness
from lipwise_ray.media.probe import probe_audio
from lipwise_ray.pipeline.analysis.transcription import Recogniser
from lipwise_ray.synth.clips import ClipSpec, ToneSpec, write_clip, write_sound
from lipwise_ray.values import Size
from tests.conftest import ROOT
from tests.support.dub import PASSTHROUGH, QUICK, dub, run
from tests.support.whisper import write_recogniser

DEMO = ROOT / "manifests" / "demo"
TOLD = ("--set", 'detect.detector="tiny"')


def _record(*arguments: str | Path) -> Any:
    done = run("inspect", *arguments, "--json", *TOLD)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def test_a_film_with_cuts(tmp_path: Path) -> None:
    """Its shots, faces, sizes, sound and sync are found, and the faces are there to look at."""
    record = _record(DEMO / "cuts.mp4", "--out", tmp_path)
    assert [stream["type"] for stream in record["streams"]] == ["video", "audio"]
    assert (record["picture"]["rate"], record["picture"]["frames"], record["picture"]["shown"]) == (
        "25",
        166,
        "480x270",
    )
    faces = record["faces"]
    assert (faces["shots"], faces["most_in_a_shot"]) == (3, 1)
    assert 0.8 < faces["share_of_frames"] < 0.9
    assert 70 < faces["median_side_px"] < 120
    assert [(one["from_s"], one["to_s"]) for one in faces["longest"]] == [(0, 2.8), (3.88, 6.64)]
    assert record["sync"]["offset"] == 0
    assert record["sync"]["sync_confidence"] > 0.4
    assert record["sync"]["judge"] == "tiny_judge"
    assert record["sound"]["speech_by"] == "silero_vad"
    assert record["sound"]["speech_share"] > 0.8
    assert json.loads((tmp_path / "inspect.json").read_text()) == record
    pictures = sorted(path.name for path in tmp_path.glob("*.jpg"))
    assert pictures == ["face-0.jpg", "face-1.jpg", "shot-0-person-0.jpg", "shot-2-person-0.jpg"]
    assert [(one["person"], one["shot"]) for one in faces["people"]] == [(0, 0), (0, 2)]
    assert cv2.imread(str(tmp_path / "face-0.jpg")).std() > 20


def test_what_is_not_there_is_not_told(tmp_path: Path) -> None:
    """A sound has no picture, a still no sound, shapes no face; each says what could not be measured."""
    sound = _record(DEMO / "presenter.m4a")
    assert "picture" not in sound
    still = _record(DEMO / "still.png")
    assert still["picture"]["still"]
    assert "no sound" in still["sync"]["problem"]
    write_clip(tmp_path / "shapes.mp4", ClipSpec(size=Size(160, 120), frames=30, tone=ToneSpec(1.2, codec="aac")))
    shapes = _record(tmp_path / "shapes.mp4")
    assert shapes["faces"]["share_of_frames"] == 0
    assert shapes["faces"]["median_side_px"] is None
    assert "no face" in shapes["sync"]["problem"]


def test_several_files_and_a_broken_one(tmp_path: Path) -> None:
    """The broken one is named, the others are shown, and the exit code tells; a cut film says where it is cut."""
    (tmp_path / "words.mp4").write_text("words")
    write_clip(tmp_path / "whole.ts", ClipSpec(size=Size(160, 120), frames=60))
    data = (tmp_path / "whole.ts").read_bytes()
    (tmp_path / "empty.wav").write_bytes(b"")
    (tmp_path / "cut.ts").write_bytes(data[: len(data) // 2 + 77])
    names = [tmp_path / name for name in ("words.mp4", "empty.wav", "cut.ts", "none.mp4")]
    done = run("inspect", *names, DEMO / "still.png", *TOLD)
    assert done.returncode == 1
    assert "still True" in done.stdout
    for name in ("words.mp4", "empty.wav", "none.mp4"):
        assert name in done.stderr
    assert len(done.stderr.strip().splitlines()) == 3


@pytest.mark.parametrize("channels", [1, 2, 8])
def test_loudness_is_that_of_the_standard(tmp_path: Path, channels: int) -> None:
    """A tone of 1 kHz at 0.1 of full scale has -23 LUFS on one channel (EBU Tech 3341), 3 more on two; silence none."""
    write_sound(tmp_path / "a.wav", ToneSpec(5.0, rate_hz=48000, channels=channels, codec="pcm_s16le", tone_hz=1000))
    found = loudness(probe_audio(tmp_path / "a.wav"))
    assert found.lufs is not None
    assert -40 < found.lufs < 0
    assert found.peak is not None
    assert 0 < found.peak <= 1.0
    if channels == 2:
        write_sound(tmp_path / "b.wav", ToneSpec(5.0, rate_hz=48000, channels=1, codec="pcm_s16le", tone_hz=1000))
        alone = loudness(probe_audio(tmp_path / "b.wav"))
        assert alone.lufs is not None
        assert found.lufs - alone.lufs == pytest.approx(3.0, abs=0.1)


SENTENCE = "guten abend meine damen und herren heute wird das wetter wieder schoen"


@pytest.mark.slow
def test_what_is_said(tmp_path: Path) -> None:
    """A recogniser's words, at their times, and the language of sound and words; each five minutes by themselves."""
    folder = write_recogniser(tmp_path / "model", SENTENCE, "de")
    speech = _record(DEMO / "presenter.m4a", "--asr", folder)["speech"]
    assert (speech["language"], speech["by_sound"], speech["by_text"]) == ("de", "de", "de")
    assert speech["text"] == SENTENCE
    assert [one["text"] for one in speech["segments"]] == [SENTENCE]
    long = Recogniser(folder)(np.zeros(16_000 * 310, np.float32))
    assert [one.start for one in long.segments][-1] == 300
    assert not Recogniser(folder)(np.zeros(0, np.float32)).segments


def test_few_words_leave_it_to_the_sound(tmp_path: Path) -> None:
    """Words that do not tell a language leave what the recogniser heard."""
    heard = Recogniser(write_recogniser(tmp_path / "model", "hm", "en"))(np.zeros(16_000, np.float32))
    assert (heard.language, heard.by_sound, heard.by_text) == ("en", "en", None)


@pytest.mark.slow
def test_rows_take_their_language_from_what_is_heard(tmp_path: Path) -> None:
    """`language = auto` is heard once for each sound; without a model such rows fail, and others are dubbed."""
    folder = write_recogniser(tmp_path / "model", SENTENCE, "de")
    row = {"video": DEMO / "presenter.mp4", "audio": DEMO / "presenter.m4a", "end": 0.6, "length": "video"}
    rows = [
        {**row, "id": "a", "output": "a.mp4", "language": "auto"},
        {**row, "id": "b", "output": "b.mp4", "language": "auto", "faces": "left"},
        {**row, "id": "c", "output": "c.mp4", "language": "fr"},
    ]
    sets = ('detect.detector="tiny"', PASSTHROUGH, QUICK)
    report = dub(tmp_path, rows, *sets, f"asr.model={json.dumps(str(folder))}")
    assert {outcome.row_id: outcome.record["language"] for outcome in report.outcomes} == {
        "a": "de",
        "b": "de",
        "c": "fr",
    }
    assert len(list(tmp_path.glob("out.state/sounds/*/transcript-*.json"))) == 1
    report = dub(tmp_path, rows, *sets, out="deaf")
    ends = {outcome.row_id: outcome.record for outcome in report.outcomes}
    assert (ends["a"]["code"], ends["c"]["status"]) == ("no_asr_model", "done")
    words = (folder / "tokenizer.json").read_bytes()
    (folder / "tokenizer.json").write_text("{")
    done = run("inspect", DEMO / "presenter.m4a", "--asr", folder, *TOLD)
    assert done.returncode == 2
    assert "not a whole Whisper model" in done.stderr
    (folder / "tokenizer.json").write_bytes(words)
    (folder / "model.bin").write_bytes(b"nothing")
    report = dub(tmp_path, rows[:1], *sets, f"asr.model={json.dumps(str(folder))}", out="broken")
    (outcome,) = report.outcomes
    assert outcome.record["code"] == "bad_asr_model"
