"""What is old goes from a state, and nothing that says what is done."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from lipwise_ray.state.cleaning import clean
from lipwise_ray.state.store import LocalStore, Store, open_store
from lipwise_ray.storage.cache import Cache
from tests.s3 import BUCKET, s3_server

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
    "nights/20260101T000000-a/night.json": OLD,
    "nights/20260102T000000-b/night.json": NEW,
    "speeds/20260101T000000-a.json": OLD,
    "quarantine/render-open-1.json": OLD,
    "driver/epoch-00000001.json": OLD,
    "backlog/m.csv.json": OLD,
}
GONE = {
    "scans/v1/index.npz",
    "scans/v1/d/chunk-00000.npz",
    "sounds/a1/mel.npy",
    "jobs/ended/plan.json",
    "jobs/ended/measures/00000.npz",
    "runs/20260101T000000-a/run.json",
    "runs/20260101T000000-a/report.html",
    "nights/20260101T000000-a/night.json",
}
UNFINISHED = {"jobs/open/plan.json", "jobs/open/segments/00000.a.mkv"}


def _state(folder: Path) -> LocalStore:
    store = LocalStore(folder)
    for key, changed_s in RECORDS.items():
        store.write(key, b"{}")
        os.utime(folder / key, (changed_s, changed_s))
    return store


def _keys(store: Store) -> set[str]:
    return {key for key in RECORDS if store.size(key) is not None}


def test_what_nobody_wrote_to_for_a_month_goes(tmp_path: Path) -> None:
    """Whole folders by the latest of what lies in them; results, the latest run, dead letters and manifests stay."""
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
            store.write(key, b"{}")
        written_s = max(one.changed_s for one in store.listing("jobs"))
        assert not any(one.objects for one in clean(store, DAY_S, clock=lambda: written_s))
        list(clean(store, DAY_S, clock=lambda: written_s + DAY_S))
        kept = {"runs/20260102T000000-b/run.json", "nights/20260102T000000-b/night.json"}
        kept |= {key for key in RECORDS if key.endswith("result.json") or key.startswith("jobs/open/")}
        kept |= {key for key in RECORDS if key.split("/")[0] in ("speeds", "quarantine", "driver", "backlog")}
        assert _keys(store) == kept
