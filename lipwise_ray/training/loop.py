"""The training loop: batches ahead of time, steps, evaluations, checkpoints, an orderly end."""

from __future__ import annotations

import signal
import threading
import time
from collections import defaultdict
from collections.abc import Callable, Generator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import Any

import numpy as np
import torch
from torch import Tensor

from lipwise_ray.lipsync.background import Background, Stage, timed
from lipwise_ray.training import checkpoints
from lipwise_ray.training.run_folder import LOG_EVERY, RunFolder, numbers_of
from lipwise_ray.training.settings import TrainSettings
from lipwise_ray.training.task import Team, TrainingTask, learning_rate

_AHEAD = 4


@dataclass(frozen=True, slots=True)
class Result:
    """End of a run.

    Attributes:
        step: Steps that are done.
        metrics: Numbers of the last evaluation.
        best_step: Step of the best checkpoint.
        interrupted: A signal ended it early.
    """

    step: int
    metrics: dict[str, float]
    best_step: int
    interrupted: bool


def train(
    task: TrainingTask,
    begin: checkpoints.Begin,
    settings: TrainSettings,
    folder: Path,
    team: Team,
    say: Callable[[str], None],
) -> Result:
    """Train until the run's last step, its time limit, or a signal.

    Args:
        task: The network, with its data.
        begin: Start of the run, or the point at which it goes on.
        settings: The run's settings.
        folder: Checkpoints, metrics and images.
        team: This worker among the run's workers; the first one writes.
        say: Takes lines for people.

    Returns:
        Where it ended.
    """
    step, recent = begin.step, defaultdict[str, list[float | Tensor]](list, begin.extra.get("recent", {}))
    files = RunFolder(folder, task, begin, settings) if team.rank == 0 else None
    begin_s = time.perf_counter()
    metrics: dict[str, float] = {}
    waited = Stage()
    ahead = Background(lambda: map(task.batch, range(begin.step, settings.steps)), _AHEAD)
    with _orderly_end() as ended, ahead:
        if step == 0:
            metrics = _first_evaluation(task, files, team, say)
        task.train_mode()
        for arrays in timed(iter(ahead), waited):
            batch = {name: torch.from_numpy(value).to(team.device) for name, value in arrays.items()}
            for name, value in task.train(batch, step).items():
                recent[name].append(value)
            step += 1
            passed_s = time.perf_counter() - begin_s
            late = ended.is_set() or 0 < settings.minutes <= passed_s / 60
            over = team.any(late) or step == settings.steps
            if step % LOG_EVERY == 0 or over:
                _log_losses(files, team, settings, step, recent)
            due = step % settings.eval_every == 0
            if files and (due or over):
                metrics = files.evaluate(step, counts=due)
                waiting = f"waiting for data {waited.busy_s / passed_s:.1%} of the time"
                say(f"step {step}: {in_figures(metrics)}; {(step - begin.step) / passed_s:.2f} steps/s, {waiting}")
            if due:  # an evaluation because of a stop must not change the course of the run
                task.react(team.from_first(metrics))
            if files:
                files.save(step, recent, over=over)
            if over:
                break
    team.check_equal(task.network)
    if files:
        files.close()
    best_step = files.best_step if files else 0
    return Result(step, metrics, best_step, interrupted=ended.is_set() and step < settings.steps)


def _first_evaluation(
    task: TrainingTask, files: RunFolder | None, team: Team, say: Callable[[str], None]
) -> dict[str, float]:
    """Measure the weights that a run begins with: what it gains shows against them."""
    metrics = files.begin() if files else {}
    if files:
        say(f"step 0: {in_figures(metrics)}")
    task.react(team.from_first(metrics))
    return metrics


def in_figures(metrics: Mapping[str, float]) -> str:
    """Return an evaluation's numbers on one line."""
    return ", ".join(f"{name} {value:.4f}" for name, value in metrics.items())


def _log_losses(
    files: RunFolder | None,
    team: Team,
    settings: TrainSettings,
    step: int,
    recent: dict[str, list[float | Tensor]],
) -> None:
    """Write the means of the latest losses, and forget them where the next ones begin."""
    means = team.mean({name: float(np.mean(values)) for name, values in numbers_of(recent).items()})
    if files:
        files.losses(step, {**means, "lr": learning_rate(settings, step)})
    if step % LOG_EVERY == 0:
        recent.clear()


@contextmanager
def _orderly_end() -> Generator[threading.Event]:
    """Turn the first SIGINT or SIGTERM into a checkpoint; the second one ends at once."""
    ended = threading.Event()
    old: Mapping[int, Any] = {}

    def note(number: int, frame: FrameType | None) -> None:  # noqa: ARG001  # the handler's signature
        if ended.is_set():
            raise KeyboardInterrupt
        ended.set()

    if threading.current_thread() is threading.main_thread():
        old = {number: signal.signal(number, note) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield ended
    finally:
        for number, handler in old.items():
            signal.signal(number, handler)
