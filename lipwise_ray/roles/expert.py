"""The network that tells whose lips go with the audio."""

from __future__ import annotations

from typing import TYPE_CHECKING

from lipwise_ray.models.loading import ModelHost, ModelRecipe, ModelRequest
from lipwise_ray.models.role import InId, ModelRole

if TYPE_CHECKING:
    from lipwise_ray.metrics.sync import SpeakerExpert


def _load(request: ModelRequest, host: ModelHost) -> ModelRecipe[SpeakerExpert] | None:
    checkpoint = request.checkpoints.one(EXPERT.name)
    if checkpoint is None:
        return None

    def make() -> SpeakerExpert:
        from lipwise_ray.metrics.sync import SpeakerExpert

        return SpeakerExpert(host.locate(checkpoint), host.device)

    return ModelRecipe((checkpoint,), make)


EXPERT = ModelRole(
    "expert",
    "faces.expert",
    "faces.expert_checkpoint",
    networks=("lipsync_expert",),
    load=_load,
    order=60,
    in_job_id=InId.HASH,
    needed=lambda _, row: row.seeks_speaker,
)
