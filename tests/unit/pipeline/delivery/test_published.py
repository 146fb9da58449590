"""Whether a file is still the one that was published."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

from lipwise_ray.pipeline.delivery.outputs import output_at
from lipwise_ray.pipeline.delivery.published import Published, find_published
from lipwise_ray.state import layout
from lipwise_ray.state.store import LocalStore, read_json, to_json

DATA = b"a finished video"


class _Place:
    """A folder with a published file, its state, and how often the file was read."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.store, self.blocks = folder, LocalStore(folder / "state"), 0
        self.path = folder / "o.mp4"
        self.path.write_bytes(DATA)
        stat = self.path.stat()
        record = {
            "job_id": "j",
            "output": str(self.path),
            "frames": 9,
            "chunks": 1,
            "bytes_total": len(DATA),
            "sha256": hashlib.sha256(DATA).hexdigest(),
            "seen": {"size": stat.st_size, "tag": str(stat.st_mtime_ns)},
            "status": "done",
            "of_tomorrow": [1],
        }
        self.store.write(layout.result("j"), to_json(record))
        self.record = record

    def find(self, *, verify: bool = False) -> Published:
        self.blocks = 0
        output = output_at(str(self.path), self.folder)
        return find_published(self.store, "j", str(self.path), output, verify=verify, on_block=self._read)

    def _read(self) -> None:
        self.blocks += 1


def test_a_file_that_nobody_touched_is_not_read(tmp_path: Path) -> None:
    """Unless somebody asks; the record stays as it is either way."""
    place = _Place(tmp_path)
    for verify in (False, True):
        found = place.find(verify=verify)
        assert found.result is not None
        assert bool(place.blocks) == verify
    assert read_json(place.store, layout.result("j")) == place.record


def test_a_file_that_moved_with_its_state_is_read_once(tmp_path: Path) -> None:
    """What was seen of it is kept, and so is all that another version wrote beside."""
    place = _Place(tmp_path)
    place.path = place.path.rename(tmp_path / "moved.mp4")
    os.utime(place.path, (1, 1))
    for blocks in (1, 0):
        found = place.find()
        assert found.result is not None
        assert (found.result.output, place.blocks) == (str(place.path), blocks)
    record = read_json(place.store, layout.result("j")) or {}
    assert record["output"] == str(place.path)
    assert {**record, "output": "", "seen": None} == {**place.record, "output": "", "seen": None}


def test_another_file_is_made_again(tmp_path: Path) -> None:
    """Of the same size or not; a file that is gone is no problem to tell of."""
    place = _Place(tmp_path)
    for data in (DATA[::-1], DATA + b"!"):
        place.path.write_bytes(data)
        found = place.find()
        assert found.result is None
        assert "is not the file that was published" in found.problem
    place.path.unlink()
    assert place.find() == Published(None)
