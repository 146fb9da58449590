"""Stills of pages, taken by the system's Chromium."""

from __future__ import annotations

import shutil
from collections.abc import Generator
from contextlib import contextmanager
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING

from PIL import Image

if TYPE_CHECKING:
    from playwright.sync_api import Page

_WITHOUT = "folder => { document.body.innerHTML = document.body.innerHTML.replaceAll(folder, '') }"
_NAMES = ("chromium", "chromium-browser", "google-chrome")
_PATIENCE_MS = 180_000


def browser() -> str | None:
    """Return the path of the system's browser; None where there is none."""
    return next(filter(None, map(shutil.which, _NAMES)), None)


@contextmanager
def opened(program: str, width_px: int, height_px: int) -> Generator[Page]:
    """Open an empty page.

    Args:
        program: The browser.
        width_px: Width of the window.
        height_px: Its height.
    """
    from playwright.sync_api import sync_playwright

    with sync_playwright() as started:
        chromium = started.chromium.launch(executable_path=program, args=["--no-sandbox"])
        page = chromium.new_page(viewport={"width": width_px, "height": height_px}, color_scheme="light")
        page.set_default_timeout(_PATIENCE_MS)
        try:
            yield page
        finally:
            chromium.close()


def shoot(page: Page, still: Path) -> None:
    """Write what a page shows.

    Args:
        page: The page.
        still: File to write, WebP.
    """
    with Image.open(BytesIO(page.screenshot())) as image:
        image.convert("RGB").save(still, quality=80, method=6)


def take(
    page_file: Path, heading: str, folder: Path, still: Path, program: str, width_px: int = 800, height_px: int = 900
) -> None:
    """Take a still of a page from a heading on, without names of this machine's folders.

    Args:
        page_file: The page, a file with all that it shows.
        heading: Words of the heading.
        folder: Folder of the files that the page names: they are shown without it.
        still: File to write, WebP.
        program: The browser.
        width_px: Width of the window.
        height_px: Its height.
    """
    with opened(program, width_px, height_px) as page:
        page.goto(page_file.resolve().as_uri())
        page.evaluate(_WITHOUT, f"{folder}/")
        page.get_by_role("heading", name=heading).evaluate("one => one.scrollIntoView()")
        shoot(page, still)
