"""The network that sees where jaws end."""

from __future__ import annotations

import importlib.util
from typing import TYPE_CHECKING

from lipwise_ray.models.loading import ModelHost, ModelRecipe, ModelRequest
from lipwise_ray.models.role import NOTHING, AutoChoice, InId, Machines, ModelRole, Requirement, Wanted
from lipwise_ray.roles.lipsync import PASSTHROUGH
from lipwise_ray.settings.model import Settings

if TYPE_CHECKING:
    from lipwise_ray.faces.landmarker import FaceLandmarker

_TASK, _FAN, _ONNX = "face_landmarker", "fan_2d", "face_landmarker_onnx"
_BY_ENDING = {".pth": _FAN, ".tar": _FAN, ".safetensors": _FAN, ".onnx": _ONNX}
"""Networks of users' own files; what ends otherwise is of the first."""


def _load(request: ModelRequest, host: ModelHost) -> ModelRecipe[FaceLandmarker] | None:
    checkpoint = request.checkpoints.one(LANDMARKS.name)
    if checkpoint is None:
        return None

    def make() -> FaceLandmarker:
        from lipwise_ray.faces.landmarkers import load_landmarker

        return load_landmarker(checkpoint.network, host.locate(checkpoint), device=host.device)

    return ModelRecipe((checkpoint,), make)


def _requirement(settings: Settings, machines: Machines) -> Requirement:
    file = settings.faces.landmarks_checkpoint
    if file is None:
        return LANDMARKS.required_by_name(settings, machines)
    network = next((network for ending, network in _BY_ENDING.items() if file.lower().endswith(ending)), _TASK)
    others = tuple(one for one in LANDMARKS.networks if one != network)
    return Requirement((Wanted(settings.faces.landmarks, (network, *others), file),))


def _auto(machines: Machines) -> AutoChoice:
    name, instead = _TASK, "masks are a typical face's"
    if not machines.installed(name):
        return AutoChoice(NOTHING, f"{name} is not installed: {instead}")
    if importlib.util.find_spec("ai_edge_litert") is None:
        return AutoChoice(NOTHING, f"the extra landmarks is not installed: {instead}")
    return AutoChoice(name)


LANDMARKS = ModelRole(
    "landmarks",
    "faces.landmarks",
    "faces.landmarks_checkpoint",
    networks=(_TASK, _FAN, _ONNX),
    load=_load,
    order=34,
    in_job_id=InId.HASH_WHERE_USED,
    needed=lambda settings, _: settings.composite.mask == "face" and settings.lipsync.model != PASSTHROUGH,
    may_be_none=True,
    auto=_auto,
    requirement=_requirement,
)
