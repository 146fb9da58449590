"""The network whose states of the audio are what some lip-sync networks hear."""

from __future__ import annotations

from typing import TYPE_CHECKING

from lipwise_ray.models.loading import ModelHost, ModelRecipe, ModelRequest
from lipwise_ray.models.role import InId, ModelRole
from lipwise_ray.settings.model import Settings

if TYPE_CHECKING:
    from lipwise_ray.lipsync.whisper_states import WhisperStates

LATENT_MODELS = ("musetalk_15",)
"""Lip-sync models, as the registry names them, that draw among latents, on states of an audio encoder."""


def hears_states(settings: Settings) -> bool:
    """Tell whether the lip-sync model of settings hears an audio encoder's states, and not the mel."""
    return settings.lipsync.model in LATENT_MODELS


def _load(request: ModelRequest, host: ModelHost) -> ModelRecipe[WhisperStates] | None:
    checkpoint = request.checkpoints.one(AUDIO_ENCODER.name)
    if checkpoint is None:
        return None

    def make() -> WhisperStates:
        from lipwise_ray.lipsync.whisper_states import WhisperStates

        return WhisperStates(host.locate(checkpoint))

    return ModelRecipe((checkpoint,), make)


AUDIO_ENCODER = ModelRole(
    "audio_encoder",
    "lipsync.audio_encoder",
    "lipsync.audio_encoder_checkpoint",
    networks=("whisper_encoder",),
    load=_load,
    order=2,
    in_job_id=InId.HASH_WHERE_USED,
    needed=lambda settings, _: hears_states(settings),
    is_preloaded=False,
)
