"""No answer of the service names a folder of the server: each address is asked well and badly, and what comes read."""

from __future__ import annotations

import json
import os
import sys
import tempfile
from collections.abc import Generator
from html import escape
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest

from lipwise_ray.service.studio.studio_door import studio_door
from lipwise_ray.service.sync_api.door import sync_door
from tests.support.service import QUIET, write_footage
from tests.support.service_site import Site, running
from tests.support.waiting import until

_PATIENCE_S = 60.0
_UNHURRIED = "service.requests_per_minute=1000000"
_IDS = ("{job}", "{failed}", "none", "%2e%2e%2f%2e%2e%2fetc", "x" * 300)
_GET = """
    / /queue /queue?status=failed /queue?search=%2Fetc /studio/quarantine /runs /runs?page=99 /models /cluster
    /studio/key /healthz /readyz /metrics /openapi.json /v2/models /v2/assets /v2/generations /v2/batch
    /v2/assets?types=x /v2/assets?cursor=x /v2/generations?status=x /v2/batch?limit=-1 /none /gradio/
    /studio/static/x/..%2fx
"""
_GET_OF = """
    /v2/generate/{} /v2/generate/{}/events /rows/{} /studio/rows/{}/original /studio/rows/{}/clock
    /studio/rows/{}/live.m3u8 /studio/rows/{}/live/x/head.mp4 /studio/rows/{}/live/x/0.m4s /outputs/{}/x.mp4
    /v2/batch/{} /v2/batch/{}/results /v2/batch/{}/results.jsonl /v2/assets/{} /v2/assets/files/{} /v2/assets/uploads/{}
    /studio/new/stills/{} /studio/new/previews/{}/x.mp4 /runs/{} /runs/{}/files/report.html /runs/{}/files/results.csv
    /runs/{}/files/results.jsonl /runs/{}/files/none
"""
_POST = """
    /v2/generate /v2/analyze/cost /v2/generations/estimate /v2/batch /v2/assets /v2/assets/upload /plain /studio/key
    /studio/new/faces /studio/new/check /studio/new/preview /studio/new/submit /studio/new/manifest/check
    /studio/new/manifest/submit
"""
_POST_OF = ("/studio/jobs/{}/priority", "/studio/rows/{}/again", "/v2/generate/{}/cancel", "/studio/jobs/{}/retry")


class SearchedSite:
    """A service, all of whose answers are searched."""

    def __init__(self, site: Site, footage: Path) -> None:
        self.site, self.footage = site, footage
        places = {str(site.folder.parent), tempfile.gettempdir(), str(Path.cwd()), str(Path.home()), sys.prefix}
        forms = {form for one in places for form in (one, os.path.realpath(one))}
        self._forms = {form for one in forms for form in (one, json.dumps(one)[1:-1], escape(one), quote(one))}
        self.asked = 0

    def ask(self, method: str, path: str, **given: Any) -> Any:
        """Ask as a program and as a browser, and search what is answered; the answer to the program returns."""
        answers = [self.site.asked(method, path, headers={"accept": one}, **given) for one in ("*/*", "text/html")]
        self.asked += len(answers)
        for answer in answers:
            told = str(answer.headers).encode() + answer.content
            for form in self._forms:
                assert form.encode() not in told, f"{method} {path} {given} tells {form}: {told[-3000:]!r}"
        return answers[0]


@pytest.fixture
def searched(tmp_path: Path) -> Generator[SearchedSite]:
    write_footage(tmp_path / "in")
    doors = [sync_door(), studio_door(None)]
    with running(tmp_path / "Zoë's s & t", *QUIET, _UNHURRIED, doors=doors, works=True) as site:
        yield SearchedSite(site, tmp_path / "in")


def _ended(site: Site, job_id: str) -> str:
    until(lambda: not site.service.job(job_id).is_unfinished, _PATIENCE_S)
    return site.service.job(job_id).status


def test_no_answer_names_a_folder(searched: SearchedSite) -> None:
    """Neither of a finished and a failed job, nor of files, runs and pages, nor where a request is wrong."""
    site = searched.site
    video = site.sent((searched.footage / "v.mp4").read_bytes(), "v.mp4")
    audio = site.sent((searched.footage / "s.wav").read_bytes(), "s.wav")
    items = [{"type": "video", "assetId": video}, {"type": "audio", "assetId": audio}]
    made = searched.ask("POST", "/v2/generate", json={"model": "fast", "input": items})
    cut = site.service.uploads / "cut.mp4"
    cut.write_bytes((searched.footage / "v.mp4").read_bytes()[:900])
    failed = site.asked("POST", "/plain", json={**site.columns(), "video": str(cut)})
    ids = {"job": made.json()["id"], "failed": failed.json().get("id", "none"), "video": video}
    assert _ended(site, ids["job"]) == "completed"
    assert _ended(site, ids["failed"]) == "failed"
    runs = [site.service.job(one).run_id for one in (ids["job"], ids["failed"])]
    for path in _GET.split():
        searched.ask("GET", path)
    for path in _GET_OF.split():
        for one in (*_IDS, "{video}", *map(str, runs)):
            searched.ask("GET", path.format(one.format(**ids)))
    link = site.asked("GET", f"/v2/generate/{ids['job']}").json()["outputUrl"]
    assert searched.ask("GET", link).status_code == 200
    bad = {
        "model": "fast",
        "input": [{"type": "video", "assetId": "none"}, {"type": "audio", "url": "file:///etc/passwd"}],
    }
    bodies: list[dict[str, Any]] = [
        {"data": b"{"},
        {"json": []},
        {"json": bad},
        {"json": {"fileName": "../../x", "size": 1 << 60}},
        {"json": {"url": "/v2/assets/uploads/none"}},
        {"json": {"video": str(searched.footage / "v.mp4"), "audio": "/etc/passwd"}},
        {"data": {"manifest": "id,video,audio,output\n1,/etc/passwd,/etc/none,x.mp4\n", "settings": "x.y = 1"}},
        {
            "data": {
                "video": "/etc/passwd",
                "audio": "none",
                "settings": "lipsync.model = '/etc/passwd'",
                "priority": "x",
            }
        },
        {
            "files": {
                "input": ("b.jsonl", b'{"custom_id": "a"}\nnone\n'),
                "video": ("v.mp4", b"x"),
                "audio": ("a", b"x"),
            }
        },
    ]
    for path in (*_POST.split(), *(path.format(one) for path in _POST_OF for one in (ids["failed"], "none"))):
        for body in bodies:
            searched.ask("POST", path, **body)
    assert searched.asked > 300
