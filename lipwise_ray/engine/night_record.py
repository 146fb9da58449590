"""What a night leaves for those who were asleep: its record, and figures for Prometheus."""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path

from lipwise_ray.errors import LipwiseError, StorageError
from lipwise_ray.exit_codes import ExitCode, of_error, of_lenient_night
from lipwise_ray.state import layout
from lipwise_ray.state.store import Store, read_json
from lipwise_ray.values import Json

NIGHT_METRICS = {
    "lipwise_night_end_timestamp_seconds": "When the latest night ended, in seconds since 1970.",
    "lipwise_night_last_success_timestamp_seconds": "When the latest night ended that reached all of its rows' goals.",
    "lipwise_night_exit_code": "What the latest night ended with; 0 is good.",
    "lipwise_night_rows": "Rows of the latest night, by what became of them.",
    "lipwise_night_refused_manifests": "Manifests that the latest night refused.",
}
"""Gauges in a file for node_exporter, beside that of `engine.metrics_file`: they outlive the night."""


@dataclass(frozen=True, slots=True)
class NightRecord:
    """What a night came to, whatever it ended with.

    Attributes:
        night: Its id.
        backlog: Where the manifests lie.
        exit_code: What the command ends with (`ExitCode`).
        reasons: Why it is no good night, in words; none for one that is.
        began, ended: Seconds since 1970.
        done, failed, left: Rows.
        refused: Manifests that were refused as a whole.
        refused_manifests: Their names, and why.
        runs: A record a run: manifest, run_id, done, failed, left.
        report: The page's place; empty where it could not be written.
        gpu_s: GPU seconds of its videos.
        costs: What these cost by kind of machine; nothing without prices.
        stopped: What ended it early, other than its window: `asked` by a signal, or the code of an error.
    """

    night: str
    backlog: str
    exit_code: int
    reasons: tuple[str, ...]
    began: float
    ended: float
    done: int
    failed: int
    left: int
    refused: int
    refused_manifests: dict[str, str]
    runs: tuple[Json, ...]
    report: str
    gpu_s: float
    costs: tuple[str, ...]
    stopped: str = ""

    @property
    def is_good(self) -> bool:
        """Whether nobody needs to look."""
        return self.exit_code == ExitCode.DONE

    def code(self, *, exit_zero: bool) -> ExitCode:
        """Return what the command ends with."""
        code = ExitCode(self.exit_code)
        return of_lenient_night(code, stopped=bool(self.stopped)) if exit_zero else code


def in_words(error: BaseException) -> str:
    """Return what ended a night."""
    return str(error) if isinstance(error, LipwiseError) else f"{type(error).__name__}: {error}".rstrip(": ")


def not_started(backlog: str, error: BaseException) -> NightRecord:
    """Return the record of a night that had not even its settings."""
    now = time.time()
    return NightRecord(
        night=time.strftime("%Y%m%dT%H%M%S"),
        backlog=backlog,
        exit_code=int(of_error(error)),
        reasons=(in_words(error),),
        began=now,
        ended=now,
        done=0,
        failed=0,
        left=0,
        refused=0,
        refused_manifests={},
        runs=(),
        report="",
        gpu_s=0.0,
        costs=(),
    )


def last_success_s(store: Store) -> float | None:
    """Return when the latest good night ended, of those whose records are kept; None where there is none."""
    for night_id in reversed(store.folders(layout.NIGHTS)):
        record = read_json(store, f"{layout.night(night_id)}/night.json") or {}
        if record.get("exit_code") == ExitCode.DONE and isinstance(record.get("ended"), int | float):
            return float(record["ended"])
    return None


def write_metrics(metrics_file: Path, night: NightRecord, success_s: float | None) -> Path:
    """Write a night's figures beside a run's; return the file.

    Args:
        metrics_file: The run's file.
        night: The night.
        success_s: When the latest good night ended.

    Raises:
        StorageError: The disk refuses.
    """
    from prometheus_client import CollectorRegistry, Gauge, write_to_textfile  # noqa: PLC0415  # only where asked for

    registry = CollectorRegistry()

    def gauge(name: str, labels: tuple[str, ...] = ()) -> Gauge:
        return Gauge(name, NIGHT_METRICS[name], labels, registry=registry)

    gauge("lipwise_night_end_timestamp_seconds").set(night.ended)
    if success_s is not None:
        gauge("lipwise_night_last_success_timestamp_seconds").set(success_s)
    gauge("lipwise_night_exit_code").set(night.exit_code)
    rows = gauge("lipwise_night_rows", ("state",))
    for state, count in (("done", night.done), ("failed", night.failed), ("left", night.left)):
        rows.labels(state=state).set(count)
    gauge("lipwise_night_refused_manifests").set(night.refused)
    path = metrics_file.with_name(f"{metrics_file.stem}-night{metrics_file.suffix}")
    try:
        write_to_textfile(str(path), registry)
    except OSError as error:
        raise StorageError(
            "night_metrics_unwritable", str(path), "must be writable", error.strerror or str(error), "Check the folder"
        ) from error
    return path
