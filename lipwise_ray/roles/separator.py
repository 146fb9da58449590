"""The network that takes the voices out of a video's own audio."""

from __future__ import annotations

from typing import TYPE_CHECKING

from lipwise_ray.models.loading import ModelHost, ModelRecipe, ModelRequest
from lipwise_ray.models.role import InId, ModelRole

if TYPE_CHECKING:
    from lipwise_ray.nets.separation import Separator


def _load(request: ModelRequest, host: ModelHost) -> ModelRecipe[Separator] | None:
    checkpoint = request.checkpoints.one(SEPARATOR.name)
    if checkpoint is None:
        return None

    def make() -> Separator:
        from lipwise_ray.nets.separation import Separator

        return Separator(host.locate(checkpoint), host.device)

    return ModelRecipe((checkpoint,), make)


SEPARATOR = ModelRole(
    "separator",
    "mix.separator",
    "mix.separator_checkpoint",
    networks=("htdemucs",),
    load=_load,
    order=78,
    in_job_id=InId.HASH_WHERE_USED,
    needed=lambda _, row: row.keeps_background,
)
