"""Records are read within bounds, as what they must be, and whole."""

from __future__ import annotations

import json
import os
import random
import tracemalloc
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest

from lipwise_ray.errors import StorageError
from lipwise_ray.pipeline.inputs.records import sound_of
from lipwise_ray.reports.rows import collect
from lipwise_ray.state import layout, quarantine
from lipwise_ray.state.ids import PIPELINE_VERSION, timed_id
from lipwise_ray.state.job_result import DubResult
from lipwise_ray.state.markers import ChunkMarker, read_marker
from lipwise_ray.state.overview import overview, tracks_of
from lipwise_ray.state.remote import MOST_RECORD_BYTES
from lipwise_ray.state.shapes import read_typed
from lipwise_ray.state.store import LocalStore, as_json, read_json, to_json

JOB = "0123456789abcdef01234567"
SOUND = {
    "pipeline": PIPELINE_VERSION,
    "samples": 16000,
    "rate_hz": 16000,
    "layout": "mono",
    "heard": {"mixes": {"mono": "mono"}, "lufs": -20.0},
    "holes": 0,
    "hole_s": 0.0,
    "changes": 0,
    "mel_columns": 80,
    "mel_sha256": "0" * 64,
    "mfcc_sha256": "1" * 64,
}
RESULT = {
    "status": "done",
    "job_id": JOB,
    "output": "/out/a.mp4",
    "bytes_total": 5,
    "sha256": "0" * 64,
    "frames": 25,
    "chunks": 1,
    "counts": {"frames": 25},
    "tags": ["x"],
    "weights": {"lipsync": {"name": "a", "sha256": "b"}, "detector": [{"name": "c", "sha256": "d"}]},
}
VALUES = (None, "x", -1, 1e30, 1 << 200, [], {"a": 1}, True, "../../x", "\0")


def _marker() -> ChunkMarker:
    key = layout.segment(JOB, 0, "one")
    return ChunkMarker(key, 10, 2, 7, "0" * 64, 1, 2, "18.0", "one", 1.0, {"encode": 0.5}, [0.1, 0.2, 3.0])


def test_a_changed_record_is_none() -> None:
    """Whatever bit of a record changes, it is what was written, or none; one of an earlier version is believed."""
    record = {"b": [1, 2.5, None, "ü"], "a": {"x": True}}
    data = to_json(record)
    assert as_json(data) == record
    assert as_json(json.dumps(record).encode()) == record
    for place in range(len(data)):
        changed = data[:place] + bytes([data[place] ^ 1 << place % 7]) + data[place + 1 :]
        assert as_json(changed) in (None, record) or b'"checksum"' not in changed
    assert as_json(data.replace(b"2.5", b"2.6")) is None


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"null",
        b"[1]",
        b'{"a": NaN}',
        b'{"a": -Infinity}',
        b'{"a": 1e999}',
        b'{"a": ' + b"9" * 5000 + b"}",
        b'{"a": ' * 100 + b"1" + b"}" * 100,
        b'{"a": ' + b"[" * 100_000,
        b'{"a": "\xff"}',
    ],
)
def test_hostile_json_is_none(data: bytes) -> None:
    """Numbers without bounds, nesting without end and what is no object count as missing."""
    assert as_json(data) is None


def test_large_records_and_odd_files_are_none(tmp_path: Path) -> None:
    """A record larger than any, one that waits for a writer, and a folder count as missing; keys stay inside."""
    store = LocalStore(tmp_path / "s")
    with (tmp_path / "s" / "large.json").open("wb") as file:
        file.truncate(MOST_RECORD_BYTES + 1)
    os.mkfifo(tmp_path / "s" / "pipe.json")
    (tmp_path / "s" / "folder.json").mkdir()
    assert [read_json(store, f"{name}.json") for name in ("large", "pipe", "folder")] == [None] * 3
    (tmp_path / "outside.json").write_text("{}")
    for act in (store.read, store.fetch, store.size, store.remove):
        with pytest.raises(StorageError, match=r"the key '\.\./outside\.json' leads out of the state"):
            act("../outside.json")
    assert (tmp_path / "outside.json").exists()


