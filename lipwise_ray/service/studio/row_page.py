"""Page of a row: the original and the dubbed video on one clock, its figures, and how it may be done again."""

from __future__ import annotations

import mimetypes
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

from fastapi import APIRouter, Form, Request
from fastapi.responses import JSONResponse, RedirectResponse, Response

from lipwise_ray.errors import RequestError
from lipwise_ray.reports.made_audio import MadeAudio
from lipwise_ray.service.job_record import JobDraft, JsonObject, ServiceJob
from lipwise_ray.service.sent_files import sent_file
from lipwise_ray.service.service import Service
from lipwise_ray.service.studio.certainty_course import CertaintyCourse, certainty_course
from lipwise_ray.service.studio.original_clock import original_clock
from lipwise_ray.service.studio.settings_text import is_setting, overrides_of, text_of
from lipwise_ray.service.studio.shell import StudioShell
from lipwise_ray.state import layout
from lipwise_ray.state.job_result import DubResult, SyncScore
from lipwise_ray.state.shapes import read_typed
from lipwise_ray.storage.address import is_local

_HERE = "Queue"
_OURS = ("id", "output", "priority")
_AT_FAULT = {
    "input": "The row's own files: other rows are not concerned.",
    "setup": "Settings or checkpoints of this row.",
    "application": "The program, or what it runs on: the tasks below are in quarantine until the row is tried again.",
    "storage": "A disk or store that is full or refuses: retry once it has room.",
    "signer": "What signs finished files: retry once it works.",
    "crash": "A worker's process that died, more often than it may.",
    "stalled": "A worker that stood still, more often than it may.",
    "memory": "Not enough memory of the machine or the GPU.",
    "node": "A machine that went away.",
}
"""Sentences on who is at fault, by `scheduler.task.Blame`."""


def router(service: Service, shell: StudioShell) -> APIRouter:
    """Return the routes of the page.

    Args:
        service: The service.
        shell: Makes pages.
    """
    routes = APIRouter(include_in_schema=False)

    @routes.get("/rows/{job_id}")
    def row(request: Request, job_id: str) -> Response:
        job = service.job(job_id)
        result = _result(service, job)
        values = {
            "job": job,
            "result": result,
            "progress": service.progress(job_id),
            "figures": _figures(result),
            "course": _course(result),
            "is_lse": bool(result and result.sync and result.sync.after and result.sync.after.lse_c is not None),
            "audio": _audio(result),
            "at_fault": _AT_FAULT.get(job.blame or "", ""),
            "columns": {name: value for name, value in job.columns.items() if name not in _OURS},
            "settings": text_of(job.columns),
            "text_of": text_of,
            "has_original": _original(job) is not None,
            "output": f"/outputs/{job.id}/{_file_name(job)}",
        }
        return shell.page(request, "row.html.jinja", _HERE, values)

    @routes.get("/studio/rows/{job_id}/original")
    def original(request: Request, job_id: str) -> Response:
        path = _original(service.job(job_id))
        if path is None:
            raise RequestError("unknown_output", "the original", got="is not a video on this machine")
        media_type = mimetypes.guess_type(path.name)[0] or "application/octet-stream"
        return sent_file(str(path), path.name, media_type, request)

    @routes.get("/studio/rows/{job_id}/clock")
    def clock(job_id: str) -> Response:
        job = service.job(job_id)
        result = _result(service, job)
        video_id = result.identity.get("video") if result and result.identity else None
        found = original_clock(service.store, job.job_id or "", video_id) if isinstance(video_id, str) else None
        return JSONResponse(asdict(found) if found else {"fps": 0, "clock": []})

    @routes.post("/studio/rows/{job_id}/again")
    def again(request: Request, job_id: str, settings: Annotated[str, Form()] = "") -> Response:
        job = service.job(job_id)
        columns: JsonObject = {
            name: value for name, value in job.columns.items() if name not in _OURS and not is_setting(name)
        }
        draft = JobDraft(columns={**columns, **overrides_of(settings)}, door="studio", name=job.name)
        made = service.submit(draft)
        return RedirectResponse(f"{request.scope.get('root_path', '')}/rows/{made.id}", 303)

    return routes


def _result(service: Service, job: ServiceJob) -> DubResult | None:
    """Return the result of a completed job; records of a row at work may be those of an earlier attempt."""
    if job.job_id is None or job.status != "completed":
        return None
    return read_typed(service.store, layout.result(job.job_id), DubResult)


def _original(job: ServiceJob) -> Path | None:
    """Return the file of a job's video where it is one of this machine: its row was let in with it."""
    video = job.columns.get("video")
    path = Path(video) if isinstance(video, str) and is_local(video) else None
    is_image = path is not None and (mimetypes.guess_type(path.name)[0] or "").startswith("image/")
    return path if path is not None and not is_image and path.is_file() else None


def _file_name(job: ServiceJob) -> str:
    output = job.columns.get("output")
    return str(output).rpartition("/")[2]


def _figures(result: DubResult | None) -> list[tuple[str, str, str]]:
    """Return the figures of a result: name, of the original lips with the new audio, and of the dubbed ones."""
    sync = result.sync if result else None
    if sync is None:
        return []
    return [
        ("LSE-C, higher is better", _number(sync.before, "lse_c"), _number(sync.after, "lse_c")),
        ("LSE-D, lower is better", _number(sync.before, "lse_d"), _number(sync.after, "lse_d")),
        (
            "confidence, higher is better",
            _number(sync.before, "sync_confidence"),
            _number(sync.after, "sync_confidence"),
        ),
        ("offset in frames", _number(sync.before, "offset", 0), _number(sync.after, "offset", 0)),
    ]


def _number(score: SyncScore | None, name: str, digits: int = 2) -> str:
    value = getattr(score, name) if score else None
    return "-" if value is None else f"{value:.{digits}f}"


def _course(result: DubResult | None) -> CertaintyCourse | None:
    if result is None or result.sync is None:
        return None
    return certainty_course(result.sync.curve, result.video_s or len(result.sync.curve))


def _audio(result: DubResult | None) -> list[str]:
    """Return facts about audio that is more than the row's own, a line each."""
    if result is None:
        return []
    return MadeAudio.of(result).words()
