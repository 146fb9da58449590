"""The studio's queue and rows in a real browser, over a real service with the demo's settings."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import pytest

from lipwise_ray.service.job_record import ServiceJob
from tests.support.service_site import Site
from tests.support.studio import chromium, ended, studio, submitted

FRAME_S = 1 / 25
pytestmark = pytest.mark.slow

_TIMES = "['before', 'after'].map((name) => document.querySelector(`[data-video=${name}]`).currentTime)"
_LIVE = "document.querySelector('#live video')"
_WAIT_S = 120.0
_QUICK = (
    "engine.keep_segments=true",
    "gate.min_sharpness=8",
    "chunk.length_s=0.6",
    'restore.model="none"',
    "composite.occlusion=false",
    'encode.preset="ultrafast"',
)
_SHORT = {"end": 2.4, "length": "video"}


@dataclass
class Shown:
    """A service with a row that was dubbed and one that failed."""

    site: Site
    done: ServiceJob
    failed: ServiceJob


@pytest.fixture(scope="module")
def shown(tmp_path_factory: pytest.TempPathFactory) -> Generator[Shown]:
    with studio(tmp_path_factory.mktemp("studio") / "s", *_QUICK) as site:
        noise = site.service.uploads / "noise.mp4"
        noise.write_bytes(bytes(range(256)) * 20)
        done = submitted(site, "presenter", **_SHORT, **{"composite.feather": 0.2})
        failed = submitted(site, "noise", video=str(noise))
        yield Shown(site, ended(site, done), ended(site, failed))


@pytest.fixture(scope="module")
def browser() -> Generator[Any]:
    with chromium() as one:
        yield one


@pytest.fixture
def page(browser: Any) -> Generator[Any]:
    """A page in which no script fails."""
    context = browser.new_context(viewport={"width": 1400, "height": 900})
    page, faults = context.new_page(), list[str]()
    page.on("pageerror", lambda error: faults.append(str(error)))
    yield page
    context.close()
    assert not faults


def _until(page: Any, expression: str) -> None:
    """Wait until it holds; the page's policy forbids the function that `wait_for_function` would put into it."""
    until = time.monotonic() + _WAIT_S
    while not page.evaluate(expression):
        assert time.monotonic() < until, expression
        page.wait_for_timeout(30)


def _opened(page: Any, shown: Shown) -> None:
    page.goto(f"{shown.site.url}/rows/{shown.done.id}")
    _until(page, "document.querySelector('[data-video=after]').readyState >= 3")
    _until(page, "document.querySelector('[data-video=before]').readyState >= 3")
    _until(page, "document.querySelector('.player').dataset.playing")


def _apart(page: Any) -> float:
    """Seconds between the two videos once both stand where they were sent."""
    _until(page, "[...document.querySelectorAll('.player video')].every((video) => !video.seeking)")
    before, after = page.evaluate(_TIMES)
    return abs(before - after)


def test_both_videos_are_on_one_clock(page: Any, shown: Shown) -> None:
    """After playing, a step and a seek by the keyboard they stand within one frame of each other."""
    _opened(page, shown)
    page.keyboard.press(" ")
    _until(page, "document.querySelector('[data-video=after]').currentTime > 1")
    page.keyboard.press(" ")
    assert _apart(page) <= FRAME_S
    _, stood = page.evaluate(_TIMES)
    page.keyboard.press(".")
    assert _apart(page) <= FRAME_S
    _, stepped = page.evaluate(_TIMES)
    assert 0 < stepped - stood <= 1.6 * FRAME_S
    page.keyboard.press("ArrowLeft")
    assert _apart(page) <= FRAME_S
    assert abs(page.evaluate(_TIMES)[1] - max(0.0, stepped - 1)) <= FRAME_S


def test_the_course_of_the_certainty_is_the_seek_bar(page: Any, shown: Shown) -> None:
    """It is as wide as the way of the thumb, and a click on it goes to that moment."""
    _opened(page, shown)
    curve = page.locator("[data-part=curve]").bounding_box()
    bar = page.locator("[data-part=seek]").bounding_box()
    assert abs(curve["x"] - bar["x"] - 8) < 1
    assert abs(curve["width"] - bar["width"] + 16) < 1
    page.mouse.click(curve["x"] + 0.25 * curve["width"], curve["y"] + 20)
    _until(page, "!document.querySelector('[data-video=after]').seeking")
    duration = page.evaluate("document.querySelector('[data-video=after]').duration")
    assert abs(page.evaluate(_TIMES)[1] - 0.25 * duration) < 0.01 * duration
    playhead = page.locator(".playhead").bounding_box()
    assert abs(playhead["x"] + playhead["width"] / 2 - curve["x"] - 0.25 * curve["width"]) < 4


def test_the_wipe_moves(page: Any, shown: Shown) -> None:
    """Its slider moves the border between the two videos, and the key w sets them beside each other."""
    _opened(page, shown)
    clip = "getComputedStyle(document.querySelector('[data-video=before]')).clipPath"
    first = page.evaluate(clip)
    page.locator("[data-part=wipe]").fill("80")
    assert page.evaluate(clip) != first
    page.locator("h1").click()
    page.keyboard.press("w")
    lefts = page.evaluate("[...document.querySelectorAll('.stage video')].map((one) => one.getBoundingClientRect().x)")
    assert lefts[1] > lefts[0]


