"""Slips of people who write manifests: what was meant is named, or taken."""

from __future__ import annotations

from pathlib import Path

import pytest

from lipwise_ray.errors import ManifestError
from lipwise_ray.pipeline.manifest.dub_rows import read_manifest
from lipwise_ray.pipeline.manifest.manifest import Manifest

HEADER = "id,video,audio,output"


def _read(folder: Path, text: str) -> Manifest:
    for name in ("v.mp4", "a.wav"):
        (folder / name).touch()
    (folder / "m.csv").write_text(text, "utf-8")
    return read_manifest(folder / "m.csv", str(folder / "out"), [])


@pytest.mark.parametrize(
    ("header", "said"),
    [
        ("ID,Video,audio,output", 'column "ID" - did you mean "id"?; unknown column "Video" - did you mean "video"?'),
        (f"{HEADER},timing.length", 'unknown column "timing.length" - did you mean "length"?'),
        (f"{HEADER},faces.select", 'unknown column "faces.select" - did you mean "faces"?'),
        (f"{HEADER},gate.min_lse_c", 'unknown column "gate.min_lse_c". Required'),  # of the run, and like no other
        (f"{HEADER},Timing.Fit", 'unknown column "Timing.Fit" - did you mean "timing.fit"?'),
    ],
)
def test_an_unknown_column_names_the_one_that_was_meant(header: str, said: str, tmp_path: Path) -> None:
    """Whatever its case, and also where a setting has a column of another name."""
    with pytest.raises(ManifestError) as caught:
        _read(tmp_path, f"{header}\n")
    assert said in str(caught.value)


def test_an_address_is_no_output(tmp_path: Path) -> None:
    """It would become folders under the root that are called like it; --out may be a bucket."""
    rows = "a,v.mp4,a.wav,s3://dubs/a.mp4\nb,v.mp4,a.wav,file:///b.mp4\nc,v.mp4,a.wav,c.mp4\n"
    manifest = _read(tmp_path, f"{HEADER}\n{rows}")
    assert [row.id for row in manifest.rows] == ["c"]
    assert str(next(manifest.problems)) == (
        "line 2 (id=a), column \"output\": 's3://dubs/a.mp4' is an address. Write a path under the output root, "
        "which --out names: also a bucket."
    )


def test_a_language_is_recognised_however_auto_is_written(tmp_path: Path) -> None:
    """Spreadsheets begin words in a cell with a capital; other languages stay as they are."""
    rows = "a,v.mp4,a.wav,a.mp4,Auto\nb,v.mp4,a.wav,b.mp4,De\nc,v.mp4,a.wav,c.mp4,\n"
    manifest = _read(tmp_path, f"{HEADER},language\n{rows}")
    assert [row.language for row in manifest.rows] == ["auto", "De", None]
