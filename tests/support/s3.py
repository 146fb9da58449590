"""A real S3 protocol server, and a line to it that breaks on request."""

from __future__ import annotations

import logging
import socket
import threading
import time
from collections.abc import Callable, Generator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from typing import Self

import pytest
import requests

from lipwise_ray.storage import objects

BUCKET = "dubbing"


@contextmanager
def s3_server(set_variable: Callable[[str, str], object]) -> Generator[int]:
    """Run a server with one bucket, and point this process, with clients made anew, and its children to it.

    Args:
        set_variable: Sets an environment variable, such as `pytest.MonkeyPatch.setenv`.

    Yields:
        Its port on 127.0.0.1.
    """
    boto3 = pytest.importorskip("boto3")
    server_module = pytest.importorskip("moto.server")
    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    server = server_module.ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    try:
        _, port = server.get_host_and_port()
        point_to(port, set_variable)
        requests.post(f"http://127.0.0.1:{port}/moto-api/reset", timeout=10)  # servers of one process share objects
        boto3.client("s3").create_bucket(Bucket=BUCKET)
        objects.opened.cache_clear()  # clients of this process that know an earlier server
        yield port
    finally:
        objects.opened.cache_clear()
        server.stop()


def point_to(port: int, set_variable: Callable[[str, str], object]) -> None:
    """Let S3 clients of this process and its children talk to a port of this machine."""
    for name, value in {
        "AWS_ENDPOINT_URL": f"http://127.0.0.1:{port}",
        "AWS_ALLOW_HTTP": "true",
        "AWS_ACCESS_KEY_ID": "test",
        "AWS_SECRET_ACCESS_KEY": "test",
        "AWS_REGION": "us-east-1",
        "AWS_DEFAULT_REGION": "us-east-1",
    }.items():
        set_variable(name, value)


@dataclass
class Line:
    """A TCP line to a server, which answers, refuses, swallows answers, or takes its time.

    Attributes:
        to: The server's port.
        swallow: Answers yet to be lost after the server did what it was asked to.
        refuse: Requests yet to be refused.
        refuse_each, swallow_each: Besides, each so many-th request is refused, or its answer lost; 0 for none.
        refusal: Status and reason of a refusal.
        delay_s: Every answer comes so much later.
        method: Only requests of this method are hit.
        asked: Method and path of each request that came.
    """

    to: int
    swallow: int = 0
    refuse: int = 0
    refuse_each: int = 0
    swallow_each: int = 0
    refusal: bytes = b"503 Slow Down"
    delay_s: float = 0.0
    method: bytes = b"PUT"
    hits: int = 0
    seen: int = 0
    port: int = 0
    asked: list[str] = field(default_factory=list[str])
    _lock: threading.Lock = field(default_factory=threading.Lock)
    _listener: socket.socket = field(default_factory=lambda: socket.create_server(("127.0.0.1", 0)))

    def __enter__(self) -> Self:
        self.port = self._listener.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._listener.close()

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                client, _ = self._listener.accept()
                threading.Thread(target=self._serve, args=(client,), daemon=True).start()

    def _take(self, name: str) -> bool:
        with self._lock:
            each = getattr(self, f"{name}_each")
            if getattr(self, name) > 0:
                setattr(self, name, getattr(self, name) - 1)
            elif not each or self.seen % each:
                return False
            self.hits += 1
            return True

    def _serve(self, client: socket.socket) -> None:
        """Serve one request a connection, so that each can be hit alone."""
        with client, suppress(OSError):
            request = _message(client)
            is_hit = request.startswith(self.method)
            with self._lock:
                self.seen += is_hit
                self.asked.append(b" ".join(request.split(b" ", 2)[:2]).decode())
            if is_hit and self._take("refuse"):
                client.sendall(b"HTTP/1.1 " + self.refusal + b"\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
                return
            if is_hit and self.delay_s:
                with self._lock:
                    self.hits += 1
                time.sleep(self.delay_s)
            head, _, body = request.partition(b"\r\n\r\n")
            with socket.create_connection(("127.0.0.1", self.to)) as server:
                server.sendall(head + b"\r\nConnection: close\r\n\r\n" + body)
                answer = b"".join(iter(lambda: server.recv(1 << 16), b""))
            if not (is_hit and self._take("swallow")):
                client.sendall(answer)


def _message(stream: socket.socket) -> bytes:
    data = b""
    while b"\r\n\r\n" not in data:
        block = stream.recv(1 << 16)
        if not block:
            return data
        data += block
    head, _, body = data.partition(b"\r\n\r\n")
    length = 0
    for line in head.split(b"\r\n"):
        name, _, value = line.partition(b":")
        if name.lower() == b"content-length":
            length = int(value)
    while len(body) < length:
        body += stream.recv(1 << 16)
    return head + b"\r\n\r\n" + body
