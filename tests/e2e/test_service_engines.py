"""The service on engines and places that a night has, and killed at work: nothing is lost, and nothing done twice."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import requests

from benchmarks.service import renders, serving, sound_of
from lipwise_ray.runs.load_settings import load_settings
from lipwise_ray.service.service import Service
from lipwise_ray.state import layout
from lipwise_ray.synth.clips import ClipSpec, write_clip
from lipwise_ray.values import Size
from tests.conftest import ROOT
from tests.support.dub import (
    BY_LEVEL,
    EMBEDDED,
    NOTHING_IN_FRONT,
    PASSTHROUGH,
    QUICK,
    UNJUDGED,
    UNSIGNED,
    settings_arguments,
)
from tests.support.s3 import BUCKET, s3_server
from tests.support.service import QUIET, Watcher, draft, write_footage
from tests.support.waiting import until

pytestmark = pytest.mark.slow

_ON_RAY = (EMBEDDED, "engine.workers=1", PASSTHROUGH, UNJUDGED, UNSIGNED, QUICK, "faces.select=box:30,90,60,120")
_SERVED = tuple(settings_arguments(*QUIET, BY_LEVEL, NOTHING_IN_FRONT))
_PATIENCE_S = 120.0


def _made(port: int, video: Path, number: int) -> str:
    """Make a job of a form, whose sound no other job has."""
    files = {"video": ("v.mp4", video.read_bytes()), "audio": ("s.wav", sound_of(number))}
    answer = requests.post(f"http://127.0.0.1:{port}/v2/generate", data={"model": "fast"}, files=files, timeout=60)
    assert answer.status_code == 201, answer.text
    return answer.json()["id"]


def _look(port: int, job_id: str) -> dict[str, Any]:
    return requests.get(f"http://127.0.0.1:{port}/v2/generate/{job_id}", timeout=60).json()


def _is_done(port: int, job_id: str) -> bool:
    told = _look(port, job_id)
    assert told["status"] not in ("FAILED", "REJECTED"), told["error"]
    return told["status"] == "COMPLETED"


@pytest.fixture
def video(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    write_clip(tmp_path / "v.mp4", ClipSpec(size=Size(160, 120), frames=5))
    return tmp_path / "v.mp4"


def test_an_embedded_ray_is_kept_over_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A job that comes after a run has ended is done in another run, by the worker of the first."""
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    service = Service.open(tmp_path / "s", load_settings(assignments=_ON_RAY))
    try:
        watcher = Watcher(service)
        write_footage(service.uploads)
        first = service.submit(draft(service.uploads))
        watcher.until_ended(service)
        until(lambda: any(key.endswith("report.json") for key in service.store.names(layout.RUNS)), _PATIENCE_S)
        write_footage(service.uploads, frames=15)
        second = service.submit(draft(service.uploads))
        watcher.until_ended(service)
        jobs = [service.job(one.id) for one in (first, second)]
        assert [(one.status, one.message) for one in jobs] == [("completed", None)] * 2
        runs = [str(one.run_id) for one in jobs]
        assert runs[0] != runs[1]
        workers = {
            event["worker"]
            for run_id in runs
            for line in service.store.log(f"{layout.run(run_id)}/events.jsonl")
            if (event := json.loads(line))["task"].startswith("render:")
        }
        assert len(workers) == 1
    finally:
        service.close()


def test_a_state_and_outputs_in_a_bucket(tmp_path: Path, video: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Jobs come through the API and are fetched in parts; a server that is killed loses nothing of them."""
    with s3_server(monkeypatch.setenv):
        place = f"s3://{BUCKET}/served"
        words = ("--state", f"{place}/state", "--out", f"{place}/out", *_SERVED)
        with serving(tmp_path / "s", *words) as (process, port):
            ids = [_made(port, video, number) for number in range(4)]
            until(lambda: _is_done(port, ids[0]), _PATIENCE_S)
            process.kill()
        with serving(tmp_path / "s", *words) as (_, port):
            until(lambda: all(_is_done(port, one) for one in ids), _PATIENCE_S)
            link = _look(port, ids[-1])["outputUrl"]
            whole, part = (requests.get(link, headers=one, timeout=60) for one in ({}, {"Range": "bytes=4-7"}))
            assert (whole.status_code, part.status_code) == (200, 206)
            assert whole.content[4:8] == part.content == b"ftyp"
    assert not [*(tmp_path / "s").rglob("*.json")]


def test_a_server_that_is_killed_at_work(tmp_path: Path, video: Path) -> None:
    """With a job at work and half an upload there: both go on in the next server, and nothing is rendered twice."""
    body = video.read_bytes()
    half = len(body) // 2
    with serving(tmp_path / "s", *_SERVED) as (process, port):
        url = f"http://127.0.0.1:{port}"
        asked = {"fileName": "v.mp4", "size": len(body)}
        upload = requests.post(f"{url}/v2/assets/upload", json=asked, timeout=60).json()
        span = {"Content-Range": f"bytes 0-{half - 1}/{len(body)}"}
        assert requests.put(upload["uploadUrl"], data=body[:half], headers=span, timeout=60).status_code == 202
        ids = [_made(port, video, number) for number in range(4)]
        until(lambda: _is_done(port, ids[0]), _PATIENCE_S)
        process.kill()
    link = upload["uploadUrl"].removeprefix(url)
    with serving(tmp_path / "s", *_SERVED) as (_, port):
        url = f"http://127.0.0.1:{port}"
        assert requests.get(f"{url}{link}", timeout=60).json()["received"] == half
        span = {"Content-Range": f"bytes {half}-{len(body) - 1}/{len(body)}"}
        assert requests.put(f"{url}{link}", data=body[half:], headers=span, timeout=60).json()["isWhole"]
        until(lambda: all(_is_done(port, one) for one in ids), _PATIENCE_S)
    done = [*(tmp_path / "s" / "out").rglob("*.mp4")]
    assert sorted(one.parent.name for one in done) == sorted(ids)
    # The task that the kill hit may be begun again; those that were done are not.
    times = renders(tmp_path / "s" / "state")
    assert len(times) == len(ids)
    assert sum(times.values()) <= len(ids) + 1
