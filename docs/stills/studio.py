"""Stills of the studio, which dubs clips of the demo as a person has it do so."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from docs.stills import pages
from lipwise_ray.resources import jobs_folder

if TYPE_CHECKING:
    from playwright.sync_api import Page

_WIDTH_PX, _HEIGHT_PX = 1200, 900
_LISTENING = "listening on "


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
        row = _submit(page)
        for name in ("presenter", "cuts"):
            _fill(page, address, clips, name)
            _submit(page)
        page.goto(f"{address}/queue")
        page.locator('.badge[data-status="completed"]').first.wait_for()
        pages.shoot(page, pictures / "studio-queue.webp")
        page.goto(row)
        page.wait_for_function("[...document.querySelectorAll('video')].every((one) => one.readyState > 3)")
        page.locator('[data-part="seek"]').fill("3")
        page.wait_for_function("[...document.querySelectorAll('video')].every((one) => one.readyState > 3)")
        pages.shoot(page, pictures / "studio-row.webp")


def _fill(page: Page, address: str, clips: Path, name: str) -> None:
    page.goto(address)
    page.set_input_files("#video-file", clips / f"{name}.mp4")
    page.set_input_files("#audio-file", clips / f"{name}.m4a")
    page.locator("#plan dt", has_text="frames").wait_for()


def _submit(page: Page) -> str:
    """Submit a form, and return the address of its row's page."""
    page.click("#new button[type=submit]")
    page.wait_for_url("**/rows/*")
    return page.url


@contextmanager
def _served(folder: Path) -> Generator[str]:
    """Run a service with the demo's settings; yield its address.

    Raises:
        RuntimeError: It ended before it listened.
    """
    options = ["--port", "0", "--job", str(jobs_folder() / "demo.toml"), "--set", "engine.kind=inline"]
    command = [sys.executable, "-m", "lipwise_ray", "serve", str(folder), *options]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        try:
            listening = next((line for line in process.stdout if line.startswith(_LISTENING)), None)
            if listening is None:
                raise RuntimeError("the service ended before it listened; it said why above")
            yield listening.removeprefix(_LISTENING).partition(";")[0].strip()
        finally:
            process.terminate()
