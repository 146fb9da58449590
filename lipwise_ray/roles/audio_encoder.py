"""The network whose states of the audio are what some lip-sync networks hear."""

from __future__ import annotations

from typing import TYPE_CHECKING

from lipwise_ray.lipsync.audio_features import LATENTSYNC_STATES, WHISPER_STATES
from lipwise_ray.models.checkpoints import Checkpoint
from lipwise_ray.models.loading import ModelHost, ModelRecipe, ModelRequest
from lipwise_ray.models.role import InId, ModelRole
from lipwise_ray.settings.lipsync import LATENTSYNC_PX
from lipwise_ray.settings.model import Settings
from lipwise_ray.state.ids import PIPELINE_VERSION, record_id

if TYPE_CHECKING:
    from lipwise_ray.lipsync.whisper_states import WhisperStates

LATENT_MODELS = {"musetalk_15": WHISPER_STATES, **dict.fromkeys(LATENTSYNC_PX, LATENTSYNC_STATES)}
"""Lip-sync models, as the registry names them, that draw among latents, and the states of an audio encoder that they
hear."""


def hears_states(settings: Settings) -> bool:
    """Tell whether the lip-sync model of settings hears an audio encoder's states, and not the mel."""
    return settings.lipsync.model in LATENT_MODELS


def encoder_id(settings: Settings, encoder: Checkpoint) -> str:
    """Return the id of the states that the lip-sync model of settings hears: of all that decides them."""
    feature = LATENT_MODELS.get(settings.lipsync.model, WHISPER_STATES)
    kind = {} if feature == WHISPER_STATES else {"feature": feature.name}
    return record_id({"pipeline": PIPELINE_VERSION, AUDIO_ENCODER.name: encoder.sha256, **kind})


def _load(request: ModelRequest, host: ModelHost) -> ModelRecipe[WhisperStates] | None:
    checkpoint = request.checkpoints.one(AUDIO_ENCODER.name)
    if checkpoint is None:
        return None
    feature = LATENT_MODELS.get(request.settings.lipsync.model, WHISPER_STATES)

    def make() -> WhisperStates:
        from lipwise_ray.lipsync.whisper_states import WhisperStates

        return WhisperStates(host.locate(checkpoint), feature)

    return ModelRecipe((checkpoint,), make, (feature.name,))


AUDIO_ENCODER = ModelRole(
    "audio_encoder",
    "lipsync.audio_encoder",
    "lipsync.audio_encoder_checkpoint",
    networks=("whisper_encoder",),
    load=_load,
    order=2,
    in_job_id=InId.HASH_WHERE_USED,
    needed=lambda settings, _: hears_states(settings),
)
