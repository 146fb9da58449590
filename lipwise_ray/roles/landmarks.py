"""The network that sees where jaws end, and lips."""

from __future__ import annotations

from typing import TYPE_CHECKING

from lipwise_ray.models.loading import ModelHost, of_one_file
from lipwise_ray.models.role import InId, Machines, ModelRole, Requirement, RowFacts, Wanted, where_installed
from lipwise_ray.roles.lipsync import PASSTHROUGH
from lipwise_ray.settings.model import Settings

if TYPE_CHECKING:
    from lipwise_ray.faces.landmarker import FaceLandmarker
    from lipwise_ray.models.checkpoints import Checkpoint

_TASK, _FAN, _ONNX = "face_landmarker", "fan_2d", "face_landmarker_onnx"
_BY_ENDING = {".pth": _FAN, ".tar": _FAN, ".safetensors": _FAN, ".onnx": _ONNX}
"""Networks of users' own files; what ends otherwise is of the first."""


def _make(checkpoint: Checkpoint, host: ModelHost) -> FaceLandmarker:
    from lipwise_ray.faces.landmarkers import load_landmarker

    return load_landmarker(checkpoint.network, host.locate(checkpoint), device=host.device)


def _is_needed(settings: Settings, row: RowFacts) -> bool:
    """Tell whether masks follow jaws; or whether mouths are compared with a reference's."""
    if row.is_evaluated:
        return row.has_reference
    return settings.composite.mask == "face" and settings.lipsync.model != PASSTHROUGH


def _requirement(settings: Settings, machines: Machines) -> Requirement:
    file = settings.faces.landmarks_checkpoint
    if file is None:
        return LANDMARKS.required_by_name(settings, machines)
    network = next((network for ending, network in _BY_ENDING.items() if file.lower().endswith(ending)), _TASK)
    others = tuple(one for one in LANDMARKS.networks if one != network)
    return Requirement((Wanted(settings.faces.landmarks, (network, *others), file),))


LANDMARKS = ModelRole(
    "landmarks",
    "faces.landmarks",
    "faces.landmarks_checkpoint",
    networks=(_TASK, _FAN, _ONNX),
    load=of_one_file("landmarks", _make),
    order=34,
    in_job_id=InId.HASH_WHERE_USED,
    needed=_is_needed,
    may_be_none=True,
    auto=where_installed(_TASK, "masks are a typical face's", package="ai_edge_litert", extra="landmarks"),
    requirement=_requirement,
    evaluates=True,
    figure="mouth_distance",
)
