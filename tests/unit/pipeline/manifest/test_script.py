"""The columns text and voice."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from lipwise_ray.errors import InputError
from lipwise_ray.pipeline.inputs.resolver import policy_of
from lipwise_ray.pipeline.manifest.cues import MOST_VOICE_CHARACTERS
from lipwise_ray.pipeline.manifest.dub_rows import DUBBED, read_manifest
from lipwise_ray.pipeline.manifest.manifest import Manifest
from lipwise_ray.pipeline.manifest.row_validation import Cells
from lipwise_ray.pipeline.manifest.script import read_voice
from lipwise_ray.pipeline.manifest.speakers import Script, Speaker, has_text
from lipwise_ray.settings.model import Settings
from lipwise_ray.storage.address import Policy


def _read(folder: Path, policy: Policy | None = None, **row: Any) -> Manifest:
    for name in ("v.mp4", "a.wav", "c.srt"):
        (folder / name).touch()
    path = folder / "m.jsonl"
    path.write_text(json.dumps({"id": "r", "video": "v.mp4", "output": "o.mp4", **row}) + "\n")
    return read_manifest(path, str(folder / "out"), ["quality"], policy)


def test_a_text_takes_the_place_of_audio(tmp_path: Path) -> None:
    """In CSV too: a sentence, or a file of cues as an absolute path, which counts as an input."""
    _read(tmp_path)
    path = tmp_path / "m.csv"
    path.write_text(
        "id,video,text,voice,language,output\na,v.mp4,Hello  there,+f3,en,a.mp4\nb,v.mp4,@c.srt,,es,b.mp4\n"
    )
    sentence, cues = read_manifest(path, str(tmp_path / "out"), ["quality"]).rows
    assert sentence.script == Script("Hello there", None, "+f3")
    assert (sentence.audio, sentence.language) == (None, "en")
    assert cues.script == Script(file=str(tmp_path / "c.srt"))
    assert str(tmp_path / "c.srt") in cues.inputs


def test_speakers_may_have_texts(tmp_path: Path) -> None:
    """Beside others with audio; the row's voice is that of those who name none."""
    speakers = [
        {"faces": "left", "text": "Good evening.", "voice": "es", "start": 1},
        {"faces": "right", "audio": "a.wav"},
    ]
    (row,) = _read(tmp_path, speakers=speakers, voice="en").rows
    assert row.speakers[0] == Speaker("left", "", 1.0, None, "", "Good evening.", "es")
    assert row.script == Script(voice="en")
    assert has_text(row.script, row.speakers)
    assert not has_text(row.script, row.speakers[1:])


@pytest.mark.parametrize(
    ("row", "got"),
    [
        ({"text": "Hello", "audio": "a.wav"}, 'column "text": a text beside audio'),
        ({"text": "Hello", "speakers": [{"faces": "left", "audio": "a.wav"}]}, "a text beside speakers"),
        ({"text": "", "audio": ""}, 'column "audio": empty'),
        ({"text": " ... "}, 'column "text": nothing to say'),
        ({"text": "@gone.srt"}, "file not found"),
        ({"text": "@c.txt"}, "unknown ending of 'c.txt'"),
        ({"text": "x" * 10_001}, "10001 characters of text"),
        ({"audio": "a.wav", "voice": "es"}, "'es' without a text"),
        ({"text": "Hello", "voice": "x" * (MOST_VOICE_CHARACTERS + 1)}, "is not the name of a voice"),
        ({"text": "Hello", "language": "auto"}, 'column "language": auto beside a text'),
        ({"speakers": [{"faces": "left", "text": "Hi", "audio": "a.wav"}]}, "audio beside a text or voice"),
        ({"speakers": [{"faces": "left", "text": ""}]}, "nothing to say"),
        ({"text": "@s3://b/../c.srt"}, "a way up, or an empty step"),
    ],
)
def test_a_row_that_cannot_be_spoken_says_line_and_column(tmp_path: Path, row: dict[str, Any], got: str) -> None:
    """One sentence, which names what to change."""
    problems = " ".join(str(one) for one in _read(tmp_path, **row).problems)
    assert "line 1 (id=r)" in problems
    assert got in problems


@pytest.mark.parametrize("column", ["audio", "video", "text", "tracks"])
def test_no_row_can_name_a_file_of_the_state(tmp_path: Path, column: str) -> None:
    """Addresses of what earlier tasks made are the program's own, whatever schemes are allowed."""
    policy = policy_of(Settings().paths)
    name = f"state://speech/abc/{'0' * 64}.wav"
    row = {"audio": "a.wav", column: f"@{name}" if column == "text" else name}
    problems = [one.got for one in _read(tmp_path, policy, **row).problems]
    assert any("state is not among the schemes" in got for got in problems)
    with pytest.raises(InputError, match="not among the schemes"):
        policy.check(name)


def test_no_voice_is_an_option(tmp_path: Path) -> None:
    """A program of the user's never takes the name of a voice for an option."""
    cells = Cells(DUBBED, str(tmp_path), Policy())
    cells.begin(1, {"id": "a"})
    assert read_voice(cells, "voice", "F1") == "F1"
    read_voice(cells, "voice", "--all")
    cells.table.add(1, "a", "", "", None)
    cells.table.close_entry()
    (bad,) = cells.table.bad()
    assert ["'--all' is not the name of a voice" in str(problem) for problem in bad.problems] == [True]
