"""The studio in a browser: from two files to a finished video, with the keyboard where that is asked for."""

from __future__ import annotations

import base64
import re
from collections.abc import Generator
from pathlib import Path

import pytest

from lipwise_ray.service.studio.studio_door import studio_door
from tests.support.service_site import Site, running

playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed: no test in a browser")
axe = pytest.importorskip("axe_playwright_python.sync_playwright", reason="axe-playwright-python is not installed")

CHROMIUM = Path("/usr/bin/chromium")
DEMO = Path(__file__).parents[2] / "manifests" / "demo"
SETTINGS = (
    'lipsync.model="tiny_generator"',
    'lipsync.vad="none"',
    'detect.detector="tiny"',
    'restore.model="none"',
    'score.judge="none"',
    'engine.kind="inline"',
    "composite.grain=false",
    'tts.engine="command"',
    'tts.command=["no-such-program"]',
    f'paths.roots=["{DEMO}"]',
)
PATIENCE_MS = 180_000

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not CHROMIUM.exists(), reason="Debian's Chromium is not installed: no test in a browser"),
]


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Generator[Site]:
    with running(tmp_path_factory.mktemp("studio") / "s", *SETTINGS, doors=[studio_door()], works=True) as found:
        yield found


@pytest.fixture
def page(site: Site) -> Generator[playwright.Page]:
    """A page of a browser; what its console complains of fails the test."""
    complaints: list[str] = []
    with playwright.sync_playwright() as started:
        browser = started.chromium.launch(executable_path=str(CHROMIUM), args=["--no-sandbox"])
        opened = browser.new_page(viewport={"width": 1400, "height": 900})
        opened.on("console", lambda said: complaints.append(said.text) if said.type == "error" else None)
        opened.on("pageerror", lambda error: complaints.append(str(error)))
        opened.set_default_timeout(PATIENCE_MS)
        opened.goto(site.url)
        yield opened
        browser.close()
    assert not [one for one in complaints if "status of 422" not in one]  # which the page tells


def is_accessible(page: playwright.Page) -> None:
    """Check that axe finds no serious fault."""
    found = axe.Axe().run(page).response["violations"]
    serious = [one for one in found if one["impact"] in ("serious", "critical")]
    assert not serious, [(one["id"], [node["html"] for node in one["nodes"]][:3]) for one in serious]


def drop(page: playwright.Page, source: str, file: Path) -> None:
    """Drop a file on a field, as a hand does."""
    data = page.evaluate_handle(
        """async ([name, bytes]) => {
          const data = new DataTransfer();
          data.items.add(new File([Uint8Array.from(atob(bytes), (one) => one.charCodeAt(0))], name));
          return data;
        }""",
        [file.name, base64.b64encode(file.read_bytes()).decode()],
    )
    page.dispatch_event(f'[data-source="{source}"]', "drop", {"dataTransfer": data})


def plays(page: playwright.Page, selector: str) -> float:
    """The length of a video in seconds, once the browser can show it."""
    return page.locator(selector).evaluate(
        """(video) => new Promise((resolve, reject) => {
          const told = () => resolve(video.duration);
          if (video.readyState > 0) told();
          video.addEventListener("loadedmetadata", told);
          video.addEventListener("error", () => reject(new Error(video.error.message)));
        })"""
    )


def test_a_video_goes_from_two_dropped_files_to_its_row(page: playwright.Page, site: Site) -> None:
    """Drop video and sound, pick the left face by keyboard, see five seconds, submit, watch the queue, open the row."""
    is_accessible(page)
    drop(page, "video", DEMO / "two-people.mp4")
    drop(page, "audio", DEMO / "two-people.m4a")
    page.wait_for_selector(".faces button")
    assert page.locator(".faces button").count() == 2
    page.locator(".faces button").first.focus()
    page.keyboard.press("Enter")
    rule = page.input_value("#faces")
    frame, column, _ = rule.removeprefix("at:").split(",")
    assert (frame, int(column) < 240) == ("0", True)
    page.locator("#plan dt", has_text="frames").wait_for()
    is_accessible(page)
    page.fill("#at", "100")
    page.click("#see")
    page.locator("#problem-at", has_text="past the end").wait_for()
    page.fill("#at", "1")
    page.click("#see")
    page.locator("#preview:not([hidden]), #problem-:not(:empty)").wait_for()
    assert page.text_content("#problem-") == ""
    assert re.search(r"\d+ of 125 frames", page.text_content("#preview-frames") or "")  # as last told
    assert 4.9 < plays(page, "#preview video") < 5.2
    page.click("#new button[type=submit]")
    page.wait_for_url("**/rows/*")
    job = site.service.job(page.url.rpartition("/")[2])
    assert (job.door, job.name, job.columns["faces"]) == ("studio", "two-people", rule)
    page.goto(f"{site.url}/queue")
    page.wait_for_selector(f'[data-job="{job.id}"] .badge[data-status="completed"]')  # nobody reloads the page
    is_accessible(page)
    page.click(f'[data-job="{job.id}"] th a')
    assert plays(page, '[data-video="after"]') > 6
    is_accessible(page)


