"""Models that stay loaded: how many, which go first, and what a failed task leaves."""

from __future__ import annotations

import gc
import weakref
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lipwise_ray.backends.worker_config import WorkerConfig
from lipwise_ray.models.checkpoints import Checkpoint, Checkpoints
from lipwise_ray.models.loading import ModelRequest
from lipwise_ray.pipeline.dubbing.task_parts import Probed
from lipwise_ray.pipeline.flows.task_kinds import RENDER, RenderPayload, RenderResult
from lipwise_ray.pipeline.tasks.handlers import all_handlers
from lipwise_ray.pipeline.tasks.model_pool import ModelPool, file_bytes, room_for_models
from lipwise_ray.pipeline.tasks.models import Models
from lipwise_ray.pipeline.tasks.worker import Worker
from lipwise_ray.resources import models_folder
from lipwise_ray.roles.lipsync import LIPSYNC
from lipwise_ray.scheduler.task import Hints
from lipwise_ray.settings.layers import resolve
from tests.support.tasks import row_part


class _Batch:
    """Stands for a tensor: what a frame holds."""


@given(st.lists(st.lists(st.integers(0, 9), min_size=1, max_size=4), min_size=1, max_size=20), st.integers(1, 40))
def test_the_pool_is_bounded_and_keeps_what_a_task_uses(tasks: list[list[int]], most: int) -> None:
    """Whatever tasks ask for: a task gets the same model again, and more than the bound is kept for its sake alone."""
    pool = ModelPool(most)
    for wanted in tasks:
        pool.begin_task()
        loads = any(("role", name) not in pool for name in wanted)
        got = {name: pool.get(("role", name), _Batch, lambda name=name: name + 1) for name in wanted}
        assert all(pool.get(("role", name), _Batch, lambda: 0) is model for name, model in got.items())
        assert not loads or pool.size_bytes <= max(most, sum(name + 1 for name in got))


def test_the_least_recently_used_model_goes(tmp_path: Path) -> None:
    """A manifest of many models does not fill the memory: the one that was not used for longest is made anew."""
    bundled = models_folder() / "tiny" / "tiny_generator.safetensors"
    files = [tmp_path / f"{n}.safetensors" for n in range(3)]
    for file in files:
        file.write_bytes(bundled.read_bytes())
    checkpoints = [Checkpoints({"lipsync": Checkpoint("x", "wav2lip", file, file.stem)}) for file in files]
    settings = resolve([("test", {"lipsync": {"model": "tiny_generator"}})])
    models = Models("cpu", 1, room=lambda: 2 * file_bytes(bundled))

    def get(number: int) -> object:
        models.begin_task()
        return models.of(LIPSYNC, ModelRequest(settings, checkpoints[number]))

    first, second = get(0), get(1)
    assert get(0) is first
    get(2)
    assert get(0) is first
    assert get(1) is not second


@pytest.mark.parametrize("is_chained", [False, True])
def test_room_is_made_when_nothing_holds_the_batch_any_more(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, *, is_chained: bool
) -> None:
    """After a task that ran out of memory the frames of its exception are cleared before the allocator gives back."""
    worker = Worker(WorkerConfig(str(tmp_path / "state"), str(tmp_path / "scratch"), "cpu", 1))
    seen: list[weakref.ref[_Batch]] = []
    held_at_trim: list[bool] = []

    def compute() -> None:
        batch = _Batch()
        seen.append(weakref.ref(batch))
        raise RuntimeError("CUDA error: out of memory")

    def render(context: object, payload: object, hints: object) -> RenderResult:
        try:
            compute()
        except RuntimeError as error:
            if is_chained:
                raise MemoryError from error
            raise
        raise AssertionError

    monkeypatch.setitem(all_handlers(), RENDER, render)
    worker._models.trim = lambda: held_at_trim.append(gc.collect() >= 0 and seen[0]() is not None)  # type: ignore[method-assign]
    payload = RenderPayload(row_part(), Probed("j", {}, "v", "d"), 0)
    with pytest.raises((RuntimeError, MemoryError)):
        worker.run(RENDER, payload, Hints())
    assert held_at_trim == [False]


def test_the_room_goes_by_what_there_is() -> None:
    """A setting decides; else it is a part of the memory, shared by the workers of the machine."""
    assert room_for_models("cpu", 0, 1.5) == 3 << 29
    assert room_for_models("cpu", 1) <= room_for_models("cpu", 0)
