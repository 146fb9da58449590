"""An engine that outlives runs."""

from __future__ import annotations

from dataclasses import dataclass

from lipwise_ray.backends.worker_config import WorkerConfig
from lipwise_ray.runs.submit import EngineMaker
from lipwise_ray.scheduler.engine import Engine


@dataclass(slots=True)
class KeptEngine:
    """An engine that stays from one run to the next, and with it the models that its workers have loaded.

    Attributes:
        make: Makes one where there is none.
    """

    make: EngineMaker
    _engine: Engine | None = None
    _config: WorkerConfig | None = None

    def lend(self, config: WorkerConfig) -> Engine:
        """Return the engine for a run; another one where workers are to be configured otherwise.

        Raises:
            SetupError: None can be had.
        """
        if self._engine is None or config != self._config:
            self.close()
            self._engine, self._config = self.make(config), config
        return self._engine

    def take_back(self, engine: Engine, is_idle: bool) -> None:  # noqa: FBT001  # as `EngineRelease` has it
        """Take the engine back from a run; one with a task in hand, or from a run that was stopped, is closed.

        Args:
            engine: The engine.
            is_idle: It has nothing left to do, and its run went to its end.
        """
        assert engine is self._engine  # there is one
        if not is_idle:
            self.close()

    def close(self) -> None:
        """Close the engine, if there is one."""
        engine, self._engine = self._engine, None
        if engine is not None:
            engine.close()
