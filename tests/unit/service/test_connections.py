"""Connections: those on which nothing comes, and those that are too many."""

from __future__ import annotations

import resource
import socket
import time
from contextlib import ExitStack, suppress
from pathlib import Path

import pytest

from lipwise_ray.service import hurried_heads, server
from tests.support.service_site import Site, running

ASKED = b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n"


def connected(site: Site, stack: ExitStack) -> socket.socket:
    return stack.enter_context(socket.create_connection(("127.0.0.1", site.port), 5))


def test_connections_without_a_request_are_closed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """On which nothing comes, or a head that trickles, also after an earlier answer; streams that are open stay."""
    monkeypatch.setattr(hurried_heads, "HEAD_S", 0.5)
    with running(tmp_path / "s") as site, ExitStack() as stack:
        wires = [connected(site, stack) for _ in range(4)]
        silent, trickling, later, listening = wires
        listening.sendall(ASKED.replace(b"/healthz", b"/events"))
        later.sendall(ASKED)
        told = b""
        while not told.endswith(b'{"status":"ok"}'):
            told += later.recv(2000)
        begun_s = time.monotonic()
        with suppress(ConnectionError):
            for number in range(30):
                trickling.sendall(ASKED[number : number + 1])
                later.sendall(ASKED[number : number + 1])
                time.sleep(0.05)
        assert time.monotonic() - begun_s < 1.4
        for wire in (silent, trickling, later):
            with suppress(ConnectionError):
                assert wire.recv(100) == b""
        assert b"event: open" in listening.recv(2000)
        listening.settimeout(0.2)
        with pytest.raises(TimeoutError):
            listening.recv(100)


def test_only_so_many_connections_are_held(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Some more have an answer that says so, further ones none; the first ones go on, and there is room again."""
    monkeypatch.setattr(server, "_MOST_CONNECTIONS", 4)
    monkeypatch.setattr(hurried_heads, "BEYOND", 2)
    with running(tmp_path / "s") as site:
        with ExitStack() as stack:
            held = [connected(site, stack) for _ in range(6)]
            for wire in held[4:]:
                wire.sendall(ASKED)
                assert wire.recv(100).startswith(b"HTTP/1.1 503")
            more = [connected(site, stack) for _ in range(8)]
            with suppress(ConnectionError):
                assert more[-1].recv(100) == b""
        assert site.asked("GET", "/healthz").status_code == 200


def test_room_for_connections_is_asked_for() -> None:
    """Many systems let a process have fewer open files than it may ask for."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (1024, hard))
        server._allow_open_files()
        assert resource.getrlimit(resource.RLIMIT_NOFILE) == (min(4096, hard), hard)
        server._allow_open_files()
        assert resource.getrlimit(resource.RLIMIT_NOFILE) == (min(4096, hard), hard)
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
