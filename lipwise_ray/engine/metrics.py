"""Figures of a run for Prometheus: through Ray on a cluster, and in a file for node_exporter on one machine."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Protocol

from lipwise_ray.dubbing.tasks import Lane
from lipwise_ray.errors import SettingsError, StorageError
from lipwise_ray.values import Json

if TYPE_CHECKING:
    from prometheus_client import CollectorRegistry

_WRITE_S = 5.0
_SECONDS = (0.1, 0.5, 1, 5, 15, 60, 300, 1800)


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
}
"""Counters are shown with ``_total`` at their end; Ray puts ``ray_`` before every name."""


class Sink(Protocol):
    """Where figures go."""

    def add(self, name: str, value: float, labels: Mapping[str, str]) -> None:
        """Let a counter grow, set a gauge, or note an observation of a histogram."""
        ...

    def flush(self) -> None:
        """Pass on what was noted."""
        ...


class RaySink:
    """Ray's own metrics: each node's agent shows them to Prometheus."""

    def __init__(self) -> None:
        from ray.util import metrics  # noqa: PLC0415  # only where Ray runs

        makers: dict[str, Any] = {"counter": metrics.Counter, "gauge": metrics.Gauge}
        self._made: dict[str, Any] = {}
        for name, metric in METRICS.items():
            if metric.kind == "histogram":
                self._made[name] = metrics.Histogram(
                    name, metric.help, boundaries=list(_SECONDS), tag_keys=metric.labels
                )
            else:
                self._made[name] = makers[metric.kind](name, metric.help, tag_keys=metric.labels)

    def add(self, name: str, value: float, labels: Mapping[str, str]) -> None:
        """Pass a figure on to Ray."""
        made, kind = self._made[name], METRICS[name].kind
        if kind == "counter":
            if value:
                made.inc(value, tags=dict(labels))
        elif kind == "gauge":
            made.set(value, tags=dict(labels))
        else:
            made.observe(value, tags=dict(labels))

    def flush(self) -> None:
        """Do nothing: Ray does."""


class FileSink:
    """A file in Prometheus's text format, replaced as a whole every few seconds.

    Args:
        path: Ends in .prom, as node_exporter's textfile collector asks.

    Raises:
        SettingsError: It does not, or its folder is not there.
    """

    def __init__(self, path: Path) -> None:
        import prometheus_client  # noqa: PLC0415  # only where a file is asked for

        if path.suffix != ".prom" or not path.parent.is_dir():
            got = f"{path}" if path.suffix != ".prom" else f"no folder {path.parent}"
            raise SettingsError("metrics_file", "engine.metrics_file", "must be a .prom file in a folder", got)
        self._path = path
        self._registry: CollectorRegistry = prometheus_client.CollectorRegistry()
        makers = {"counter": prometheus_client.Counter, "gauge": prometheus_client.Gauge}
        self._made: dict[str, Any] = {}
        for name, metric in METRICS.items():
            if metric.kind == "histogram":
                self._made[name] = prometheus_client.Histogram(
                    name, metric.help, metric.labels, buckets=_SECONDS, registry=self._registry
                )
            else:
                self._made[name] = makers[metric.kind](name, metric.help, metric.labels, registry=self._registry)

    def add(self, name: str, value: float, labels: Mapping[str, str]) -> None:
        """Note a figure."""
        made, kind = self._made[name], METRICS[name].kind
        if labels:
            made = made.labels(**labels)
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
        from prometheus_client import write_to_textfile  # noqa: PLC0415  # loaded already

        try:
            write_to_textfile(str(self._path), self._registry)
        except OSError as error:
            raise StorageError(
                "metrics_unwritable",
                str(self._path),
                "must be writable",
                error.strerror or str(error),
                "Check the folder",
            ) from error


class Meter:
    """Takes a run's figures to its sinks.

    Args:
        sinks: Where they go.
    """

    def __init__(self, sinks: Sequence[Sink] = ()) -> None:
        self._sinks = sinks
        self._flushed_s = 0.0

    def ended(self, task: str, outcome: str, frames: int, seconds: float) -> None:
        """Count an attempt that ended: ``done``, or what is to blame."""
        done = outcome == "done"
        self._add("lipwise_tasks", 1, task=task, outcome="done" if done else "failed")
        self._add("lipwise_task_seconds", seconds, task=task)
        if done:
            self._add("lipwise_frames", frames, task=task)
        else:
            self._add("lipwise_retries", 1, cause=outcome)

    def quarantined(self, task: str) -> None:
        """Count a task that is given up."""
        self._add("lipwise_tasks", 1, task=task, outcome="quarantined")

    def row(self, status: str, record: Json) -> None:
        """Count a row that ended."""
        self._add("lipwise_rows", 1, status=status)
        for stage, seconds in ({} if record.get("reused") else record.get("stages_s") or {}).items():
            self._add("lipwise_stage_seconds", seconds, stage=stage)

    def now(self, queues: Mapping[Lane, int], *, busy: int, idle: int, loading: int, gpu_bytes: int) -> None:
        """Set what is waiting and who works; write what is to be written every few seconds."""
        if not self._sinks or time.monotonic() - self._flushed_s < _WRITE_S:
            return
        for lane, depth in {"gpu": 0, "cpu": 0, **queues}.items():
            self._add("lipwise_queue_depth", depth, lane=lane)
        for state, count in (("busy", busy), ("idle", idle), ("loading", loading)):
            self._add("lipwise_workers", count, state=state)
        self._add("lipwise_gpu_memory_bytes", gpu_bytes)
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
        for sink in self._sinks:
            sink.add(name, value, labels)
