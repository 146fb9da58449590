"""Handlers of tasks: functions of this package's modules, each under the kind that it does."""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Callable
from functools import cache
from typing import Any

from lipwise_ray.pipeline import tasks
from lipwise_ray.pipeline.tasks.context import TaskContext
from lipwise_ray.scheduler.task import AnyKind, Hints, P, R, TaskKind, TaskResult

Handler = Callable[[TaskContext, P, Hints], R]
_HANDLERS: dict[AnyKind, Handler[Any, TaskResult]] = {}


def handles(kind: TaskKind[P, R]) -> Callable[[Handler[P, R]], Handler[P, R]]:
    """Register a function as the handler of a kind; a type checker sees to it that they speak of the same.

    Raises:
        ValueError: The kind has one already.
    """

    def register(handler: Handler[P, R]) -> Handler[P, R]:
        if kind in _HANDLERS:
            raise ValueError(f"two handlers of {kind.name}: {_HANDLERS[kind].__name__}, {handler.__name__}")
        _HANDLERS[kind] = handler
        return handler

    return register


@cache
def all_handlers() -> dict[AnyKind, Handler[Any, TaskResult]]:
    """Return the handlers of all modules of this package, by their kinds."""
    for module in pkgutil.iter_modules(tasks.__path__, f"{tasks.__name__}."):
        importlib.import_module(module.name)
    return _HANDLERS
