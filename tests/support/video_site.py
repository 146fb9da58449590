"""A web server on 127.0.0.1 with pages that hold videos, known as video.test."""

from __future__ import annotations

import io
import threading
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass, field
from fractions import Fraction
from functools import cache
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import av
import numpy as np
import pytest

from lipwise_ray.pipeline.inputs import resolver
from lipwise_ray.pipeline.inputs.resolver import Media
from lipwise_ray.pipeline.inputs.site_video import Sites
from lipwise_ray.settings.model import LimitsSettings
from lipwise_ray.storage.address import Policy
from lipwise_ray.storage.cache import Cache
from lipwise_ray.storage.web import WebFile, public_addresses

RATE_HZ, FRAMES, FPS = 16000, 20, 10
PLAYLIST = "application/vnd.apple.mpegurl"


@cache
def clip(container: str, *, video: bool = True, audio: bool = True) -> bytes:
    """Two seconds of video, of sound, or of both."""
    file = io.BytesIO()
    noise = np.random.default_rng(7)
    with av.open(file, "w", format=container) as output:
        shown = output.add_stream("libx264", rate=FPS) if video else None
        heard = output.add_stream("aac", rate=RATE_HZ, layout="mono") if audio else None
        if shown is not None:
            shown.width, shown.height, shown.pix_fmt = 64, 48, "yuv420p"
            shown.options = {"preset": "ultrafast", "g": "10"}
            for number in range(FRAMES):
                image = noise.integers(0, 255, (48, 64, 3)).astype(np.uint8)
                frame = av.VideoFrame.from_ndarray(image, format="rgb24")
                frame.pts, frame.time_base = number, Fraction(1, FPS)
                output.mux(shown.encode(frame))
            output.mux(shown.encode(None))
        if heard is not None:
            for start in range(0, RATE_HZ * 2, 1000):
                wave = np.sin(np.arange(start, start + 1000) / 10).astype(np.float32)[None]
                sound = av.AudioFrame.from_ndarray(wave, format="fltp", layout="mono")
                sound.sample_rate, sound.pts, sound.time_base = RATE_HZ, start, Fraction(1, RATE_HZ)
                output.mux(heard.encode(sound))
            output.mux(heard.encode(None))
    return file.getvalue()


def _page(*sources: str) -> bytes:
    videos = "".join(f'<video><source src="{source}"></video>' for source in sources)
    return f"<!DOCTYPE html><html><head><title>A film</title></head><body>{videos}</body></html>".encode()


def _media_list(*segments: str, ends: bool = True) -> bytes:
    lines = [line for segment in segments for line in ("#EXTINF:2.0,", segment)]
    head = ["#EXTM3U", "#EXT-X-VERSION:3", "#EXT-X-TARGETDURATION:2"]
    return "\n".join([*head, *lines, *(["#EXT-X-ENDLIST"] if ends else []), ""]).encode()


_SPLIT = b"""#EXTM3U
#EXT-X-MEDIA:TYPE=AUDIO,GROUP-ID="a",NAME="main",DEFAULT=YES,URI="audio.m3u8"
#EXT-X-STREAM-INF:BANDWIDTH=200000,RESOLUTION=64x48,CODECS="avc1.42c00a,mp4a.40.2",AUDIO="a"
video.m3u8
"""


@dataclass
class VideoSite:
    """The server.

    Attributes:
        port: Of its.
        asked: Paths of all requests, in order, and their header ``Range``.
        cookies: Of the requests.
        held: Set where files that stop in their middle go on.
        films: Files that come in pieces, by path and first part of it.
        stops: Path of a file that comes to its half while others are not held.
    """

    port: int = 0
    asked: list[tuple[str, str | None]] = field(default_factory=list)
    cookies: set[str] = field(default_factory=set)
    held: threading.Event = field(default_factory=threading.Event)
    films: dict[str, dict[str, bytes]] = field(default_factory=dict)
    stops: str = ""

    @property
    def root(self) -> str:
        return f"http://video.test:{self.port}"

    @property
    def policy(self) -> Policy:
        return Policy(("file", "http", "https"), hosts=(f"video.test:{self.port}", f"127.0.0.1:{self.port}"))

    def resolve(self, host: str, port: int) -> list[str]:
        return ["127.0.0.1"] if host.endswith("video.test") else public_addresses(host, port)

    def content(self, path: str) -> tuple[str, bytes]:
        """Type and body of a path."""
        name = path.removeprefix("/")
        if name in (film := self.films.get(name.partition("/")[0], {})):
            return PLAYLIST if name.endswith(".m3u8") else "application/octet-stream", film[name]
        if name in PAGES:
            return "text/html; charset=utf-8", _page(*(source.format(port=self.port) for source in PAGES[name]))
        if name.endswith(".m3u8"):
            return PLAYLIST, LISTS[name.rpartition("/")[2]]
        if name.endswith(".ts"):
            return "video/mp2t", clip("mpegts", video="audio" not in name, audio="video" not in name)
        if name.startswith("long"):
            return "video/mp4", clip("mp4") + bytes(1 << 21)
        return "video/mp4", clip("mp4")