def test_a_record_of_wrong_values_is_missing(tmp_path: Path) -> None:
    """Any key of a sound's, a marker's or a result's record gone or of another kind: that is no such record."""
    store, chance = LocalStore(tmp_path), random.Random(1)
    marker = _marker()
    store.write(marker.segment, b"1234567")
    cases = (
        (layout.sound("s", salvage=False), dict(SOUND), lambda: sound_of(store, "s", salvage=False)),
        (layout.marker(JOB, 0), asdict(marker), lambda: read_marker(store, JOB, 0)),
        (layout.result(JOB), dict(RESULT), lambda: read_typed(store, layout.result(JOB), DubResult)),
    )
    for key, record, read in cases:
        store.write(key, json.dumps(record).encode())  # of a version without checksums
        assert read() is not None
        for name in record:
            for value in VALUES:
                if value == record[name] or (value in ("x", "../../x", "\0") and isinstance(record[name], str)):
                    continue
                store.write(key, json.dumps({**record, name: value}).encode())
                read()  # whatever it says of values that may be: no exception
                store.write(key, json.dumps({k: v for k, v in record.items() if k != name}).encode())
                read()
            store.write(key, json.dumps({**record, name: {"a": [chance.random()]}}).encode())
            assert read() is None or name in ("stages", "counts", "weights", "tags")


@pytest.mark.parametrize(
    "segment", ["/etc/passwd", "../x.mkv", f"jobs/{JOB}/segments/00001.one.mkv", "jobs/other/a.mkv"]
)
def test_a_marker_names_a_segment_of_its_own(segment: str, tmp_path: Path) -> None:
    """A marker cannot name a file of another chunk, another job, or of anybody."""
    store = LocalStore(tmp_path / "s")
    store.write(layout.marker(JOB, 0), json.dumps({**asdict(_marker()), "segment": segment}).encode())
    assert read_marker(store, JOB, 0) is None


def test_a_damaged_letter_is_lifted_like_any_other(tmp_path: Path) -> None:
    """What cannot be read stays in quarantine until it is lifted, with the chunk that its key names, alone."""
    store = LocalStore(tmp_path / "s")
    (tmp_path / "victim.json").write_text("{}")
    letters = {
        "render:" + JOB + "/3": b"\0",
        "render:" + JOB + "/4": json.dumps({"task": "x", "job_id": "../../..", "kind": "render"}).encode(),
        "probe:7": b"[]",
    }
    for task, data in letters.items():
        store.write(layout.dead_letter(task), data)
    for number in (3, 4, 5):
        store.write(layout.marker(JOB, number), b"{}")
    assert quarantine.read(store, "probe:7") is None
    assert len(quarantine.lift(store, JOB)) == 2
    assert store.names(f"jobs/{JOB}/chunks") == [layout.marker(JOB, 5)]
    assert quarantine.lift(store, None) == ["probe-7"]
    assert (tmp_path / "victim.json").exists()


def test_damaged_records_of_runs_are_shown_as_such(tmp_path: Path) -> None:
    """Reports and status read what they can of rows, ends and letters with wrong values."""
    store = LocalStore(tmp_path)
    store.write("runs/r1/run.json", to_json({"run_id": "../x", "manifest": "m.csv", "rows": 3}))
    store.write("runs/r2/run.json", json.dumps({"run_id": "r2", "manifest": 5, "rows": "x"}).encode())
    store.write("runs/r1/report.json", json.dumps({"seconds": "long"}).encode())
    failure = {"status": "failed", "code": "no_face", "message": "why"}
    rows: list[dict[str, Any]] = [{**RESULT, "counts": "x"}, {**RESULT, "sync": 3}, failure]
    for number, row in enumerate(rows, 1):
        record = {**row, "row": number, "row_id": "a"}
        store.write(layout.row("r1", number, row["status"]), json.dumps(record).encode())
    store.write("runs/r1/rows/x-done.json", b"{}")
    store.write("jobs/j/plan.json", b'{"chunks": 4}')
    store.write(layout.dead_letter("scan:1"), b'{"attempts": 3}')
    found = overview(str(tmp_path))
    assert (found.run_id, found.rows, [one.message for one in found.failures]) == ("r1", 3, ["why"])
    assert found.quarantined[0].message == "its dead letter cannot be read"
    assert (found.done, found.failed, found.left) == (3, 1, 0)
    report = collect(store, "r1")
    assert [row["code"] for row in report.rows] == ["damaged_record", "damaged_record", "no_face", "damaged_record"]
    assert report.ended is None


