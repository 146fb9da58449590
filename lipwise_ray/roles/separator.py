"""The network that takes the voices out of a video's own audio."""

from __future__ import annotations

from typing import TYPE_CHECKING

from lipwise_ray.models.loading import ModelHost, of_one_file
from lipwise_ray.models.role import InId, ModelRole

if TYPE_CHECKING:
    from lipwise_ray.models.checkpoints import Checkpoint
    from lipwise_ray.nets.separation import Separator


def _make(checkpoint: Checkpoint, host: ModelHost) -> Separator:
    from lipwise_ray.nets.separation import Separator

    return Separator(host.locate(checkpoint), host.device)


SEPARATOR = ModelRole(
    "separator",
    "mix.separator",
    "mix.separator_checkpoint",
    networks=("htdemucs",),
    load=of_one_file("separator", _make),
    order=78,
    in_job_id=InId.HASH_WHERE_USED,
    needed=lambda _, row: row.keeps_background,
)
