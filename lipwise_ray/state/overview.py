"""Reading a state directory for people."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from itertools import islice
from pathlib import Path, PurePosixPath
from typing import Literal

from lipwise_ray.errors import StateError
from lipwise_ray.state import done_rows, layout, quarantine
from lipwise_ray.state.job_result import DubResult, RowFailure
from lipwise_ray.state.row_outcome import outcome_in
from lipwise_ray.state.run_records import RunRecord
from lipwise_ray.state.shapes import Id, LeaseRecord, Letter, typed
from lipwise_ray.state.shards import holders, is_at_work
from lipwise_ray.state.speeds import latest_speeds
from lipwise_ray.state.store import Store, as_json, open_store
from lipwise_ray.values import Json

_A_NIGHT_S = 12 * 3600.0
_MOST_OTHER_RUNS = 256
"""So many runs of other manifests may lie between those of a manifest's shards."""

_AT_A_TIME = 32


@dataclass(frozen=True, slots=True)
class JobState:
    """A job that is planned but not published."""

    job_id: str
    chunks: int
    chunks_done: int
    frames: int = 0
    frames_done: int = 0


@dataclass(frozen=True, slots=True)
class FailedRow:
    """A row that failed, and of what; empty where its record cannot be read."""

    row_id: str = ""
    code: str = ""
    message: str = ""
    stage: str = ""


