"""Figures of a run through Ray, whose agents on the nodes show them to Prometheus."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ray.util import metrics

from lipwise_ray.scheduler.metrics import METRICS, NIGHT_METRICS, SECONDS


class RaySink:
    """Ray's own metrics: each node's agent shows them to Prometheus."""

    def __init__(self) -> None:
        makers: dict[str, Any] = {"counter": metrics.Counter, "gauge": metrics.Gauge}
        self._made: dict[str, Any] = {}
        for name, metric in (METRICS | NIGHT_METRICS).items():
            if metric.kind == "histogram":
                self._made[name] = metrics.Histogram(
                    name, metric.help, boundaries=list(SECONDS), tag_keys=metric.all_labels
                )
            else:
                self._made[name] = makers[metric.kind](name, metric.help, tag_keys=metric.all_labels)

    def add(self, name: str, value: float, labels: Mapping[str, str]) -> None:
        """Pass a figure on to Ray."""
        made, kind = self._made[name], (METRICS | NIGHT_METRICS)[name].kind
        if kind == "counter":
            if value:
                made.inc(value, tags=dict(labels))
        elif kind == "gauge":
            made.set(value, tags=dict(labels))
        else:
            made.observe(value, tags=dict(labels))

    def flush(self) -> None:
        """Do nothing: Ray does."""
