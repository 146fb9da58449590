"""The autoencoder among whose latents some lip-sync networks draw."""

from __future__ import annotations

from typing import TYPE_CHECKING

from lipwise_ray.models.loading import ModelHost, ModelRecipe, ModelRequest
from lipwise_ray.models.role import InId, ModelRole
from lipwise_ray.roles.audio_encoder import hears_states

if TYPE_CHECKING:
    from lipwise_ray.nets.diffusion.autoencoder import ImageAutoencoder


def _load(request: ModelRequest, host: ModelHost) -> ModelRecipe[ImageAutoencoder] | None:
    del request, host
    return None  # the lip-sync network has it, in its own number format


AUTOENCODER = ModelRole(
    "autoencoder",
    "lipsync.autoencoder",
    "lipsync.autoencoder_checkpoint",
    networks=("sd_autoencoder",),
    load=_load,
    order=1,
    in_job_id=InId.HASH_WHERE_USED,
    needed=lambda settings, _: hears_states(settings),
    is_preloaded=False,
)