@dataclass(frozen=True, slots=True)
class QuarantinedTask:
    """A task in quarantine, and its last message."""

    task: str
    message: str


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
        not_begun: Shards whose rows are left, because none of their drivers has begun.
        running: Tasks that are handed out, with worker and attempt.
        loading: Workers that fetch and load their models.
        quarantined: Tasks in quarantine, with the last message.
        fallbacks: Sentences on GPU workers that did on the CPU what their GPU was meant for.
        frames_total, frames_done: Frames of the jobs that are planned but not published, where a driver is at work.
        eta_s: Seconds that these take the workers that render now, at the speed of the latest jobs; None where nobody
            renders or nothing was measured.
    """

    run_id: str
    manifest: str
    rows: int
    done: int = 0
    failed: int = 0
    failures: list[FailedRow] = field(default_factory=list[FailedRow])
    unfinished: list[JobState] = field(default_factory=list[JobState])
    holder: Json | None = None
    holders: list[Json] = field(default_factory=list[Json])
    not_begun: list[str] = field(default_factory=list[str])
    running: list[LeaseRecord] = field(default_factory=list[LeaseRecord])
    loading: int = 0
    quarantined: list[QuarantinedTask] = field(default_factory=list[QuarantinedTask])
    fallbacks: list[str] = field(default_factory=list[str])
    frames_total: int = 0
    frames_done: int = 0
    eta_s: float | None = None

    @property
    def left(self) -> int:
        """Rows that have not ended; the record of a queue that was left at once may be a second behind its rows."""
        return max(0, self.rows - self.done - self.failed)

    def record(self) -> Json:
        """Return JSON values."""
        return {**asdict(self), "left": self.left}


def overview(address: str) -> Overview:
    """Return the state of the latest run, with the latest runs of the other shards of its rows.

    Raises:
        StateError: No run was ever begun there.
    """
    store = open_store(address)
    run_id, record = next(_runs(store), ("", None))
    if record is None:
        happened = "holds no run whose record can be read" if store.folders(layout.RUNS) else "holds no run"
        raise StateError("no_runs", address, got=happened, do="Check the path")
    shards = shards_of(store, run_id, record)
    summary = Overview(run_id, record.manifest, record.rows if record.rows_total is None else record.rows_total)
    summary.not_begun = [one.shard for one in shards if not one.run_id]
    found = (text for one in shards if one.record for text in one.record.fallbacks or ())
    summary.fallbacks += dict.fromkeys(found)
    ended = [_ended(store, one.run_id) for one in shards if one.run_id]
    failures = [key for _, failed in ended for key in failed]
    summary.done, summary.failed = sum(done for done, _ in ended), len(failures)
    summary.failures += map(_failed_row, store.read_all(failures))
    summary.unfinished = list(_unfinished(store))
    for _, one in holders(store):
        running, loading = one.pop("running", []), one.pop("loading", 0)
        one.pop("memory", None)  # which the studio shows
        leases = (typed(one, LeaseRecord) for one in (running if isinstance(running, list) else []))
        summary.running += [one for one in leases if one is not None]
        summary.loading += loading if isinstance(loading, int) else 0
        summary.holder = summary.holder or one
        summary.holders.append(one)
    _estimate(store, summary)
    summary.not_begun = [one for one in summary.not_begun if not is_at_work(store, one)]
    letters = sorted(quarantine.keys(store))
    for key, data in zip(letters, store.read_all(letters), strict=True):
        letter = typed(as_json(data), Letter)
        last = letter.attempts[-1].message if letter else "its dead letter cannot be read"
        summary.quarantined.append(QuarantinedTask(letter.task if letter else key, last))
    return summary


def _estimate(store: Store, summary: Overview) -> None:
    """Add the frames of planned jobs, and how long they take, where a driver is at work on them."""
    if summary.holder is None:
        return
    summary.frames_total = sum(one.frames for one in summary.unfinished)
    summary.frames_done = sum(one.frames_done for one in summary.unfinished)
    speeds, workers = latest_speeds(store), sum(one.task.startswith("render:") for one in summary.running)
    left = summary.frames_total - summary.frames_done
    if speeds and workers and left:
        per_frame_s = sum(one.render_s for one in speeds) / sum(one.frames for one in speeds)
        summary.eta_s = round(left * per_frame_s / workers, 1)


def _failed_row(data: bytes | None) -> FailedRow:
    outcome = outcome_in(as_json(data))
    if outcome is None or not isinstance(outcome.result, RowFailure):
        return FailedRow()
    why = outcome.result
    return FailedRow(outcome.row_id, why.code, why.message, why.stage or "")


def latest_run(store: Store) -> RunRecord | None:
    """Return the record of the latest run, None where no run was ever started.

    Raises:
        StateError: Its record cannot be read: an earlier run's is no substitute.
    """
    key, data = next(_run_records(store), ("", b""))
    if not key:
        return None
    record = typed(as_json(data), RunRecord)
    if record is None:
        raise StateError(
            "damaged_run", f"{store.address}/{key}", got="the record of the latest run is damaged",
            do="Run the command again yourself",
        )  # fmt: skip
    return record


@dataclass(frozen=True, slots=True)
class ShardRun:
    """Latest run of a shard's drivers.

    Attributes:
        shard: Such as ``3/8``; empty where a run had all rows.
        run_id: The run; empty for a shard that was not begun.
        record: What it was begun with.
    """

    shard: str
    run_id: str
    record: RunRecord | None


def shards_of(store: Store, run_id: str, run: RunRecord) -> list[ShardRun]:
    """Return the latest run of each shard of the latest run's manifest, in their order; itself where it had all.

    Runs of the same rows and places count that were begun since the previous run of its shard, or within a night
    before that: drivers that are started together are hardly ever begun in the same order as they are begun again.

    Args:
        store: The state.
        run_id: The latest run.
        run: What it was begun with.
    """
    if run.shard is None:
        return [ShardRun("", run_id, run)]
    count = int(run.shard.rpartition("/")[2])
    by_shard = {f"{number}/{count}": ShardRun(f"{number}/{count}", "", None) for number in range(1, count + 1)}
    by_shard[run.shard] = ShardRun(run.shard, run_id, run)
    wanted, since_s = len(by_shard) - 1, 0.0
    for other_id, other in islice(_runs(store), _MOST_OTHER_RUNS + 2 * count):
        if not wanted or other.begun < since_s:
            break
        if other_id == run_id or (other.manifest_sha256, other.out) != (run.manifest_sha256, run.out):
            continue
        if other.shard == run.shard:
            since_s = max(since_s, other.begun - _A_NIGHT_S)
        elif other.shard in by_shard and not by_shard[other.shard].run_id:
            by_shard[other.shard] = ShardRun(other.shard, other_id, other)
            wanted -= 1
    return list(by_shard.values())


def kept_runs(store: Store) -> set[str]:
    """Return the runs that `status`, `report` and `retry` go by."""
    newest, _ = next(_run_records(store), ("", b""))
    run_id, run = next(_runs(store), ("", None))
    shards = shards_of(store, run_id, run) if run else []
    return {newest.split("/")[1] if newest else "", *(one.run_id for one in shards)} - {""}


def shards_to_do(store: Store) -> list[str]:
    """Return the shards of the latest run's rows of which some are not done, or all shards where all rows are.

    Nothing is returned where it had no shards.
    """
    run_id, run = next(_runs(store), ("", None))
    if run is None or run.shard is None:
        return []
    shards = shards_of(store, run_id, run)
    open_ones = [one for one in shards if one.record is None or _ended(store, one.run_id)[0] < one.record.rows]
    return [one.shard for one in open_ones or shards]


def _ended(store: Store, run_id: str) -> tuple[int, list[str]]:
    """Return the number of rows of a run that are done, and the keys of those that failed."""
    ended = store.names(layout.rows(run_id))
    failed = [key for key in ended if not key.endswith("-done.json")]
    return len(ended) - len(failed) + done_rows.count_reused(store, run_id), failed


def tracks_of(address: str, row_id: str) -> Path:
    """Return the tracks file of the newest run that finished this row.

    Raises:
        StateError: The row did not get that far, or used no detection.
    """
    store = open_store(address)
    for run_id, _ in _runs(store):
        for data in store.read_all(store.names(layout.rows(run_id))):
            row = as_json(data)
            outcome = outcome_in(row)
            found = typed(row, _Scanned) if outcome and outcome.row_id == row_id else None
            path = store.fetch(found.tracks_key) if found else None
            if path is not None:
                return path
        for outcome in done_rows.reused_outcomes(store, run_id):
            found = typed(outcome.record, _Scanned) if outcome.row_id == row_id else None
            path = store.fetch(found.tracks_key) if found else None
            if path is not None:
                return path
    raise StateError("no_tracks", address, got=f"holds no tracks of row {row_id}", do="Only finished rows have them")


@dataclass(frozen=True, slots=True)
class _Detected:
    detector: Id


@dataclass(frozen=True, slots=True)
class _Identity:
    video: Id
    weights: _Detected


@dataclass(frozen=True, slots=True)
class _Scanned:
    """Fields of a row's record that name the scan of its video."""

    identity: _Identity
    scanned: Id | Literal[""] | None = None

    @property
    def tracks_key(self) -> str:
        """The key of its tracks."""
        return layout.tracks(self.identity.video, self.identity.weights.detector, self.scanned or "")


