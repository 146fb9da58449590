"""Voices and engines are looked for before anything is spoken."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

from lipwise_ray.models.registry import Registry
from lipwise_ray.pipeline.inputs.resolver import media_of
from lipwise_ray.pipeline.manifest.dub_rows import read_manifest
from lipwise_ray.resources import jobs_folder, models_folder
from lipwise_ray.runs import speech_check
from lipwise_ray.runs.settings_source import SettingsSource
from lipwise_ray.runs.validation import Validation
from lipwise_ray.settings.layers import parse_assignment
from lipwise_ray.storage.cache import Cache
from lipwise_ray.synth.clips import ClipSpec, write_clip
from lipwise_ray.values import Size
from tests.support.dub import PASSTHROUGH, UNJUDGED, write_manifest

BOX = "box:60,110,50,110"


def _findings(folder: Path, rows: list[dict[str, Any]], *sets: str) -> list[str]:
    if not (folder / "v.mp4").exists():
        write_clip(folder / "v.mp4", ClipSpec(size=Size(160, 120), frames=30, gop=5))
    layers = [(text, parse_assignment(text)) for text in (PASSTHROUGH, UNJUDGED, 'lipsync.vad="none"', *sets)]
    source = SettingsSource(jobs_folder(), "quality", list(layers))
    told = [
        {"id": f"r{n}", "video": "v.mp4", "output": f"{n}.mkv", "faces": BOX, "language": "es", **row}
        for n, row in enumerate(rows)
    ]
    manifest = read_manifest(write_manifest(folder / "m.csv", told), str(folder / "out"), ["quality"])
    registry = Registry(models_folder() / "registry.toml", folder / "models")
    media = media_of(source.for_run(), Cache(folder / "cache"))
    checked = Validation(manifest, source, registry, media, str(folder / "out"), str(folder / "state"))
    return [f"{one.code} {one.message}" for one in checked.findings()]


def test_voices_that_are_missing_are_named(tmp_path: Path) -> None:
    """Of rows and of cues, each with its row; good rows and files are not spoken of."""
    cues = [{"start": 0, "end": 1, "text": "Hola", "voice": voice} for voice in ("es+nope",)]
    (tmp_path / "c.json").write_text(json.dumps(cues))
    (tmp_path / "d.srt").write_text("1\n00:00:00,000 --> 00:00:01,000\n\n")
    rows = [{"text": "Hola"}, {"text": "Hola", "voice": "zz"}, {"text": "@c.json"}, {"text": "@d.srt"}]
    found = _findings(tmp_path, rows, 'tts.engine="espeak"')
    assert [line.partition(" ")[0] for line in found] == ["tts_voice", "tts_voice", "bad_cues"]
    assert "line 3 (id=r1): tts: 'zz' is not one of its voices (espeak-ng)" in found[0]
    assert "'es+nope' is not one of its voices" in found[1]
    assert "d.srt, line 2: cue 1 has no text" in found[2]


def test_an_engine_that_is_not_there_is_named(tmp_path: Path) -> None:
    """Networks with the command that gets them, a program with its setting; listed voices are all that it has."""
    rows = [{"text": "Hola", "voice": "ann"}]
    found = _findings(tmp_path, rows, 'tts.engine="supertonic"')
    assert len(found) == 6
    assert all("lipwise-ray models pull supertonic_3_" in line for line in found)
    found = _findings(tmp_path, rows, 'tts.engine="pocket"')
    assert sum("lipwise-ray models pull pocket_spanish" in line for line in found) == 2
    (line,) = _findings(tmp_path, rows, 'tts.engine="command"')
    assert "tts.command: is empty" in line
    program = f'tts.command=["{sys.executable}"]'
    assert _findings(tmp_path, rows, 'tts.engine="command"', program) == []
    (line,) = _findings(tmp_path, rows, 'tts.engine="command"', program, 'tts.voices=["bob"]')
    assert "'ann' is not one of its voices (known: bob)" in line


def test_the_length_of_speech_is_estimated(tmp_path: Path) -> None:
    """For `plan`, which speaks nothing: of the text's length, and of when the last cue begins."""
    (tmp_path / "c.srt").write_text("1\n00:01:00,000 --> 00:01:01,000\nfifteen letters\n")
    (tmp_path / "v.mp4").touch()
    rows = [
        {"id": str(n), "video": "v.mp4", "output": f"{n}.mkv", "text": t} for n, t in enumerate(["x" * 30, "@c.srt"])
    ]
    manifest = read_manifest(write_manifest(tmp_path / "m.csv", rows), str(tmp_path / "out"), ["quality"])
    media = media_of(SettingsSource(jobs_folder(), "quality", []).for_run(), Cache(tmp_path / "cache"))
    assert [speech_check.speech_end_s(row, media) for row in manifest.rows] == [2, 61]
