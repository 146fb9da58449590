"""A chunk that is rendered once."""

from __future__ import annotations

from pathlib import Path

import av

from lipwise_ray.pipeline.flows.task_kinds import RenderPayload
from lipwise_ray.pipeline.tasks.render import render
from lipwise_ray.scheduler.task import Hints
from lipwise_ray.state.markers import read_marker
from tests.support.task_context import CHUNK, NOTHING_KNOWN, Bench


def test_a_chunk_is_committed_and_not_rendered_again(tmp_path: Path) -> None:
    """Its segment holds its frames; another attempt finds it, though it was told that nothing is there."""
    bench = Bench(tmp_path)
    probed = bench.planned()
    payload = RenderPayload(bench.row, probed, 1)
    found = render(bench.context, payload, Hints(is_missing=True))
    assert (found.frames, found.reused, bench.ticks) == (CHUNK, False, CHUNK)
    marker = read_marker(bench.store, probed.job_id, 1)
    assert marker is not None
    segment = bench.store.fetch(marker.segment)
    with av.open(str(segment)) as container:
        assert sum(1 for _ in container.decode(video=0)) == CHUNK
    again = render(bench.context, payload, Hints(is_missing=True, may_be_done=True))
    assert (again.frames, again.reused, bench.ticks) == (CHUNK, True, CHUNK)
    assert list((tmp_path / "scratch").iterdir()) == []


def test_a_segment_that_was_cut_off_is_rendered_again(tmp_path: Path) -> None:
    """A marker alone does not make a chunk done."""
    bench = Bench(tmp_path)
    probed = bench.planned()
    payload = RenderPayload(bench.row, probed, 0)
    render(bench.context, payload, NOTHING_KNOWN)
    marker = read_marker(bench.store, probed.job_id, 0)
    assert marker is not None
    bench.store.write(marker.segment, b"cut off")
    assert not render(bench.context, payload, NOTHING_KNOWN).reused
    assert read_marker(bench.store, probed.job_id, 0) is not None


def test_original_frames_are_marked_as_such(tmp_path: Path) -> None:
    """A chunk in quarantine shows what was filmed, and its marker says so to whoever lifts it."""
    bench = Bench(tmp_path)
    probed = bench.planned()
    render(bench.context, RenderPayload(bench.row, probed, 0, original=True), NOTHING_KNOWN)
    marker = read_marker(bench.store, probed.job_id, 0)
    assert marker is not None
    assert marker.original