def test_faces_are_chosen_of_a_video_that_is_named_by_its_place(page: playwright.Page) -> None:
    """No upload is needed where the server may read the video itself; the preview begins at the still's moment."""
    page.locator('[data-source="video"] summary').click()
    page.fill("#video_url", str(DEMO / "two-people.mp4"))
    page.keyboard.press("Tab")
    page.wait_for_selector(".faces button")
    page.locator("#moment").fill("2")
    page.locator("#faces-say", has_text="at 2 s").wait_for()
    page.locator(".faces button").last.click()
    assert page.input_value("#faces").startswith("at:")
    assert page.input_value("#at") == "2"
    page.fill("#video_url", "/etc/passwd")
    page.keyboard.press("Tab")
    page.locator("#faces-say", has_text="not read for clients").wait_for()


def test_settings_stand_as_toml_and_faults_beside_their_fields(page: playwright.Page) -> None:
    """A changed setting is written down, what is typed there moves its field, and a fault is read beside its own."""
    page.locator("#settings > summary").click()
    page.locator(".section > summary", has_text="composite").click()
    page.fill("[data-setting='composite.feather']", "0.15")
    assert page.input_value("#toml") == "[composite]\nfeather = 0.15"
    page.fill("#toml", '[composite]\nmask = "soft"')
    assert page.input_value("[data-setting='composite.mask']") == '"soft"'
    assert page.input_value("[data-setting='composite.feather']") == ""
    page.click("#new button[type=submit]")
    page.locator("#problem-video", has_text="No video was chosen").wait_for()
    assert page.evaluate("document.activeElement.id") == "video-file"
    assert page.input_value("#toml") == '[composite]\nmask = "soft"'  # nothing typed is lost
    assert page.locator("summary", has_text="Text with a voice is not offered here").count() == 1


def test_a_manifest_is_checked_as_one_types(page: playwright.Page) -> None:
    """Faults come with their line and column, on a narrow dark screen too, and nothing can be submitted."""
    page.set_viewport_size({"width": 400, "height": 900})
    page.emulate_media(color_scheme="dark")
    page.click("[data-tab=many]")
    page.fill("#manifest-text", "video,audio,language\n/etc/passwd,/etc/passwd,de")
    page.locator("#manifest-say", has_text="0 rows good; 2 faults in 1 row.").wait_for()
    assert page.locator("#manifest tbody th").first.text_content() == "2"
    assert page.is_disabled("#manifest button[type=submit]")
    assert page.evaluate("document.documentElement.scrollWidth") <= 400
    is_accessible(page)


def test_a_person_gives_the_key_in_a_browser(tmp_path: Path) -> None:
    """Where a key is needed the page asks for it, and then leads where the person was going."""
    with (
        running(tmp_path / "s", public_url="https://dub.example.org", doors=[studio_door()]) as locked,
        playwright.sync_playwright() as started,
    ):
        browser = started.chromium.launch(executable_path=str(CHROMIUM), args=["--no-sandbox"])
        page = browser.new_page()
        page.goto(f"{locked.url}/models")
        page.fill("#key", "not the key")
        page.keyboard.press("Enter")
        page.get_by_text("This is not the service's key.").wait_for()
        page.fill("#key", locked.token)
        page.keyboard.press("Enter")
        page.wait_for_url("**/models")
        assert page.locator("h1").text_content() == "Models"
        browser.close()
