"""Metrics for Prometheus: of runs, of nights, of the service."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from prometheus_client import Metric as Family
from prometheus_client.parser import text_string_to_metric_families

from docs.generate.markdown import MADE, code, prose, table
from docs.generate.openapi import service_metrics
from lipwise_ray.scheduler.metrics import METRICS, NIGHT_METRICS, SECONDS, Metric

_HEAD = """
On a cluster Ray exports the metrics of a run, with `ray_` before every name. On one machine they go into a file for
node_exporter (`engine.metrics_file`). The service answers with its own, and those of its run, at `/metrics`.
Counters are shown with `_total` at their end. `cluster/metrics` holds a dashboard for Grafana and alert rules.
"""
_COLUMNS = ("metric", "type", "labels", "meaning")


def page() -> str:
    """Return the page."""
    buckets = ", ".join(f"{one:g}" for one in SECONDS)
    return "\n".join(
        [
            f"# Metrics\n\n{MADE}{_HEAD}",
            "## Runs\n",
            _table(METRICS),
            f"Buckets of histograms, in seconds: {buckets}.\n",
            "## Nights\n",
            "What `lipwise-ray backlog run` writes beside them.\n",
            _table(NIGHT_METRICS),
            "## The service\n",
            _families(text_string_to_metric_families(service_metrics())),
        ]
    )


def _table(metrics: Mapping[str, Metric]) -> str:
    return table(
        _COLUMNS,
        [
            [code(name), one.kind, ", ".join(map(code, one.all_labels)), prose(one.help)]
            for name, one in metrics.items()
        ],
    )


def _families(found: Iterable[Family]) -> str:
    rows: list[list[str]] = []
    named = (one for one in found if not one.name.endswith("_created"))  # when a counter began: the library adds it
    for one in sorted(named, key=lambda family: family.name):
        labels = dict.fromkeys(label for sample in one.samples for label in sample.labels)
        rows.append([code(one.name), one.type, ", ".join(map(code, labels)), prose(one.documentation)])
    return table(_COLUMNS, rows)
