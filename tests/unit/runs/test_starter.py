"""A manifest and a job file to begin with."""

from __future__ import annotations

import csv
import re
import tomllib
from pathlib import Path

import pytest

from lipwise_ray.errors import LipwiseError
from lipwise_ray.pipeline.manifest.dub_rows import read_manifest
from lipwise_ray.runs.starter import write_starter
from lipwise_ray.settings.layers import resolve
from lipwise_ray.settings.model import Settings
from lipwise_ray.settings.starter_job import starter_job


@pytest.fixture
def media(tmp_path: Path) -> tuple[Path, Path]:
    folders = tmp_path / "foot, age", tmp_path / "dubs"
    for folder, names in zip(
        folders, (("a b.mp4", "a_b.mov", "-x.mp4"), ("a b.de.wav", "a_b.de.wav", "-x.wav")), strict=True
    ):
        folder.mkdir()
        for name in names:
            (folder / name).touch()
    return folders


def test_every_row_can_be_read_again(media: tuple[Path, Path], tmp_path: Path) -> None:
    """Ids and outputs differ though names come to the same id; paths are found from where links lead."""
    (tmp_path / "deep" / "er").mkdir(parents=True)
    (tmp_path / "link").symlink_to(tmp_path / "deep" / "er")
    made = write_starter(tmp_path / "link" / "new", *media)
    assert (made.rows, made.alone) == (3, ())
    manifest = read_manifest(made.manifest, str(tmp_path / "out"), ["quality"])
    assert list(manifest.problems) == []
    rows = {row.id: row for row in manifest.rows}
    assert set(rows) == {"x", "a_b-de", "a_b-de-2"}
    assert rows["a_b-de"].language == "de"
    with made.manifest.open(newline="") as file:
        assert not any(Path(row["video"]).is_absolute() for row in csv.DictReader(file))


def test_nothing_is_overwritten_unasked(media: tuple[Path, Path], tmp_path: Path) -> None:
    """One file that is there keeps both from being written; --force takes their places."""
    (tmp_path / "job.toml").write_text("mine")
    with pytest.raises(LipwiseError, match=r"job\.toml: exists already\. Add --force"):
        write_starter(tmp_path, *media)
    assert not (tmp_path / "manifest.csv").exists()
    assert (tmp_path / "job.toml").read_text() == "mine"
    assert write_starter(tmp_path, media[0], media[1], overwrites=True).rows == 3
    assert (tmp_path / "job.toml").read_text() == starter_job()


def test_an_example_says_which_file_is_missing(tmp_path: Path) -> None:
    """Without folders there is one row, whose problems are its files alone."""
    made = write_starter(tmp_path / "p")
    assert made.rows == 0
    problems = list(read_manifest(made.manifest, str(tmp_path / "out"), ["quality"]).problems)
    assert [problem.code for problem in problems] == ["row_audio", "row_video"]


def test_folders_without_pairs_are_refused(media: tuple[Path, Path], tmp_path: Path) -> None:
    """Nothing is written; the error says how names have to be."""
    with pytest.raises(LipwiseError, match=r"ep1\.de\.wav") as caught:
        write_starter(tmp_path / "p", media[1], media[0])
    assert caught.value.code == "no_pairs"
    assert not (tmp_path / "p").exists()


@pytest.mark.parametrize("part", ["videos", "sounds", "folder"])
def test_a_link_in_a_circle_is_named(part: str, media: tuple[Path, Path], tmp_path: Path) -> None:
    """Wherever it stands in for a folder, that folder is refused, and not the program's fault."""
    circle = tmp_path / "circle"
    circle.symlink_to(circle)
    places = {"folder": tmp_path / "new", "videos": media[0], "sounds": media[1], part: circle}
    with pytest.raises(LipwiseError, match=r"circle.*: .*(symbolic links|file exists)"):
        write_starter(**places, overwrites=False)


def test_the_job_file_is_at_its_defaults() -> None:
    """As it is, and with every sign taken away, it gives the settings that there are without it."""
    text = starter_job()
    assert tomllib.loads(text).keys() <= Settings.model_fields.keys()
    told = tomllib.loads(re.sub(r"^#(?! )", "", text, flags=re.MULTILINE))
    assert told.pop("preset") == "quality"
    assert len([key for section in told.values() for key in section]) > 25
    assert resolve([("job.toml", told)]) == Settings()
