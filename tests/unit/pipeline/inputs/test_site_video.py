"""Videos of sites as inputs: what arrives, what is refused and how that is said, against a server on this machine."""

from __future__ import annotations

import importlib.util
import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Generator
from pathlib import Path

import av
import psutil
import pytest

from lipwise_ray.errors import InputError, MediaError, SettingsError, StorageError
from lipwise_ray.pipeline.inputs import resolver, site_child, site_process
from lipwise_ray.pipeline.inputs.resolver import Media
from lipwise_ray.pipeline.inputs.site_video import Sites
from lipwise_ray.settings.model import LimitsSettings
from lipwise_ray.storage.address import Policy
from lipwise_ray.storage.cache import Cache
from lipwise_ray.storage.web import WebFile
from tests.support.video_site import FRAMES, VideoSite, clip, serving

pytest.importorskip("yt_dlp", reason="the extra `web` is not installed")

LIMITS = LimitsSettings(gb=0.003, hours=1)


@pytest.fixture
def site() -> Generator[VideoSite]:
    with serving() as site:
        yield site


def _sites(site: VideoSite, limits: LimitsSettings = LIMITS, cookies: str | None = None) -> Sites:
    return Sites(site.policy, limits, cookies, site.resolve)


def _streams(path: Path) -> tuple[list[str], int]:
    with av.open(str(path)) as container:
        return sorted(one.type for one in container.streams), sum(1 for _ in container.decode(video=0))


@pytest.mark.parametrize(
    ("path", "frames"),
    [
        ("page.html", FRAMES),
        pytest.param("to//page.html", FRAMES, marks=pytest.mark.slow),
        pytest.param("v.mp4", FRAMES, marks=pytest.mark.slow),
        ("hls.html", 2 * FRAMES),
        ("split.m3u8", FRAMES),
    ],
)
def test_a_video_arrives_whole(site: VideoSite, path: str, frames: int, tmp_path: Path) -> None:
    """A file on a page, after a redirection, by itself, in segments, or with its sound apart: picture and sound."""
    target = tmp_path / "video"
    facts = _sites(site).video(f"{site.root}/{path}").download(target, lambda: None)
    assert _streams(target) == (["audio", "video"], frames)
    assert facts.tag
    assert [one.name for one in tmp_path.iterdir()] == ["video"]


@pytest.mark.parametrize(
    ("path", "code", "words"),
    [
        ("secret.html", "site_private", "refuses it (status 403)"),
        pytest.param("login.html", "site_private", "refuses it (status 401)", marks=pytest.mark.slow),
        pytest.param("gone", "site_gone", "not there any more: status 404", marks=pytest.mark.slow),
        pytest.param("gone.html", "site_gone", "not there any more: status 410", marks=pytest.mark.slow),
        pytest.param("here.html", "site_region", "does not give it to this region", marks=pytest.mark.slow),
        pytest.param("none.html", "site_unsupported", "no video that yt-dlp can find", marks=pytest.mark.slow),
        ("several.html", "site_playlist", "several videos"),
        pytest.param("live.m3u8", "site_live", "no end", marks=pytest.mark.slow),
        pytest.param("hours.m3u8", "too_long", "lasts 2.50 hours", marks=pytest.mark.slow),
        pytest.param("endless-page", "site_unreadable", "more than 64 MiB", marks=pytest.mark.slow),
        ("to/http://other.test/", "host_refused", "needs http://other.test/: other.test is not among the hosts"),
    ],
)
def test_what_cannot_be_had_is_said_before_it_is_fetched(site: VideoSite, path: str, code: str, words: str) -> None:
    """With a code, the page's address and what is wrong; that is the row's own fault."""
    with pytest.raises(InputError) as caught:
        _sites(site).video(f"{site.root}/{path}?key=c0ffee").facts()
    assert caught.value.code == code
    assert words in str(caught.value)
    assert str(caught.value).startswith(f"{site.root}/{path}: ")
    assert "c0ffee" not in str(caught.value)
    assert not [asked for asked, _ in site.asked if asked.endswith((".mp4", ".ts"))]


