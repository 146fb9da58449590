"""Reading a state directory for people."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from itertools import islice
from pathlib import Path
from typing import Literal

from lipwise_ray.errors import StateError
from lipwise_ray.state import layout, quarantine
from lipwise_ray.state.shapes import Id, Lease, Letter, RowRecord, RunRecord, checked, typed
from lipwise_ray.state.shards import holders
from lipwise_ray.state.store import Store, as_json, open_store
from lipwise_ray.values import Json

_MOST_RUNS_OF_SHARDS = 4096


@dataclass(frozen=True, slots=True)
class JobState:
    """A job that is planned but not published."""

    job_id: str
    chunks: int
    chunks_done: int


@dataclass(slots=True)
class Overview:
    """The latest run, and the jobs that wait to be finished.

    Attributes:
        run_id, manifest, rows: The run.
        done, failed: Rows that ended so.
        failures: Why.
        unfinished: Jobs that are planned but not published.
        holder: The driver that is at work, None where none is; the first of several.
        holders: All of them, of a state whose shards have one each.
        running: Tasks that are handed out, with worker and attempt.
        loading: Workers that fetch and load their models.
        quarantined: Tasks in quarantine, with the last message.
    """

    run_id: str
    manifest: str
    rows: int
    done: int = 0
    failed: int = 0
    failures: list[Json] = field(default_factory=list[Json])
    unfinished: list[JobState] = field(default_factory=list[JobState])
    holder: Json | None = None
    holders: list[Json] = field(default_factory=list[Json])
    running: list[Json] = field(default_factory=list[Json])
    loading: int = 0
    quarantined: list[Json] = field(default_factory=list[Json])

    @property
    def left(self) -> int:
        """Rows that have not ended."""
        return self.rows - self.done - self.failed

    def record(self) -> Json:
        """Return JSON values."""
        return {**asdict(self), "left": self.left}


def overview(address: str) -> Overview:
    """Return the state of the latest run.

    Raises:
        StateError: No run was ever begun there.
    """
    store = open_store(address)
    run_id, record = next(_runs(store), ("", None))
    if record is None:
        raise StateError("no_runs", address, "must hold a run", "none", "Check the path")
    runs = runs_of_shards(store, run_id, record)
    found = Overview(run_id, record["manifest"], sum(one["rows"] for one in runs.values()))
    ended = [key for one in runs for key in store.names(layout.rows(one))]
    failed = [key for key in ended if not key.endswith("-done.json")]
    found.done, found.failed = len(ended) - len(failed), len(failed)
    for row in _records(store, failed, RowRecord):
        found.failures.append({name: row.get(name, "") for name in ("row_id", "code", "message", "stage")})
    found.unfinished = list(_unfinished(store))
    for _, one in holders(store):
        running, loading = one.pop("running", []), one.pop("loading", 0)
        found.running += [lease for lease in running if typed(lease, Lease)] if isinstance(running, list) else []
        found.loading += loading if isinstance(loading, int) else 0
        found.holder = found.holder or one
        found.holders.append(one)
    letters = sorted(quarantine.keys(store))
    for key, letter in zip(letters, _records(store, letters, Letter), strict=True):
        last: Json = (letter.get("attempts") or [{"message": "its dead letter cannot be read"}])[-1]
        found.quarantined.append({"task": letter.get("task", key), "message": last.get("message", "")})
    return found


def latest_run(store: Store) -> RunRecord | None:
    """Return what the latest run was begun with, None where no run was ever begun.

    Raises:
        StateError: Its record cannot be read: an earlier run's is no substitute.
    """
    key, data = next(_run_records(store), ("", b""))
    if not key:
        return None
    record = typed(as_json(data), RunRecord)
    if record is None:
        raise StateError(
            "damaged_run", f"{store.address}/{key}", "must be the latest run's record", "a damaged file",
            "Run it again yourself",
        )  # fmt: skip
    return record


def runs_of_shards(store: Store, run_id: str, record: Json) -> dict[str, Json]:
    """Return the latest run of each shard of what a run worked on, itself among them; itself alone where it had none.

    Args:
        store: The state.
        run_id: The run.
        record: What it was begun with.
    """
    found = {run_id: record}
    if not record.get("shard"):
        return found
    count = str(record["shard"]).rpartition("/")[2]
    wanted = {f"{number}/{count}" for number in range(1, int(count) + 1)} - {record["shard"]}
    for other, told in islice(_runs(store), _MOST_RUNS_OF_SHARDS):
        if not wanted:
            break
        if told.get("shard") in wanted and told.get("manifest_sha256") == record.get("manifest_sha256"):
            wanted.discard(told["shard"])
            found[other] = told
    return found


def tracks_of(address: str, row_id: str) -> Path:
    """Return the tracks file of the newest run that finished this row.

    Raises:
        StateError: The row did not get that far, or used no detection.
    """
    store = open_store(address)
    for run_id, _ in _runs(store):
        for row in _records(store, store.names(layout.rows(run_id)), RowRecord):
            found = typed(row, _Scanned) if row.get("row_id") == row_id else None
            path = store.fetch(found.tracks_key) if found else None
            if path is not None:
                return path
    raise StateError(
        "no_tracks", address, f"must hold the tracks of row {row_id}", "none", "Only finished rows have them"
    )


@dataclass(frozen=True, slots=True)
class _Detected:
    detector: Id


@dataclass(frozen=True, slots=True)
class _Identity:
    video: Id
    weights: _Detected


@dataclass(frozen=True, slots=True)
class _Scanned:
    """What of a row's record names the scan of its video."""

    identity: _Identity
    scanned: Id | Literal[""] | None = None

    @property
    def tracks_key(self) -> str:
        """The key of its tracks."""
        return layout.tracks(self.identity.video, self.identity.weights.detector, self.scanned or "")


def _records(store: Store, keys: list[str], shape: type[object]) -> Iterator[Json]:
    """Yield records, a damaged one as an empty one."""
    for data in store.read_all(keys):
        yield checked(as_json(data), shape) or {}


def _runs(store: Store) -> Iterator[tuple[str, Json]]:
    """Yield (id, record) of the runs, newest first."""
    for key, data in _run_records(store):
        record = checked(as_json(data), RunRecord)
        if record is not None:
            yield key.split("/")[1], record


def _run_records(store: Store) -> Iterator[tuple[str, bytes]]:
    """Yield (key, contents) of what runs were begun with, newest first: they are named after that time."""
    for run_id in reversed(store.folders(layout.RUNS)):
        key = layout.run_record(run_id)
        data = store.read(key)
        if data is not None:  # else the run was killed before that
            yield key, data


def _unfinished(store: Store) -> Iterator[JobState]:
    keys = store.names(layout.JOBS)
    results = [key for key in keys if key.endswith("/result.json")]
    finished = {key.split("/")[1] for key in results}
    for result in _records(store, results, RowRecord):
        finished.update(str(one.get("job_id")) for one in result.get("attempts") or [])
    markers: dict[str, int] = {}
    for key in keys:
        if "/chunks/" in key:
            job_id = key.split("/")[1]
            markers[job_id] = markers.get(job_id, 0) + 1
    plans = [key for key in keys if key.endswith("/plan.json") and key.split("/")[1] not in finished]
    for key, plan in zip(plans, _records(store, plans, _Cut), strict=True):
        job_id = key.split("/")[1]
        yield JobState(job_id, len(plan.get("chunks", [])), markers.get(job_id, 0))


@dataclass(frozen=True, slots=True)
class _Cut:
    """What of a plan says how many chunks there are."""

    chunks: list[list[int]]
