"""Names that look the same, written in other characters."""

from __future__ import annotations

from pathlib import Path
from unicodedata import normalize

import pytest

from lipwise_ray.pipeline.manifest.dub_rows import read_manifest
from lipwise_ray.storage.names import same_name

NAME = "vidéo d'été.mp4"


def _manifest(folder: Path, video: str) -> Path:
    (folder / "a.wav").write_bytes(b"x")
    path = folder / "m.csv"
    path.write_text(f"id,video,audio,output\na,{video},a.wav,a.mp4\n", encoding="utf-8")
    return path


@pytest.mark.parametrize(("there", "asked"), [("NFD", "NFC"), ("NFC", "NFD")])
def test_a_name_is_found_however_its_accents_are_written(tmp_path, there, asked):
    """A manifest in one normal form finds folders and files in the other, and the row gets the name that is there."""
    folder = tmp_path / normalize(there, "épisodes")
    folder.mkdir()
    file = folder / normalize(there, NAME)
    file.write_bytes(b"x")
    text = normalize(asked, f"épisodes/{NAME}")
    assert not (tmp_path / text).exists()
    manifest = read_manifest(_manifest(tmp_path, text), str(tmp_path / "out"), [])
    assert [row.video for row in manifest.rows] == [str(file)]


def test_the_exact_name_comes_first_and_unclear_ones_are_not_guessed(tmp_path):
    """Where both forms are there each is itself; where two are alike neither is taken."""
    for form in ("NFC", "NFD"):
        (tmp_path / normalize(form, NAME)).write_bytes(b"x")
    assert same_name(tmp_path / normalize("NFD", NAME)) == tmp_path / normalize("NFD", NAME)
    mixed = "vidéo d'e\u0301te\u0301.mp4"
    assert same_name(tmp_path / mixed) is None
    manifest = read_manifest(_manifest(tmp_path, mixed), str(tmp_path / "out"), [])
    assert (manifest.good, manifest.bad) == (0, 1)
