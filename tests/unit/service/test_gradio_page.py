"""Gradio's page over the queue; what needs Gradio is skipped without the extra."""

from __future__ import annotations

import sys
from collections.abc import Generator
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
import requests

from lipwise_ray.errors import RequestError, SettingsError, SetupError
from lipwise_ray.service.asset_store import AssetStore
from lipwise_ray.service.gradio_door import gradio_door
from lipwise_ray.service.gradio_page import GradioPage, launch_page, make_page
from lipwise_ray.service.gradio_watch import JobWatch
from lipwise_ray.service.page_policy import PagePolicy
from lipwise_ray.service.service import Service
from tests.support.service import QUIET, quiet_settings, write_footage
from tests.support.service_site import Site, running

needs_gradio = pytest.mark.skipif(find_spec("gradio") is None, reason="the extra gradio is not installed")
_PATIENCE_S = 120.0
"""Gradio is loaded by the first request."""


@pytest.fixture
def page(tmp_path: Path) -> Generator[tuple[GradioPage, Service]]:
    """A page over a queue whose jobs wait."""
    service = Service.open(tmp_path / "service", quiet_settings(), works=False)
    yield GradioPage(service, AssetStore(service.store, service.uploads, 1 << 30, service.side_work.facts)), service
    service.close()


@pytest.fixture
def footage(tmp_path: Path) -> Path:
    write_footage(tmp_path / "in")
    return tmp_path / "in"


def _values(page: GradioPage, toml: str = "", **given: Any) -> list[Any]:
    """What the settings' fields hold."""
    return [*(given.get(one.name.replace(".", "_")) for one in page.settings), toml]


def test_fields_become_columns_of_a_job(page: tuple[GradioPage, Service], footage: Path) -> None:
    """What is filled in counts, with its type; what is empty does not; the files are uploads of the service's own."""
    form, service = page
    values = _values(form, "detect.stride = 2", encode_quality="20", composite_grain="false", restore_strength="0.5")
    jobs = form.dub(str(footage / "v.mp4"), str(footage / "s.wav"), "fast", " left ", *values)
    job_id, state, shown = next(jobs)
    jobs.close()
    job = service.job(job_id)
    assert (state, shown) == ("Waiting.", None)
    assert (job.door, job.name) == ("gradio", "v-dubbed")
    assert Path(str(job.columns["video"])).parent == service.uploads
    kept = {name: value for name, value in job.columns.items() if name not in ("id", "output", "video", "audio")}
    assert kept == {
        "preset": "fast",
        "faces": "left",
        "encode.quality": 20,
        "composite.grain": False,
        "restore.strength": 0.5,
        "detect.stride": 2,
    }


def test_a_text_takes_the_audios_place(page: tuple[GradioPage, Service], footage: Path) -> None:
    """A job of the speech tab has a text and a voice, and no audio."""
    form, service = page
    jobs = form.speak(str(footage / "v.mp4"), " Good day. ", "en", "as the server", "", *_values(form))
    columns = service.job(next(jobs)[0]).columns
    jobs.close()
    assert (columns["text"], columns["voice"]) == ("Good day.", "en")
    assert "audio" not in columns


def test_what_is_missing_is_said(page: tuple[GradioPage, Service], footage: Path) -> None:
    """A missing file, an empty text, an address in its place and TOML that is none are sentences; no job is made."""
    form, service = page
    video, audio = str(footage / "v.mp4"), str(footage / "s.wav")
    for video_given, audio_given, what in (
        (None, audio, "the video: is missing"),
        (video, None, "the audio: is missing"),
    ):
        with pytest.raises(RequestError, match=what):
            next(form.dub(video_given, audio_given, "", "", *_values(form)))
    with pytest.raises(SettingsError, match="not TOML"):
        next(form.dub(video, audio, "", "", *_values(form, "stride")))
    for text, what in (("  ", "is empty"), ("@/etc/passwd", "begins with @")):
        with pytest.raises(RequestError, match=what):
            next(form.speak(video, text, "", "", "", *_values(form)))
    with pytest.raises(RequestError, match="none was started"):
        form.cancel("")
    assert service.counts()["pending"] == 0


def test_a_cancelled_job_ends_the_watch(page: tuple[GradioPage, Service], footage: Path) -> None:
    """A page that watches a job hears that it was cancelled, and shows no video."""
    form, service = page
    jobs = form.dub(str(footage / "v.mp4"), str(footage / "s.wav"), "", "", *_values(form))
    job_id = next(jobs)[0]
    assert form.cancel(job_id) == "Cancelled."
    assert list(jobs) == [(job_id, "Cancelled.", None)]
    assert list(JobWatch(service, job_id).until_end()) == []