def test_a_row_says_what_the_gate_found(page: Any, shown: Shown) -> None:
    """Its verdict and its reasons stand on the page, and its settings where it can be run again."""
    page.goto(f"{shown.site.url}/rows/{shown.done.id}")
    assert "gate: check" in page.locator("h1").inner_text()
    assert "sharpness of the mouth" in page.locator("section.warn").inner_text()
    assert "its figures are no LSE" in page.locator("[aria-label=Figures]").inner_text()
    assert page.locator("#settings").input_value() == "composite.feather = 0.2\n"


def test_a_failed_row_says_why(page: Any, shown: Shown) -> None:
    """The reason, who is at fault and the code can be read, and no folder of the server."""
    page.goto(f"{shown.site.url}/rows/{shown.failed.id}")
    told = page.locator("section.bad").inner_text()
    assert shown.failed.code is not None
    assert shown.failed.code in told
    assert "noise.mp4" in told
    assert "at fault: input" in told
    assert str(shown.site.folder) not in page.content()


def test_keys_leave_to_the_focused_element_what_is_its_own(page: Any, shown: Shown) -> None:
    """Space presses the button that has the focus and plays elsewhere; arrows move a slider that has it."""
    _opened(page, shown)
    page.locator("[data-do=loop]").focus()
    page.keyboard.press(" ")
    assert page.locator("[data-do=loop]").inner_text() == "Loop ends here"
    assert page.evaluate("document.querySelector('[data-video=after]').paused")
    page.locator("[data-part=wipe]").focus()
    page.keyboard.press("ArrowRight")
    assert page.locator("[data-part=wipe]").input_value() == "51"
    assert page.evaluate(_TIMES)[1] == 0
    page.keyboard.press("k")
    _until(page, "!document.querySelector('[data-video=after]').paused")


@contextmanager
def _standing(shown: Shown, playlist_has: str, name: str, feather: float) -> Generator[ServiceJob]:
    """Have a row rendered until its playlist has it; the driver then stands still, as the page sees it, at that."""
    job, site = submitted(shown.site, name, **_SHORT, **{"composite.feather": feather}), shown.site
    until = time.monotonic() + _WAIT_S
    while playlist_has not in site.asked("GET", f"/studio/rows/{job.id}/live.m3u8").text:
        assert time.monotonic() < until
        assert site.service.job(job.id).is_unfinished, "it was done before it could be watched"
        time.sleep(0.05)  # the service bounds how often a client may ask
    driver = site.service.driver_pid
    assert driver is not None
    os.kill(driver, signal.SIGSTOP)
    try:
        yield job
    finally:
        os.kill(driver, signal.SIGCONT)
        ended(site, job)


@pytest.mark.parametrize("has_hls", [True, False])
def test_a_row_at_work_can_be_watched(page: Any, shown: Shown, *, has_hls: bool) -> None:
    """Its first part plays, picture and sound, before the last one is rendered; with the browser's HLS or without."""
    if not has_hls:
        page.add_init_script("HTMLMediaElement.prototype.canPlayType = () => ''")
    with _standing(shown, "/0.m4s", f"live-{has_hls}", 0.21 if has_hls else 0.22) as job:
        assert "#EXT-X-ENDLIST" not in shown.site.asked("GET", f"/studio/rows/{job.id}/live.m3u8").text
        page.goto(f"{shown.site.url}/rows/{job.id}")
        _until(page, f"{_LIVE} && !{_LIVE}.hidden")
        page.evaluate(f"{_LIVE}.play()")
        _until(page, f"{_LIVE}.currentTime > 0.3 && {_LIVE}.videoWidth > 0 && {_LIVE}.webkitAudioDecodedByteCount > 0")


def test_parts_are_the_finished_video(page: Any, shown: Shown) -> None:
    """In a media source they begin at its first frame and are as long as the finished one."""
    page.add_init_script("HTMLMediaElement.prototype.canPlayType = () => ''")
    with _standing(shown, "#EXT-X-ENDLIST", "parts", 0.23) as job:
        page.goto(f"{shown.site.url}/rows/{job.id}")
        _until(page, f"{_LIVE}.buffered.length && {_LIVE}.duration < 1000")
        start, end, length = page.evaluate(f"[{_LIVE}.buffered.start(0), {_LIVE}.buffered.end(0), {_LIVE}.duration]")
        assert start < 2 * FRAME_S
        assert shown.done.duration_s is not None
        assert abs(end - shown.done.duration_s) < 0.1
        assert abs(length - shown.done.duration_s) < 0.1
        page.evaluate(f"{_LIVE}.play()")
        _until(page, f"{_LIVE}.currentTime > 0.3 && {_LIVE}.webkitAudioDecodedByteCount > 0")


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_no_page_has_a_serious_fault_for_those_who_cannot_see_it(browser: Any, shown: Shown, scheme: str) -> None:
    """axe-core finds none, at the width of a desk and of a phone; nothing is wider than the phone."""
    axe = pytest.importorskip("axe_playwright_python.sync_playwright", reason="needs axe-playwright-python")
    rows = [f"/rows/{shown.done.id}", f"/rows/{shown.failed.id}"]
    for width in (1400, 400):
        context = browser.new_context(viewport={"width": width, "height": 900}, color_scheme=scheme)
        page = context.new_page()
        for address in ["/queue", *rows, "/models", "/cluster", "/rows/none"]:
            page.goto(shown.site.url + address)
            found = axe.Axe().run(page).response["violations"]
            serious = [
                (one["id"], one["nodes"][0]["target"]) for one in found if one["impact"] in ("serious", "critical")
            ]
            assert not serious, (address, width)
            assert page.evaluate("document.documentElement.scrollWidth") <= width, address
        context.close()
