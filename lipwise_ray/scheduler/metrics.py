"""Figures of a run for Prometheus: through Ray on a cluster, and in a file for node_exporter on one machine."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Protocol

from lipwise_ray.errors import SettingsError, StorageError, os_reason
from lipwise_ray.scheduler.task import Lane
from lipwise_ray.state.job_result import DubResult
from lipwise_ray.state.row_outcome import RowResult
from lipwise_ray.storage.redact import redact

if TYPE_CHECKING:
    from prometheus_client import CollectorRegistry

_WRITE_S = 5.0
SECONDS = (0.1, 0.5, 1, 5, 15, 60, 300, 1800)
"""Buckets of histograms."""


@dataclass(frozen=True, slots=True)
class Metric:
    """A figure.

    Attributes:
        kind: What Prometheus makes of it.
        help: What it counts, with its unit.
        labels: By what it is split; each has few values.
    """

    kind: Literal["counter", "gauge", "histogram"]
    help: str
    labels: tuple[str, ...] = ()

    @property
    def all_labels(self) -> tuple[str, ...]:
        """Labels by which it is split, the state first: several drivers may be at work on one cluster."""
        return (STATE_LABEL, *self.labels)


STATE_LABEL = "state_address"
"""Label with the address of the run's state. A label ``state`` says of workers and rows what has become of them."""

METRICS = {
    "lipwise_frames": Metric("counter", "Frames worked on by finished tasks.", ("task",)),
    "lipwise_tasks": Metric("counter", "Attempts at tasks that ended; a render task is a chunk.", ("task", "outcome")),
    "lipwise_retries": Metric("counter", "Attempts that failed, by what is to blame.", ("cause",)),
    "lipwise_rows": Metric("counter", "Rows of manifests that ended.", ("status",)),
    "lipwise_stage_seconds": Metric("counter", "Busy seconds of rendering in delivered videos.", ("stage",)),
    "lipwise_task_seconds": Metric("histogram", "Seconds from handing a task out to its end.", ("task",)),
    "lipwise_queue_depth": Metric("gauge", "Tasks that wait or run.", ("lane",)),
    "lipwise_workers": Metric("gauge", "Workers by what they do.", ("state",)),
    "lipwise_gpu_memory_bytes": Metric("gauge", "The most GPU memory that one worker has reserved.", ()),
    "lipwise_rows_left": Metric("gauge", "Rows of the run that have not ended.", ()),
    "lipwise_run_rows": Metric("gauge", "Rows of the run that ended, by what became of them.", ("status",)),
    "lipwise_run_quarantined": Metric("gauge", "Tasks that the run has put in quarantine.", ()),
    "lipwise_run_fallbacks": Metric(
        "gauge", "Nodes of the run whose GPU workers do on the CPU what their card refuses, by reason."
    ),
    "lipwise_lease_beat_timestamp_seconds": Metric(
        "gauge",
        "When the driver last showed its lease on the state, in seconds since 1970; 0 once it is given back.",
        (),
    ),
}
"""Counters are shown with ``_total`` at their end; Ray puts ``ray_`` before every name.

Ray's counters go on from run to run until its head ends, and its gauges go with the driver that set them: what is asked
of one run alone is a gauge.
"""

NIGHT_METRICS = {
    "lipwise_night_begin_timestamp_seconds": Metric("gauge", "When the latest night began, in seconds since 1970."),
    "lipwise_night_running": Metric("gauge", "1 from a night's begin to its end, else 0."),
    "lipwise_night_end_timestamp_seconds": Metric("gauge", "When the latest night ended, in seconds since 1970."),
    "lipwise_night_last_success_timestamp_seconds": Metric(
        "gauge", "When the latest night ended that reached all of its rows' goals."
    ),
    "lipwise_night_exit_code": Metric("gauge", "What the latest night ended with; 0 is good."),
    "lipwise_night_rows": Metric("gauge", "Rows of the latest night, by what became of them.", ("state",)),
    "lipwise_night_refused_manifests": Metric("gauge", "Manifests that the latest night refused."),
}
"""Of a night: in a file for node_exporter, beside that of `engine.metrics_file`, which outlives the night. The first
two and the last success are shown by Ray too while a night's runs are on."""


@dataclass(frozen=True, slots=True)
class NightFacts:
    """Figures of a night while it is on, shown beside those of its runs.

    Attributes:
        began_s: When it began, in seconds since 1970.
        success_s: When the latest good night ended; None where none is known.
    """

    began_s: float
    success_s: float | None

    def figures(self) -> dict[str, float]:
        """Return its gauges by name."""
        found = {"lipwise_night_begin_timestamp_seconds": self.began_s, "lipwise_night_running": 1.0}
        if self.success_s is not None:
            found["lipwise_night_last_success_timestamp_seconds"] = self.success_s
        return found


class Sink(Protocol):
    """Destination of a run's figures."""

    def add(self, name: str, value: float, labels: Mapping[str, str]) -> None:
        """Let a counter grow, set a gauge, or note an observation of a histogram.

        Args:
            name: A key of `METRICS`, whose kind decides what happens.
            value: Addend of a counter, value of a gauge, observation of a histogram.
            labels: A value for every label of the metric.
        """
        ...

    def flush(self) -> None:
        """Pass on what was noted."""
        ...


