"""Ray's actors that each hold one handler: those that do not begin are noticed, and replaced once."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import ray
import ray.exceptions

from lipwise_ray.backends.ray.session import ROUNDING, Nodes, free_resources, must_live, ray_logs
from lipwise_ray.backends.ray.starts import Starts, late, words_of_ray
from lipwise_ray.threads import let_threads_sleep

_POLL_S = 1.0


class HandlerActor:
    """Handles one item after another; what it needs is loaded by the first, so that its errors are that call's."""

    def __init__(self, make: Callable[[], Any]) -> None:
        let_threads_sleep(os.environ)
        self._make = make
        self._handler: Any = None

    def begin(self) -> None:
        """Answer, which shows that the process runs."""

    def handle(self, item: Any) -> Any:  # noqa: ANN401  # any value that can be sent
        """Handle an item."""
        self._handler = self._handler or self._make()
        return self._handler(item)


@dataclass(slots=True)
class _Beginner:
    name: str
    actor: Any
    made_s: float
    again: bool
    """It stands for one that did not begin in time."""


class Crew:
    """So many actors, each with one call in flight.

    Args:
        make: Makes a handler, in the actor.
        count: How many actors.
        gpus: The part of a GPU that each takes, 0 for none.
        start_s: Time to begin; it does not run while the GPUs are others'.
    """

    def __init__(self, make: Callable[[], Any], count: int, gpus: float, start_s: float) -> None:
        options: dict[str, Any] = {"num_cpus": 0, **({"num_gpus": gpus} if gpus else {})}
        remote: Any = ray.remote(HandlerActor).options(**options)
        self._hire: Callable[[], Any] = lambda: remote.remote(make)
        self._gpus = gpus
        self._start_s = start_s
        self._made = 0
        self._starts = Starts()
        self._nodes = Nodes()
        self._beginning: dict[Any, _Beginner] = {}
        self._idle: list[Any] = []
        self._busy: dict[Any, tuple[Any, Any]] = {}
        for _ in range(count):
            self._make_one()

    @property
    def has_idle(self) -> bool:
        """Tell whether an actor could take an item."""
        return bool(self._idle)

    @property
    def is_busy(self) -> bool:
        """Tell whether an item is in flight."""
        return bool(self._busy)

    def submit(self, item: Any) -> None:  # noqa: ANN401  # any value that can be sent
        """Give an idle actor its next item."""
        actor = self._idle.pop()
        self._busy[actor.handle.remote(item)] = (actor, item)

    def poll(self) -> tuple[Any, Any] | None:
        """Wait a moment; return an item whose call ended and the call's reference, None where none has.

        Raises:
            EngineError: The embedded Ray has ended.
            SetupError: No actor begins.
        """
        ready, _ = ray.wait([*self._busy, *self._beginning], num_returns=1, timeout=_POLL_S)
        must_live()
        self._take_in(ready)
        for ref in ready:
            if ref in self._busy:
                actor, item = self._busy.pop(ref)
                self._idle.append(actor)
                return item, ref
        return None

    def lose(self) -> None:
        """Replace the actor whose call ended last: its process is gone."""
        self._idle.pop()
        self._make_one()

    def _make_one(self, *, again: bool = False) -> None:
        beginner = _Beginner(str(self._made), self._hire(), time.monotonic(), again)
        self._made += 1
        self._beginning[beginner.actor.begin.remote()] = beginner

    def _take_in(self, ready: list[Any]) -> None:
        for ref in [ref for ref in ready if ref in self._beginning]:
            beginner = self._beginning.pop(ref)
            try:
                ray.get(ref)
            except ray.exceptions.RayError as error:
                self._failed(error, for_good=False)
            else:
                self._starts.begun("gpu", "")
                self._idle.append(beginner.actor)
        now = time.monotonic()
        for ref, beginner in list(self._beginning.items()):
            if not self._has_room():
                beginner.made_s = now
            if now - beginner.made_s >= self._start_s:
                del self._beginning[ref]
                ray.kill(beginner.actor, no_restart=True)
                error = late(beginner.name, "", self._start_s, words_of_ray(ray_logs()))
                self._failed(error, for_good=beginner.again, again=True)

    def _failed(self, why: BaseException, *, for_good: bool, again: bool = False) -> None:
        """Count against starts as such; those that have begun go on without one that never does.

        Raises:
            SetupError: There is nobody to go on.
        """
        self._starts.failed("gpu", "", why, for_good=for_good)
        if not self._starts.is_broken("gpu", ""):
            self._make_one(again=again)
        elif not (self._beginning or self._idle or self._busy):
            raise self._starts.error()

    def _has_room(self) -> bool:
        """Tell whether an actor that has not begun could: GPUs may be reserved by others, or by those that have."""
        if not self._gpus:
            return True
        return any(free_resources(node).get("GPU", 0.0) >= self._gpus - ROUNDING for node in self._nodes.alive())
