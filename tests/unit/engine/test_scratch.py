"""What a driver finds in the folder for scratch."""

from __future__ import annotations

from pathlib import Path

from tests.dub import dub


def test_what_a_killed_driver_left_is_removed(tmp_path: Path) -> None:
    """In a folder that the settings name too: of this state's work in progress nothing stays, all else does."""
    rows = [{"id": "a", "video": "none.mp4", "audio": "none.wav", "output": "a.mp4"}]
    told = f"paths.scratch='{tmp_path}/scratch'"
    assert dub(tmp_path, rows, told).failed == 1
    (own,) = (tmp_path / "scratch").iterdir()
    (own / "7-left.mkv").touch()
    kept = [tmp_path / "scratch" / name for name in ("cache/copy.mp4", "weights/net.pth", "another/7-record.npz")]
    for path in kept:
        path.parent.mkdir()
        path.touch()
    assert dub(tmp_path, rows, told).failed == 1
    assert list(own.iterdir()) == []
    assert all(path.is_file() for path in kept)
