"""The studio in a browser: a service with the demo's settings and rows, and Debian's Chromium."""

from __future__ import annotations

import json
import shutil
import time
import tomllib
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from lipwise_ray.service.job_record import JobDraft, ServiceJob
from lipwise_ray.service.studio.studio_door import studio_door
from tests.conftest import ROOT
from tests.support.service_site import Site, running

CHROMIUM = Path("/usr/bin/chromium")
_DEMO = ROOT / "manifests" / "demo"
_PATIENCE_S = 240.0


def demo_assignments() -> list[str]:
    """Return the settings of the demo's job file, an assignment each."""
    tree = tomllib.loads((ROOT / "jobs" / "demo.toml").read_text())
    return [f"{section}.{key}={json.dumps(value)}" for section, keys in tree.items() for key, value in keys.items()]


@contextmanager
def studio(folder: Path, *assignments: str, works: bool = True, public_url: str | None = None) -> Generator[Site]:
    """Run a service with the studio and the demo's files among its uploads."""
    given = [*demo_assignments(), 'engine.kind="inline"', *assignments]
    with running(folder, *given, doors=(studio_door(),), works=works, public_url=public_url) as site:
        for name in ("presenter.mp4", "presenter.m4a"):
            shutil.copy(_DEMO / name, site.service.uploads / name)
        yield site


def submitted(site: Site, name: str, **columns: Any) -> ServiceJob:
    """Ask for the demo's presenter."""
    uploads = site.service.uploads
    given = {"video": str(uploads / "presenter.mp4"), "audio": str(uploads / "presenter.m4a"), **columns}
    return site.service.submit(JobDraft(columns=given, door="studio", name=name))


def ended(site: Site, job: ServiceJob) -> ServiceJob:
    """Wait for a job's end."""
    until = time.monotonic() + _PATIENCE_S
    while (now := site.service.job(job.id)).is_unfinished:
        assert time.monotonic() < until, (now, site.service.problem)
        time.sleep(0.1)
    return now


@contextmanager
def chromium() -> Generator[Any]:
    """Start Chromium without a window; a test skips where there is none."""
    playwright = pytest.importorskip("playwright.sync_api", reason="needs the package playwright")
    if not CHROMIUM.exists():
        pytest.skip("needs Chromium at /usr/bin/chromium")
    with playwright.sync_playwright() as started:
        browser = started.chromium.launch(
            executable_path=str(CHROMIUM), args=["--no-sandbox", "--autoplay-policy=no-user-gesture-required"]
        )
        try:
            yield browser
        finally:
            browser.close()
