"""The cast of a diarisation: which face a row gives to which name."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import pytest

from lipwise_ray.errors import FaceError
from lipwise_ray.pipeline.manifest.cast import cast_of
from lipwise_ray.pipeline.manifest.dub_rows import read_manifest
from lipwise_ray.pipeline.manifest.manifest import Manifest
from lipwise_ray.pipeline.manifest.speakers import Speaker

TURNS = {"ANNA": ((Fraction(0), Fraction(1)),), "BEN": ((Fraction(1), Fraction(2)),)}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name in ("v.mp4", "a.wav", "t.rttm", "ben.png", "t.txt"):
        (tmp_path / name).write_bytes(b"x")
    return tmp_path


def _manifest(folder: Path, faces: str, turns: str = "t.rttm", audio: str = "a.wav") -> Manifest:
    path = folder / "m.csv"
    path.write_text(f"id,video,audio,output,speakers,faces\na,v.mp4,{audio},a.mp4,{turns},{faces}\n")
    return read_manifest(path, str(folder / "out"), ["quality"])


@pytest.mark.parametrize("faces", ["", "speaking"])
def test_faces_are_found_where_none_is_named(faces: str, folder: Path) -> None:
    """A row of any manifest names a file of turns in its audio; whose they are is found."""
    (row,) = _manifest(folder, faces).rows
    assert row.diarisation == str(folder / "t.rttm")
    assert row.speakers == (Speaker("speaking", str(folder / "a.wav")),)
    assert str(folder / "t.rttm") in row.inputs
    assert "faces" not in row.overrides


def test_a_cast_names_faces(folder: Path) -> None:
    """Rules are those of any row; who is not seen has none."""
    (row,) = _manifest(folder, "ANNA = left; BEN=like:ben.png; NARRATOR=none;").rows
    audio = str(folder / "a.wav")
    assert row.speakers == (
        Speaker("left", audio, name="ANNA"),
        Speaker(f"like:{folder / 'ben.png'}", audio, name="BEN"),
        Speaker("", audio, name="NARRATOR"),
    )
    assert str(folder / "ben.png") in row.inputs


@pytest.mark.parametrize(
    ("told", "words"),
    [
        ({"faces": "left"}, "'left' names no speaker and face"),
        ({"faces": "ANNA="}, "'ANNA=' names no speaker and face"),
        ({"faces": "ANNA=left;ANNA=right"}, "two faces for 'ANNA'"),
        ({"faces": "ANNA=lefft"}, "'lefft' is not a rule"),
        ({"faces": "ANNA=none"}, "nobody of the cast has a face"),
        ({"faces": "", "turns": "t.txt"}, "unknown ending of 't.txt'"),
        ({"faces": "", "turns": "gone.rttm"}, "file not found"),
        ({"faces": "", "audio": ""}, "empty, but every row needs it"),
    ],
)
def test_casts_that_are_none(told: dict[str, str], words: str, folder: Path) -> None:
    """The row is refused before anything is done."""
    manifest = _manifest(folder, **told)
    assert manifest.good == 0
    assert any(words in str(problem) for problem in manifest.problems)


def test_everybody_of_the_file_has_turns() -> None:
    """Without a cast each name is looked for; with one, whoever is seen has their own."""
    assert cast_of([Speaker("speaking", "a")], TURNS, "t.rttm") == [
        (Speaker("speaking", "a", name="ANNA"), TURNS["ANNA"]),
        (Speaker("speaking", "a", name="BEN"), TURNS["BEN"]),
    ]
    cast = [Speaker("", "a", name="ANNA"), Speaker("right", "a", name="BEN")]
    assert cast_of(cast, TURNS, "t.rttm") == [(cast[1], TURNS["BEN"])]


@pytest.mark.parametrize(
    ("names", "words"), [(("ANNA",), "'BEN' speak, and have no face"), (("ANNA", "BEN", "CARL"), "'CARL' never speak")]
)
def test_names_must_be_the_files(names: tuple[str, ...], words: str) -> None:
    """A slip of the pen is told, with the names that the file has."""
    with pytest.raises(FaceError, match=f"{words}.*'ANNA', 'BEN'"):
        cast_of([Speaker("left", "a", name=name) for name in names], TURNS, "t.rttm")