@pytest.mark.parametrize(
    ("path", "code"),
    [
        pytest.param("elsewhere.html", "host_refused", marks=pytest.mark.slow),
        ("inside.html", "private_address"),
        ("endless.html", "too_large"),
        pytest.param("long.html", "too_large", marks=pytest.mark.slow),
        pytest.param("holes.m3u8", "web_unreachable", marks=pytest.mark.slow),
        pytest.param("busy.html", "web_unreachable", marks=pytest.mark.slow),
    ],
)
def test_what_turns_out_while_it_arrives_ends_it(site: VideoSite, path: str, code: str, tmp_path: Path) -> None:
    """Another host, a private address, too many bytes stated or sent, a segment that is missing, a busy site."""
    limits = LimitsSettings(gb=0.001, hours=1)
    with pytest.raises((InputError, StorageError)) as caught:
        _sites(site, limits).video(f"{site.root}/{path}").download(tmp_path / "video", lambda: None)
    assert caught.value.code == code
    assert not (tmp_path / "video").exists()
    assert sum(one.stat().st_size for one in tmp_path.iterdir()) < 50e6
    assert "/v.mp4" not in [asked for asked, _ in site.asked]


def test_a_smaller_format_is_taken_where_the_best_is_too_large() -> None:
    """Of formats within the limits the best is chosen; where none is, the best of all, to be refused."""
    formats = [{"height": 1080, "width": 1920}, {"height": 2160, "width": 3840}, {"height": 720, "width": 1280}]
    formats[2]["filesize"] = 9_000

    def best(context: site_child.SiteInfo) -> Generator[site_child.SiteInfo]:
        yield max(context["formats"], key=lambda one: one["height"])

    for most_pixels, most_bytes, height in ((3e6, 1e4, 1080), (9e6, 1e4, 2160), (1e6, 1e4, 720), (1e6, 1e3, 2160)):
        chosen = next(iter(site_child.fitting(best, most_pixels, most_bytes)({"formats": formats})))
        assert chosen["height"] == height


def test_of_a_part_only_what_it_holds_counts_against_the_limit() -> None:
    """A long film in pieces is too large by itself; a minute of it is not, but of a file in one piece it is."""
    film = {"height": 1080, "width": 1920, "filesize_approx": 4_500_000_000, "tbr": 5_000.0, "protocol": "m3u8_native"}
    small = {"height": 480, "width": 640}

    def best(context: site_child.SiteInfo) -> Generator[site_child.SiteInfo]:
        yield max(context["formats"], key=lambda one: one["height"])

    for protocol, length_s, height in (("m3u8_native", 60.0, 1080), ("m3u8_native", None, 480), ("https", 60.0, 480)):
        choose = site_child.fitting(best, 9e6, 1e9, length_s)
        assert next(iter(choose({"formats": [{**film, "protocol": protocol}, small]})))["height"] == height


class _KilledError(Exception):
    pass


@pytest.mark.slow
def test_a_killed_download_goes_on_where_it_was(site: VideoSite, tmp_path: Path) -> None:
    """The next one asks for the rest of the file alone, and the result is whole."""
    video = _sites(site).video(f"{site.root}/held.html")

    def kill() -> None:
        if any(part.stat().st_size > 1 << 17 for part in tmp_path.glob("site-*.part")):
            raise _KilledError

    with pytest.raises(_KilledError):
        video.download(tmp_path / "video", kill)
    site.held.set()
    site.asked.clear()
    video.download(tmp_path / "video", lambda: None)
    assert (tmp_path / "video").read_bytes() == clip("mp4") + bytes(1 << 21)
    starts = [span.removeprefix("bytes=").rstrip("-") for path, span in site.asked if path == "/long-held.mp4" and span]
    assert starts
    assert int(starts[-1]) > 1 << 17
    assert [one.name for one in tmp_path.iterdir()] == ["video"]


