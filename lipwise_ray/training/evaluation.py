"""Evaluating a checkpoint on clips, as its run did, without the run."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import cv2

from lipwise_ray.errors import WeightsError
from lipwise_ray.media.container import write_problem
from lipwise_ray.nets.checkpoint import load_contents, tensors_in
from lipwise_ray.training.networks import DISC, NETWORKS, load_weights, recognise, step_of
from lipwise_ray.training.run import make_task
from lipwise_ray.training.settings import Network, TrainSettings, make_settings
from lipwise_ray.training.task import Team, ValidationResult

_NOT_NEEDED = {"init": "", "disc_init": "", "sound": "", "disc_weight": 0.0}


@dataclass(frozen=True, slots=True)
class CheckpointFigures:
    """Figures of a checkpoint.

    Attributes:
        network: Kind of the network.
        step: Steps that it has taken, 0 where the file does not say.
        result: Its numbers and samples.
        left_out: Listed clips that were not used, with the reason.
    """

    network: Network
    step: int
    result: ValidationResult
    left_out: dict[str, str]


def evaluate_checkpoint(path: Path, data: Path, values: Mapping[str, Any], device: str) -> CheckpointFigures:
    """Measure a checkpoint on a data set's validation clips.

    A run's checkpoint holds the settings that its figures depend on; others are measured by the defaults.

    Args:
        path: A checkpoint of a run, or of the original.
        data: The data set.
        values: Settings that go before those.
        device: ``cpu`` or ``cuda``.

    Raises:
        WeightsError: The file is no checkpoint of a network that is trained here, or the expert is missing.
        InputError: The clips cannot be used.
        SettingsError: A setting is unknown or impossible.
    """
    contents = load_contents(path)
    tensors = tensors_in(contents, path)
    found = recognise(tensors)
    if found is None or found.name == DISC:
        known = ", ".join(network.words for name, network in NETWORKS.items() if name != DISC)
        raise WeightsError(
            "other_network",
            str(path),
            got="holds weights of no network that is trained here"
            if found is None
            else f"holds {NETWORKS[DISC].words}, which is measured with its generator",
            must=f"one of these can be evaluated: {known}",
        )
    network = cast("Network", found.name)
    merged: dict[str, Any] = {
        **_settings_in(contents),
        **values,
        **_NOT_NEEDED,
        "data": str(data),
        "width": found.width,
    }
    if not merged.get("expert"):
        merged["sync_weight"] = values.get("sync_weight", 0.0)
    elif not Path(merged["expert"]).is_file():
        raise WeightsError(
            "no_weights",
            str(merged["expert"]),
            got="no such file, which is the expert that the checkpoint was trained with",
            do="Add --set expert=FILE, or --set expert= for the other figures",
        )
    task = make_task(make_settings(network, merged), Team(device=device))
    load_weights(task.network, tensors, path, found.name, found.width)
    return CheckpointFigures(network, step_of(contents), task.evaluate(), task.left_out)


def write_samples(target: Path, result: ValidationResult) -> None:
    """Write the samples of an evaluation as a PNG.

    Raises:
        OutputError: The file cannot be written.
        StorageError: The disk is full.
    """
    try:
        target.write_bytes(cv2.imencode(".png", result.sheet_bgr)[1].tobytes())
    except OSError as error:
        raise write_problem(target, error) from error


def _settings_in(contents: object) -> dict[str, Any]:
    """Return the settings in a run's checkpoint, those of them that are known here."""
    stored = cast("Mapping[str, object]", contents).get("settings") if isinstance(contents, Mapping) else None
    if not isinstance(stored, Mapping):
        return {}
    return {name: stored[name] for name in TrainSettings.model_fields if name in stored}
