"""A web server on 127.0.0.1 whose answers a test scripts, one after another."""

from __future__ import annotations

import socket
import struct
import threading
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


@dataclass(frozen=True, slots=True)
class Answer:
    """One answer.

    Attributes:
        status: Of HTTP.
        headers: Beside the length.
        reset_after: The connection is reset after so many bytes of the body; None: it is not.
        is_silent: The connection is closed without any answer.
        is_drip: The body comes byte by byte.
    """

    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)
    reset_after: int | None = None
    is_silent: bool = False
    is_drip: bool = False


@dataclass
class FlakySite:
    """The server.

    Attributes:
        body: Of each good answer.
        script: Answers to come; after them all are good.
        asked: Method, path and headers of all requests.
        sent: Bodies that came with them.
        port: Of its.
        gone: Set when nobody is to be held up any more.
    """

    body: bytes = b"body"
    script: list[Answer] = field(default_factory=list)
    asked: list[tuple[str, str, dict[str, str]]] = field(default_factory=list)
    sent: list[bytes] = field(default_factory=list)
    port: int = 0
    gone: threading.Event = field(default_factory=threading.Event)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def spans(self) -> list[str]:
        """The header ``Range`` of all requests."""
        return [headers.get("Range", "") for _, _, headers in self.asked]


class _Handler(BaseHTTPRequestHandler):
    site: FlakySite

    def log_message(self, *_: object) -> None:
        pass

    def do_GET(self) -> None:
        self.site.asked.append((self.command, self.path, {name.title(): value for name, value in self.headers.items()}))
        self.site.sent.append(self.rfile.read(int(self.headers.get("Content-Length", 0))))
        answer = self.site.script.pop(0) if self.site.script else Answer()
        if answer.is_silent:
            self._reset()
            return
        start = int(self.headers.get("Range", "bytes=0-")[6:-1])
        body = self.site.body[start:] if answer.status == 200 else b""
        self.send_response(206 if start and body else answer.status)
        for name, value in {"Content-Length": str(len(body)), **answer.headers}.items():
            self.send_header(name, value)
        self.end_headers()
        if answer.is_drip:
            self._drip(body)
        self.wfile.write(body[: answer.reset_after])
        if answer.reset_after is not None:
            self._reset()

    do_PUT = do_POST = do_GET  # noqa: N815  # the protocol's names

    def _drip(self, body: bytes) -> None:
        for byte in body:
            self.wfile.write(bytes([byte]))  # raises when the client has hung up
            self.site.gone.wait(0.01)

    def _reset(self) -> None:
        self.wfile.flush()
        self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.connection.close()
        self.close_connection = True


@contextmanager
def flaky_site(body: bytes = b"body", *script: Answer) -> Generator[FlakySite]:
    """Run the server."""
    site = FlakySite(body, list(script))
    server = ThreadingHTTPServer(("127.0.0.1", 0), type("Handler", (_Handler,), {"site": site}))
    server.handle_error = lambda *_: None  # clients hang up on purpose
    site.port = server.server_address[1]
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
    thread.start()
    try:
        yield site
    finally:
        site.gone.set()
        server.shutdown()
        server.server_close()
        thread.join()
