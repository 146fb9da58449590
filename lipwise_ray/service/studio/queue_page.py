"""Page of the queue: jobs as they wait, run and end, and the tasks in quarantine."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, cast, get_args

from fastapi import APIRouter, Form, Query, Request
from fastapi.responses import RedirectResponse, Response

from lipwise_ray.service.changes import JobProgress
from lipwise_ray.service.job_record import JobStatus, ServiceJob
from lipwise_ray.service.service import Service
from lipwise_ray.service.studio.shell import StudioShell
from lipwise_ray.state import quarantine
from lipwise_ray.state.shapes import Letter, read_typed

_HERE = "Queue"
_A_PAGE = 50
_MOST_LETTERS = 100
_STATUSES: tuple[JobStatus, ...] = get_args(JobStatus.__value__ if hasattr(JobStatus, "__value__") else JobStatus)


@dataclass(frozen=True, slots=True)
class QueueLine:
    """A job in the list, with its progress while it is at work."""

    job: ServiceJob
    progress: JobProgress | None


@dataclass(frozen=True, slots=True)
class QueuePart:
    """A part of the list of jobs.

    Attributes:
        lines: The jobs, the newest first.
        status: Only jobs of this status; empty for all.
        page: Number of the part, from 1 on.
        pages: Number of parts.
    """

    lines: list[QueueLine]
    status: str
    page: int
    pages: int


def router(service: Service, shell: StudioShell) -> APIRouter:
    """Return the routes of the page.

    Args:
        service: The queue.
        shell: Makes pages.
    """
    routes = APIRouter(include_in_schema=False)

    @routes.get("/queue")
    def queue(request: Request, status: str = "", page: Annotated[int, Query(ge=1)] = 1) -> Response:
        values = {"part": _part(service, status, page), "counts": service.counts(), "statuses": _STATUSES}
        if request.headers.get("hx-request"):
            return shell.fragment(request, "queue_list.html.jinja", values)
        return shell.page(request, "queue.html.jinja", _HERE, {**values, "letters": _letters(service)})

    @routes.post("/studio/jobs/{job_id}/cancel")
    def cancel(request: Request, job_id: str) -> Response:
        service.cancel(job_id)
        return _line(request, job_id)

    @routes.post("/studio/jobs/{job_id}/retry")
    def retry(request: Request, job_id: str) -> Response:
        service.retry(job_id)
        return _line(request, job_id)

    @routes.post("/studio/jobs/{job_id}/priority")
    def prioritise(request: Request, job_id: str, priority: Annotated[int, Form()]) -> Response:
        service.prioritise(job_id, priority)
        return _line(request, job_id)

    def _line(request: Request, job_id: str) -> Response:
        if request.headers.get("hx-request"):
            return shell.fragment(request, "queue_line.html.jinja", {"line": _line_of(service, service.job(job_id))})
        return RedirectResponse(f"{request.scope.get('root_path', '')}/queue", 303)

    return routes


def _part(service: Service, status: str, page: int) -> QueuePart:
    wanted = (cast("JobStatus", status),) if status in _STATUSES else ()
    counts = service.counts()
    total = counts.get(wanted[0], 0) if wanted else sum(counts.values())
    pages = max(1, -(-total // _A_PAGE))
    page = min(page, pages)
    jobs = service.find(wanted, limit=page * _A_PAGE)[(page - 1) * _A_PAGE :]
    lines = [_line_of(service, service.job(one.id)) for one in jobs]
    return QueuePart(lines, wanted[0] if wanted else "", page, pages)


def _line_of(service: Service, job: ServiceJob) -> QueueLine:
    return QueueLine(job, service.progress(job.id))


def _letters(service: Service) -> list[Letter]:
    keys = sorted(quarantine.keys(service.store))[:_MOST_LETTERS]
    return [letter for key in keys if (letter := read_typed(service.store, key, Letter))]
