"""The network that tells whose lips move as in speech."""

from __future__ import annotations

from typing import TYPE_CHECKING

from lipwise_ray.models.loading import ModelHost, of_one_file
from lipwise_ray.models.role import InId, ModelRole, where_installed

if TYPE_CHECKING:
    from lipwise_ray.metrics.lip_activity import LipActivity
    from lipwise_ray.models.checkpoints import Checkpoint


def _make(checkpoint: Checkpoint, host: ModelHost) -> LipActivity:
    from lipwise_ray.metrics.lip_activity import LipActivity

    return LipActivity(host.locate(checkpoint), host.device)


ACTIVE_SPEAKER = ModelRole(
    "active_speaker",
    "faces.active_speaker",
    "faces.active_speaker_checkpoint",
    networks=("lr_asd",),
    load=of_one_file("active_speaker", _make),
    order=55,
    in_job_id=InId.HASH_WHERE_USED,
    needed=lambda _, row: row.seeks_speaker,
    may_be_none=True,
    auto=where_installed("lr_asd_talkset", "one speaker is found for each shot"),
    finds_speaker=True,
)
