"""Settings of the processes beside a web server, for tests that start them."""

from __future__ import annotations

from pathlib import Path

from lipwise_ray.runs.load_settings import load_settings
from lipwise_ray.service.side_messages import BeginSideWork
from tests.support.dub import PASSTHROUGH

DEMO = Path(__file__).parents[2] / "manifests" / "demo"
"""The one folder of this machine that their clients may read."""

_SETTINGS = (
    'detect.detector="tiny"',
    PASSTHROUGH,
    "faces.select=box:30,90,60,120",
    'score.judge="none"',
    f"paths.roots=['{DEMO}']",
)


def begin_side_work(folder: Path) -> BeginSideWork:
    """Return their first message, with uploads and what is made in a folder."""
    source = load_settings(assignments=_SETTINGS)
    return BeginSideWork(
        presets=str(source.presets),
        preset=source.preset,
        layers=tuple((where, dict(values)) for where, values in source.layers),
        uploads=str(folder / "uploads"),
        folder=str(folder / "side"),
    )
