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

import cv2
import numpy as np
import torch
from torch import Tensor

from lipwise_ray.lipsync.background import Background, Stage, timed
from lipwise_ray.training import checkpoints
from lipwise_ray.training.log import RunLog
from lipwise_ray.training.settings import TrainSettings
from lipwise_ray.training.sheets import plot
from lipwise_ray.training.task import Team, TrainingTask, learning_rate

_AHEAD = 4
_LOG_EVERY = 20


@dataclass(frozen=True, slots=True)
class Result:
    """End of a run: its step, the last evaluation's numbers, and whether a signal ended it early."""

    step: int
    metrics: dict[str, float]
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
    last = folder / checkpoints.LAST
    step, extra = begin.step, begin.extra
    log = RunLog(folder, lambda at, split: _is_due(settings, split, at, step)) if team.rank == 0 else None
    begin_s = time.perf_counter()
    metrics: dict[str, float] = {}
    recent: dict[str, list[float | Tensor]] = defaultdict(list, extra.pop("recent", {}))
    task.train_mode()
    waited = Stage()
    ahead = Background(lambda: map(task.batch, range(begin.step, settings.steps)), _AHEAD)
    with _orderly_end() as ended, ahead:
        for arrays in timed(iter(ahead), waited):
            batch = {name: torch.from_numpy(value).to(team.device) for name, value in arrays.items()}
            for name, value in task.train(batch, step).items():
                recent[name].append(value)
            step += 1
            passed_s = time.perf_counter() - begin_s
            late = ended.is_set() or 0 < settings.minutes <= passed_s / 60
            over = team.any(late) or step == settings.steps
            if step % _LOG_EVERY == 0 or over:
                _log_losses(log, team, settings, step, recent)
            if step % _LOG_EVERY == 0:
                recent.clear()
            due = step % settings.eval_every == 0
            if log and (due or over):
                # What a stop makes known must not count when the run goes on.
                metrics = _evaluate(task, folder, step, extra if due else dict(extra), log)
                numbers = ", ".join(f"{name} {value:.4f}" for name, value in metrics.items())
                waiting = f"waiting for data {waited.busy_s / passed_s:.1%} of the time"
                say(f"step {step}: {numbers}; {(step - begin.step) / passed_s:.2f} steps/s, {waiting}")
            if due:  # an evaluation because of a stop must not change the course of the run
                task.react(team.from_first(metrics))
            if log and (step % settings.save_every == 0 or over):
                checkpoints.save(last, task, step, {**extra, "recent": _numbers(recent)})
            if over:
                break
    team.check_equal(task.network)
    if log:
        log.close()
        plot(log.path, folder / "curves.png")
    return Result(step, metrics, interrupted=ended.is_set() and step < settings.steps)


def _log_losses(
    log: RunLog | None, team: Team, settings: TrainSettings, step: int, recent: Mapping[str, list[float | Tensor]]
) -> None:
    means = team.mean({name: float(np.mean(values)) for name, values in _numbers(recent).items()})
    if log:
        log.write(step, "train", {**means, "lr": learning_rate(settings, step)})


def _numbers(losses: Mapping[str, list[float | Tensor]]) -> dict[str, list[float]]:
    return {name: [float(value) for value in values] for name, values in losses.items()}


def _is_due(settings: TrainSettings, split: str, at: int, step: int) -> bool:
    """Tell whether an unbroken run would have written this row by `step`, where this one goes on."""
    return at <= step and at % (_LOG_EVERY if split == "train" else settings.eval_every) == 0


def _evaluate(task: TrainingTask, folder: Path, step: int, extra: dict[str, Any], log: RunLog) -> dict[str, float]:
    result = task.evaluate()
    log.write(step, "val", result.metrics)
    plot(log.path, folder / "curves.png")
    cv2.imwrite(str(folder / f"samples-{step:07d}.png"), result.sheet_bgr)
    if result.score < extra["best"]:
        extra["best"], extra["best_step"] = result.score, step
        checkpoints.save(folder / checkpoints.BEST, task, step, extra)
    return result.metrics


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
