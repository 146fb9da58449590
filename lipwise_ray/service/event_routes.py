"""Changes of jobs as they happen, by server-sent events."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from dataclasses import asdict

from fastapi import APIRouter, Depends
from fastapi.concurrency import run_in_threadpool
from fastapi.sse import EventSourceResponse, ServerSentEvent

from lipwise_ray.service.changes import Change, JobChanged, JobProgress, JobProgressed
from lipwise_ray.service.event_hub import RESYNC, EventHub
from lipwise_ray.service.job_record import UNFINISHED
from lipwise_ray.service.problem_answer import problem_responses
from lipwise_ray.service.service import Service

_AGAIN_MS = 2000
"""A browser that lost the stream asks again after so long."""


class EventRoutes:
    """The addresses of streams of events.

    Attributes:
        router: Them.

    Args:
        service: The queue.
        hub: Hands changes to those who listen.
    """

    def __init__(self, service: Service, hub: EventHub) -> None:
        self._service = service
        self._hub = hub
        self.router = router = APIRouter(tags=["events"])
        # What is refused is answered before anything is streamed: dependencies come first.
        router.get(
            "/v2/generate/{job_id}/events",
            response_class=EventSourceResponse,
            responses=problem_responses(404),
            dependencies=[Depends(self._known), Depends(self._room)],
        )(self.of_job)
        router.get(
            "/events",
            response_class=EventSourceResponse,
            responses=problem_responses(),
            dependencies=[Depends(self._room)],
        )(self.of_all)

    async def of_job(self, job_id: str) -> AsyncGenerator[ServerSentEvent]:
        """Stream a job's changes, from where it stands now to its end."""
        with self._hub.listening(job_id) as listener:
            job = await run_in_threadpool(self._service.job, job_id)
            yield _event(JobChanged(job.id, job.status, job.batch), retry=_AGAIN_MS)
            if not job.is_unfinished:
                return
            if (progress := self._service.progress(job_id)) is not None:
                yield _event(JobProgressed(job_id, progress))
            async for change in listener.changes():
                known = change or await self._now(job_id)
                yield _event(known)
                if isinstance(known, JobChanged) and known.status not in UNFINISHED:
                    return

    async def of_all(self) -> AsyncGenerator[ServerSentEvent]:
        """Stream the changes of all jobs; ``resync`` says that some were missed."""
        with self._hub.listening(None) as listener:
            yield ServerSentEvent(event="open", data={}, retry=_AGAIN_MS)
            async for change in listener.changes():
                yield ServerSentEvent(event=RESYNC, data={}) if change is None else _event(change)

    async def _now(self, job_id: str) -> JobChanged:
        job = await run_in_threadpool(self._service.job, job_id)
        return JobChanged(job.id, job.status, job.batch)

    def _known(self, job_id: str) -> None:
        self._service.job(job_id)

    async def _room(self) -> None:
        self._hub.check_room()


def _event(change: Change, retry: int | None = None) -> ServerSentEvent:
    if isinstance(change, JobChanged):
        return ServerSentEvent(event="status", data={"id": change.id, "status": change.status}, retry=retry)
    return ServerSentEvent(event="progress", data={"id": change.id, **_progress(change.progress)}, retry=retry)


def _progress(progress: JobProgress) -> dict[str, str | float | None]:
    return asdict(progress)
