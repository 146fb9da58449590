"""Clients that vanish in the middle of what they send: nothing of it stays, and no fault is logged."""

from __future__ import annotations

import logging
import socket
import threading
from collections.abc import Generator
from pathlib import Path

import pytest

from lipwise_ray.service.sync_api.door import sync_door
from tests.support.dub import PASSTHROUGH
from tests.support.service_site import Site, running

_FORM = b'--x\r\nContent-Disposition: form-data; name="video"; filename="a.mp4"\r\n\r\n' + b"v" * 2_000_000
_HEAD = "POST {} HTTP/1.1\r\nHost: localhost\r\nContent-Type: {}\r\nContent-Length: 9000000\r\n\r\n"


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Generator[Site]:
    settings = (PASSTHROUGH, 'faces.select="box:0,9,0,9"', "service.body_mb=20")
    with running(tmp_path_factory.mktemp("cut") / "s", *settings, doors=[sync_door(None)]) as found:
        yield found


def counted(site: Site, route: str) -> bool:
    """Tell whether a request to an address has ended."""
    return f'route="{route}"' in site.asked("GET", "/metrics").text


@pytest.mark.parametrize(
    ("path", "kind", "body"),
    [
        ("/v2/generate", "multipart/form-data; boundary=x", _FORM),
        ("/v2/batch", "multipart/form-data; boundary=x", _FORM.replace(b"video", b"input")),
        ("/v2/analyze/cost", "application/json", b'{"model": "' + b"a" * 1_000_000),
        ("/v2/assets", "application/json", b'{"url": "' + b"a" * 1_000_000),
    ],
)
def test_a_body_that_is_cut_off_leaves_nothing(
    site: Site, path: str, kind: str, body: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    """A browser is closed while it sends: there is no job, no file, and nobody is told of a fault of the server."""
    with socket.create_connection(("127.0.0.1", site.port), 5) as wire:
        wire.sendall(_HEAD.format(path, kind).encode() + body)
    ended = threading.Event()
    while not counted(site, path):
        ended.wait(0.01)
    assert [*Path(site.folder / "tmp").iterdir()] == []
    assert [*site.service.uploads.iterdir()] == []
    assert site.service.find() == []
    assert [record for record in caplog.records if record.levelno >= logging.ERROR] == []
    assert 'status="500"' not in site.asked("GET", "/metrics").text
