"""What is old goes from a state, and nothing that says what is done."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from lipwise_ray.state.cleaning import clean
from lipwise_ray.state.store import LocalStore, Store, open_store, to_json
from lipwise_ray.storage.cache import Cache
from tests.support.s3 import BUCKET, s3_server

DAY_S = 86_400.0
NOW_S = 1_800_000_000.0
OLD, NEW = NOW_S - 31 * DAY_S, NOW_S - 29 * DAY_S
RECORDS = {
    "scans/v1/index.npz": OLD,
    "scans/v1/d/chunk-00000.npz": OLD,
    "scans/v2/index.npz": OLD,
    "scans/v2/d/chunk-00000.npz": NEW,
    "sounds/a1/mel.npy": OLD,
    "sounds/a2/mel.npy": NEW,
    "jobs/ended/plan.json": OLD,
    "jobs/ended/measures/00000.npz": OLD,
    "jobs/ended/result.json": OLD,
    "jobs/fresh/plan.json": OLD,
    "jobs/fresh/result.json": NEW,
    "jobs/open/plan.json": OLD,
    "jobs/open/segments/00000.a.mkv": OLD,
    "runs/20260101T000000-a/run.json": OLD,
    "runs/20260101T000000-a/report.html": OLD,
    "runs/20260102T000000-b/run.json": OLD,
    "runs/20260103T000000-c/run.json": OLD,
    "runs/20260104T000000-d/run.json": OLD,
    "runs/20260105T000000-e/planned.jsonl": OLD,
    "jobs/best/result.json": OLD,
    "jobs/first/result.json": OLD,
    "jobs/lost/plan.json": OLD,
    "jobs/broken/plan.json": OLD,
    "jobs/waits/result.json": OLD,
    "jobs/fails/plan.json": OLD,
    "shards/1-of-2/driver/epoch-00000001.json": OLD,
    "shards/1-of-2/driver/beat-00000001.json": OLD,
    "shards/2-of-2/driver/epoch-00000001.json": OLD,
    "shards/2-of-2/driver/epoch-00000002.json": NEW,
    "nights/20260101T000000-a/night.json": OLD,
    "nights/20260102T000000-b/night.json": NEW,
    "speeds/20260101T000000-a.json": OLD,
    "quarantine/render-open-1.json": OLD,
    "driver/epoch-00000001.json": OLD,
    "backlog/m.csv.json": OLD,
    "format.json": OLD,
}
GONE = {
    "scans/v1/index.npz",
    "scans/v1/d/chunk-00000.npz",
    "sounds/a1/mel.npy",
    "jobs/ended/plan.json",
    "jobs/lost/plan.json",
    "jobs/broken/plan.json",
    "runs/20260101T000000-a/run.json",
    "runs/20260101T000000-a/report.html",
    "nights/20260101T000000-a/night.json",
    "runs/20260103T000000-c/run.json",
    "runs/20260105T000000-e/planned.jsonl",
    "shards/1-of-2/driver/epoch-00000001.json",
    "shards/1-of-2/driver/beat-00000001.json",
}
UNFINISHED = {"jobs/open/plan.json", "jobs/open/segments/00000.a.mkv", "jobs/fails/plan.json"}


def _shard(run_id: str, shard: str, out: str) -> bytes:
    told = {"manifest": "m", "manifest_sha256": "m", "rows": 1, "rows_total": 2}
    return to_json({"run_id": run_id, "shard": shard, "out": out, **told})


def _attempts(*verdicts: tuple[str, str]) -> bytes:
    attempts = [{"settings": {}, "verdict": verdict, "job_id": job_id} for verdict, job_id in verdicts]
    published = {"output": "/out/a.mp4", "frames": 9, "chunks": 1, "bytes_total": 5, "sha256": "0" * 64}
    return to_json({"status": "done", "job_id": "a", **published, "attempts": attempts})


WRITTEN = {
    "runs/20260102T000000-b/run.json": _shard("b", "1/2", "/out"),
    "runs/20260103T000000-c/run.json": _shard("c", "1/2", "/other"),
    "runs/20260104T000000-d/run.json": _shard("d", "2/2", "/out"),
    "jobs/first/result.json": _attempts(
        ("check", "first"), ("failed", "broken"), ("check", "lost"), ("passed", "best")
    ),
    "jobs/waits/result.json": _attempts(("check", "waits"), ("failed", "fails")),
}


def _state(folder: Path) -> LocalStore:
    store = LocalStore(folder)
    for key, changed_s in RECORDS.items():
        store.write(key, WRITTEN.get(key, b"{}"))
        os.utime(folder / key, (changed_s, changed_s))
    return store


def _keys(store: Store) -> set[str]:
    return {key for key in RECORDS if store.size(key) is not None}


def test_what_nobody_wrote_to_for_a_month_goes(tmp_path: Path) -> None:
    """Whole folders by the latest of what lies in them, attempts that lost and leases of shards; what stays: results,
    measures, the latest runs of the latest shards, what a run may go on with, dead letters and manifests.
    """
    store = _state(tmp_path)
    told = {one.kind: one for one in clean(store, 30 * DAY_S, clock=lambda: NOW_S)}
    assert set(RECORDS) - _keys(store) == GONE
    assert (told["scans"].folders, told["scans"].objects, told["scans"].bytes_total) == (1, 2, 4)
    assert sum(one.objects for one in told.values()) == len(GONE)
    assert not (tmp_path / "scans" / "v1").exists()
    assert not any(one.objects for one in clean(store, 30 * DAY_S, clock=lambda: NOW_S))


def test_a_dry_run_tells_the_same_and_removes_nothing(tmp_path: Path) -> None:
    """Its figures are those of the run that follows."""
    store = _state(tmp_path)
    told = list(clean(store, 30 * DAY_S, dry_run=True, clock=lambda: NOW_S))
    assert _keys(store) == set(RECORDS)
    assert told == list(clean(store, 30 * DAY_S, clock=lambda: NOW_S))


def test_unfinished_jobs_go_only_when_asked_for(tmp_path: Path) -> None:
    """Their chunks are finished work."""
    store = _state(tmp_path)
    list(clean(store, 30 * DAY_S, unfinished=True, clock=lambda: NOW_S))
    assert set(RECORDS) - _keys(store) == GONE | UNFINISHED


def test_a_bucket_is_cleaned_alike(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Over the S3 protocol, where all has the same age: too young first, then old."""
    with s3_server(monkeypatch.setenv):
        store = open_store(f"s3://{BUCKET}/state", Cache(tmp_path / "cache"))
        for key in RECORDS:
            store.write(key, WRITTEN.get(key, b"{}"))
        folders = {key.split("/")[0] for key in RECORDS if "/" in key}
        written_s = max(one.changed_s for folder in folders for one in store.listing(folder))
        assert not any(one.objects for one in clean(store, DAY_S, clock=lambda: written_s))
        list(clean(store, DAY_S, clock=lambda: written_s + DAY_S))
        kept = {f"runs/{name}/run.json" for name in ("20260102T000000-b", "20260104T000000-d")}
        kept |= {"nights/20260102T000000-b/night.json", "jobs/ended/measures/00000.npz"} | UNFINISHED
        kept |= {key for key in RECORDS if key.endswith("result.json")}
        places = ("speeds", "quarantine", "driver", "backlog", "format.json")
        kept |= {key for key in RECORDS if key.split("/")[0] in places}
        assert _keys(store) == kept


