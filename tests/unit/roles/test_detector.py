"""Detectors are made of the networks that their checkpoints are of."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from lipwise_ray.errors import SetupError
from lipwise_ray.faces.detections import CANDIDATE_SHARE
from lipwise_ray.models.checkpoints import Checkpoint
from lipwise_ray.models.registry import Registry
from lipwise_ray.resources import models_folder
from lipwise_ray.roles.detector import DetectorMaker
from lipwise_ray.synth.demo import demo_scenes
from lipwise_ray.synth.scene import draw_scene


def test_networks_that_are_no_detector_are_told() -> None:
    """The message names them: a worker of another version may have been asked."""
    weights = tuple(Checkpoint(name, name, Path(name), "a" * 64) for name in ("yunet", "fan_2d"))
    with pytest.raises(SetupError, match="this worker knows no detector of yunet and fan_2d"):
        DetectorMaker(weights, 0.7)()


def test_candidates_of_a_second_look_are_kept() -> None:
    """The bound of a detector is lower than the setting's: so much that a look from near may confirm it."""
    registry = Registry(models_folder() / "registry.toml", models_folder())
    weights = (registry.resolve("tiny_detector"),)
    image = np.ascontiguousarray(next(draw_scene(next(iter(demo_scenes()))[1])).rgb[..., ::-1])
    (all_there,) = DetectorMaker(weights, 0.0)().detect([image])
    (sure,) = DetectorMaker(weights, float(all_there.score.max()) / CANDIDATE_SHARE - 1e-4)().detect([image])
    assert len(sure.score) == (all_there.score >= all_there.score.max() - 1e-4).sum() >= 1
