"""Rows that were really dubbed, and are gone through in a batch by the next run."""

from __future__ import annotations

import shutil
import time
from pathlib import Path
from typing import Any

import pytest

from lipwise_ray.runs import submit
from lipwise_ray.state import layout
from lipwise_ray.state.store import open_store
from lipwise_ray.synth.clips import ClipSpec, ToneSpec, write_clip, write_sound
from lipwise_ray.values import Size
from tests.support.dub import LOSSLESS, PASSTHROUGH, dub

_SETS = (PASSTHROUGH, LOSSLESS)
_OLD_ENOUGH_S = 2.1


def test_done_changed_and_removed_rows(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is as it was is left alone; another video, a lost output and another setting are made again, then known."""
    monkeypatch.setattr(submit, "FEWEST_ROWS", 1)
    write_clip(tmp_path / "clip.mkv", ClipSpec(size=Size(160, 120), frames=10))
    write_clip(tmp_path / "other.mkv", ClipSpec(size=Size(160, 120), frames=12))
    write_sound(tmp_path / "s.wav", ToneSpec(0.4, 16_000, channels=1, codec="pcm_s16le"))
    rows: list[dict[str, Any]] = []
    for row in range(5):
        shutil.copyfile(tmp_path / "clip.mkv", tmp_path / f"v{row}.mkv")
        one = {"id": f"r{row}", "video": f"v{row}.mkv", "audio": "s.wav", "output": f"{row}.mkv", "length": ""}
        rows.append(one | {"faces": "box:0,90,0,90"})
    time.sleep(_OLD_ENOUGH_S)
    first = dub(tmp_path, rows, *_SETS)
    assert first.done == 5, first.lines

    def batched(report_id: str, state: str) -> list[str]:
        return [line[:10].decode() for line in open_store(state).log(layout.reused(report_id))]

    times = {row: (tmp_path / "out" / f"{row}.mkv").stat().st_mtime_ns for row in range(5)}
    shutil.copyfile(tmp_path / "other.mkv", tmp_path / "v1.mkv")
    (tmp_path / "out" / "2.mkv").unlink()
    rows[3]["length"] = "video"
    time.sleep(_OLD_ENOUGH_S)
    second = dub(tmp_path, rows, *_SETS)
    assert second.done == 5, second.lines
    assert len(batched(second.run_id, second.state)) == 2
    reused = {outcome.row_id: outcome.record.get("reused") for outcome in second.rows}
    assert reused == {"r0": True, "r1": False, "r2": False, "r3": False, "r4": True}
    again = {row: (tmp_path / "out" / f"{row}.mkv").stat().st_mtime_ns for row in range(5)}
    assert [row for row in range(5) if times[row] == again[row]] == [0, 4]

    third = dub(tmp_path, rows, *_SETS)
    assert (third.done, third.chunks_rendered) == (5, 0)
    assert len(batched(third.run_id, third.state)) == 5
    assert [one.record["frames"] for one in third.rows] == [one.record["frames"] for one in second.rows]
    assert {row: (tmp_path / "out" / f"{row}.mkv").stat().st_mtime_ns for row in range(5)} == again
    checked = dub(tmp_path, rows, *_SETS, verify=True)
    assert (checked.done, batched(checked.run_id, checked.state)) == (5, [])
