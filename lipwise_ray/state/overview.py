"""Reading a state directory for people."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path

from lipwise_ray.errors import StateError
from lipwise_ray.state import layout
from lipwise_ray.state.store import LocalStore, Store, read_json
from lipwise_ray.values import Json


@dataclass(frozen=True, slots=True)
class JobState:
    """A job that is planned but not published."""

    job_id: str
    chunks: int
    chunks_done: int


@dataclass(slots=True)
class Overview:
    """The latest run, and the jobs that wait to be finished."""

    run_id: str
    manifest: str
    rows: int
    done: int = 0
    failed: int = 0
    failures: list[Json] = field(default_factory=list[Json])
    unfinished: list[JobState] = field(default_factory=list[JobState])

    @property
    def left(self) -> int:
        """Rows that have not ended."""
        return self.rows - self.done - self.failed

    def record(self) -> Json:
        """Return JSON values."""
        return {**asdict(self), "left": self.left}


def overview(root: Path) -> Overview:
    """Return the state of the latest run.

    Raises:
        StateError: No run was ever begun there.
    """
    store = LocalStore(root)
    run_id, record = next(_runs(store), ("", None))
    if record is None:
        raise StateError("no_runs", str(root), "must hold a run", "none", "Check the path")
    found = Overview(run_id, record["manifest"], int(record["rows"]))
    for key in store.names(f"{layout.run(run_id)}/rows"):
        row = read_json(store, key) or {}
        if row.get("status") == "done":
            found.done += 1
        else:
            found.failed += 1
            found.failures.append({name: row.get(name, "") for name in ("row_id", "code", "message", "stage")})
    found.unfinished = list(_unfinished(store))
    return found


def tracks_of(root: Path, row_id: str) -> Path:
    """Return the tracks file of the newest run that finished this row.

    Raises:
        StateError: The row did not get that far, or used no detection.
    """
    store = LocalStore(root)
    for run_id, _ in _runs(store):
        for key in store.names(f"{layout.run(run_id)}/rows"):
            row = read_json(store, key) or {}
            identity = row.get("identity")
            if row.get("row_id") == row_id and identity:
                path = store.fetch(layout.tracks(identity["video"], identity["weights"]["detector"]))
                if path is not None:
                    return path
    raise StateError(
        "no_tracks", str(root), f"must hold the tracks of row {row_id}", "none", "Only finished rows have them"
    )


def _runs(store: Store) -> Iterator[tuple[str, Json]]:
    """Yield (id, record) of the runs, newest first."""
    for key in reversed(store.names("runs")):
        if key.endswith("/run.json"):
            record = read_json(store, key)
            if record is not None:
                yield record["run_id"], record


def _unfinished(store: Store) -> Iterator[JobState]:
    keys = store.names("jobs")
    finished = {key.split("/")[1] for key in keys if key.endswith("/result.json")}
    markers: dict[str, int] = {}
    for key in keys:
        if "/chunks/" in key:
            job_id = key.split("/")[1]
            markers[job_id] = markers.get(job_id, 0) + 1
    for key in keys:
        job_id = key.split("/")[1]
        if key.endswith("/plan.json") and job_id not in finished:
            plan = read_json(store, key) or {}
            yield JobState(job_id, len(plan.get("chunks", [])), markers.get(job_id, 0))
