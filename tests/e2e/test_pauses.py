"""Pauses of new audio that has music under it, told by a voice activity detector or by the level."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from benchmarks.speech import mixed, synthesised
from lipwise_ray.lipsync.mel import MEL_RATE_HZ
from lipwise_ray.lipsync.voice_activity import runs
from lipwise_ray.synth.clips import ClipSpec, write_clip
from lipwise_ray.synth.footage import write_speech
from lipwise_ray.values import Size
from tests.support.dub import BY_LEVEL, PASSTHROUGH, QUICK, Dubbed, dub

SETS = (PASSTHROUGH, QUICK, 'lipsync.silence="closed"')


def _dub(folder: Path, *sets: str, out: str) -> tuple[Dubbed, dict[str, Any], np.ndarray]:
    """Return the report, the result, and the columns that are silent for the network."""
    row = {"id": "a", "video": folder / "v.mkv", "audio": folder / "s.wav", "output": "a.mp4"}
    row |= {"faces": "box:60,110,50,110"}
    report = dub(folder, [row], *SETS, *sets, out=out)
    assert report.done == 1, report.outcomes
    (result,) = (folder / f"{out}.state").glob("jobs/*/result.json")
    with np.load(result.with_name("plan.npz")) as plan:
        return report, json.loads(result.read_bytes()), plan["part_pauses_0"]


@pytest.fixture(scope="module")
def talk(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A clip, and speech over music that is 10 dB below it."""
    folder, said = tmp_path_factory.mktemp("talk"), synthesised()
    write_speech(folder / "s.wav", mixed(said, "music", 10))
    write_clip(folder / "v.mkv", ClipSpec(size=Size(160, 120), frames=10))
    return folder


def test_mouths_close_where_only_music_goes_on(talk: Path) -> None:
    """Every pause between sentences is one, however the video is cut into chunks; the result says what told them."""
    pauses = [(start, stop) for start, stop in runs(~synthesised().truth) if stop - start > MEL_RATE_HZ]
    found: list[np.ndarray] = []
    for frames in (100, 37):
        _, result, silent = _dub(talk, f"chunk.frames={frames}", out=f"by-network-{frames}")
        assert result["speech_by"] == "silero_vad"
        assert result["weights"]["vad"]["licence"] == "MIT"
        found.append(silent)
        for start, stop in pauses:
            middle = (start + stop) // 2
            (covered,) = [(a, b) for a, b in silent if a <= middle < b]
            assert covered[0] - start < 0.2 * MEL_RATE_HZ
            assert stop - covered[1] < 0.2 * MEL_RATE_HZ
    assert np.array_equal(*found)


@pytest.mark.slow
def test_without_a_detector_the_level_tells_and_the_result_says_so(talk: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the extra is not installed, and where it is not wanted; the run tells of the former."""
    _, result, silent = _dub(talk, BY_LEVEL, out="by-level")
    assert (result["speech_by"], "vad" in result["weights"], len(silent)) == ("level", False, 0)
    monkeypatch.setattr("lipwise_ray.models.registry.RegistryEntry.packaged", None)
    report, again, _ = _dub(talk, out="not-installed")
    assert (again["speech_by"], again["job_id"]) == ("level", result["job_id"])
    note = "lipsync.vad = auto: none (silero_vad is not installed: pauses go by the audio's level)"
    assert any(note in line for line in report.lines), report.lines
