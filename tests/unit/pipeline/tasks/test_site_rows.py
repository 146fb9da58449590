"""Rows whose video is a page of a site: what tasks make of a part is what they make of the whole."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import av
import numpy as np
import pytest

from lipwise_ray.pipeline.flows.task_kinds import PlanPayload, ProbePayload, RenderPayload
from lipwise_ray.pipeline.inputs.resolver import Media
from lipwise_ray.pipeline.tasks.plan import plan
from lipwise_ray.pipeline.tasks.probe import probe
from lipwise_ray.pipeline.tasks.render import render
from tests.support.pieced_film import film, page_of
from tests.support.task_context import NOTHING_KNOWN, Bench
from tests.support.video_site import media_of, serving

pytest.importorskip("yt_dlp", reason="the extra `web` is not installed")

START_S, END_S = 5.25, 5.75


def _rendered(folder: Path, video: str, media: Media) -> tuple[str, list[np.ndarray]]:
    """The id of a row's video, and the frames of its only chunk, at the film's own rate, as its tasks made them."""
    folder.mkdir()
    bench = Bench(folder, faces={"select": "box:8,40,8,40"}, timing={"length": "video"})
    context = replace(bench.context, media=media)
    row = bench.with_spec(video=video, start_s=START_S, end_s=END_S)
    found = probe(context, ProbePayload(row), NOTHING_KNOWN)
    assert found.to_do is not None
    probed = found.to_do.probed
    assert len(plan(context, PlanPayload(row, probed), NOTHING_KNOWN).chunks) == 1
    render(context, RenderPayload(row, probed, 0), NOTHING_KNOWN)
    segments = [path for path in (folder / "state").rglob("*.mkv") if path.is_file()]
    assert len(segments) == 1
    with av.open(str(segments[0])) as container:
        return probed.video_id, [frame.to_ndarray() for frame in container.decode(video=0)]


@pytest.mark.slow
def test_a_row_of_a_part_is_rendered_like_one_of_the_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The same frames to the bit, of a file that begins four seconds later."""
    with serving() as site:
        site.films = {"apart": film("apart")}
        media = media_of(site, tmp_path / "cache", monkeypatch)
        address = f"{site.root}/{page_of('apart')}"
        part_id, of_part = _rendered(tmp_path / "part", address, media)
        assert not [path for path, _ in site.asked if path.endswith(("v09.ts", "v02.ts"))]
        whole = media.local(address, media.identity(address))
        whole_id, of_whole = _rendered(tmp_path / "whole", str(whole), media)
    assert part_id != whole_id
    assert len(of_part) == 5
    assert all(np.array_equal(one, other) for one, other in zip(of_part, of_whole, strict=True))
