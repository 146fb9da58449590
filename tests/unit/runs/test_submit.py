"""What a driver finds in the folder for scratch."""

from __future__ import annotations

from pathlib import Path

import pytest

from lipwise_ray.backends.worker_config import WorkerConfig
from lipwise_ray.errors import StorageError
from lipwise_ray.runs.submit import _scratch
from lipwise_ray.state.shards import Shard
from lipwise_ray.state.store import LocalStore
from tests.support.dub import dub


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


def test_each_machine_has_scratch_where_its_own_environment_says(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A worker elsewhere takes the folder of its own machine; a place that the run names is everybody's."""
    store, shard = LocalStore(tmp_path / "state"), Shard(2, 3)
    monkeypatch.setenv("LIPWISE_SCRATCH", str(tmp_path / "drivers"))
    folder, own = _scratch(store, None, shard)
    assert folder.is_relative_to(tmp_path / "drivers")
    monkeypatch.setenv("LIPWISE_SCRATCH", str(tmp_path / "workers"))
    there = WorkerConfig("", str(folder), "cpu", 1, machine_folder=own).scratch_here
    assert there.is_relative_to(tmp_path / "workers")
    assert there.parts[-2:] == folder.parts[-2:]
    folder, own = _scratch(store, str(tmp_path / "given"), None)
    assert WorkerConfig("", str(folder), "cpu", 1, machine_folder=own).scratch_here == folder


def test_a_shared_folder_for_scratch_keeps_machines_apart(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two machines with equal local states have two folders in it, for their own user alone; a link is refused."""
    store = LocalStore(tmp_path / "state")
    folders = []
    for name in ("one", "other"):
        monkeypatch.setattr("platform.node", lambda name=name: name)
        folders.append(_scratch(store, str(tmp_path / "given"), None)[0])
    assert folders[0] != folders[1]
    assert folders[0].stat().st_mode & 0o777 == 0o700
    folders[0].rmdir()
    folders[0].symlink_to(tmp_path)
    monkeypatch.setattr("platform.node", lambda: "one")
    with pytest.raises(StorageError, match="or a link"):
        _scratch(store, str(tmp_path / "given"), None)
