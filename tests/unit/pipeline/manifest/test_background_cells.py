"""The columns of a background."""

from __future__ import annotations

from pathlib import Path

import pytest

from lipwise_ray.pipeline.manifest.background import KEEP, background_file
from lipwise_ray.pipeline.manifest.background_cells import BACKGROUND_COLUMNS
from lipwise_ray.pipeline.manifest.dub_rows import read_manifest
from lipwise_ray.pipeline.manifest.manifest import Manifest


def _read(folder: Path, background: str, gain: str) -> Manifest:
    for name in ("v.mp4", "a.wav", "bed.wav"):
        (folder / name).touch()
    names = ",".join(BACKGROUND_COLUMNS)
    text = f"id,video,audio,output,{names}\nr,v.mp4,a.wav,o.mp4,{background},{gain}\n"
    (folder / "m.csv").write_text(text)
    return read_manifest(folder / "m.csv", str(folder / "out"), [])


def test_a_background_is_a_file_or_kept(tmp_path: Path) -> None:
    """Its gain becomes the row's setting; what is kept is no file of the row's."""
    (row,) = _read(tmp_path, "bed.wav", "-6.5").rows
    assert row.background == str(tmp_path / "bed.wav")
    assert row.background in row.inputs
    assert row.overrides["mix"] == {"background_gain_db": -6.5}
    (row,) = _read(tmp_path, "Keep", "").rows
    assert (row.background, background_file(row.background)) == (KEEP, None)
    assert KEEP not in row.inputs
    (row,) = _read(tmp_path, "", "").rows
    assert (row.background, row.overrides) == (None, {})


@pytest.mark.parametrize(
    ("background", "gain", "column", "said"),
    [
        ("nothing.wav", "", "background", "file not found"),
        ("bed.wav", "loud", "background_gain_db", "'loud' is not a gain"),
        ("bed.wav", "nan", "background_gain_db", "'nan' is not a gain"),
        ("bed.wav", "40", "background_gain_db", "'40' is not a gain"),
        ("", "-3", "background_gain_db", "without a background"),
    ],
)
def test_what_is_wrong_with_a_background_is_told(
    tmp_path: Path, background: str, gain: str, column: str, said: str
) -> None:
    """By its column."""
    (problem,) = _read(tmp_path, background, gain).problems
    assert problem.code == f"row_{column}"
    assert said in str(problem)
