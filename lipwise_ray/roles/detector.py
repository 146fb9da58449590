"""The network that finds faces."""

from __future__ import annotations

import importlib.util
from dataclasses import dataclass, replace

from lipwise_ray.errors import SetupError
from lipwise_ray.faces.detections import CANDIDATE_SHARE, FaceDetector
from lipwise_ray.models.checkpoints import Checkpoint
from lipwise_ray.models.loading import ModelHost, ModelRecipe, ModelRequest
from lipwise_ray.models.role import AUTO, AutoChoice, InId, Machines, ModelRole, Requirement, Wanted
from lipwise_ray.settings.model import Settings


@dataclass(frozen=True, slots=True)
class DetectorMaker:
    """Makes a face detector from its weights, where it is to run.

    Attributes:
        weights: Its checkpoints.
        min_score: Of `detect.min_score`; so much less sure detections as a second look may yet confirm are kept.
    """

    weights: tuple[Checkpoint, ...]
    min_score: float

    def __call__(self, device: str = "cpu", threads: int = 1) -> FaceDetector:
        """Return the detector.

        Raises:
            WeightsError: A checkpoint cannot be used.
            SetupError: The detector's package is not installed.
        """
        networks = [one.network for one in self.weights]
        paths = [one.path for one in self.weights]
        least = CANDIDATE_SHARE * self.min_score
        if networks == ["yunet"]:
            from lipwise_ray.faces.yunet import YuNet

            return YuNet(paths[0], min_score=least, threads=threads)
        if networks == ["tiny_detector"]:
            from lipwise_ray.faces.tiny import TinyDetector

            return TinyDetector(paths[0], min_score=least, device=device)
        if networks == ["s3fd", "fan_2d"]:
            from lipwise_ray.faces.s3fd import S3fd

            return S3fd(paths[0], paths[1], min_score=least, device=device)
        raise SetupError(
            "no_detector", "detect.detector", got=f"this worker knows no detector of {' and '.join(networks)}"
        )


def _load(request: ModelRequest, host: ModelHost) -> ModelRecipe[FaceDetector] | None:
    checkpoints, min_score = request.checkpoints.all(DETECTOR.name), request.settings.detect.min_score
    if not checkpoints:
        return None

    def make() -> FaceDetector:
        here = tuple(replace(one, path=host.locate(one)) for one in checkpoints)
        return DetectorMaker(here, min_score)(device=host.device, threads=host.threads)

    return ModelRecipe(checkpoints, make, (min_score,))


def _requirement(settings: Settings, machines: Machines) -> Requirement:
    name, file = settings.detect.detector, settings.detect.checkpoint
    if name == "tiny":
        return Requirement((Wanted("tiny_detector", ("tiny_detector",), file),))
    choice = None
    if name == AUTO:
        is_heavy = file is None and machines.have_gpu and machines.installed("s3fd") and machines.installed("fan_2d")
        is_heavy = is_heavy and importlib.util.find_spec("face_alignment") is not None
        choice = AutoChoice("s3fd" if is_heavy else "yunet")
        name = choice.name
    if name == "s3fd":
        return Requirement((Wanted("s3fd", ("s3fd",)), Wanted("fan_2d", ("fan_2d",))), choice)
    return Requirement((Wanted("yunet", ("yunet",), file),), choice)


DETECTOR = ModelRole(
    "detector",
    "detect.detector",
    "detect.checkpoint",
    networks=("yunet", "s3fd", "fan_2d", "tiny_detector"),
    load=_load,
    order=70,
    in_job_id=InId.DETECTION,
    needed=lambda _, row: row.needs_detector,
    requirement=_requirement,
    several_files=True,
    evaluates=True,
    recommended="yunet",
)
