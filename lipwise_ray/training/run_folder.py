"""The folder of a run, as its first worker fills it: numbers, images, checkpoints."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import cv2
from torch import Tensor

from lipwise_ray.training import checkpoints
from lipwise_ray.training.log import RunLog
from lipwise_ray.training.settings import TrainSettings
from lipwise_ray.training.sheets import plot
from lipwise_ray.training.task import TrainingTask

LOG_EVERY = 20
"""Steps between two rows of training losses."""


def numbers_of(losses: Mapping[str, list[float | Tensor]]) -> dict[str, list[float]]:
    """Return losses as numbers; a device is waited for."""
    return {name: [float(value) for value in values] for name, values in losses.items()}


class RunFolder:
    """Writes what a run leaves.

    Args:
        folder: The run's folder.
        task: The network.
        begin: Start of the run, or the point at which it goes on.
        settings: The run's settings.

    Attributes:
        best_step: Step of the best checkpoint.
    """

    def __init__(self, folder: Path, task: TrainingTask, begin: checkpoints.Begin, settings: TrainSettings) -> None:
        self._folder, self._task, self._settings = folder, task, settings
        self._known = {"best": float(begin.extra["best"]), "best_step": int(begin.extra.get("best_step", 0))}
        self.best_step = int(begin.extra.get("best_step", 0))
        self._log = RunLog(folder, lambda at, split: self._is_due(split, at, begin.step))

    def _is_due(self, split: str, at: int, step: int) -> bool:
        """Tell whether an unbroken run would have written this row by `step`, where this one goes on."""
        return 0 < step >= at and at % (LOG_EVERY if split == "train" else self._settings.eval_every) == 0

    def begin(self) -> dict[str, float]:
        """Save and evaluate the weights that a run begins with; return the evaluation's numbers."""
        # First of all: a run with best.pth alone cannot go on.
        self.save(0, {}, over=True)
        return self.evaluate(0, counts=True)

    def losses(self, step: int, means: Mapping[str, float]) -> None:
        """Write the means of the latest losses."""
        self._log.write(step, "train", means)

    def evaluate(self, step: int, *, counts: bool) -> dict[str, float]:
        """Measure, and keep the weights where they are the best so far; return the numbers.

        Args:
            step: Steps that are done.
            counts: It is scheduled. What a stop makes known must not count when the run goes on.
        """
        result = self._task.evaluate()
        self._log.write(step, "val", result.metrics)
        self._log.show(step, result.sheet_bgr)
        plot(self._log.path, self._folder / "curves.png")
        cv2.imwrite(str(self._folder / f"samples-{step:07d}.png"), result.sheet_bgr)
        if result.score < self._known["best"]:
            known = {"best": result.score, "best_step": step}
            self._write(checkpoints.BEST, step, known)
            self.best_step = step
            self._known = known if counts else self._known
        return result.metrics

    def save(self, step: int, recent: Mapping[str, list[float | Tensor]], *, over: bool) -> None:
        """Write the checkpoints of a step, where it has any.

        Args:
            step: Steps that are done.
            recent: Losses that are not written yet.
            over: It is the last step, for now.
        """
        settings = self._settings
        if over or step % settings.save_every == 0:
            self._write(checkpoints.LAST, step, {"recent": numbers_of(recent)})
        if step and settings.keep_every and step % settings.keep_every == 0:  # after: on a full disk the run goes on
            self._write(checkpoints.kept_name(step), step, {"recent": numbers_of(recent)})

    def _write(self, name: str, step: int, extra: Mapping[str, object]) -> None:
        checkpoints.save(self._folder / name, self._task, step, {**self._known, **extra}, self._settings)

    def close(self) -> None:
        """Close the numbers, and draw them."""
        self._log.close()
        plot(self._log.path, self._folder / "curves.png")
