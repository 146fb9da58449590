"""Is it there, can it work, and how much has it done."""

from __future__ import annotations

from collections.abc import Callable

from fastapi import APIRouter, Response
from fastapi.responses import JSONResponse

from lipwise_ray.service.service_metrics import ServiceMetrics


def health_router(problem: Callable[[], str], metrics: ServiceMetrics) -> APIRouter:
    """Return the addresses that whatever runs the service asks.

    Args:
        problem: Sentence on why no job can be done now; empty while jobs can.
        metrics: The figures.
    """
    router = APIRouter(tags=["health"])

    @router.head("/healthz", include_in_schema=False)
    @router.get("/healthz")
    async def alive() -> dict[str, str]:
        """Answer at all."""
        return {"status": "ok"}

    @router.head("/readyz", include_in_schema=False)
    @router.get("/readyz", responses={503: {"description": "No job can be done now"}})
    async def ready() -> Response:
        """Tell whether jobs can be done now."""
        reason = problem()
        if reason:
            return JSONResponse({"status": "unavailable", "message": reason}, 503, {"Retry-After": "5"})
        return JSONResponse({"status": "ok"})

    @router.get("/metrics", response_class=Response)
    def figures() -> Response:
        """Return the figures for Prometheus."""
        return Response(metrics.text(), media_type="text/plain; version=0.0.4; charset=utf-8")

    return router
