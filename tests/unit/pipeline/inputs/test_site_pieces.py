"""Seconds of a video beside which nothing of it is fetched."""

from __future__ import annotations

from dataclasses import replace

import pytest

from lipwise_ray.pipeline.dubbing.job import JobSpec
from lipwise_ray.pipeline.inputs.site_pieces import UsedSeconds, used_seconds
from lipwise_ray.pipeline.manifest.speakers import Speaker
from lipwise_ray.settings.layers import resolve

USED = UsedSeconds(2.0, 4.0)
SPEC = JobSpec("a", "v", "s", "o.mp4", "/o/o.mp4", None, 2.0, 4.0, None, (), resolve([]))


@pytest.mark.parametrize(
    ("select", "speakers", "used"),
    [
        ("largest", (), USED),
        ("at:60,10,20", (), None),
        ("largest", ("left", "at:60,10,20"), None),
        ("at:60,10,20", ("left", "right"), USED),  # speakers' rules stand in place of that one
    ],
)
def test_a_numbered_frame_needs_the_whole(select: str, speakers: tuple[str, ...], used: UsedSeconds | None) -> None:
    """Frames count from the first of the whole video, which a part of it does not tell."""
    settings = resolve([("test", {"faces": {"select": select}})])
    spec = replace(SPEC, settings=settings, speakers=tuple(Speaker(one, "s") for one in speakers))
    assert used_seconds(spec, settings) == spec.used_seconds == used
