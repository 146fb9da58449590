"""Checks that every request passes before a route sees it."""

from __future__ import annotations

import time
from collections.abc import Callable

import anyio
from starlette.datastructures import Headers, MutableHeaders
from starlette.exceptions import HTTPException
from starlette.middleware.body_limit import RequestBodyLimitMiddleware
from starlette.requests import Request
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from lipwise_ray.errors import LipwiseError, RequestError
from lipwise_ray.service.request_rate import RequestRate
from lipwise_ray.service.server_options import ServerOptions
from lipwise_ray.service.web_errors import ErrorAnswers

SIGNED = ("/outputs/", "/v2/assets/files/", "/v2/assets/uploads/")
"""Beginnings of addresses whose routes take a signature in place of the key, and look at it themselves."""

KEY_ADDRESS = "/studio/key"
"""Address at which a browser gives the key."""

OPEN = frozenset({"/healthz", "/readyz", KEY_ADDRESS})
"""Addresses that need no key."""

_OPEN_UNDER = "/studio/static/"
"""Beginning of addresses of scripts, styles and the icon, which the page has that asks for the key."""

HAS_KEY = "lipwise_has_key"
"""Entry of a request's state: it may do everything."""

HAS_SESSION = "lipwise_has_session"
"""Entry of a request's state: a browser sent it that gave the key once."""

_UPLOADS = "/v2/assets/uploads/"
_WITH_FILES = frozenset({"/v2/generate", "/v2/analyze/cost", "/v2/generations/estimate", "/gradio/gradio_api/upload"})
"""Addresses whose forms may hold files as large as uploads."""
_BATCH = "/v2/batch"
_BATCH_BYTES = 6 << 20
"""Of the form of a batch: more than its file may have, so that a file that is too large is named."""
_FORM = "multipart/form-data"
_FORM_BYTES = 1 << 20
"""Beside the files of a form."""
_DRAINED_BYTES, _DRAINED_S = 64 << 20, 5.0
"""Of a refused body so much is read and forgotten: a client that still sends would not see the answer."""
_SLOW_S, _SLOWEST_BYTES_A_SECOND = 60.0, 1_000
_HEADERS = {
    "x-content-type-options": "nosniff",
    "referrer-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
    "x-frame-options": "DENY",
    "content-security-policy": "default-src 'none'; frame-ancestors 'none'; sandbox",
    "cache-control": "no-store",
}
"""Headers of every answer that has none of its own by these names. Under "no-referrer" browsers call the origin of a
form null, and every form would be refused."""

Counted = Callable[[Scope, int], None]
"""Takes a request, and the status of its answer."""


def own_path(scope: Scope) -> str:
    """Return the path of a request as the service's own addresses have it, without the prefix of a proxy."""
    return str(scope["path"]).removeprefix(scope.get("root_path", ""))


class Gate:
    """Lets requests in by key, name, page, number and size, and gives every answer the headers of a careful server.

    Args:
        app: The application behind it.
        options: Options of the application.
        answers: Makes the answers to what is refused.
        count: Counts requests.
    """

    def __init__(self, app: ASGIApp, options: ServerOptions, answers: ErrorAnswers, count: Counted) -> None:
        self._app = app
        self._options = options
        self._answers = answers
        self._count = count
        self._keyed_rate = RequestRate(options.requests_per_minute)
        self._keyless_rate = RequestRate(options.requests_per_minute)
        self._small = RequestBodyLimitMiddleware(app, options.body_bytes)
        self._large = RequestBodyLimitMiddleware(app, options.upload_bytes + _FORM_BYTES)
        self._batch = RequestBodyLimitMiddleware(app, max(options.body_bytes, _BATCH_BYTES))

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle a request."""
        if scope["type"] == "websocket":  # there are none
            await receive()
            await send({"type": "websocket.close", "code": 1008})
            return
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        scope = self._under_prefix(scope)
        answer = self._answering(scope, send)
        try:
            limited = self._admit(scope)
        except LipwiseError as error:
            await _drain(receive)
            await self._answers.of(error, Request(scope))(scope, receive, answer)
            return
        await limited(scope, _hurried(receive, self._options.idle_s), answer)

    def _under_prefix(self, scope: Scope) -> Scope:
        """Return a request by its whole path: some proxies pass on the prefix of the public address, others do not."""
        if not (prefix := self._options.prefix):
            return scope
        path = str(scope["path"])
        whole = path if path == prefix or path.startswith(f"{prefix}/") else f"{prefix}{path}"
        return {**scope, "root_path": prefix, "path": f"{prefix}/" if whole == prefix else whole}

    def _admit(self, scope: Scope) -> ASGIApp:
        headers, path = Headers(scope=scope), own_path(scope)
        rules = self._options.access
        rules.check_page(scope["method"], headers)
        client = scope["client"][0] if scope.get("client") else ""
        has_session = rules.needs_token and rules.sessions.holds(scope["method"], headers)
        has_key = has_session or rules.has_token(headers)
        # Whoever has no key, and comes from the same address, takes nothing from those who have it.
        rate = self._keyed_rate if has_key else self._keyless_rate
        if path not in OPEN and not rate.admit(client):
            raise RequestError("rate_limited", "the client", got="sends too many requests", do="Wait a little")
        if not has_key and path not in OPEN and not path.startswith((*SIGNED, _OPEN_UNDER)):
            is_given = "authorization" in headers or "x-api-key" in headers
            raise RequestError(
                "unauthorised",
                "the request",
                got="has a wrong key" if is_given else "has no key",
                do="Send the service's token as x-api-key, or as a bearer token",
            )
        scope.setdefault("state", {}).update({HAS_KEY: has_key, HAS_SESSION: has_session})
        limited = self._limit(path, is_form=headers.get("content-type", "").lower().startswith(_FORM))
        stated = headers.get("content-length", "")
        if stated.isdigit() and int(stated) > limited.max_body_size:
            raise RequestError(
                "body_too_large", "the body", got=f"has {stated} bytes, at most {limited.max_body_size} are allowed"
            )
        return limited

    def _limit(self, path: str, *, is_form: bool) -> RequestBodyLimitMiddleware:
        if path.startswith(_UPLOADS) or (is_form and path in _WITH_FILES):
            return self._large
        return self._batch if is_form and path == _BATCH else self._small

    def _answering(self, scope: Scope, send: Send) -> Send:
        async def answer(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(raw=message["headers"])
                for name, value in _HEADERS.items():
                    headers.setdefault(name, value)
                self._count(scope, message["status"])
            await send(message)

        return answer


def _hurried(receive: Receive, idle_s: float) -> Receive:
    """Return a receiver that gives up on a body that stands still, or trickles."""
    begun_s, received, is_whole = time.monotonic(), 0, False

    async def hurried() -> Message:
        nonlocal received, is_whole
        if is_whole:  # from now on it is asked whether the client is still there
            return await receive()
        message: Message | None = None
        with anyio.move_on_after(idle_s):
            message = await receive()
        after_s = time.monotonic() - begun_s
        if message is None or (after_s > _SLOW_S and received < after_s * _SLOWEST_BYTES_A_SECOND):
            raise HTTPException(408, "The body comes too slowly.")
        received += len(message.get("body", b""))
        is_whole = not message.get("more_body", False)
        return message

    return hurried


async def _drain(receive: Receive) -> None:
    read = 0
    with anyio.move_on_after(_DRAINED_S):
        while read < _DRAINED_BYTES:
            message = await receive()
            read += len(message.get("body", b""))
            if message["type"] != "http.request" or not message.get("more_body", False):
                return
