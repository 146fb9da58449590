"""The network that tells speech from pauses."""

from __future__ import annotations

from typing import TYPE_CHECKING

from lipwise_ray.models.loading import ModelHost, ModelRecipe, ModelRequest
from lipwise_ray.models.role import InId, ModelRole, where_installed

if TYPE_CHECKING:
    from lipwise_ray.lipsync.silero import SileroVad


def _load(request: ModelRequest, host: ModelHost) -> ModelRecipe[SileroVad] | None:
    checkpoint = request.checkpoints.one(VAD.name)
    if checkpoint is None:
        return None

    def make() -> SileroVad:
        from lipwise_ray.lipsync.silero import SileroVad

        return SileroVad(host.locate(checkpoint))

    return ModelRecipe((checkpoint,), make)


VAD = ModelRole(
    "vad",
    "lipsync.vad",
    "lipsync.vad_checkpoint",
    networks=("silero_vad",),
    load=_load,
    order=75,
    in_job_id=InId.HASH_WHERE_USED,
    needed=lambda settings, row: settings.lipsync.silence != "off" or row.seeks_speaker,
    may_be_none=True,
    auto=where_installed("silero_vad", "pauses go by the audio's level"),
)
