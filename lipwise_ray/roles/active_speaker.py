"""The network that tells whose lips move as in speech."""

from __future__ import annotations

from typing import TYPE_CHECKING

from lipwise_ray.models.loading import ModelHost, ModelRecipe, ModelRequest
from lipwise_ray.models.role import InId, ModelRole, where_installed

if TYPE_CHECKING:
    from lipwise_ray.metrics.lip_activity import LipActivity


def _load(request: ModelRequest, host: ModelHost) -> ModelRecipe[LipActivity] | None:
    checkpoint = request.checkpoints.one(ACTIVE_SPEAKER.name)
    if checkpoint is None:
        return None

    def make() -> LipActivity:
        from lipwise_ray.metrics.lip_activity import LipActivity

        return LipActivity(host.locate(checkpoint), host.device)

    return ModelRecipe((checkpoint,), make)


ACTIVE_SPEAKER = ModelRole(
    "active_speaker",
    "faces.active_speaker",
    "faces.active_speaker_checkpoint",
    networks=("lr_asd",),
    load=_load,
    order=55,
    in_job_id=InId.HASH_WHERE_USED,
    needed=lambda _, row: row.seeks_speaker,
    may_be_none=True,
    auto=where_installed("lr_asd_talkset", "one speaker is found for each shot"),
    finds_speaker=True,
)
