"""Scores of rendered chunks."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np

from lipwise_ray.pipeline.dubbing.task_parts import RenderedSegment
from lipwise_ray.pipeline.flows.task_kinds import ScorePayload
from lipwise_ray.pipeline.quality.sync_scores import Distances
from lipwise_ray.pipeline.tasks.score import score
from lipwise_ray.state import layout
from lipwise_ray.state.markers import marker_of
from lipwise_ray.state.store import load_file
from tests.support.task_context import FRAMES, NOTHING_KNOWN, Bench

JUDGED = {"judge": "tiny_judge", "stride": 1}


def _bench(folder: Path) -> Bench:
    return Bench(folder, {"judge": "tiny_judge"}, score=JUDGED)


def _distances(bench: Bench, job_id: str, chunk: int) -> Distances:
    (key,) = (one for one in bench.store.names(layout.scores(job_id)) if one.endswith(f"-{chunk:05d}.npz"))
    found = load_file(bench.store, key, Distances.load)
    assert found is not None
    return found


def test_each_window_is_scored_in_the_chunk_where_it_begins(tmp_path: Path) -> None:
    """Five frames at a time, those across a cut between chunks too; frames as they were are as far off as before."""
    bench = _bench(tmp_path)
    probed = bench.rendered()
    assert [score(bench.context, ScorePayload(bench.row, probed, n), NOTHING_KNOWN).missing for n in (0, 1)] == [(), ()]
    first, last = _distances(bench, probed.job_id, 0), _distances(bench, probed.job_id, 1)
    assert first.at.tolist() == list(range(10))
    assert last.at.tolist() == list(range(10, FRAMES - 5))
    assert sorted(first.segments) == [0, 1]  # the last windows end in the second one
    assert np.isfinite(first.after).all()
    assert np.abs(first.after - first.before).mean() < 0.05
    assert bench.store.read(layout.still(probed.job_id, "after"))


def test_a_chunk_that_waits_for_another_ones_segment_names_it(tmp_path: Path) -> None:
    """It is rendered again, and the windows that reach into it are scored then."""
    bench = _bench(tmp_path)
    probed = bench.rendered()
    bench.store.remove(layout.marker(probed.job_id, 1))
    assert score(bench.context, ScorePayload(bench.row, probed, 0), NOTHING_KNOWN).missing == (1,)


def test_scores_are_those_of_the_segments_that_are_there(tmp_path: Path) -> None:
    """A chunk that was scored is not looked at again; once its segment is gone its scores count no more."""
    bench = _bench(tmp_path)
    probed = bench.rendered()
    payload = ScorePayload(bench.row, probed, 1)
    score(bench.context, payload, NOTHING_KNOWN)
    ticks = bench.ticks
    assert score(bench.context, payload, NOTHING_KNOWN).missing == ()
    assert bench.ticks == ticks
    bench.store.remove(layout.marker(probed.job_id, 1))
    assert score(bench.context, payload, NOTHING_KNOWN).missing == (1,)


def test_segments_that_are_told_need_no_marker(tmp_path: Path) -> None:
    """Those that are not as they were told are looked for by their markers."""
    bench = _bench(tmp_path)
    probed = bench.rendered()
    markers = [marker_of(bench.store, probed.job_id, chunk) for chunk in (0, 1)]
    told = [RenderedSegment(n, one.attempt, one.sha256) for n, one in enumerate(markers) if one]
    others = (replace(told[0], sha256="0" * 64), replace(told[1], attempt="another"))
    assert score(bench.context, ScorePayload(bench.row, probed, 0, others), NOTHING_KNOWN).missing == ()
    for chunk in (0, 1):
        bench.store.remove(layout.marker(probed.job_id, chunk))
    assert score(bench.context, ScorePayload(bench.row, probed, 0, others), NOTHING_KNOWN).missing == (0, 1)
    known = _distances(bench, probed.job_id, 0)
    assert score(bench.context, ScorePayload(bench.row, probed, 0, tuple(told)), NOTHING_KNOWN).missing == ()
    again = _distances(bench, probed.job_id, 0)
    assert known.segments == again.segments == {0: told[0].sha256, 1: told[1].sha256}
    np.testing.assert_array_equal(again.after, known.after)