def test_a_failed_job_says_why_without_paths(page: tuple[GradioPage, Service], footage: Path) -> None:
    """The reason stands in place of the progress; folders of the server do not."""
    form, service = page
    jobs = form.dub(str(footage / "v.mp4"), str(footage / "s.wav"), "", "", *_values(form))
    job = service.job(next(jobs)[0])
    service._change(job, status="failed", code="no_face", message=f"{service.folder}/uploads/a: no face found")
    assert list(jobs) == [(job.id, "Failed: uploads/a: no face found", None)]


def test_without_the_extra_it_is_said_how(page: tuple[GradioPage, Service], monkeypatch: pytest.MonkeyPatch) -> None:
    """Asked for by name, the page says which extra it needs."""
    monkeypatch.setitem(sys.modules, "gradio", None)
    with pytest.raises(SetupError, match=r"pip install 'lipwise-ray\[gradio\]'"):
        launch_page()
    with pytest.raises(SetupError, match="gradio is not installed"):
        make_page(page[1], None)  # type: ignore[arg-type]


def test_a_server_without_the_extra_serves_the_rest(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The page's address says what is missing; other addresses answer."""
    monkeypatch.setattr("lipwise_ray.service.gradio_door.is_gradio_installed", lambda: False)
    with running(tmp_path, doors=[gradio_door()]) as site:
        answer = site.asked("GET", "/gradio/")
        assert answer.status_code == 404
        assert "pip install 'lipwise-ray[gradio]'" in answer.json()["message"]
        assert site.asked("GET", "/healthz").status_code == 200


def test_the_page_needs_the_key_where_the_server_does(tmp_path: Path) -> None:
    """Without the key nothing of the page answers."""
    with running(tmp_path, host="0.0.0.0", doors=[gradio_door()]) as site:
        for path in ("/gradio/", "/gradio/config", "/gradio/gradio_api/upload"):
            assert requests.get(f"http://127.0.0.1:{site.port}{path}", timeout=20).status_code == 401


async def _answered(*_: object) -> None:
    """An application that says nothing."""


def test_only_notebooks_may_frame_the_page() -> None:
    """The page of a server stands in no frame; that of a notebook has to."""
    assert "frame-ancestors 'none'" in PagePolicy(_answered)._policy
    assert "frame-ancestors" not in PagePolicy(_answered, is_framed=True)._policy


def _loaded(site: Site) -> requests.Response:
    return requests.get(f"{site.url}/gradio/", timeout=_PATIENCE_S)


@needs_gradio
@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")  # Gradio's own
def test_gradios_client_finishes_a_job(tmp_path: Path, footage: Path) -> None:
    """By the real client a job is done and its video comes back; no file of the server does; errors are sentences."""
    from gradio_client import Client, handle_file

    with running(tmp_path / "service", *QUIET, doors=[gradio_door()], works=True) as site:
        answer = _loaded(site)
        assert answer.status_code == 200
        assert "'unsafe-eval'" not in answer.headers["content-security-policy"]
        assert "frame-ancestors 'none'" in answer.headers["content-security-policy"]
        for path in ("/etc/passwd", site.folder / "token", site.folder / "service.toml", Path(__file__)):
            assert requests.get(f"{site.url}/gradio/gradio_api/file={path}", timeout=20).status_code in (403, 404)
        client = Client(f"{site.url}/gradio/", verbose=False, analytics_enabled=False)
        form = GradioPage(site.service, site.door.assets)
        fields = ["as the server", "", *[None if "number" in one.kind else "" for one in form.settings], ""]
        video, audio = handle_file(footage / "v.mp4"), handle_file(footage / "s.wav")
        job_id, state, shown = client.predict(video, audio, *fields, api_name="/dub")
        assert state == "Done."
        assert site.service.job(job_id).door == "gradio"
        assert Path(shown["video"] if isinstance(shown, dict) else shown).stat().st_size > 0
        with pytest.raises(Exception, match=r"the audio: is missing\. Choose a file"):
            client.predict(video, None, *fields, api_name="/dub")


@needs_gradio
@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")  # Gradio's own
def test_the_page_stands_alone(tmp_path: Path) -> None:
    """In a notebook it has a queue and an address of its own on this machine, and lets go of both."""
    with launch_page(tmp_path / "page", quiet_settings(), inline=False) as page:
        assert page.url.startswith("http://127.0.0.1:")
        answer = requests.get(page.url, timeout=_PATIENCE_S)
        assert answer.status_code == 200
        assert "connect-src 'self'" in answer.headers["content-security-policy"]
        assert "fonts.googleapis.com" not in answer.headers["content-security-policy"]
    with pytest.raises(requests.ConnectionError):
        requests.get(page.url, timeout=5)
    Service.open(tmp_path / "page", quiet_settings(), works=False).close()