def _runs(store: Store) -> Iterator[tuple[str, RunRecord]]:
    """Yield (id, record) of the runs, newest first."""
    for key, data in _run_records(store):
        record = typed(as_json(data), RunRecord)
        if record is not None:
            yield key.split("/")[1], record


def _run_records(store: Store) -> Iterator[tuple[str, bytes]]:
    """Yield (key, contents) of what runs were begun with, newest first: they are named after that time."""
    keys = [layout.run_record(run_id) for run_id in reversed(store.folders(layout.RUNS))]
    for some in (keys[:1], *(keys[at : at + _AT_A_TIME] for at in range(1, len(keys), _AT_A_TIME))):
        for key, data in zip(some, store.read_all(some), strict=True):
            if data is not None:  # else the run was killed before that
                yield key, data


def _unfinished(store: Store) -> Iterator[JobState]:
    keys = store.names(layout.JOBS)
    results = [key for key in keys if key.endswith("/result.json")]
    finished = {key.split("/")[1] for key in results}
    for data in store.read_all(results):
        result = typed(as_json(data), DubResult)
        finished.update(one.job_id or "" for one in (result.attempts or () if result else ()))
    markers: dict[str, list[str]] = {}
    for key in keys:
        if "/chunks/" in key:
            markers.setdefault(key.split("/")[1], []).append(PurePosixPath(key).stem)
    plans = [key for key in keys if key.endswith("/plan.json") and key.split("/")[1] not in finished]
    for key, data in zip(plans, store.read_all(plans), strict=True):
        plan, job_id = typed(as_json(data), _Cut), key.split("/")[1]
        there = markers.get(job_id, [])
        lengths = [stop - start for start, stop in plan.chunks] if plan else []
        numbers = [int(name) for name in there if name.isdecimal() and int(name) < len(lengths)]
        done = sum(lengths[number] for number in numbers)
        yield JobState(job_id, len(lengths), len(there), sum(lengths), done)


@dataclass(frozen=True, slots=True)
class _Cut:
    """Chunks of a plan, the only part of it that is counted here."""

    chunks: list[tuple[int, int]]
