"""Whose fault it was that an attempt failed, by Ray's errors."""

from __future__ import annotations

from typing import Any

import pytest
import ray.exceptions

from lipwise_ray.backends.ray.outcomes import failure_of_process, failure_of_task
from lipwise_ray.backends.ray.slots import ActorSlot
from lipwise_ray.errors import MediaError, StorageError


@pytest.mark.parametrize(
    ("cause", "blame", "code"),
    [
        (MediaError("no_audio", "a.mp4", got="no audio"), "input", "no_audio"),
        (StorageError("full", "/state", got="no room"), "storage", "full"),
        (MemoryError("4 GiB"), "memory", "out_of_memory"),
        (KeyError("x"), "application", "internal"),
    ],
)
def test_a_tasks_own_error_is_told_as_in_one_process(cause: Exception, blame: str, code: str) -> None:
    """The error that crossed processes decides; the traceback is that of the worker, without colours."""
    error = ray.exceptions.RayTaskError("run", "\x1b[36mTraceback\x1b[39m of the worker", cause)
    failure = failure_of_task(error)
    assert (failure.blame, failure.code) == (blame, code)
    assert "Traceback of the worker" in failure.detail
    assert "\x1b" not in failure.detail


@pytest.mark.parametrize(
    ("error", "slot", "gone", "blame"),
    [
        (ray.exceptions.ActorDiedError(), {"stalled": True}, True, "stalled"),
        (ray.exceptions.ActorDiedError(), {}, True, "node"),
        (ray.exceptions.OutOfMemoryError("killed"), {}, False, "memory"),
        (ray.exceptions.WorkerCrashedError(), {}, False, "crash"),
    ],
)
def test_a_processs_end_is_blamed_on_what_ended_it(
    error: ray.exceptions.RayError, slot: dict[str, Any], blame: str, *, gone: bool
) -> None:
    """A worker that this run killed stalled, whatever else; a node that goes takes its workers with it; then memory."""
    failure = failure_of_process(ActorSlot("gpu-1", "gpu", None, node="n", **slot), error, is_gone=lambda node: gone)
    assert failure.blame == blame
    assert "gpu-1" in failure.message or "node n" in failure.message
