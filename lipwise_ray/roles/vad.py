"""The network that tells speech from pauses."""

from __future__ import annotations

import importlib.util
from typing import TYPE_CHECKING

from lipwise_ray.models.loading import ModelHost, ModelRecipe, ModelRequest
from lipwise_ray.models.role import NOTHING, AutoChoice, InId, Machines, ModelRole

if TYPE_CHECKING:
    from lipwise_ray.lipsync.silero import SileroVad


def _load(request: ModelRequest, host: ModelHost) -> ModelRecipe[SileroVad] | None:
    checkpoint = request.checkpoints.one(VAD.name)
    if checkpoint is None:
        return None

    def make() -> SileroVad:
        from lipwise_ray.lipsync.silero import SileroVad

        return SileroVad(host.locate(checkpoint), threads=host.threads)

    return ModelRecipe((checkpoint,), make)


def _auto(machines: Machines) -> AutoChoice:
    name = "silero_vad"
    if machines.installed(name) and importlib.util.find_spec("onnxruntime") is not None:
        return AutoChoice(name)
    return AutoChoice(NOTHING, f"{name} is not installed: pauses go by the audio's level")


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
    auto=_auto,
)
