"""Lengths of videos that are stretched under their clips, as a plan estimates them."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pytest

import lipwise_ray
from lipwise_ray.cli.app import main
from lipwise_ray.pipeline.inputs.resolver import media_of
from lipwise_ray.pipeline.manifest.dub_rows import read_manifest
from lipwise_ray.runs.estimate import Speeds, estimate_row
from lipwise_ray.runs.stretched_length import stretches
from lipwise_ray.storage.cache import Cache
from lipwise_ray.synth.clips import ClipSpec, ToneSpec, write_clip, write_sound
from lipwise_ray.values import Size
from tests.support.dub import write_manifest

BOX = "box:60,110,50,110"


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with a video of 1.2 s and an audio of 0.4 s."""
    write_clip(tmp_path / "v.mp4", ClipSpec(size=Size(160, 120), frames=30, gop=5))
    write_sound(tmp_path / "s.wav", ToneSpec(0.4, codec="pcm_s16le", rate_hz=16000, channels=1))
    for name in ("stdout", "stderr"):
        monkeypatch.setattr(sys, name, getattr(sys, name))  # put back afterwards
    return tmp_path


def _told(fit: str) -> list[str]:
    return ["timing.length=fit", f"timing.fit={fit}", "timing.max_stretch=2"]


def _frames(folder: Path, fit: str, **columns: Any) -> int:
    row = {"id": "r", "video": "v.mp4", "output": "r.mkv", "tracks": "", **columns}
    manifest = write_manifest(folder / "m.csv", [row])
    rows = read_manifest(manifest, str(folder / "out"), [])
    assert not rows.bad, [*rows.problems]
    (one,) = rows.rows
    settings = lipwise_ray.load_settings(assignments=_told(fit)).for_row(one)
    assert stretches(one, settings) is (fit != "audio")
    media = media_of(settings, Cache(folder / "cache", 1))
    estimate = estimate_row(one, settings, Speeds(render=10.0), media)
    assert estimate.seconds == pytest.approx(estimate.frames / 10 + estimate.scan_frames / Speeds().scan)
    return estimate.frames


@pytest.mark.parametrize(("fit", "frames"), [("audio", 30), ("video", 35), ("both", 32)])
def test_a_slot_becomes_as_long_as_its_audio(fit: str, frames: int, folder: Path) -> None:
    """Audio of 0.4 s in a slot of 0.2 s makes the video 0.2 s longer; half of that, by factors, where both give way."""
    speakers = [{"faces": BOX, "audio": "s.wav", "start": 0.2, "end": 0.4}]
    assert _frames(folder, fit, speakers=speakers) == frames


@pytest.mark.parametrize(("text", "frames"), [("Nine char", 37), ("Ha", 26), ("Far too much text for that. " * 9, 38)])
def test_speech_of_cues_is_guessed_within_what_can_be_done(text: str, frames: int, folder: Path) -> None:
    """Fifteen characters are a second; a slot of 0.32 s becomes no longer than twice that, and no shorter than half."""
    (folder / "c.srt").write_text(f"1\n00:00:00,200 --> 00:00:00,520\n{text}\n")
    assert _frames(folder, "video", text="@c.srt", faces=BOX) == frames


@pytest.mark.parametrize("command", ["validate", "plan"])
def test_a_background_that_will_not_follow_is_said_before(
    command: str, folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """One warning, of the row whose video is stretched beside a file; the row is good all the same."""
    speakers = [{"faces": BOX, "audio": "s.wav", "start": 0.2, "end": 0.5}]
    rows = [
        {"id": name, "video": "v.mp4", "output": f"{name}.mkv", "tracks": "", "speakers": speakers, **more}
        for name, more in (("with", {"background": "s.wav"}), ("without", {}))
    ]
    manifest = write_manifest(folder / "m.jsonl", rows)
    settings = [word for text in _told("video") for word in ("--set", text)]
    monkeypatch.setattr(sys, "argv", ["lipwise-ray", command, str(manifest), *settings])
    with pytest.raises(SystemExit):
        main()
    said = capsys.readouterr()
    warnings = [line for line in said.err.splitlines() if line.startswith("warning:")]
    assert len(warnings) == 1
    assert "id=with" in warnings[0]
    assert "does not follow the video" in warnings[0]
    assert "error" not in said.err
