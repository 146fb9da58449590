"""An embedded Ray that starts in a thread, while the driver takes its lease and hashes checkpoints."""

from __future__ import annotations

import os
import threading
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from lipwise_ray.backends.ray.environment import guard_local_ray
from lipwise_ray.threads import let_threads_sleep

if TYPE_CHECKING:
    from lipwise_ray.settings.model import EngineSettings


class EarlyRay:
    """Embedded Ray whose start is under way: an engine takes it, or else `end` ends it.

    The thread that starts it stays until then: Ray asks the kernel to kill its processes when the thread that made them
    ends, which is how they follow a driver that is killed.
    """

    def __init__(self) -> None:
        let_threads_sleep(os.environ)  # Ray's processes have it too
        guard_local_ray()
        self._folder: Path | None = None
        self._error: BaseException | None = None
        self._is_taken = False
        self._has_ended_start, self._is_over = threading.Event(), threading.Event()
        threading.Thread(target=self._start, name="ray-start", daemon=True).start()

    def _start(self) -> None:
        try:
            from lipwise_ray.backends.ray.session import connect  # loads Ray, after the guard

            self._folder = connect("local")
        except BaseException as error:  # noqa: BLE001  # raised again where the engine is made
            self._error = error
        self._has_ended_start.set()
        self._is_over.wait()

    def take(self) -> Path | None:
        """Wait until it has started; return its folder. Whoever takes it has to leave it, before `end`.

        Raises:
            SetupError: It cannot be started.
        """
        self._has_ended_start.wait()
        if self._error is not None:
            raise self._error
        self._is_taken = True
        return self._folder

    def end(self) -> None:
        """End it where no engine took it; what it has started is known only once it has, so that is waited for."""
        try:
            self._has_ended_start.wait()
            if not self._is_taken and self._error is None:
                from lipwise_ray.backends.ray.session import leave

                leave(self._folder)
        finally:
            self._is_over.set()


@contextmanager
def early_ray(settings: EngineSettings) -> Generator[EarlyRay | None]:
    """Start the embedded Ray that a run's engine needs; None where it needs none.

    A cluster is joined by the engine, once the state is locked: others see who joins, and joining takes no time.

    Args:
        settings: Of the engine, its kind chosen.
    """
    if settings.kind == "inline" or settings.address != "local":
        yield None
        return
    early = EarlyRay()
    try:
        yield early
    finally:
        early.end()
