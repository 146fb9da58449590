"""The pages of runs in a browser: as they are read, filtered, and with what a reader cannot see."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support.service_site import running
from tests.support.studio_runs import DOOR, dubbed_run

_CHROMIUM = Path("/usr/bin/chromium")
pytestmark = pytest.mark.slow


@pytest.fixture
def browser() -> Iterator[Any]:
    sync = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    if not _CHROMIUM.exists():
        pytest.skip("Debian's Chromium is not installed")
    with sync.sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=str(_CHROMIUM), args=["--no-sandbox"])
        yield chromium
        chromium.close()


def test_runs_are_read_and_rows_are_chosen(browser: Any, tmp_path: Path) -> None:
    """The checker axe finds no fault, light and dark, wide and narrow; filters act as they are set."""
    axe = pytest.importorskip("axe_playwright_python.sync_playwright", reason="axe is not installed")
    run_id = dubbed_run(tmp_path).run_id
    dubbed_run(tmp_path, "again")
    with running(tmp_path / "served", doors=[DOOR]) as site:
        for scheme, width in (("light", 1400), ("dark", 400)):
            page = browser.new_context(color_scheme=scheme, viewport={"width": width, "height": 900}).new_page()
            complaints: list[str] = []
            page.on("console", lambda line, kept=complaints: kept.append(line.text) if line.type == "error" else None)
            for address in ("/runs", f"/runs/{run_id}"):
                page.goto(site.url + address)
                assert axe.Axe().run(page).response["violations"] == []
                assert page.evaluate("document.documentElement.scrollWidth") <= width
            page.get_by_label("tag").select_option("news")
            page.wait_for_url("**tag=news**")
            page.wait_for_function("document.querySelectorAll('#rows tbody tr').length === 2")
            page.get_by_label("text in the id").fill("ben")
            page.wait_for_url("**text=ben**")
            page.wait_for_function("document.querySelectorAll('#rows tbody tr').length === 1")
            page.get_by_text("Show all").click()
            page.wait_for_function("document.querySelectorAll('#rows tbody tr').length === 3")
            assert complaints == []
