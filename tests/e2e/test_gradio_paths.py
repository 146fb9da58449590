"""Gradio's page says nothing of where anything lies: every answer of it, to good and bad requests, is searched."""

from __future__ import annotations

import json
import os
import sys
import tempfile
from collections.abc import Generator
from contextlib import suppress
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
import requests

from lipwise_ray.service.gradio_door import gradio_door
from lipwise_ray.service.gradio_page import GradioPage, launch_page
from lipwise_ray.service.service import Service
from tests.support.service import QUIET, quiet_settings, write_footage
from tests.support.service_site import running

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(find_spec("gradio") is None, reason="the extra gradio is not installed: no Gradio page"),
    pytest.mark.filterwarnings("ignore"),  # Gradio's own
]
_PATIENCE_S = 120.0


@dataclass
class SearchedPage:
    """A page, all of whose answers are searched for folders of the server."""

    url: str
    service: Service
    folders: tuple[str, ...]
    searched: int = 0

    def asked(self, method: str, path: str, idle_s: float = _PATIENCE_S, **given: Any) -> requests.Response:
        """Send a request, and search what is answered, whole, cut off, or until nothing comes for some seconds."""
        headers = {"accept-encoding": "br, gzip", **given.pop("headers", {})}
        request = requests.Request(method, self.url, headers=headers, **given).prepare()
        request.url = f"{self.url}{path}"  # as it stands: nobody takes the dots out
        with requests.Session() as session:
            answer = session.send(request, timeout=(_PATIENCE_S, idle_s), allow_redirects=False, stream=True)
            blocks: list[bytes] = []
            with suppress(requests.exceptions.RequestException):  # Gradio leaves a stream open, or cuts it off
                blocks.extend(answer.iter_content(1 << 16))
        answer._content = b"".join(blocks)
        self.searched += 1
        told = str(answer.headers).encode() + answer.content
        for folder in self.folders:
            for form in (folder, json.dumps(folder)[1:-1], quote(folder)):
                assert form.encode() not in told, f"{method} {path} tells {form}: {told[-2000:]!r}"
        return answer

    def uploaded(self, path: Path) -> dict[str, Any]:
        """Send a file, and return what stands for it in a field."""
        (name,) = self.asked("POST", "gradio_api/upload", files={"files": (path.name, path.read_bytes())}).json()
        return {"path": name, "orig_name": path.name, "meta": {"_type": "gradio.FileData"}}

    def ended(self, api_name: str, data: list[Any], session: str = "s") -> dict[str, Any]:
        """Run a function of the page as its browser does, and return the event that told of its end."""
        dependencies = self.asked("GET", "config").json()["dependencies"]
        (number,) = (one["id"] for one in dependencies if one["api_name"] == api_name)
        body = {"data": data, "fn_index": number, "session_hash": session}
        joined = self.asked("POST", "gradio_api/queue/join", json=body)
        assert joined.status_code == 200, joined.text
        told = self.asked("GET", f"gradio_api/queue/data?session_hash={session}").text
        events = [json.loads(line.removeprefix("data: ")) for line in told.splitlines() if line.startswith("data: ")]
        (ended,) = (one for one in events if one["msg"] == "process_completed")
        return ended


def _folders(service: Service, folder: Path) -> tuple[str, ...]:
    places = {folder, service.folder, Path.home(), Path.cwd(), Path(tempfile.gettempdir()), Path(sys.prefix)}
    places |= {Path(one) for one in sys.path if one.endswith("site")}
    return tuple(sorted({os.path.realpath(one) for one in places} | {str(one) for one in places}))


@pytest.fixture(params=["mounted", "alone"])
def page(tmp_path: Path, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Generator[SearchedPage]:
    """The page of a server, and that of a notebook; a folder's name may need marks of every kind."""
    folder = tmp_path / "Zoë's <films> & more"
    if request.param == "mounted":
        with running(folder, *QUIET, doors=[gradio_door()], works=True) as site:
            yield SearchedPage(f"{site.url}/gradio/", site.service, _folders(site.service, folder))
        return
    (tmp_path / "scratch of Zoë").mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "scratch of Zoë"))
    with launch_page(folder, quiet_settings(), inline=False) as launched:
        yield SearchedPage(launched.url, launched.service, _folders(launched.service, folder))


