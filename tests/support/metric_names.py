"""Names under which Prometheus has the figures of runs and nights, without what Ray puts before them."""

from __future__ import annotations

from lipwise_ray.scheduler.metrics import METRICS, NIGHT_METRICS
from tests.conftest import ROOT

METRICS_FOLDER = ROOT / "cluster" / "metrics"
ALL = METRICS | NIGHT_METRICS
SHOWN = {
    *(f"{name}_total" for name, metric in METRICS.items() if metric.kind == "counter"),
    *(name for name, metric in ALL.items() if metric.kind == "gauge"),
    *(f"{name}_{end}" for name, metric in METRICS.items() if metric.kind == "histogram" for end in ("bucket", "sum")),
}
