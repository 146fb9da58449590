"""Names in place of paths, in what Gradio's page answers and is asked."""

from __future__ import annotations

import json
import mimetypes

from pydantic import JsonValue
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from lipwise_ray.errors import LipwiseError
from lipwise_ray.service.gradio_files import GradioFiles
from lipwise_ray.service.sent_files import sent_file
from lipwise_ray.service.web_errors import status_of

_FILES = ("/gradio_api/file=", "/gradio_api/file/")
"""Beginnings of the addresses of files; the second is Gradio's older one."""
_UPLOAD = "/gradio_api/upload"
"""Its bodies are files."""
_FIXED = ("/assets/", "/static/")
"""Beginnings of the addresses of Gradio's own files, of which some are large."""
_MOST_BYTES = 1 << 20
"""Of a request's JSON, which is the fields of a form."""


class FileNames:
    """Has clients of Gradio's page know files by their names, and sends them by these.

    Bodies of requests are JSON, in which files stand as ``{"path": NAME}``: Gradio gets their paths. Its answers pass
    block by block with names in place of paths. Files on their way pass as they are. Refusals have Gradio's own shape,
    which its clients can read.

    Args:
        app: The application behind it, whose answers are not compressed.
        files: The files.
    """

    def __init__(self, app: ASGIApp, files: GradioFiles) -> None:
        self._app = app
        self._files = files

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle a request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        path = str(scope["path"]).removeprefix(scope.get("root_path", ""))
        is_read = scope["method"] in ("GET", "HEAD")
        if is_read and path.startswith(_FILES):
            answer = await run_in_threadpool(self._sent, path[len(_FILES[0]) :], Request(scope))
            await answer(scope, receive, send)
            return
        if not is_read and path.rstrip("/") != _UPLOAD:
            headers = [(name, value) for name, value in scope["headers"] if name != b"content-length"]
            scope, receive = {**scope, "headers": headers}, self._with_paths(receive)
        await self._app(scope, receive, send if path.startswith(_FIXED) else _with_names(send, self._files))

    def _sent(self, name: str, request: Request) -> Response:
        kind = mimetypes.guess_type(name)[0] or ""
        kind = kind if kind.startswith(("video/", "audio/")) else "application/octet-stream"  # no page of a client's
        try:
            path = self._files.path(name)
            return sent_file(str(path), path.name, kind, request)
        except LipwiseError as error:
            return JSONResponse({"detail": str(error)}, status_of(error))

    def _with_paths(self, receive: Receive) -> Receive:
        """Return a receiver of a body of JSON in which files have their paths."""
        is_whole = False

        async def received() -> Message:
            nonlocal is_whole
            if is_whole:  # from now on it is asked whether the client is still there
                return await receive()
            body, more = bytearray(), True
            while more:
                message = await receive()
                if message["type"] != "http.request":
                    return message
                body += message.get("body", b"")
                more = message.get("more_body", False)
                if len(body) > _MOST_BYTES:
                    raise HTTPException(413, f"The body has more than {_MOST_BYTES} bytes.")
            is_whole = True
            told = await run_in_threadpool(self._told, bytes(body)) if body else b""
            return {"type": "http.request", "body": told, "more_body": False}

        return received

    def _told(self, body: bytes) -> bytes:
        try:
            return json.dumps(self._placed(json.loads(body))).encode()
        except LipwiseError as error:
            raise HTTPException(status_of(error), str(error)) from error
        except (ValueError, RecursionError) as error:
            raise HTTPException(400, "The body is no JSON.") from error

    def _placed(self, value: JsonValue) -> JsonValue:
        """Return a value in which files have their paths."""
        if isinstance(value, list):
            return [self._placed(one) for one in value]
        if not isinstance(value, dict):
            return value
        placed = {name: self._placed(one) for name, one in value.items()}
        if isinstance(name := value.get("path"), str):
            placed["path"] = str(self._files.path(name))
        return placed


def _with_names(send: Send, files: GradioFiles) -> Send:
    """Return a sender of answers in which files have their names."""
    rest = b""

    async def sent(message: Message) -> None:
        nonlocal rest
        if message["type"] == "http.response.start":
            kept = [(name, files.hidden(value)) for name, value in message["headers"] if name != b"content-length"]
            message = {**message, "headers": kept}
        elif message["type"] == "http.response.body":
            block, more = rest + message.get("body", b""), message.get("more_body", False)
            end = len(block) - (files.open_end(block) if more else 0)
            rest = block[end:]
            message = {**message, "body": files.hidden(block[:end])}
        await send(message)

    return sent
