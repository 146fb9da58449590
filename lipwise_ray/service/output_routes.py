"""Finished videos, as files."""

from __future__ import annotations

import mimetypes

from fastapi import APIRouter, Request, Response

from lipwise_ray.errors import RequestError
from lipwise_ray.service.job_record import ServiceJob
from lipwise_ray.service.problem_answer import problem_responses
from lipwise_ray.service.sent_files import SENT_RESPONSES, sent_file
from lipwise_ray.service.service import Service
from lipwise_ray.service.signed_links import SignedLinks
from lipwise_ray.storage.address import file_name

_PATH = "/outputs/{job_id}/{name}"


def output_url(job: ServiceJob, links: SignedLinks, request: Request | None = None) -> str | None:
    """Return the link to a job's finished video, which needs no key; None where there is none.

    Args:
        job: The job.
        links: Makes links.
        request: The request that is answered; None where nobody asks.
    """
    if job.status != "completed" or job.output is None:
        return None
    return links.to(f"/outputs/{job.id}/{file_name(job.output)}", request=request)


def output_router(service: Service, links: SignedLinks) -> APIRouter:
    """Return the addresses of finished videos.

    Args:
        service: The queue.
        links: Checks links.
    """
    router = APIRouter(tags=["outputs"])

    @router.head(_PATH, include_in_schema=False)
    @router.get(_PATH, response_class=Response, responses={**SENT_RESPONSES, **problem_responses(404)})
    def output(job_id: str, name: str, request: Request) -> Response:
        """Send a finished video, or a part of it."""
        links.check(request)
        job = service.job(job_id)
        if job.status != "completed" or job.output is None or file_name(job.output) != name:
            raise RequestError("unknown_output", "the output", got="this job has none of this name")
        kind = mimetypes.guess_type(name)[0] or "application/octet-stream"
        return sent_file(job.output, name, kind, request)

    return router
