"""Gradio's page of a server that needs its key: a browser that gave it, and a program that sends it."""

from __future__ import annotations

from collections.abc import Generator
from importlib.util import find_spec
from pathlib import Path

import pytest

from lipwise_ray.service.gradio_door import gradio_door
from lipwise_ray.service.gradio_page import GradioPage
from lipwise_ray.service.studio.studio_door import studio_door
from tests.support.service import QUIET, write_footage
from tests.support.service_site import Site, running
from tests.support.studio import chromium

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(find_spec("gradio") is None, reason="the extra gradio is not installed: no Gradio page"),
    pytest.mark.filterwarnings("ignore"),  # Gradio's own
]
_PATIENCE_MS = 120_000


@pytest.fixture(scope="module")
def footage(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("footage")
    write_footage(folder)
    return folder


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Generator[Site]:
    folder = tmp_path_factory.mktemp("gradio") / "s"
    doors = [studio_door(), gradio_door()]
    with running(folder, *QUIET, public_url="https://dub.example.org", doors=doors, works=True) as found:
        yield found


def test_a_browser_dubs_by_the_page_once_it_has_given_the_key(site: Site, footage: Path) -> None:
    """The page leads to the key, opens by its cookie, and then uploads, events and the video all go by that cookie."""
    expect = pytest.importorskip("playwright.sync_api", reason="needs the package playwright").expect
    complaints: list[str] = []
    with chromium() as browser:
        page = browser.new_page(viewport={"width": 1400, "height": 900})
        page.set_default_timeout(_PATIENCE_MS)
        page.goto(f"{site.url}/gradio/")
        page.fill("#key", site.token)
        page.on("pageerror", lambda error: complaints.append(str(error)))
        page.on(
            "response", lambda one: complaints.append(f"{one.status} {one.url}") if one.status in (401, 403) else None
        )
        page.click("button.main")
        page.wait_for_url("**/gradio/")
        page.get_by_role("tab", name="Video and audio").click()
        page.locator("input[type=file][accept*=video]").set_input_files(str(footage / "v.mp4"))
        page.locator("video").wait_for()
        page.locator("input[type=file][accept*=audio]").set_input_files(str(footage / "s.wav"))
        page.get_by_text("0:00").first.wait_for()  # the player of the sound
        page.get_by_role("button", name="Dub", exact=True).click()
        expect(page.get_by_label("Progress")).to_have_value("Done.", timeout=_PATIENCE_MS)
        (job,) = (site.service.job(one.id) for one in site.service.find())
        assert (job.door, job.status) == ("gradio", "completed")
        assert job.columns.keys() == {"id", "output", "video", "audio"}  # what is left empty is as the server has it
        expect(page.locator("video").nth(1)).to_have_js_property("readyState", 4)  # the dubbed one can be played
    assert not complaints


def test_a_program_dubs_by_the_page_with_the_key(site: Site, footage: Path) -> None:
    """Gradio's own client sends the key as a header; without it nothing of the page is told."""
    from gradio_client import Client, handle_file

    address = f"{site.url}/gradio/"
    with pytest.raises(Exception, match="credentials were not provided"):
        Client(address, verbose=False, analytics_enabled=False)
    client = Client(address, headers={"x-api-key": site.token}, verbose=False, analytics_enabled=False)
    empty = [""] * len(GradioPage(site.service, site.door.assets).settings)
    fields = ["as the server", "", *empty, ""]
    video, audio = handle_file(footage / "v.mp4"), handle_file(footage / "s.wav")
    job_id, state, shown = client.predict(video, audio, *fields, api_name="/dub")
    assert (state, site.service.job(job_id).status) == ("Done.", "completed")
    assert Path(shown["video"] if isinstance(shown, dict) else shown).stat().st_size > 0
