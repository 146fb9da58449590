"""Starting a training run, in this process or on several workers."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import torch

from lipwise_ray.media.container import write_problem
from lipwise_ray.training.detector import DetectorTask
from lipwise_ray.training.expert import ExpertTask
from lipwise_ray.training.generator import GeneratorTask
from lipwise_ray.training.loop import Result, train
from lipwise_ray.training.restorer import RestorerTask
from lipwise_ray.training.settings import TrainSettings, record
from lipwise_ray.training.task import Task, Team

_TASKS: dict[str, Callable[[TrainSettings, Team], Task]] = {
    "expert": ExpertTask,
    "generator": GeneratorTask,
    "detector": DetectorTask,
    "restorer": RestorerTask,
}


def run(settings: TrainSettings, folder: Path, team: Team, say: Callable[[str], None]) -> Result:
    """Train a network as one worker of a team; a run that is in the folder goes on.

    Args:
        settings: What to train.
        folder: Gets checkpoints, ``metrics.csv``, ``curves.png``, sample sheets, TensorBoard files.
        team: This worker.
        say: Takes lines for people.

    Returns:
        Where it ended.

    Raises:
        InputError: The data set cannot be used.
        SettingsError: The folder's run was begun with other settings.
        StateError: The folder's run is damaged.
        WeightsError: The expert's or the first weights are of another network.
        StorageError: The disk is full.
    """
    if team.rank == 0:
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise write_problem(folder, error) from error
        record(settings, folder, team.size)
    if settings.threads and team.device == "cpu":
        torch.set_num_threads(settings.threads)
    torch.manual_seed(settings.seed)
    task = _TASKS[settings.network](settings, team)
    if task.left_out:
        name, reason = next(iter(task.left_out.items()))
        say(f"{len(task.left_out)} listed clips are left out, for example {name}: {reason}")
    try:
        return train(task, settings, folder, team, say)
    except OSError as error:  # pictures and logs; checkpoints tell for themselves
        raise write_problem(folder, error) from error
