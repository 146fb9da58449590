"""Errors as answers: a status, a sentence without this machine's paths, and a code."""

from __future__ import annotations

import logging
import os
import re
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias, cast

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse, Response
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect

from lipwise_ray.errors import InputError, LipwiseError, SettingsError, WeightsError
from lipwise_ray.storage.redact import redact

_LOG = logging.getLogger(__name__)

STATUS_OF_CODE = {
    "bad_json": 400,
    "bad_request": 400,
    "unauthorised": 401,
    "link_refused": 403,
    "host_not_ours": 403,
    "foreign_page": 403,
    "unknown_job": 404,
    "unknown_batch": 404,
    "unknown_asset": 404,
    "unknown_output": 404,
    "not_rendered": 404,
    "upload_slow": 408,
    "idempotency": 409,
    "upload_done": 409,
    "upload_busy": 409,
    "upload_gap": 409,
    "upload_short": 409,
    "asset_in_use": 409,
    "job_ended": 409,
    "job_unfinished": 409,
    "upload_too_large": 413,
    "body_too_large": 413,
    "live_too_large": 413,
    "queue_full": 429,
    "rate_limited": 429,
    "many_uploads": 429,
    "many_listeners": 429,
    "no_room": 507,
}
"""Statuses of codes that the kind of their error does not give."""

_CUT_OFF, _UNPROCESSABLE, _UNAVAILABLE, _INTERNAL = 400, 422, 503, 500
RETRY_AFTER_S = {429: 5, 503: 5}
_CODE_OF_STATUS = {400: "bad_request", 404: "no_such_address", 405: "method_refused", 413: "body_too_large"}
_MOST_PROBLEMS = 20
_PATH = re.compile(r"(?<![\w/:.?=&-])(?!/(?:v2|outputs|studio)/)(?:/[^\s/'\",;:()<>]+){2,}/?")
"""A path; the service's own addresses are none."""


@dataclass(frozen=True, slots=True)
class Refusal:
    """Refusal of a request.

    Attributes:
        status: HTTP status.
        message: What happened, for people; several where there are several problems.
        code: A stable word for machines.
    """

    status: int
    message: str | list[str]
    code: str


RefusalPage: TypeAlias = Callable[[Request, Refusal], Response]
"""Makes the page that tells a person of a refusal."""


class PlainWords:
    """Removes this machine's folders from texts for clients.

    Args:
        folders: Those of the service, which may have spaces in their names; the working directory, the home, the
            package and the place for scratch go by themselves.
    """

    def __init__(self, folders: Sequence[str] = ()) -> None:
        known = {*folders, str(Path.cwd()), str(Path.home()), tempfile.gettempdir(), str(Path(__file__).parents[2])}
        self._folders = sorted((folder for folder in known if len(folder) > 1), key=len, reverse=True)

    def __call__(self, text: str) -> str:
        """Return a text in which files have their names alone."""
        for folder in self._folders:
            text = text.replace(folder.rstrip("/") + "/", "").replace(folder, "the server")
        return redact(_PATH.sub(lambda found: os.path.basename(found[0].rstrip("/")), text))  # noqa: PTH119  # a text


def status_of(error: LipwiseError) -> int:
    """Return the HTTP status of an error: 422 for what a client asked, 503 for what the server lacks at the moment."""
    if status := STATUS_OF_CODE.get(error.code):
        return status
    return _UNPROCESSABLE if isinstance(error, InputError | SettingsError | WeightsError) else _UNAVAILABLE


class ErrorAnswers:
    """Makes the answers that tell of errors: JSON of one shape for programs, a page for people who look by a browser.

    Args:
        plain: Removes this machine's paths.
        page: Makes pages; without, programs and people get the same.
    """

    def __init__(self, plain: PlainWords, page: RefusalPage | None = None) -> None:
        self._plain = plain
        self._page = page

    def of(self, error: LipwiseError, request: Request) -> Response:
        """Return the answer that says one of our errors."""
        return self.to(request, Refusal(status_of(error), self._plain(str(error)), error.code))

    def to(self, request: Request, refusal: Refusal) -> Response:
        """Return the answer to a request that is refused."""
        status = refusal.status
        headers = {"Retry-After": str(RETRY_AFTER_S[status])} if status in RETRY_AFTER_S else {}
        if status == STATUS_OF_CODE["unauthorised"]:
            headers["WWW-Authenticate"] = "Bearer"
        if self._page is not None and _is_looking(request):
            answer = self._page(request, refusal)
            answer.headers.update(headers)
            return answer
        body = {"message": refusal.message, "statusCode": status, "errorCode": refusal.code}
        return JSONResponse(body, status, headers)

    def plain(self, text: str) -> str:
        """Return a text without this machine's paths."""
        return self._plain(text)


def _is_looking(request: Request) -> bool:
    """Tell whether a browser shows the answer as a page."""
    return "text/html" in request.headers.get("accept", "") and "hx-request" not in request.headers


def add_error_answers(app: FastAPI, answers: ErrorAnswers) -> None:
    """Have an application answer every error in one shape.

    Args:
        app: The application.
        answers: Makes the answers.
    """

    def on_ours(request: Request, error: Exception) -> Response:
        return answers.of(cast("LipwiseError", error), request)

    def on_invalid(request: Request, error: Exception) -> Response:
        problems = cast("RequestValidationError", error).errors()
        if any(one["type"] == "json_invalid" for one in problems):
            return answers.to(request, Refusal(STATUS_OF_CODE["bad_json"], "The body is no JSON.", "bad_json"))
        texts = [answers.plain(f"{'.'.join(str(step) for step in one['loc'])}: {one['msg']}") for one in problems]
        return answers.to(request, Refusal(_UNPROCESSABLE, texts[:_MOST_PROBLEMS], "invalid_request"))

    def on_http(request: Request, error: Exception) -> Response:
        refused = cast("HTTPException", error)
        code = _CODE_OF_STATUS.get(refused.status_code, "refused")
        answer = answers.to(request, Refusal(refused.status_code, str(refused.detail), code))
        answer.headers.update(refused.headers or {})
        return answer

    def on_gone(request: Request, error: Exception) -> Response:
        del request, error
        return Response(status_code=_CUT_OFF)  # nobody is there to read it, and no fault of the server's is logged

    def on_fault(request: Request, error: Exception) -> Response:
        _LOG.error("%s %s failed", request.method, request.url.path, exc_info=error)
        told = Refusal(_INTERNAL, "The server met a fault of its own; its log says which.", "internal")
        return answers.to(request, told)

    app.add_exception_handler(LipwiseError, on_ours)
    app.add_exception_handler(RequestValidationError, on_invalid)
    app.add_exception_handler(HTTPException, on_http)
    app.add_exception_handler(ClientDisconnect, on_gone)
    app.add_exception_handler(Exception, on_fault)
