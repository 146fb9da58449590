"""A job as its tasks find it in the state: its video, and its plan."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from lipwise_ray.errors import StorageError
from lipwise_ray.pipeline.dubbing.job_context import known_plan, read_plan
from lipwise_ray.pipeline.dubbing.plan_record import read_plan_arrays
from lipwise_ray.state import layout
from tests.support.task_context import FRAMES, Bench


def test_a_plan_is_read_as_it_was_made(tmp_path: Path) -> None:
    """Frames, chunks and faces come back from the state, for every task after it."""
    bench = Bench(tmp_path)
    plan = read_plan(bench.store, bench.planned().job_id)
    assert plan.source.tolist() == list(range(FRAMES))
    assert [len(chunk) for chunk in plan.chunks] == [10, 10]
    (face,) = plan.faces(3)
    assert face.opacity == 1
    assert np.isin(plan.source, plan.chosen.frame).all()


def test_a_plan_that_is_gone_or_cut_off_is_none(tmp_path: Path) -> None:
    """Whoever plans makes it again; whoever needs it says that the state lost it."""
    bench = Bench(tmp_path)
    job_id = bench.planned().job_id
    arrays = bench.store.fetch(layout.plan_arrays(job_id))
    assert arrays is not None
    arrays.write_bytes(arrays.read_bytes()[:100])
    assert known_plan(bench.store, job_id) is None
    with pytest.raises(StorageError) as caught:
        read_plan(bench.store, job_id)
    assert (caught.value.code, caught.value.where) == ("no_plan", layout.plan(job_id))


def test_the_arrays_of_another_plan_are_refused(tmp_path: Path) -> None:
    """A record and arrays that do not go together would dub other frames than were planned."""
    bench = Bench(tmp_path)
    plan = read_plan(bench.store, bench.planned().job_id)
    record, path = plan.record(), tmp_path / "plan.npz"
    plan.save(path)
    assert read_plan_arrays(path, record)["source"].tolist() == list(range(FRAMES))
    record.chunks[-1][1] += 1
    with pytest.raises(ValueError, match=r"plan\.npz"):
        read_plan_arrays(path, record)
    record.chunks[-1][1] -= 1
    record.chunks[0][1] -= 1
    with pytest.raises(ValueError, match="its chunks leave gaps, or overlap"):
        read_plan_arrays(path, record)
