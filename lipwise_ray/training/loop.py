"""The training loop: batches ahead of time, steps, evaluations, checkpoints, an orderly end."""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from lipwise_ray.lipsync.background import Background, Stage, timed
from lipwise_ray.training import checkpoints
from lipwise_ray.training.run_folder import LOG_EVERY, RunFolder, numbers_of
from lipwise_ray.training.settings import TrainSettings
from lipwise_ray.training.task import Team, TrainingTask, learning_rate
from lipwise_ray.training.watching import RunProgress, RunWatcher, TrainingResult

_AHEAD = 4


def train(
    task: TrainingTask,
    begin: checkpoints.Begin,
    settings: TrainSettings,
    folder: Path,
    team: Team,
    watcher: RunWatcher,
) -> TrainingResult:
    """Train until the run's last step, its time limit, or until it is stopped.

    Args:
        task: The network, with its data.
        begin: Start of the run, or the point at which it goes on.
        settings: The run's settings.
        folder: Checkpoints, metrics and images.
        team: This worker among the run's workers; the first one writes.
        watcher: Watches the run, and may stop it; one of any worker stops all, after the same step.

    Returns:
        Where it ended.
    """
    step, recent = begin.step, defaultdict[str, list[float | Tensor]](list, begin.extra.get("recent", {}))
    files = RunFolder(folder, task, begin, settings) if team.rank == 0 else None
    begin_s = time.perf_counter()
    metrics: dict[str, float] = {}
    losses: dict[str, float] = {}
    is_stopped = False
    waited = Stage()
    ahead = Background(lambda: map(task.batch, range(begin.step, settings.steps)), _AHEAD)
    with ahead:
        if step == 0:
            metrics = _first_evaluation(task, files, team, watcher)
        task.train_mode()
        for arrays in timed(iter(ahead), waited):
            batch = {name: torch.from_numpy(value).to(team.device) for name, value in arrays.items()}
            for name, value in task.train(batch, step).items():
                recent[name].append(value)
            step += 1
            passed_s = time.perf_counter() - begin_s
            is_stopped = watcher.stops()
            is_late = 0 < settings.minutes <= passed_s / 60
            over = team.any(is_stopped, is_late) or step == settings.steps
            if step % LOG_EVERY == 0 or over:
                losses = _log_losses(files, team, settings, step, recent)
            watcher.moved(_progress(settings, begin.step, step, losses, passed_s))
            due = step % settings.eval_every == 0
            if files and (due or over):
                metrics = files.evaluate(step, counts=due)
                pace = f"{(step - begin.step) / passed_s:.2f} steps/s, waiting for data {waited.busy_s / passed_s:.1%}"
                watcher.say(f"step {step}: {in_figures(metrics)}; {pace} of the time")
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
    return TrainingResult(step, metrics, best_step, interrupted=is_stopped and step < settings.steps)


def _first_evaluation(task: TrainingTask, files: RunFolder | None, team: Team, watcher: RunWatcher) -> dict[str, float]:
    """Measure the weights that a run begins with: what it gains shows against them."""
    metrics = files.begin() if files else {}
    if files:
        watcher.say(f"step 0: {in_figures(metrics)}")
    task.react(team.from_first(metrics))
    return metrics


def in_figures(metrics: Mapping[str, float]) -> str:
    """Return an evaluation's numbers on one line."""
    return ", ".join(f"{name} {value:.4f}" for name, value in metrics.items())


def _progress(
    settings: TrainSettings, begun_at: int, step: int, losses: Mapping[str, float], passed_s: float
) -> RunProgress:
    rate = (step - begun_at) / passed_s
    left_s = (settings.steps - step) / rate
    if settings.minutes:
        left_s = min(left_s, max(0.0, settings.minutes * 60 - passed_s))
    return RunProgress(step, settings.steps, losses, rate, left_s)


def _log_losses(
    files: RunFolder | None,
    team: Team,
    settings: TrainSettings,
    step: int,
    recent: dict[str, list[float | Tensor]],
) -> dict[str, float]:
    """Write the means of the latest losses, and forget them where the next ones begin; return the means."""
    means = team.mean({name: float(np.mean(values)) for name, values in numbers_of(recent).items()})
    if files:
        files.losses(step, {**means, "lr": learning_rate(settings, step)})
    if step % LOG_EVERY == 0:
        recent.clear()
    return means
