"""Jobs of the queue as generations, and as lines of a batch's results."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import cast

from pydantic import JsonValue
from starlette.requests import Request

from lipwise_ray.service.job_record import JobStatus, ServiceBatch, ServiceJob
from lipwise_ray.service.output_routes import output_url
from lipwise_ray.service.signed_links import SignedLinks
from lipwise_ray.service.sync_api.answers import (
    Batch,
    BatchMetrics,
    BatchResult,
    BatchStatus,
    Generation,
    GenerationStatus,
    at,
)

DOOR = "sync"
"""Name of this door in records of jobs."""

STATUSES: Mapping[JobStatus, GenerationStatus] = {
    "pending": "PENDING",
    "processing": "PROCESSING",
    "completed": "COMPLETED",
    "failed": "FAILED",
    "cancelled": "REJECTED",
}
_INPUTS = ("video", "audio", "text")


@dataclass(frozen=True, slots=True)
class GenerationView:
    """Shows jobs to clients: no path of this machine is in what they see.

    Attributes:
        links: Makes links that need no key.
        plain: Removes this machine's paths from texts.
        request: The request that is answered; None where nobody asks.
    """

    links: SignedLinks
    plain: Callable[[str], str]
    request: Request | None = None

    def generation(self, job: ServiceJob) -> Generation:
        """Return a job as a generation; one of another door as far as this one has words for it."""
        asked = job.asked if job.door == DOOR and job.asked else {"model": str(job.columns.get("preset") or "quality")}
        error = self._error(job)
        return Generation(
            id=job.id,
            created_at=at(job.created),
            status=STATUSES[job.status],
            model=str(asked["model"]),
            input=cast("list[JsonValue]", asked.get("input") or _inputs(job)),
            options=asked.get("options"),
            segments=asked.get("segments"),
            webhook_url=job.webhook_url,
            output_file_name=cast("str | None", asked.get("outputFileName")),
            output_url=output_url(job, self.links, self.request),
            output_duration=job.duration_s if job.status == "completed" else None,
            error=error,
            error_code=_code(job),
            error_code_later=_code(job),
        )

    def batch(self, batch: ServiceBatch, statuses: Iterable[JobStatus]) -> Batch:
        """Return a batch.

        Args:
            batch: Its record.
            statuses: Of each of its jobs.
        """
        counts = Counter(statuses)
        pending = counts["pending"] + counts["processing"]
        metrics = BatchMetrics(
            total_generations=len(batch.items),
            success_count=counts["completed"],
            failed_count=counts["failed"] + counts["cancelled"],
            pending_count=pending,
        )
        return Batch(
            id=batch.id,
            created_at=at(batch.created),
            status=_status(metrics, has_begun=counts["pending"] < len(batch.items)),
            metrics=metrics,
            webhook_url=batch.webhook_url,
            output_url="" if pending else self.links.to(results_path(batch.id), request=self.request),
        )

    def results(self, batch: ServiceBatch, jobs: Sequence[ServiceJob]) -> Iterable[BatchResult]:
        """Yield the lines of a batch's results, in the order of its requests.

        Args:
            batch: Its record.
            jobs: Its jobs.
        """
        by_id = {job.id: job for job in jobs}
        for item in batch.items:
            job = by_id.get(item.job_id)
            if job is not None:
                yield BatchResult(
                    request_id=item.request_id,
                    generation_id=job.id,
                    status=STATUSES[job.status],
                    output_media_url=output_url(job, self.links, self.request),
                    error=self._error(job),
                    error_code=_code(job),
                )

    def _error(self, job: ServiceJob) -> str | None:
        if job.status == "cancelled":
            return "It was cancelled."
        return self.plain(job.message) if job.status == "failed" and job.message else None


def results_path(batch_id: str) -> str:
    """Return the path of the address that leads to a batch's results."""
    return f"/outputs/batches/{batch_id}/results"


def _status(metrics: BatchMetrics, *, has_begun: bool) -> BatchStatus:
    if metrics.pending_count:
        return "PROCESSING" if has_begun else "JOBS_CREATED"
    return "COMPLETED" if metrics.success_count else "FAILED"


def _code(job: ServiceJob) -> str | None:
    return "cancelled" if job.status == "cancelled" else job.code if job.status == "failed" else None


def _inputs(job: ServiceJob) -> list[JsonValue]:
    """Return the kinds of a row's inputs: another door's row may name files that no client may know."""
    kinds = [name for name in _INPUTS if job.columns.get(name)]
    return [{"type": kind} for kind in kinds or ["video"]]
