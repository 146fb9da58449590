"""Many pages of the studio in one browser, which opens six connections to a server."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from lipwise_ray.service.studio.studio_door import studio_door
from tests.support.service import QUIET, draft, write_footage
from tests.support.service_site import running
from tests.support.studio import chromium

_SEE = """(is_hidden) => {
  Object.defineProperty(document, "hidden", { get: () => is_hidden, configurable: true });
  document.dispatchEvent(new Event("visibilitychange"));
}"""
"""As a browser does with a tab that comes to the front or leaves it, which one without a window never does."""


@pytest.mark.slow
def test_tabs_in_the_background_hold_no_connection(tmp_path: Path) -> None:
    """The ninth opens like the first; one that is seen again shows what came meanwhile."""
    with running(tmp_path / "s", *QUIET, doors=[studio_door()]) as site, chromium() as browser:
        service = site.service
        write_footage(service.uploads)
        first = service.submit(draft(service.uploads))
        tabs: list[Any] = []
        window = browser.new_context()
        for number in range(9):
            tab = window.new_page()
            tab.goto(site.url + ("/queue" if number % 2 == 0 else f"/rows/{first.id}"), timeout=20_000)
            tab.evaluate(_SEE, True)
            tabs.append(tab)
        later = service.submit(draft(service.uploads))
        tabs[0].evaluate(_SEE, False)
        tabs[0].wait_for_selector(f"#job-{later.id}", timeout=20_000)
        service.cancel(first.id)
        tabs[1].evaluate(_SEE, False)
        tabs[1].wait_for_selector("text=Retry", timeout=20_000)


@pytest.mark.slow
def test_pages_listen_again_after_a_refusal(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Browsers give a stream up that is answered with 429 or 503, as while a server starts behind a proxy."""
    with running(tmp_path / "s", *QUIET, doors=[studio_door()]) as site, chromium() as browser:
        assert site.server is not None
        hub = site.server._app._hub
        monkeypatch.setattr(hub, "_most", 0)
        write_footage(site.service.uploads)
        page = browser.new_page()
        with page.expect_response(lambda answer: answer.url.endswith("/events")) as refused:
            page.goto(f"{site.url}/queue")
        assert refused.value.status == 429
        monkeypatch.setattr(hub, "_most", 10)
        job = site.service.submit(draft(site.service.uploads))
        page.wait_for_selector(f"#job-{job.id}", timeout=20_000)
