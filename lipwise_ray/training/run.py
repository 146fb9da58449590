"""Starting a training run, in this process or on several workers."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import torch

from lipwise_ray.errors import InputError
from lipwise_ray.media.container import write_problem
from lipwise_ray.training import checkpoints
from lipwise_ray.training.detector import DetectorTask
from lipwise_ray.training.expert import ExpertTask
from lipwise_ray.training.files import alone_in, replace_text
from lipwise_ray.training.generator import GeneratorTask
from lipwise_ray.training.loop import train
from lipwise_ray.training.restorer import RestorerTask
from lipwise_ray.training.settings import RECORD, TrainSettings, compare, record_of
from lipwise_ray.training.task import Team, TrainingTask
from lipwise_ray.training.visemes import VisemesTask
from lipwise_ray.training.watching import RunWatcher, TrainingResult

_TASKS: dict[str, Callable[[TrainSettings, Team], TrainingTask]] = {
    "visemes": VisemesTask,
    "expert": ExpertTask,
    "generator": GeneratorTask,
    "detector": DetectorTask,
    "restorer": RestorerTask,
}


def make_task(settings: TrainSettings, team: Team) -> TrainingTask:
    """Return a network's training, with fresh weights by the seed.

    Raises:
        InputError: There is no such data set, or its validation clips cannot be used.
        WeightsError: The expert's weights are of another network.
    """
    if not Path(settings.data).is_dir():
        raise InputError("no_list", settings.data, got="folder not found", do="Run `lipwise-ray train prepare`")
    if settings.threads and team.device == "cpu":
        torch.set_num_threads(settings.threads)
    torch.manual_seed(settings.seed)
    return _TASKS[settings.network](settings, team)


def run(settings: TrainSettings, folder: Path, team: Team, watcher: RunWatcher) -> TrainingResult:
    """Train a network as one worker of a team; a run that is in the folder goes on.

    Args:
        settings: Settings of the run.
        folder: Gets checkpoints, ``metrics.csv``, ``curves.png``, sample sheets, TensorBoard files.
        team: This worker.
        watcher: Watches the run, and may stop it.

    Returns:
        Where it ended.

    Raises:
        InputError: The data set cannot be used.
        SettingsError: The folder's run was started with other settings.
        StateError: The folder's run is damaged, or somebody else trains there.
        WeightsError: The expert's or the first weights are of another network.
        StorageError: The disk is full.
    """
    if team.rank:
        return _run(settings, folder, team, watcher)
    with alone_in(folder):
        return _run(settings, folder, team, watcher)


def _run(settings: TrainSettings, folder: Path, team: Team, watcher: RunWatcher) -> TrainingResult:
    last, best = folder / checkpoints.LAST, folder / checkpoints.BEST
    goes_on = last.exists() or best.exists()
    record = record_of(settings, team.size)
    if goes_on and team.rank == 0:
        record = compare(settings, record, folder)
    task = make_task(settings, team)
    task.open()
    if goes_on:
        begin = checkpoints.load(last, task)
        watcher.say(f"goes on from step {begin.step}")
    else:
        begin = checkpoints.Begin(0, {"best": float("inf")})
        for line in task.begin():
            watcher.say(line)
    if team.rank == 0:
        replace_text(folder / RECORD, json.dumps(record, indent=1))
    if task.left_out:
        name, reason = next(iter(task.left_out.items()))
        watcher.say(f"{len(task.left_out)} listed clips are left out, for example {name}: {reason}")
    try:
        return train(task, begin, settings, folder, team, watcher)
    except OSError as error:  # images and logs; checkpoints tell for themselves
        raise write_problem(folder, error) from error
