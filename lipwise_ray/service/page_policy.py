"""The Content-Security-Policy of Gradio's page."""

from __future__ import annotations

from starlette.datastructures import MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

_POLICY = (
    "default-src 'none'; script-src 'self' 'unsafe-inline' 'wasm-unsafe-eval' blob:; style-src 'self' 'unsafe-inline'; "
    "img-src 'self' data: blob:; media-src 'self' data: blob:; font-src 'self' data:; connect-src 'self' data: blob:; "
    "worker-src 'self' blob:; manifest-src 'self'; form-action 'self'; base-uri 'self'"
)
"""Its page holds its configuration as a script, and its components write styles: neither goes without 'unsafe-inline'.
Its recorder of audio makes scripts of its own, as blobs, and trimming a video compiles a module of Gradio's. Nothing is
fetched from elsewhere, and no text is evaluated."""


class PagePolicy:
    """Gives every answer the policy of Gradio's page.

    Args:
        app: The application behind it.
        is_framed: Pages of other origins may frame it, as notebooks do.
    """

    def __init__(self, app: ASGIApp, *, is_framed: bool = False) -> None:
        self._app = app
        self._policy = _POLICY if is_framed else f"{_POLICY}; frame-ancestors 'none'"

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle a request."""

        async def answer(message: Message) -> None:
            if message["type"] == "http.response.start":
                MutableHeaders(raw=message["headers"])["content-security-policy"] = self._policy
            await send(message)

        await self._app(scope, receive, answer if scope["type"] == "http" else send)