PAGES = {
    "page.html": ("/v.mp4",),
    "hls.html": ("/list.m3u8",),
    "elsewhere.html": ("http://cdn.other.test:{port}/v.mp4",),
    "inside.html": ("/to/http://127.0.0.1:{port}/v.mp4",),
    "endless.html": ("/endless.mp4",),
    "long.html": ("/long.mp4",),
    "held.html": ("/long-held.mp4",),
    "several.html": ("/v.mp4", "/long.mp4"),
    "none.html": (),
}
LISTS = {
    "list.m3u8": _media_list("0.ts", "1.ts"),
    "holes.m3u8": _media_list("0.ts", "gone"),
    "live.m3u8": _media_list("0.ts", ends=False),
    "split.m3u8": _SPLIT,
    "video.m3u8": _media_list("video.ts"),
    "audio.m3u8": _media_list("audio.ts"),
    "hours.m3u8": b"#EXTM3U\n#EXT-X-TARGETDURATION:9000\n#EXTINF:9000.0,\n0.ts\n#EXT-X-ENDLIST\n",
}
STATUS = {
    "/gone": 404,
    "/gone.html": 410,
    "/secret.html": 403,
    "/login.html": 401,
    "/here.html": 451,
    "/busy.html": 503,
}


def _handler(site: VideoSite) -> type[BaseHTTPRequestHandler]:  # noqa: C901  # a method a kind of answer
    class Handler(BaseHTTPRequestHandler):
        def log_message(self, *_: object) -> None:
            pass

        def do_GET(self) -> None:
            path = self.path.partition("?")[0]
            site.asked.append((path, self.headers["Range"]))
            site.cookies.add(self.headers["Cookie"] or "")
            if path.startswith("/to/"):
                self._answer(302, {"Location": path.removeprefix("/to/"), "Content-Length": "0"})
            elif path in STATUS:
                self._answer(STATUS[path], {"Content-Length": "0"})
            elif path.startswith("/endless"):
                self._endless("text/html" if "page" in path else "video/mp4")
            else:
                self._file(path, self.headers["Range"])

        do_HEAD = do_GET  # noqa: N815  # the protocol's name

        def _endless(self, kind: str) -> None:
            self._answer(200, {"Content-Type": kind})
            while self.command == "GET":
                self.wfile.write(b"<!DOCTYPE html><html>" + bytes(1 << 16))

        def _file(self, path: str, span: str | None) -> None:
            kind, body = site.content(path)
            begin, _, last = (span or "bytes=0-").removeprefix("bytes=").partition("-")
            start, whole = int(begin), len(body)
            body = body[: int(last) + 1] if last else body
            headers = {"Content-Type": kind, "Content-Length": str(len(body) - start), "Accept-Ranges": "bytes"}
            if span:
                headers["Content-Range"] = f"bytes {start}-{len(body) - 1}/{whole}"
            if path == "/v.mp4":
                headers["ETag"] = '"one"'
            self._answer(206 if span else 200, headers)
            if self.command != "GET":
                return
            if path == site.stops and not site.held.is_set():
                self.wfile.write(body[: len(body) // 2])
                site.held.wait(60)
                return
            if path == "/long-held.mp4" and not site.held.is_set():
                while start < len(body) // 2 and not site.held.wait(0.02):
                    self.wfile.write(body[start : start + (1 << 14)])
                    start += 1 << 14
                site.held.wait(60)
                return
            self.wfile.write(body[start:])

        def _answer(self, status: int, headers: dict[str, str]) -> None:
            self.send_response(status)
            for name, value in headers.items():
                self.send_header(name, value)
            self.end_headers()

    return Handler


@contextmanager
def serving() -> Generator[VideoSite]:
    """Run the server."""
    site = VideoSite()
    server = ThreadingHTTPServer(("127.0.0.1", 0), _handler(site))
    server.handle_error = lambda *_: None  # clients hang up on purpose
    site.port = server.server_address[1]
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
    thread.start()
    try:
        yield site
    finally:
        site.held.set()
        server.shutdown()
        server.server_close()
        thread.join()


def media_of(site: VideoSite, folder: Path, monkeypatch: pytest.MonkeyPatch) -> Media:
    """Return the way to a site's videos, with copies in a folder."""

    def reach(address: str, policy: Policy, most_bytes: int) -> WebFile:
        return WebFile(address, policy, most_bytes, site.resolve)

    monkeypatch.setattr(resolver, "WebFile", reach)  # only the name's lookup differs
    sites = Sites(site.policy, LimitsSettings(), None, site.resolve)
    return Media(site.policy, 10_000_000, Cache(folder), sites=sites)
