"""The network that tells speech from pauses."""

from __future__ import annotations

from typing import TYPE_CHECKING

from lipwise_ray.models.loading import ModelHost, of_one_file
from lipwise_ray.models.role import InId, ModelRole, where_installed

if TYPE_CHECKING:
    from lipwise_ray.lipsync.silero import SileroVad
    from lipwise_ray.models.checkpoints import Checkpoint


def _make(checkpoint: Checkpoint, host: ModelHost) -> SileroVad:
    from lipwise_ray.lipsync.silero import SileroVad

    return SileroVad(host.locate(checkpoint))


VAD = ModelRole(
    "vad",
    "lipsync.vad",
    "lipsync.vad_checkpoint",
    networks=("silero_vad",),
    load=of_one_file("vad", _make),
    order=75,
    in_job_id=InId.HASH_WHERE_USED,
    needed=lambda settings, row: settings.lipsync.silence != "off" or row.seeks_speaker,
    may_be_none=True,
    auto=where_installed("silero_vad", "pauses go by the audio's level"),
)
