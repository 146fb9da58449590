"""Outcomes of attempts by Ray's errors: whose fault it was that one failed."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace

import ray.exceptions

from lipwise_ray.backends.ray.slots import ActorSlot
from lipwise_ray.scheduler.engine import Failure, failure_of

_COLOUR = re.compile(r"\x1b\[[0-9;]*m")
_MEMORY_WORDS = ("running low on memory", "OutOfMemoryError")


def failure_of_task(error: ray.exceptions.RayTaskError) -> Failure:
    """Describe an exception that a task raised in its worker."""
    cause = error.cause if isinstance(error.cause, BaseException) else error
    return replace(failure_of(cause), detail=_COLOUR.sub("", str(error)))


def failure_of_process(slot: ActorSlot, error: ray.exceptions.RayError, *, is_gone: Callable[[str], bool]) -> Failure:
    """Describe the end of a worker's process during its task.

    Args:
        slot: The worker.
        error: What Ray says of it.
        is_gone: Tells whether a node has ended, or is about to.
    """
    text = str(error).strip()
    reason = (text.splitlines() or [type(error).__name__])[-1]
    if slot.stalled:
        message = f"worker {slot.name}: made no progress and was ended."
        return Failure("stalled", "stalled", message, text)
    if getattr(error, "preempted", False) or is_gone(slot.node):
        message = f"node {slot.node[:12]}: is gone or about to go. {reason}"
        return Failure("node", "node_gone", message, text)
    if isinstance(error, ray.exceptions.OutOfMemoryError) or any(word in text for word in _MEMORY_WORDS):
        message = f"worker {slot.name}: its node ran out of memory. {reason}"
        return Failure("memory", "out_of_memory", message, text)
    message = f"worker {slot.name}: its process died during its task. {reason}"
    return Failure("crash", "worker_died", message, text)
