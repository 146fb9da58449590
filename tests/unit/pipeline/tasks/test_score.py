"""Scores of rendered chunks."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any, NoReturn

import numpy as np
import pytest

from lipwise_ray.pipeline.dubbing.task_parts import Probed, RenderedSegment
from lipwise_ray.pipeline.flows.task_kinds import PlanPayload, RenderPayload, ScorePayload
from lipwise_ray.pipeline.quality import kept_lips
from lipwise_ray.pipeline.quality.sync_scores import MEASURES, Distances
from lipwise_ray.pipeline.tasks.context import TaskContext
from lipwise_ray.pipeline.tasks.plan import plan
from lipwise_ray.pipeline.tasks.render import render
from lipwise_ray.pipeline.tasks.score import score
from lipwise_ray.state import layout
from lipwise_ray.state.markers import commit, drop_marker, marker_of
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


def _rendered(bench: Bench) -> tuple[Probed, int]:
    """Render all chunks; return what tasks are told, and how many there are."""
    probed = bench.probed()
    chunks = len(plan(bench.context, PlanPayload(bench.row, probed), NOTHING_KNOWN).chunks)
    for chunk in range(chunks):
        render(bench.context, RenderPayload(bench.row, probed, chunk), NOTHING_KNOWN)
    return probed, chunks


def _kept(bench: Bench) -> list[Path]:
    return sorted(bench.context.scratch.iterdir())


def _scored(bench: Bench, context: TaskContext, probed: Probed, chunks: int) -> list[Distances]:
    """Return the distances of all chunks, scored anew."""
    for key in [*bench.store.names(layout.scores(probed.job_id))]:
        bench.store.remove(key)
    for chunk in range(chunks):
        assert score(context, ScorePayload(bench.row, probed, chunk), NOTHING_KNOWN).missing == ()
    return [_distances(bench, probed.job_id, chunk) for chunk in range(chunks)]


def _no_segment(*_: object) -> NoReturn:
    raise AssertionError("a segment was decoded for its score")


def _assert_same(found: list[Distances], wanted: list[Distances]) -> None:
    for one, other in zip(found, wanted, strict=True):
        assert one.segments == other.segments
        for measure in ("at", *MEASURES):
            np.testing.assert_array_equal(getattr(one, measure), getattr(other, measure))


@pytest.mark.parametrize(
    "sections",
    [
        pytest.param({}, id="as it is"),
        pytest.param({"score": {**JUDGED, "stride": 3}}, id="every third window"),
        pytest.param({"source": {"rotate": 90}}, id="rotated"),
        pytest.param({"source": {"crop": (4, 117, 6, 149)}}, id="of an odd size"),
        pytest.param({"chunk": {"frames": 3}}, id="windows over three chunks"),
        pytest.param({"engine": {"verify_segments": "beside"}}, id="proved while it is written"),
    ],
)
def test_lips_cropped_while_a_segment_is_proved_score_like_those_read_from_it(
    tmp_path: Path, sections: dict[str, Any]
) -> None:
    """To the last bit, and the images too; then no segment is decoded for a score, and nothing stays behind."""
    bench = Bench(tmp_path, {"judge": "tiny_judge"}, **{"score": JUDGED, **sections})
    probed, chunks = _rendered(bench)
    assert len(_kept(bench)) == chunks + 1  # the image's
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("lipwise_ray.pipeline.quality.score_chunk.segment_frames", _no_segment)
        kept = _scored(bench, bench.context, probed, chunks)
    assert _kept(bench) == []
    image = bench.store.read(layout.still(probed.job_id, "after"))
    _assert_same(_scored(bench, bench.context, probed, chunks), kept)
    assert sum(len(one.at) for one in kept) > 0
    assert bench.store.read(layout.still(probed.job_id, "after")) == image


def test_another_machine_scores_the_same(tmp_path: Path) -> None:
    """It has no crops and decodes the segments; so does one that has lost them, or half of a file."""
    bench = _bench(tmp_path)
    probed, chunks = _rendered(bench)
    (tmp_path / "elsewhere").mkdir()
    other = _scored(bench, replace(bench.context, scratch=tmp_path / "elsewhere"), probed, chunks)
    first, second, still = sorted(_kept(bench), key=lambda path: (path.stem.endswith("still-lips"), path.name))
    first.write_bytes(first.read_bytes()[: first.stat().st_size // 2])
    second.unlink()
    still.write_bytes(b"")
    _assert_same(_scored(bench, bench.context, probed, chunks), other)


def test_crops_of_another_segment_are_not_taken(tmp_path: Path) -> None:
    """A chunk whose segment is another one by now is scored by the lips in that, whatever was kept."""
    bench = _bench(tmp_path)
    (tmp_path / "coarse").mkdir()
    coarse = Bench(tmp_path / "coarse", {"judge": "tiny_judge"}, score=JUDGED, encode={"quality": 45})
    probed, chunks = _rendered(bench)
    fine = _scored(bench, replace(bench.context, scratch=tmp_path), probed, chunks)
    elsewhere, _ = _rendered(coarse)
    for chunk in range(chunks):
        made = marker_of(coarse.store, elsewhere.job_id, chunk)
        assert made is not None
        there = replace(made, segment=layout.segment(probed.job_id, chunk, made.attempt))
        copy, segment = tmp_path / "copy.mkv", coarse.store.fetch(made.segment)
        assert segment is not None
        copy.write_bytes(segment.read_bytes())
        bench.store.put_file(there.segment, copy)
        drop_marker(bench.store, probed.job_id, chunk)
        commit(bench.store, probed.job_id, chunk, there)
    found = _scored(bench, bench.context, probed, chunks)
    wanted = _scored(coarse, coarse.context, elsewhere, chunks)
    assert _kept(bench) == []
    for one, other, before in zip(found, wanted, fine, strict=True):
        np.testing.assert_array_equal(one.after, other.after)
        assert (one.after != before.after).any()


def test_crops_have_a_bound(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The oldest make room for others; what is larger than the bound by itself is not kept."""
    a_chunk_bytes = 10 * 96 * 96 * 3
    monkeypatch.setattr(kept_lips, "MOST_BYTES", a_chunk_bytes * 3 // 2)
    bench = _bench(tmp_path)
    probed, _ = _rendered(bench)
    (crops,) = (path for path in _kept(bench) if path.stat().st_size == a_chunk_bytes)
    assert crops.name.split("-")[2] == "1"
    for path in _kept(bench):
        path.unlink()
    monkeypatch.setattr(kept_lips, "MOST_BYTES", a_chunk_bytes - 1)
    drop_marker(bench.store, probed.job_id, 0)
    render(bench.context, RenderPayload(bench.row, probed, 0), NOTHING_KNOWN)
    assert _kept(bench) == []


def test_a_crop_that_fails_costs_no_chunk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A disk that takes no more, say: the segment is committed, and its score reads it."""

    def refuse(*_: object) -> NoReturn:
        raise OSError(28, "No space left on device")

    bench = _bench(tmp_path)
    with monkeypatch.context() as patch:
        patch.setattr("lipwise_ray.pipeline.quality.segment_lips.segment_recipe", refuse)
        probed, chunks = _rendered(bench)
    assert _kept(bench) == []
    assert all(len(one.at) for one in _scored(bench, bench.context, probed, chunks))