def _fields(service: Service) -> list[str]:
    return ["as the server", "", *[""] * len(GradioPage(service, None).settings), ""]  # type: ignore[arg-type]


def test_a_whole_dub_shows_no_path(page: SearchedPage, tmp_path: Path) -> None:
    """From the page to the part of the video that a player asks for, files have names and no folders."""
    write_footage(tmp_path / "in")
    opened = page.asked("GET", "")
    assert opened.status_code == 200
    for path in ("config", "gradio_api/info", "gradio_api/openapi.json", "theme.css", "gradio_api/startup-events"):
        assert page.asked("GET", path).status_code == 200, path
    video, audio = page.uploaded(tmp_path / "in" / "v.mp4"), page.uploaded(tmp_path / "in" / "s.wav")
    sent = page.asked("GET", f"gradio_api/file={video['path']}")
    assert (sent.status_code, sent.headers["content-type"]) == (200, "video/mp4")
    assert sent.content == (tmp_path / "in" / "v.mp4").read_bytes()
    last = page.ended("dub", [video, audio, *_fields(page.service)])
    assert last["success"], last
    job_id, state, shown = last["output"]["data"]
    job = page.service.job(job_id)
    assert (state, job.status) == ("Done.", "completed")
    shown = shown.get("video", shown)
    address = shown["url"].removeprefix(page.url)
    assert address == f"gradio_api/file={quote(shown['path'], safe='/')}"
    finished = Path(str(job.output)).read_bytes()
    part = page.asked("GET", address, headers={"range": "bytes=10-99"})
    assert (part.status_code, part.content) == (206, finished[10:100])
    assert part.headers["content-range"] == f"bytes 10-99/{len(finished)}"
    assert page.asked("GET", address, headers={"range": "bytes=10-"}).content == finished[10:]
    whole = page.asked("GET", address)
    assert whole.content == finished
    assert page.asked("GET", address, headers={"if-none-match": whole.headers["etag"]}).status_code == 304
    assert page.asked("HEAD", address).headers["content-length"] == str(len(finished))


def test_no_other_file_can_be_named(page: SearchedPage, tmp_path: Path) -> None:
    """Paths, ways out of the folder and made-up names are refused alike, whether something lies there or not."""
    (tmp_path / "v.mp4").write_bytes(b"x")
    name = page.uploaded(tmp_path / "v.mp4")["path"]
    known = page.service.folder / "service.toml"
    told = set()
    for bad in (
        "/etc/passwd",
        "/etc/no-such-file",
        "//etc/passwd",
        f"{name}/../../../../../../etc/passwd",
        "../" * 12 + "etc/passwd",
        "%2e%2e/" * 12 + "etc/passwd",
        f"{name}/../v.mp4",
        quote(str(known)),
        quote(str(Path(__file__))),
        "0" * 64 + "/v.mp4",
        name.partition("/")[0],
        "http://127.0.0.1:9/x.mp4",
        "https://example.org/x.mp4",
        "",
    ):
        for beginning in ("gradio_api/file=", "gradio_api/file/"):
            answer = page.asked("GET", beginning + bad)
            assert answer.status_code == 404, bad
            told.add(answer.text)
    assert len(told) == 1
    assert "the file: is not one that was sent to this page" in told.pop()


def test_a_request_that_names_a_path_is_refused(page: SearchedPage, tmp_path: Path) -> None:
    """A file in a field is one that was sent; a path, an address and a made-up name are answered with a sentence."""
    write_footage(tmp_path / "in")
    audio = page.uploaded(tmp_path / "in" / "s.wav")
    for bad in ("/etc/passwd", str(tmp_path / "in" / "v.mp4"), "0" * 64 + "/v.mp4", "http://127.0.0.1:9/v.mp4", ".."):
        video = {"path": bad, "meta": {"_type": "gradio.FileData"}}
        body = {"data": [video, audio, *_fields(page.service)], "session_hash": "s"}
        for path in ("gradio_api/queue/join", "gradio_api/call/dub", "gradio_api/run/dub", "gradio_api/api/dub"):
            answer = page.asked("POST", path, json={**body, "fn_index": 0})
            assert answer.status_code == 404, (path, answer.text)
            assert "was sent to this page" in answer.json()["detail"]
        answer = page.asked("POST", "gradio_api/component_server", json={"data": video, "fn_name": "x"})
        assert answer.status_code == 400
    assert page.service.find() == []