def test_what_a_killed_run_wrote_is_kept_though_an_old_run_names_its_folder(tmp_path: Path) -> None:
    """Days count from the runs that named a record; of a run without an end none does, but its files are of its days:
    it may go on with them. What was copied before it began keeps its age.
    """
    store = LocalStore(tmp_path)
    month_s, yesterday_s = NOW_S - 31 * DAY_S, NOW_S - DAY_S
    begun = {"manifest": "m", "rows": 1}
    scanned, copied = "scanned-video-1", "copied-video-12"
    store.write("runs/1/run.json", to_json({"run_id": "1", "begun": month_s, **begun}))
    store.write("runs/1/report.json", to_json({"done": 1, "seconds": 5.0}))
    for row, name in enumerate((scanned, copied)):
        told = {"row": row, "row_id": name, "ended": month_s, "identity": {"video": name}}
        store.write(f"runs/1/rows/{row:06d}.json", to_json(told))
    store.write("runs/2/run.json", to_json({"run_id": "2", "begun": yesterday_s, **begun}))
    for name, written_s in ((scanned, yesterday_s + 60), (copied, yesterday_s - 60)):
        key = f"scans/{name}/d/chunk-00000.npz"
        store.write(key, b"{}")
        os.utime(tmp_path / key, (written_s, written_s))
    list(clean(store, 7 * DAY_S, by_runs=True, clock=lambda: NOW_S))
    assert store.folders("scans") == [scanned]
