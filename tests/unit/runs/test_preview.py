"""Previews before anything is rendered: which row, and what was kept."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest

import lipwise_ray
from lipwise_ray.errors import ManifestError, OutputError, SettingsError
from lipwise_ray.runs.kept_previews import KeptPreviews, lend_faces
from lipwise_ray.runs.preview import check_no_input, preview, row_of
from lipwise_ray.state.store import LocalStore
from tests.support.dub import write_manifest


def test_a_row_by_its_id(tmp_path: Path) -> None:
    """The row as `submit` reads it; one that does not exist, or cannot be done, is an error."""
    for name in ("v.mp4", "s.wav"):
        (tmp_path / name).write_bytes(b"x")
    row = {"id": "a", "video": "v.mp4", "audio": "s.wav", "output": "a.mp4", "preset": ""}
    rows = [row, {**row, "id": "b", "output": "b.mp4", "preset": "fast"}, {**row, "id": "c", "output": "../c.mp4"}]
    manifest, settings = str(write_manifest(tmp_path / "m.csv", rows)), lipwise_ray.load_settings()
    assert (row_of(manifest, "b", settings).line, row_of(manifest, "b", settings).preset) == (3, "fast")
    with pytest.raises(ManifestError, match="no row has the id 'd'"):
        row_of(manifest, "d", settings)
    with pytest.raises(ManifestError, match=r"line 4 \(id=c\)"):
        row_of(manifest, "c", settings)


def test_a_preview_takes_the_place_of_no_input(tmp_path: Path) -> None:
    """Neither of a file that its row reads, by whatever path, nor of one of its pictures; other files may go."""
    frames = tmp_path / "frames"
    frames.mkdir()
    for path in (tmp_path / "v.mp4", tmp_path / "s.wav", tmp_path / "old.mp4", frames / "f.0001.png"):
        path.write_bytes(b"x")
    (tmp_path / "link.mp4").symlink_to(tmp_path / "v.mp4")
    row = {"video": str(tmp_path / "v.mp4"), "audio": str(tmp_path / "s.wav")}
    with pytest.raises(OutputError, match="would overwrite an input") as caught:
        preview(row, out=tmp_path / "link.mp4", cache=tmp_path / "cache")
    assert caught.value.code == "overwrites_input"
    assert (tmp_path / "v.mp4").read_bytes() == b"x"
    for video in (frames, frames / "f.####.png"):
        with pytest.raises(OutputError):
            check_no_input(frames / "f.0001.png", [str(video)])
    check_no_input(tmp_path / "old.mp4", [str(tmp_path / "v.mp4"), str(frames), "s3://bucket/old.mp4"])


@pytest.mark.parametrize("address", ["s3://bucket/a.mp4", "s3:/bucket/a.mp4", "https://example.com/a.mp4"])
def test_a_preview_is_a_file_of_this_machine(address: str) -> None:
    """An address is told as one before any work, also where a path has lost one of its slashes."""
    with pytest.raises(SettingsError, match="is not a file on this machine"):
        preview({"video": "v.mp4", "audio": "s.wav"}, out=address)


def test_a_place_that_cannot_be_written_is_found_before_any_work(tmp_path: Path) -> None:
    """Nothing is rendered in vain, and no folder is made for a mistyped path."""
    row = {"video": str(tmp_path / "v.mp4"), "audio": str(tmp_path / "s.wav"), "faces": "box:0,9,0,9"}
    for path in (tmp_path / "v.mp4", tmp_path / "s.wav"):
        path.write_bytes(b"no media, which nobody comes to read")
    os.mkfifo(tmp_path / "pipe.mp4")
    with pytest.raises(OutputError, match="there is no folder"):
        preview(row, out=tmp_path / "no" / "p.mp4", cache=tmp_path / "cache")
    with pytest.raises(OutputError, match="is not a file"):
        preview(row, out=tmp_path / "pipe.mp4", cache=tmp_path / "cache")
    assert not (tmp_path / "no").exists()


def test_what_is_kept_is_found_until_room_is_needed(tmp_path: Path) -> None:
    """A preview with its notes; the longest unused ones go when there are many, never one of the last hour."""
    kept = KeptPreviews(tmp_path / "previews")
    for number in range(70):
        folder = kept.begin(f"key{number}")
        (folder / "made.mp4").write_bytes(b"video")
        kept.keep(f"key{number}", folder / "made.mp4", "p.mp4", ("a note",))
    assert kept.get("key0", "p.mp4") == (tmp_path / "previews" / "key0" / "p.mp4", ("a note",))
    assert kept.get("key0", "p.png") is None
    assert kept.get("none", "p.mp4") is None
    for number in range(1, 70):
        os.utime(tmp_path / "previews" / f"key{number}", (time.time() - 9000 + number,) * 2)
    kept.begin("key70")
    left = {path.name for path in (tmp_path / "previews").iterdir()}
    assert {"key0", "key69", "key70"} <= left
    assert not {f"key{number}" for number in range(1, 5)} & left


def test_faces_are_lent_whole_and_outputs_are_not(tmp_path: Path) -> None:
    """Records of a video's faces are copied, what is there stays, and the lender keeps its own."""
    lender, borrower = LocalStore(tmp_path / "a"), LocalStore(tmp_path / "b")
    for key in ("scans/v/d/chunk-00000.npz", "scans/v/lips-1.npz", "scans/v/rendered-1/j.json", "scans/w/d/c.npz"):
        lender.write(key, b"theirs")
    lender.write("scans/v/index.npz", b"theirs")
    borrower.write("scans/v/index.npz", b"own")
    lend_faces(lender, borrower, "v")
    assert borrower.names("scans") == ["scans/v/d/chunk-00000.npz", "scans/v/index.npz"]
    assert borrower.read("scans/v/index.npz") == b"own"
    assert len(lender.names("scans")) == 5
