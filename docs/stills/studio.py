"""Stills of the studio, which dubs clips of the demo as a person has it do so."""

from __future__ import annotations

import subprocess
import sys
import threading
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from shutil import copyfileobj
from typing import TYPE_CHECKING

from docs.stills import pages
from lipwise_ray.resources import jobs_folder

if TYPE_CHECKING:
    from playwright.sync_api import Page

_WIDTH_PX, _HEIGHT_PX = 1200, 900
_LISTENING = "listening on "
_SHOWN = """() => Promise.all([...document.querySelectorAll("video")].map((video) => new Promise((resolve) => {
  const look = () => video.readyState > 3 && !video.seeking ? resolve() : setTimeout(look, 50);
  look();
})))"""
"""Waits until all videos of a page show their frame; the pages' policy lets nothing be evaluated again and again."""


def take_studio(clips: Path, folder: Path, pictures: Path, program: str) -> None:
    """Take stills of the pages New, Queue and Row.

    Args:
        clips: Folder of the demo's clips.
        folder: Folder of the service that shows them.
        pictures: Folder of the stills.
        program: The browser.
    """
    with _served(folder) as address, pages.opened(program, _WIDTH_PX, _HEIGHT_PX) as page:
        _fill(page, address, clips, "two-people")
        page.wait_for_selector(".faces button")
        page.locator(".faces button").first.click()
        page.locator("#plan dt", has_text="frames").wait_for()
        page.evaluate("scrollTo(0, 0)")
        pages.shoot(page, pictures / "studio-new.webp")
        _submit(page)
        for name in ("presenter", "cuts"):
            _fill(page, address, clips, name)
            _submit(page)
        page.goto(f"{address}/queue")
        page.locator('.badge[data-status="completed"]').first.wait_for()
        pages.shoot(page, pictures / "studio-queue.webp")
        page.locator('tr:has(.badge[data-status="completed"]) th a').first.click()
        page.locator('[data-video="after"]').wait_for()
        page.evaluate(_SHOWN)
        page.locator('[data-part="seek"]').fill("3")
        page.evaluate(_SHOWN)
        pages.shoot(page, pictures / "studio-row.webp")


def _fill(page: Page, address: str, clips: Path, name: str) -> None:
    page.goto(address)
    page.set_input_files("#video-file", clips / f"{name}.mp4")
    page.set_input_files("#audio-file", clips / f"{name}.m4a")
    page.locator("#plan dt", has_text="frames").wait_for()


def _submit(page: Page) -> None:
    page.click("#new button[type=submit]")
    page.wait_for_url("**/rows/*")


@contextmanager
def _served(folder: Path) -> Generator[str]:
    """Run a service with the demo's settings; yield its address.

    Raises:
        RuntimeError: It ended before it listened.
    """
    options = ["--port", "0", "--job", str(jobs_folder() / "demo.toml"), "--set", "engine.kind=inline"]
    command = [sys.executable, "-m", "lipwise_ray", "serve", str(folder), *options]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as process:
        assert process.stderr is not None
        listening = next((line for line in process.stderr if line.startswith(_LISTENING)), None)
        if listening is None:
            raise RuntimeError("the service ended before it listened")
        emptied = threading.Thread(target=copyfileobj, args=(process.stderr, sys.stderr))
        emptied.start()  # a pipe that nobody empties would hold it up
        try:
            yield listening.removeprefix(_LISTENING).partition(";")[0].strip()
        finally:
            process.terminate()
            emptied.join()