PARENT = """
import sys
from pathlib import Path
from lipwise_ray.pipeline.inputs.site_video import Sites
from lipwise_ray.settings.model import LimitsSettings
from lipwise_ray.storage.address import Policy

if __name__ == "__main__":
    root, folder = sys.argv[1:]
    policy = Policy(("http",), hosts=(root.removeprefix("http://"),))
    sites = Sites(policy, LimitsSettings(), None, lambda host, port: ["127.0.0.1"])
    sites.video(f"{root}/held.html").download(Path(folder) / "video", lambda: print("some", flush=True))
"""


@pytest.mark.slow
def test_the_child_ends_with_its_parent(site: VideoSite, tmp_path: Path) -> None:
    """A worker that is killed leaves no process behind that goes on downloading."""
    with subprocess.Popen(
        [sys.executable, "-c", PARENT, site.root, str(tmp_path)],
        stdout=subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": str(Path.cwd())},
    ) as parent:
        assert parent.stdout is not None
        assert parent.stdout.readline() == b"some\n"
        children = psutil.Process(parent.pid).children()
        assert len(children) == 1
        parent.send_signal(signal.SIGKILL)
    gone, _ = psutil.wait_procs(children, timeout=30)
    assert gone == children


CONFINED = """
import json, socket, subprocess, sys, os, threading, urllib.request
sys.path.insert(0, sys.argv[2])
import site_child

site_child.confine(sys.argv[1])
host, port = sys.argv[3].split(":")
tries = {
    "connect": lambda: socket.create_connection((host, int(port)), 5),
    "connect_ex": lambda: socket.socket().connect_ex((host, int(port))),
    "name": lambda: socket.getaddrinfo("localhost", 80),
    "udp": lambda: socket.socket(type=socket.SOCK_DGRAM).sendto(b"x", (host, int(port))),
    "listen": lambda: socket.socket().bind(("127.0.0.1", 0)),
    "unix": lambda: socket.socket(socket.AF_UNIX).connect("/nowhere"),
    "program": lambda: subprocess.run(["true"]),
    "shell": lambda: os.system("true"),
    "replaced": lambda: os.execv("/bin/true", ["true"]),
    "spawned": lambda: os.posix_spawn("/bin/true", ["true"], {}),
    "forked": lambda: os.fork(),
}
found = {}
for name, what in tries.items():
    try:
        what()
        found[name] = "done"
    except PermissionError as error:
        found[name] = str(error)
socket.create_connection((sys.argv[1].split(":")[1][2:], int(sys.argv[1].split(":")[2])), 5).close()
print(json.dumps(found))
"""


def test_the_child_reaches_the_proxy_and_nothing_else(site: VideoSite) -> None:
    """By no kind of socket, and by no program that it might start; the proxy itself it reaches."""
    with socket.create_server(("127.0.0.1", 0)) as proxy:
        address = f"http://127.0.0.1:{proxy.getsockname()[1]}"
        folder = str(Path(site_child.__file__).parent)
        words = [sys.executable, "-P", "-c", CONFINED, address, folder, f"127.0.0.1:{site.port}"]
        done = subprocess.run(words, capture_output=True, text=True, check=True)
    found = json.loads(done.stdout)
    assert len(found) == 11
    assert {name: words for name, words in found.items() if "is not allowed here" not in words} == {}
    assert site.asked == []


def test_nothing_of_the_user_reaches_the_child(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """No proxy, no secret, no configuration and no plugin of theirs; only cookies that are named."""
    monkeypatch.setenv("HTTPS_PROXY", "http://127.0.0.1:1")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "c0ffee")
    environment = site_process.bare_environment(str(tmp_path))
    assert "c0ffee" not in str(environment)
    assert not [name for name in environment if "proxy" in name.lower()]
    assert {environment[name] for name in ("HOME", "XDG_CONFIG_HOME", "XDG_CACHE_HOME")} == {str(tmp_path)}
    assert environment["YTDLP_NO_PLUGINS"] == "1"


