"""Page of the queue: jobs as they wait, run and end, and the tasks in quarantine."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Literal, get_args
from urllib.parse import urlencode

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
_MOST_LETTERS = 25
_STATUSES: tuple[JobStatus, ...] = get_args(JobStatus)
_Back = Literal["queue", "row"]
"""The page whose form was sent."""


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
        batch: Only jobs of this batch; empty for all.
        page: Number of the part, from 1 on.
        pages: Number of parts.
        counts: Numbers of jobs by status, those of the batch where one is chosen.
    """

    lines: list[QueueLine]
    status: str
    batch: str
    page: int
    pages: int
    counts: dict[JobStatus, int]

    def query(self, **changes: str | int) -> str:
        """Return the part's choices as they stand in its address, some of them changed."""
        chosen = {"status": self.status, "batch": self.batch, "page": self.page, **changes}
        kept = {name: value for name, value in chosen.items() if value and (name, value) != ("page", 1)}
        return f"?{urlencode(kept)}" if kept else ""


@dataclass(frozen=True, slots=True)
class QuarantinePart:
    """Dead letters, and the number of those that are not among them."""

    letters: list[Letter]
    more: int


def router(service: Service, shell: StudioShell) -> APIRouter:
    """Return the routes of the page.

    Args:
        service: The queue.
        shell: Makes pages.
    """
    routes = APIRouter(include_in_schema=False)

    @routes.get("/queue")
    def queue(request: Request, status: str = "", batch: str = "", page: Annotated[int, Query(ge=1)] = 1) -> Response:
        values = {"part": _part(service, status, batch, page), "statuses": _STATUSES}
        if request.headers.get("hx-request"):
            return shell.fragment(request, "queue_list.html.jinja", values)
        return shell.page(request, "queue.html.jinja", _HERE, {**values, "quarantined": _quarantined(service)})

    @routes.get("/studio/quarantine")
    def letters(request: Request) -> Response:
        return shell.fragment(request, "queue_letters.html.jinja", {"quarantined": _quarantined(service)})

    @routes.post("/studio/jobs/{job_id}/cancel")
    def cancel(request: Request, job_id: str, back: Annotated[_Back, Form()] = "queue") -> Response:
        service.cancel(job_id)
        return _line(request, job_id, back)

    @routes.post("/studio/jobs/{job_id}/retry")
    def retry(request: Request, job_id: str, back: Annotated[_Back, Form()] = "queue") -> Response:
        service.retry(job_id)
        return _line(request, job_id, back)

    @routes.post("/studio/jobs/{job_id}/priority")
    def prioritise(
        request: Request, job_id: str, priority: Annotated[int, Form()], back: Annotated[_Back, Form()] = "queue"
    ) -> Response:
        service.prioritise(job_id, priority)
        return _line(request, job_id, back)

    def _line(request: Request, job_id: str, back: _Back) -> Response:
        if request.headers.get("hx-request"):
            return shell.fragment(request, "queue_line.html.jinja", {"line": _line_of(service, service.job(job_id))})
        there = f"/rows/{job_id}" if back == "row" else "/queue"
        return RedirectResponse(f"{request.scope.get('root_path', '')}{there}", 303)

    return routes


def _part(service: Service, status: str, batch: str, page: int) -> QueuePart:
    wanted = (status,) if status in _STATUSES else ()
    counts: dict[JobStatus, int] = service.counts()
    if batch:
        found = [one.status for one in service.find(batch=batch)]
        counts = {one: found.count(one) for one in _STATUSES}
    total = counts.get(wanted[0], 0) if wanted else sum(counts.values())
    pages = max(1, -(-total // _A_PAGE))
    page = min(page, pages)
    jobs = service.find(wanted, batch=batch or None, limit=page * _A_PAGE)[(page - 1) * _A_PAGE :]
    lines = [_line_of(service, service.job(one.id)) for one in jobs]
    return QueuePart(lines, wanted[0] if wanted else "", batch, page, pages, counts)


def _line_of(service: Service, job: ServiceJob) -> QueueLine:
    return QueueLine(job, service.progress(job.id))


def _quarantined(service: Service) -> QuarantinePart:
    keys = sorted(quarantine.keys(service.store))
    shown = (read_typed(service.store, key, Letter) for key in keys[:_MOST_LETTERS])
    return QuarantinePart([letter for letter in shown if letter], max(0, len(keys) - _MOST_LETTERS))
