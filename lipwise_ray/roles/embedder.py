"""The network that tells people apart."""

from __future__ import annotations

from typing import TYPE_CHECKING

from lipwise_ray.models.loading import ModelHost, of_one_file
from lipwise_ray.models.role import InId, Machines, ModelRole, Requirement, Wanted, where_installed
from lipwise_ray.settings.model import Settings

if TYPE_CHECKING:
    from lipwise_ray.faces.embedder import FaceEmbedder
    from lipwise_ray.models.checkpoints import Checkpoint

_OF_TORCH = (".pth", ".safetensors")


def _make(checkpoint: Checkpoint, host: ModelHost) -> FaceEmbedder:
    from lipwise_ray.faces.embedders import load_embedder

    return load_embedder(checkpoint.network, host.locate(checkpoint), device=host.device, threads=host.threads)


def _requirement(settings: Settings, machines: Machines) -> Requirement:
    name, file, networks = settings.faces.embedder, settings.faces.embedder_checkpoint, EMBEDDER.networks
    if file is not None:
        return Requirement((Wanted(name, networks[::-1] if file.endswith(_OF_TORCH) else networks, file),))
    return EMBEDDER.required_by_name(settings, machines)


EMBEDDER = ModelRole(
    "embedder",
    "faces.embedder",
    "faces.embedder_checkpoint",
    networks=("sface", "mobilefacenet"),
    load=of_one_file("embedder", _make),
    order=50,
    in_job_id=InId.HASH_WHERE_USED,
    needed=lambda _, row: row.has_portraits or row.has_reference or row.tells_apart,
    may_be_none=True,
    auto=where_installed("sface", "people are told apart by places and colours"),
    requirement=_requirement,
    evaluates=True,
    figure="identity_distance",
    recommended="sface",
)
