"""Rows with audio by language."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from lipwise_ray.pipeline.manifest.dub_rows import read_manifest
from lipwise_ray.pipeline.manifest.languages import TracksRule
from lipwise_ray.pipeline.manifest.manifest import Manifest
from lipwise_ray.pipeline.manifest.row_table import line_of, row_number
from lipwise_ray.pipeline.manifest.speakers import FurtherSound
from lipwise_ray.state.shards import Shard

ROW = {"id": "ep1", "video": "v.mp4", "audio": {"es": "a.wav", "de": "b.wav"}, "output": "x/ep1.mp4"}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name in ("v.mp4", "a.wav", "b.wav"):
        (tmp_path / name).touch()
    return tmp_path


def _read(folder: Path, *rows: dict[str, Any], tracks: TracksRule = "one") -> Manifest:
    path = folder / "m.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return read_manifest(path, str(folder / "out"), ["fast"], tracks_of=lambda _: tracks)


def test_a_language_is_a_row(folder: Path) -> None:
    """Each language is a row with an id, an output and a number of its own."""
    one, two = _read(folder, {**ROW, "tags": ["news"]}).rows
    assert (one.id, one.output, one.language) == ("ep1-es", "x/ep1.es.mp4", "es")
    assert (two.id, two.output, two.language) == ("ep1-de", "x/ep1.de.mp4", "de")
    assert (one.audio, two.audio) == (str(folder / "a.wav"), str(folder / "b.wav"))
    assert (one.line, two.line, one.number) == (1, 1, 1)
    assert one.number != two.number
    assert [line_of(row_number(7, further)) for further in range(3)] == [7, 7, 7]
    assert one.tags == two.tags == ("news",)


def test_an_output_says_where_its_language_goes(folder: Path) -> None:
    """What stands for the language in an output is put in."""
    rows = _read(folder, {**ROW, "output": "{language}/ep1.mp4"}).rows
    assert [row.output for row in rows] == ["es/ep1.mp4", "de/ep1.mp4"]


def test_languages_are_soundtracks_of_one_file(folder: Path) -> None:
    """With all tracks in one file the first language is the row's, and the others go along."""
    (row,) = _read(folder, ROW, tracks="all").rows
    assert (row.id, row.output, row.language, row.audio) == ("ep1", "x/ep1.mp4", "es", str(folder / "a.wav"))
    assert row.beside == (FurtherSound("de", str(folder / "b.wav")),)
    assert str(folder / "b.wav") in row.inputs


def test_a_row_says_how_many_soundtracks_its_file_has(folder: Path) -> None:
    """Its own column goes before the run's setting, as with every other setting."""
    (row,) = _read(folder, {**ROW, "encode.tracks": "all"}).rows
    assert [one.language for one in row.beside] == ["de"]
    rows = _read(folder, {**ROW, "encode.tracks": "one"}, tracks="all").rows
    assert [(row.id, row.beside) for row in rows] == [("ep1-es", ()), ("ep1-de", ())]
    assert all("encode.tracks" in str(one) for one in _read(folder, {**ROW, "encode.tracks": "both"}).problems)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"audio": {}}, "0 languages"),
        ({"audio": {"spanish!": "a.wav"}}, "'spanish!' is not a language tag"),
        ({"audio": {"es": ["a.wav"]}}, "es has no file"),
        ({"audio": {"es": " "}}, "es has no file"),
        ({"language": "es"}, "audio by language beside a language"),
        ({"speakers": [{"faces": "left", "audio": "a.wav"}]}, "audio by language beside speakers"),
    ],
)
def test_what_is_no_audio_by_language(changes: dict[str, Any], message: str, folder: Path) -> None:
    """A mapping that cannot be followed is told with its line, and costs no other row."""
    manifest = _read(folder, {**ROW, **changes}, {**ROW, "id": "ep2", "output": "ep2.mp4"})
    (problem,) = manifest.problems
    assert "line 1" in str(problem)
    assert message in str(problem)
    assert [row.id for row in manifest.rows] == ["ep2-es", "ep2-de"]


def test_one_language_of_a_row_is_wrong(folder: Path) -> None:
    """A file that is not there costs its own language alone, with all in one file the row."""
    audio = {"es": "a.wav", "de": "none.wav"}
    for tracks, left in (("one", ["ep1-es"]), ("all", [])):
        manifest = _read(folder, {**ROW, "audio": audio}, tracks=tracks)
        (problem,) = manifest.problems
        assert "none.wav" in str(problem)
        assert "line 1" in str(problem)
        assert [row.id for row in manifest.rows] == left


def test_languages_meet_other_rows(folder: Path) -> None:
    """Ids and outputs that languages make are compared with those of all rows."""
    plain = {**ROW, "id": "ep1-de", "audio": "a.wav", "output": "x/ep1.de.mp4"}
    problems = [str(problem) for problem in _read(folder, ROW, plain).problems]
    assert len(problems) == 4
    assert sum('duplicate id "ep1-de" (lines 1 and 2)' in text for text in problems) == 2
    twice = [str(problem) for problem in _read(folder, {**ROW, "output": "x/{language}{language}.mp4"}, ROW).problems]
    assert sum('duplicate id "ep1-es" (lines 1 and 2)' in text for text in twice) == 2


def test_languages_of_a_row_stay_in_one_shard(folder: Path) -> None:
    """A driver that shares a manifest with others gets all languages of a video or none."""
    rows = [{**ROW, "id": f"ep{n}", "video": "v.mp4", "output": f"{n}.mp4"} for n in range(4)]
    counts: list[int] = []
    for number in (1, 2):
        manifest = _read(folder, *rows)
        manifest.keep(Shard(number, 2))
        counts.append(len([*manifest.rows]))
    assert sorted(counts) == [0, 8]


@pytest.mark.parametrize("address", ["v.mp4#a:0", "a.wav#v:1"])
def test_a_column_takes_streams_of_its_kind(address: str, folder: Path) -> None:
    """A picture where audio is needed, or the other way round, is refused before any work."""
    column = "video" if "v.mp4" in address else "audio"
    row = {**ROW, "audio": "a.wav", column: address}
    (problem,) = _read(folder, row).problems
    assert f'column "{column}"' in str(problem)
    assert "chooses" in str(problem)
