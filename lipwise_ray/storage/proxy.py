"""A proxy on this machine through which a program reaches the hosts that a run names, and nothing else."""

from __future__ import annotations

import base64
import secrets
import selectors
import socket
import threading
import time
from contextlib import closing, suppress
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any, Self, cast
from urllib.parse import urlsplit

from lipwise_ray.errors import InputError, LipwiseError, MediaError, StorageError
from lipwise_ray.storage.address import Policy, shown
from lipwise_ray.storage.web import Resolve, public_addresses

REFUSED_STATUS = 421
"""Status of an answer to a request that the policy refuses: no site gives it, so that it is told from a site's own."""

_LOOPBACK = "127.0.0.1"
_MOST_PLACES, _KNOCK_S, _QUIET_S = 4, 10.0, 60.0
_BLOCK_BYTES = 1 << 16
_MOST_HEAD_BYTES = 1 << 16
_MOST_POSTED_BYTES = 16 << 20
_OF_ONE_HOP = {"connection", "keep-alive", "proxy-authorization", "proxy-connection"}
_PORTS = {"http": 80, "https": 443}


class GuardedProxy:
    """A forward proxy: of each host it looks the name up once, checks the addresses, and connects to what it checked.

    It listens on the loopback for as long as the context lasts, and answers only whoever knows its address, in which
    there is a password. What it refused is noted: the program that asks learns a status alone.

    Args:
        policy: Whose schemes and hosts may be asked. Its roots are of addresses of inputs: a tunnel shows no path.
        resolve: Looks names up; by default `public_addresses`.
    """

    def __init__(self, policy: Policy, resolve: Resolve | None = None) -> None:
        self._policy = Policy(policy.schemes, hosts=policy.hosts)
        self._resolve = resolve or public_addresses
        self._lock = threading.Lock()
        self._word = secrets.token_urlsafe()
        self._server = _ProxyServer(self)
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
        self.bytes_total = 0
        """Bytes that came from hosts."""
        self.heard_s = time.monotonic()
        """Time of the last one."""
        self.refusals: list[LipwiseError] = []
        """Errors of what was refused or not reached, in order."""

    @property
    def port(self) -> int:
        """Port on the loopback."""
        return self._server.server_address[1]

    @property
    def address(self) -> str:
        """Address for the program, password and all."""
        return f"http://lipwise:{self._word}@{_LOOPBACK}:{self.port}"

    def __enter__(self) -> Self:
        """Begin to listen."""
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Stop listening; connections that are open end by themselves, soon after the program that has them."""
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def admits(self, credentials: str | None) -> bool:
        """Tell whether a request carries the password.

        Args:
            credentials: The request's header ``Proxy-Authorization``.
        """
        expected = f"Basic {base64.b64encode(f'lipwise:{self._word}'.encode()).decode()}"
        return credentials is not None and secrets.compare_digest(credentials.encode(), expected.encode())

    def note(self, count: int) -> None:
        """Count bytes that came from a host."""
        with self._lock:
            self.bytes_total += count
            self.heard_s = time.monotonic()

    def connected(self, scheme: str, netloc: str) -> socket.socket:
        """Return a connection to a host at a checked address.

        Args:
            scheme: ``http``, or ``https`` for a tunnel.
            netloc: The host, and maybe a port.

        Raises:
            InputError: The host may not be asked, or lies inside a network.
            StorageError: It cannot be reached.
        """
        try:
            return self._connection(scheme, netloc)
        except LipwiseError as error:
            self.refusals.append(error)
            raise

    def _connection(self, scheme: str, netloc: str) -> socket.socket:
        address = f"{scheme}://{netloc}/"
        try:
            parts = urlsplit(address)
            host, port = parts.hostname, parts.port or _PORTS[scheme]
        except ValueError as error:
            raise MediaError("no_address", shown(address), got=f"not a web address: {error}") from error
        usual = f":{_PORTS[scheme]}"
        self._policy.check(f"{scheme}://{netloc.removesuffix(usual)}/")
        reason = "it has no name"
        for place in self._resolve(host, port)[:_MOST_PLACES] if host else ():
            try:
                return socket.create_connection((place, port), _KNOCK_S)
            except OSError as error:
                reason = str(error)
        raise StorageError(
            "web_unreachable", shown(address), got=f"cannot be read: {reason}", do="Check the address and the network"
        )


class _ProxyServer(ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False

    def __init__(self, proxy: GuardedProxy) -> None:
        self.proxy = proxy
        super().__init__((_LOOPBACK, 0), _ProxyHandler)

    def handle_error(self, request: Any, client_address: Any) -> None:  # noqa: ANN401  # as the library has it
        """Say nothing: either side may hang up when it likes."""


class _ProxyHandler(BaseHTTPRequestHandler):
    timeout = _QUIET_S

    @property
    def _proxy(self) -> GuardedProxy:
        return cast("_ProxyServer", self.server).proxy

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002  # as the library has it
        """Say nothing: addresses may be signed."""

    def do_CONNECT(self) -> None:
        """Open a tunnel."""
        upstream = self._upstream("https", self.path)
        if upstream is None:
            return
        with closing(upstream):
            self.send_response(HTTPStatus.OK)
            self.end_headers()
            self._relay(upstream, is_tunnel=True)

    def do_GET(self) -> None:
        """Hand a plain request on, as one of a connection of its own."""
        self.close_connection = True
        parts = urlsplit(self.path)
        upstream = self._upstream(parts.scheme, parts.netloc)
        if upstream is None:
            return
        with closing(upstream):
            path = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
            kept = [(name, value) for name, value in self.headers.items() if name.lower() not in (*_OF_ONE_HOP, "host")]
            lines = [f"{self.command} {path} HTTP/1.1", f"Host: {parts.netloc}", "Connection: close"]
            head = "\r\n".join([*lines, *(f"{name}: {value}" for name, value in kept), "", ""])
            upstream.sendall(head.encode("latin-1") + self._posted())
            self.connection.sendall(self._answer_head(upstream))
            self._relay(upstream, is_tunnel=False)

    do_HEAD = do_POST = do_OPTIONS = do_GET  # noqa: N815  # names of the protocol's methods

    def _posted(self) -> bytes:
        stated = self.headers.get("Content-Length", "0")
        return self.rfile.read(min(int(stated) if stated.isdigit() else 0, _MOST_POSTED_BYTES))

    def _upstream(self, scheme: str, netloc: str) -> socket.socket | None:
        """Return a connection to the host; None where it was refused, which is answered."""
        if not self._proxy.admits(self.headers.get("Proxy-Authorization")):
            self.send_error(HTTPStatus.PROXY_AUTHENTICATION_REQUIRED)
            return None
        if scheme not in _PORTS:
            self.send_error(HTTPStatus.BAD_REQUEST)
            return None
        try:
            upstream = self._proxy.connected(scheme, netloc)
        except InputError:
            self.send_error(REFUSED_STATUS)
        except LipwiseError:
            self.send_error(HTTPStatus.BAD_GATEWAY)
        else:
            upstream.settimeout(_QUIET_S)
            return upstream
        return None

    def _answer_head(self, upstream: socket.socket) -> bytes:
        """Return the beginning of an answer, whose connection is said to end with it: the next host is checked anew."""
        answer = b""
        while b"\r\n\r\n" not in answer and len(answer) < _MOST_HEAD_BYTES:
            block = upstream.recv(_BLOCK_BYTES)
            if not block:
                return answer
            self._proxy.note(len(block))
            answer += block
        head, end, body = answer.partition(b"\r\n\r\n")
        lines = [
            line
            for line in head.split(b"\r\n")
            if line.partition(b":")[0].strip().lower().decode("latin-1") not in _OF_ONE_HOP
        ]
        return b"\r\n".join([*lines, b"Connection: close"]) + end + body

    def _relay(self, upstream: socket.socket, *, is_tunnel: bool) -> None:
        """Hand bytes on until either side ends or nothing comes for a while; a plain request's client says no more."""
        client = self.connection
        with suppress(OSError), selectors.DefaultSelector() as sides:
            for side in (client, upstream):
                sides.register(side, selectors.EVENT_READ)
            while True:
                ready = [key.fileobj for key, _ in sides.select(_QUIET_S)]
                for side in (one for one in (client, upstream) if one in ready):
                    block = side.recv(_BLOCK_BYTES)
                    if not block or (side is client and not is_tunnel):
                        return
                    if side is upstream:
                        self._proxy.note(len(block))
                        client.sendall(block)
                    else:
                        upstream.sendall(block)
                if not ready:
                    return
