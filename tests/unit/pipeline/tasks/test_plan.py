"""Plans that are made, found again, and made again."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from lipwise_ray.pipeline.flows.task_kinds import PlanPayload, RenderPayload
from lipwise_ray.pipeline.tasks.plan import plan
from lipwise_ray.pipeline.tasks.render import render
from lipwise_ray.state import layout
from lipwise_ray.values import Span
from tests.support.task_context import NOTHING_KNOWN, Bench


def test_a_plan_tells_its_chunks_and_which_are_done(tmp_path: Path) -> None:
    """A run that goes on renders the other ones alone."""
    bench = Bench(tmp_path)
    payload = PlanPayload(bench.row, bench.probed())
    found = plan(bench.context, payload, NOTHING_KNOWN)
    assert (found.chunks, found.done) == ((Span(0, 10), Span(10, 20)), ())
    render(bench.context, RenderPayload(bench.row, payload.probed, 1), NOTHING_KNOWN)
    assert plan(bench.context, payload, NOTHING_KNOWN).done == (1,)


def test_a_damaged_plan_is_made_again_and_is_the_same(tmp_path: Path) -> None:
    """A record that a crash of the machine cut off does not end its job."""
    bench = Bench(tmp_path)
    payload = PlanPayload(bench.row, bench.probed())
    plan(bench.context, payload, NOTHING_KNOWN)
    key = layout.plan(payload.probed.job_id)
    whole = bench.store.read(key)
    bench.store.write(key, b'{"chunks":')
    assert plan(bench.context, payload, NOTHING_KNOWN).chunks == (Span(0, 10), Span(10, 20))
    assert bench.store.read(key) == whole


def test_lost_pauses_are_found_again(tmp_path: Path) -> None:
    """What the detector heard is kept beside the mel; a state that has lost it, or a damaged one, hears it again."""
    bench = Bench(tmp_path, {"vad": "silero_vad"})
    payload = PlanPayload(bench.row, bench.probed())
    kept = bench.store.names(f"{layout.SOUNDS}/{payload.probed.identity['audio']}")
    (key,) = [name for name in kept if "/speech-" in name]
    with np.load(bench.store.root / key) as record:
        assert record["probability"].shape == (25,)  # 0.8 s
    for change in (bench.store.remove, lambda key: bench.store.write(key, b"damaged")):
        change(key)
        bench.store.remove(layout.plan(payload.probed.job_id))
        assert len(plan(bench.context, payload, NOTHING_KNOWN).chunks) == 2
        assert bench.store.size(key) > 100


def test_a_plan_without_its_scans_says_what_is_missing(tmp_path: Path) -> None:
    """The row goes back to find the faces, instead of failing."""
    bench = Bench(tmp_path, {"detector": "tiny_detector"}, faces={"select": "largest"}, detect={"detector": "tiny"})
    found = plan(bench.context, PlanPayload(bench.row, bench.probed()), NOTHING_KNOWN)
    assert found.chunks == ()
    assert "the records of its scan are incomplete in the state (0 of 2 chunks)" in found.missing