def test_a_state_does_not_name_files_of_its_reader(tmp_path: Path) -> None:
    """The tracks that are exported are of the state, whatever a row says of its video."""
    store = LocalStore(tmp_path / "s")
    (tmp_path / "tracks.npz").write_bytes(b"mine")
    store.write("runs/r/run.json", to_json({"run_id": "r", "manifest": "m", "rows": 1}))
    identity = {"video": "../..", "weights": {"detector": "."}}
    store.write(layout.row("r", 1, "done"), to_json({**RESULT, "row": 1, "row_id": "a", "identity": identity}))
    with pytest.raises(Exception, match="holds no tracks of row a"):
        tracks_of(str(tmp_path / "s"), "a")


@pytest.mark.slow
def test_a_log_of_any_length_is_read_in_bounded_memory(tmp_path: Path) -> None:
    """Lines before and after much damage are there; none is read whole that no program of ours wrote."""
    store = LocalStore(tmp_path)
    store.append("runs/r/events.jsonl", b'{"event": "first"}')
    path = tmp_path / "runs/r/events.jsonl"
    os.truncate(path, (1 << 28) + 64)
    for line in (b"", b'{"event": "last"}'):
        store.append("runs/r/events.jsonl", line)
    with path.open("ab") as file:
        file.write(b'{"eve')
    tracemalloc.start()
    found = list(store.log("runs/r/events.jsonl"))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert found == [b'{"event": "first"}', b'{"event": "last"}', b'{"eve']
    assert peak < 64 << 20
    assert list(store.log("runs/none")) == []


def test_what_is_no_file_hides_and_hangs_nothing(tmp_path: Path) -> None:
    """Among links in circles, pipes and folders the records are still found; a log is not written into a pipe."""
    store = LocalStore(tmp_path)
    store.write("jobs/a/result.json", to_json({"a": 1}))
    (tmp_path / "jobs" / "loop").symlink_to("loop")
    (tmp_path / "jobs" / "up").symlink_to(tmp_path / "jobs")
    os.mkfifo(tmp_path / "jobs" / "a" / "attempts.jsonl")
    (tmp_path / "jobs" / "a" / "folder.json").mkdir()
    assert store.names("jobs") == ["jobs/a/result.json"]
    with pytest.raises(StorageError):
        store.append("jobs/a/attempts.jsonl", b"{}")
    with pytest.raises(StorageError):
        store.remove("jobs/a/folder.json")


def test_names_that_are_not_utf_8_are_spelt_out() -> None:
    """A record that holds one can still be read, as what it must be."""
    odd = os.fsdecode(b"v\xff.mp4")
    assert as_json(to_json({"files": [odd], odd: 1})) == {"files": ["v\\udcff.mp4"], "v\\udcff.mp4": 1}


def test_runs_of_the_same_second_are_in_order() -> None:
    """The latest run is that of the last name: a run in which all was done already takes less than a second."""
    begun_ns = 1_800_000_000 * 10**9
    names = [timed_id(begun_ns + milliseconds * 10**6) for milliseconds in range(0, 2000, 8)]
    assert sorted(names) == names
    assert names[0].startswith("20270115T080000-00")