class FileSink:
    """A file in Prometheus's text format, replaced as a whole every few seconds.

    What is known of a night is left out: it stands in a file of its own, and node_exporter takes no figure twice.

    Args:
        path: Ends in .prom, as node_exporter's textfile collector asks.

    Raises:
        SettingsError: It does not, or its folder is not there.
    """

    def __init__(self, path: Path) -> None:
        import prometheus_client

        if path.suffix != ".prom" or not path.parent.is_dir():
            got = f"{path} does not end in .prom" if path.suffix != ".prom" else f"no folder {path.parent}"
            raise SettingsError("metrics_file", "engine.metrics_file", got=got)
        self._path = path
        self._registry: CollectorRegistry = prometheus_client.CollectorRegistry()
        makers = {"counter": prometheus_client.Counter, "gauge": prometheus_client.Gauge}
        self._made: dict[str, Any] = {}
        for name, metric in METRICS.items():
            if metric.kind == "histogram":
                self._made[name] = prometheus_client.Histogram(
                    name, metric.help, metric.all_labels, buckets=SECONDS, registry=self._registry
                )
            else:
                self._made[name] = makers[metric.kind](name, metric.help, metric.all_labels, registry=self._registry)

    def add(self, name: str, value: float, labels: Mapping[str, str]) -> None:
        """Note a figure."""
        if name in NIGHT_METRICS:
            return
        made, kind = self._made[name].labels(**labels), METRICS[name].kind
        if kind == "counter":
            made.inc(value)
        elif kind == "gauge":
            made.set(value)
        else:
            made.observe(value)

    def flush(self) -> None:
        """Write the file.

        Raises:
            StorageError: The disk refuses.
        """
        from prometheus_client import write_to_textfile

        try:
            write_to_textfile(str(self._path), self._registry)
        except OSError as error:
            raise StorageError(
                "metrics_unwritable",
                str(self._path),
                got=f"cannot be written: {os_reason(error)}",
                do="Check the folder",
            ) from error


class Meter:
    """Takes a run's figures to its sinks.

    Args:
        sinks: Where they go.
        state_address: Where the run's lease is, its state or its shard of it: a label of every figure.
        rows: How many rows the run has.
        night: The night that the run is part of, or None.
    """

    def __init__(
        self, sinks: Sequence[Sink] = (), *, state_address: str = "", rows: int = 0, night: NightFacts | None = None
    ) -> None:
        self._sinks = sinks
        self._state_address = redact(state_address)
        self._rows_left = rows
        self._ended_rows: Counter[str] = Counter(done=0, failed=0)
        self._quarantined = 0
        self._night = night.figures() if night else {}
        self._flushed_s = 0.0

    def ended(self, task: str, outcome: str, frames: int, seconds: float) -> None:
        """Count an attempt that ended.

        Args:
            task: Name of the task's kind.
            outcome: ``done``, or the blame for its failure (`scheduler.task.Blame`).
            frames: Frames of the task; counted where it is done.
            seconds: Duration of the attempt.
        """
        done = outcome == "done"
        self._add("lipwise_tasks", 1, task=task, outcome="done" if done else "failed")
        self._add("lipwise_task_seconds", seconds, task=task)
        if done:
            self._add("lipwise_frames", frames, task=task)
        else:
            self._add("lipwise_retries", 1, cause=outcome)

    def quarantined(self, task: str) -> None:
        """Count a task that is given up."""
        self._quarantined += 1
        self._add("lipwise_tasks", 1, task=task, outcome="quarantined")

    def row(self, status: str, result: RowResult) -> None:
        """Count a row that ended."""
        self._rows_left -= 1
        self._ended_rows[status] += 1
        self._add("lipwise_rows", 1, status=status)
        if isinstance(result, DubResult) and not result.reused:
            for stage, seconds in (result.stages_s or {}).items():
                self._add("lipwise_stage_seconds", seconds, stage=stage)

    def now(
        self,
        queues: Mapping[Lane, int],
        *,
        busy: int,
        idle: int,
        loading: int,
        gpu_bytes: int,
        fallbacks: int = 0,
        lease_age_s: float | None = None,
    ) -> None:
        """Set the gauges of queues and workers; pass all figures on every few seconds.

        Args:
            queues: Tasks that wait or run, by lane.
            busy: Workers that have a task.
            idle: Workers that have none.
            loading: Workers that have not begun.
            gpu_bytes: The most GPU memory that one worker has reserved.
            fallbacks: Fallbacks to the CPU that GPU workers have reported (`Engine.fallbacks`).
            lease_age_s: How long ago the driver showed its lease; None once it is given back.

        Raises:
            StorageError: A file cannot be written.
        """
        if not self._sinks or time.monotonic() - self._flushed_s < _WRITE_S:
            return
        for lane, depth in {"gpu": 0, "cpu": 0, **queues}.items():
            self._add("lipwise_queue_depth", depth, lane=lane)
        for state, count in (("busy", busy), ("idle", idle), ("loading", loading)):
            self._add("lipwise_workers", count, state=state)
        self._add("lipwise_gpu_memory_bytes", gpu_bytes)
        self._add("lipwise_rows_left", self._rows_left)
        for status, count in self._ended_rows.items():
            self._add("lipwise_run_rows", count, status=status)
        self._add("lipwise_run_quarantined", self._quarantined)
        self._add("lipwise_run_fallbacks", fallbacks)
        self._add("lipwise_lease_beat_timestamp_seconds", 0.0 if lease_age_s is None else time.time() - lease_age_s)
        for name, value in self._night.items():
            self._add(name, value)
        self.flush()

    def close(self) -> None:
        """Say that nothing waits or works any more.

        Raises:
            StorageError: A file cannot be written.
        """
        self._flushed_s = -_WRITE_S
        self.now({}, busy=0, idle=0, loading=0, gpu_bytes=0)

    def flush(self) -> None:
        """Pass on what was noted.

        Raises:
            StorageError: A file cannot be written.
        """
        self._flushed_s = time.monotonic()
        for sink in self._sinks:
            sink.flush()

    def _add(self, name: str, value: float, **labels: str) -> None:
        labels[STATE_LABEL] = self._state_address
        for sink in self._sinks:
            sink.add(name, value, labels)