def test_cookies_are_sent_and_never_written(site: VideoSite, tmp_path: Path) -> None:
    """The file that is named stays as it is; one that cannot be read stops the row."""
    cookies = tmp_path / "cookies"
    cookies.write_text("# Netscape HTTP Cookie File\nvideo.test\tFALSE\t/\tFALSE\t0\tsession\topen\n")
    before = cookies.read_bytes()
    _sites(site, cookies=str(cookies)).video(f"{site.root}/page.html").facts()
    assert cookies.read_bytes() == before
    assert "session=open" in site.cookies
    with pytest.raises(SettingsError, match="cannot be read"):
        _sites(site, cookies=str(tmp_path / "none")).video(f"{site.root}/page.html").facts()


def test_a_child_that_ends_early_is_tried_again(
    site: VideoSite, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Its last words are in the error."""
    broken = tmp_path / "child.py"
    broken.write_text("raise SystemExit('out of luck')")
    monkeypatch.setattr(site_child, "__file__", str(broken))
    with pytest.raises(StorageError, match="yt-dlp ended: out of luck"):
        _sites(site).video(f"{site.root}/page.html").facts()


def _media(site: VideoSite, folder: Path, monkeypatch: pytest.MonkeyPatch, sites: Sites | None) -> Media:
    def reach(address: str, policy: Policy, most_bytes: int) -> WebFile:
        return WebFile(address, policy, most_bytes, site.resolve)

    monkeypatch.setattr(resolver, "WebFile", reach)  # only the name's lookup differs
    return Media(site.policy, 10_000_000, Cache(folder), sites=sites)


@pytest.mark.slow
def test_a_page_is_an_input_like_others(site: VideoSite, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It has an identity that a task on another machine finds again, and is fetched once a machine."""
    address = f"{site.root}/page.html"
    inputs = _media(site, tmp_path / "cache", monkeypatch, _sites(site))
    identity = inputs.identity(address)
    assert _streams(inputs.local(address, identity)) == (["audio", "video"], FRAMES)
    site.asked.clear()
    again = _media(site, tmp_path / "cache", monkeypatch, _sites(site))
    assert _streams(again.local(address, identity)) == (["audio", "video"], FRAMES)
    assert site.asked == []
    fresh = _media(site, tmp_path / "elsewhere", monkeypatch, _sites(site))
    assert fresh.local(address, identity).read_bytes() == clip("mp4")
    with pytest.raises(MediaError, match="changed while it was dubbed"):
        _media(site, tmp_path / "third", monkeypatch, _sites(site)).local(f"{site.root}/hls.html", identity)


def test_a_file_stays_a_file(site: VideoSite, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With a downloader its identity is what it was without, so that no finished row is made again; a page without one
    is an address like any other.
    """
    address = f"{site.root}/v.mp4"
    plain = _media(site, tmp_path / "cache", monkeypatch, None).identity(address)
    assert _media(site, tmp_path / "cache", monkeypatch, _sites(site)).identity(address) == plain
    page = _media(site, tmp_path / "cache", monkeypatch, None)
    here = page.local(f"{site.root}/page.html", page.identity(f"{site.root}/page.html"))
    assert here.read_bytes().startswith(b"<!DOCTYPE html>")


def test_without_the_extra_the_error_names_it(site: VideoSite, monkeypatch: pytest.MonkeyPatch) -> None:
    """A page cannot be read then; files of web servers still can."""
    monkeypatch.setattr(importlib.util, "find_spec", lambda _: None)
    with pytest.raises(SettingsError, match=r"yt-dlp is not installed .*lipwise-ray\[web\]"):
        _sites(site).video(f"{site.root}/page.html").facts()
    assert site.asked == []
