"""Figures of the service, as Prometheus reads them."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TYPE_CHECKING

from starlette.types import Scope

if TYPE_CHECKING:
    from prometheus_client.core import GaugeMetricFamily

UNMATCHED = "none"
"""Route of requests that found none: addresses of strangers are not counted one by one."""


class ServiceMetrics:
    """Counts requests, and asks for the rest when it is read.

    Args:
        jobs: The numbers of jobs by status.
        gauges: Further figures, by name: a text that says what it is, and what gives it.
        run_file: The file in which a run keeps its own metrics; None where it keeps none.
    """

    def __init__(
        self,
        jobs: Callable[[], dict[str, int]],
        gauges: dict[str, tuple[str, Callable[[], float]]],
        run_file: Path | None,
    ) -> None:
        from prometheus_client import CollectorRegistry, Counter

        self._jobs = jobs
        self._gauges = gauges
        self._run_file = run_file
        self._registry = CollectorRegistry()
        self._requests = Counter(
            "lipwise_service_requests",
            "Requests that were answered.",
            ("method", "route", "status"),
            registry=self._registry,
        )
        self._registry.register(self)

    def count(self, scope: Scope, status: int) -> None:
        """Count a request by its route.

        Args:
            scope: The request.
            status: HTTP status of its answer.
        """
        route = getattr(scope.get("route"), "path", None) or UNMATCHED
        method = scope["method"] if route != UNMATCHED else UNMATCHED
        self._requests.labels(method, route, str(status)).inc()

    def collect(self) -> Iterable[GaugeMetricFamily]:
        """Yield the figures that are asked for when they are read."""
        from prometheus_client.core import GaugeMetricFamily

        jobs = GaugeMetricFamily("lipwise_service_jobs", "Jobs by status.", labels=("status",))
        for status, number in self._jobs().items():
            jobs.add_metric((status,), number)
        yield jobs
        for name, (text, figure) in self._gauges.items():
            yield GaugeMetricFamily(f"lipwise_service_{name}", text, value=figure())

    def text(self) -> bytes:
        """Return all figures; after them those of the run, as its file has them."""
        from prometheus_client import generate_latest

        ours = generate_latest(self._registry)
        if self._run_file is None:
            return ours
        try:
            return ours + self._run_file.read_bytes()
        except OSError:  # there was no run yet
            return ours