def test_a_file_in_a_texts_place_tells_nothing(page: SearchedPage, tmp_path: Path) -> None:
    """A field of text that is given a file makes no job, whose text would hold the path for every door to show."""
    write_footage(tmp_path / "in")
    video = page.uploaded(tmp_path / "in" / "v.mp4")
    plain = _fields(page.service)
    for place in range(2 + len(plain)):
        data = [video, "Good day.", "", *plain]
        data[1 + place] = video
        last = page.ended("speak", data, f"s{place}")
        assert not last["success"]
    last = page.ended("dub_cancel", [video], "c")
    assert not last["success"]
    assert page.service.find() == []


def test_bad_requests_show_no_path(page: SearchedPage, tmp_path: Path) -> None:
    """Whatever an address of Gradio's is sent, its answer names no folder."""
    write_footage(tmp_path / "in")
    video = page.uploaded(tmp_path / "in" / "v.mp4")
    spec = page.asked("GET", "gradio_api/openapi.json")
    assert spec.status_code == 200
    bodies: list[dict[str, Any]] = [
        {},
        {"data": b"no json", "headers": {"content-type": "application/json"}},
        {"data": b"[" * 5000, "headers": {"content-type": "application/json"}},
        {"data": b'"' + b"x" * (2 << 20) + b'"', "headers": {"content-type": "application/json"}},
        {"json": {"data": video}},
        {"json": {"data": [video] * 40, "fn_index": 0, "session_hash": "x"}},
        {"json": {"data": [video], "fn_index": 999, "session_hash": "x", "component_id": 1, "fn_name": "x"}},
        {"json": [video]},
        {"files": {"files": ("../../x.mp4", b"x"), "video": ("x.mp4", b"x")}},
        {"files": {"files": ("/etc/x", b"x")}, "data": {"files": "text"}},
    ]
    addresses = [
        "gradio_api/" + one
        for one in (
            "upload", "queue/join", "call/dub", "call/none", "call/v2/dub", "run/dub", "run/predict", "api/dub",
            "cancel", "reset", "component_server", "process_recording", "stream/x", "stream/x/close", "vibe-edit",
            "vibe-code", "undo-vibe-edit", "vibe-starter-queries", "run-history/connect", "proxy=http://x",
            "file=x", "none",
        )
    ] + ["login", "config", ""]  # fmt: skip
    for address in addresses:
        for body in bodies:
            assert page.asked("POST", address, **body).status_code >= 200
    for address in (
        "gradio_api/custom_component/x/client/component/index.js", "gradio_api/proxy=http://127.0.0.1/x",
        "gradio_api/proxy=/etc/passwd", "assets/../../../../etc/passwd", "assets/none.js", "static/%2e%2e/%2e%2e/x",
        "svelte/../../x", "gradio_api/stream/s/r/1/playlist.m3u8", "gradio_api/stream/s/r/1/playlist-file",
        "gradio_api/upload_progress?upload_id=none", "gradio_api/call/dub/none", "gradio_api/queue/status",
        "gradio_api/queue/data", "gradio_api/dev/reload", "gradio_api/runs",
        "gradio_api/run-history/records", "gradio_api/deep_link?session_hash=s", "?deep_link=none", "monitoring",
        "gradio_api/user", "gradio_api/token", "gradio_api/app_id", "manifest.json", "favicon.ico", "pwa_icon",
        "robots.txt", "gradio_api/none", "none", "gradio_api/vibe-code", "gradio_api/profiling/summary", "login_check",
        "gradio_api/login_check", "logout",
    ):  # fmt: skip
        page.asked("GET", address, 5)
    page.asked("DELETE", "gradio_api/queue/join")
    assert page.searched > 200
