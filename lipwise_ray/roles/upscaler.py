"""The network that enlarges: frames as they are finished, or new faces before they are laid over them."""

from __future__ import annotations

from lipwise_ray.lipsync.restore import ModelFaces, check_upscaler
from lipwise_ray.models.checkpoints import Checkpoint
from lipwise_ray.models.loading import ModelHost, ModelRecipe, ModelRequest
from lipwise_ray.models.role import InId, ModelRole, NumberFormat
from lipwise_ray.nets.image_models import load_image_model


def _load(request: ModelRequest, host: ModelHost) -> ModelRecipe[ModelFaces] | None:
    """Return the recipe for a network that enlarges frames; that of faces stands behind the restorer."""
    settings, checkpoint = request.settings.restore, request.checkpoints.one(UPSCALER.name)
    if checkpoint is None or settings.upscale.scope == "face":
        return None
    tile_px, bfloat16 = settings.upscale.tile_px, host.bfloat16()
    return ModelRecipe(
        (checkpoint,),
        lambda: make_upscaler(checkpoint, request, host, tile_px),
        (settings.precision, bfloat16, tile_px),
        request.image_batch(host),
    )


def make_upscaler(checkpoint: Checkpoint, request: ModelRequest, host: ModelHost, size_px: int = 0) -> ModelFaces:
    """Return the network.

    Args:
        checkpoint: Of any architecture that spandrel knows.
        request: The task's.
        host: The process that it is to run in.
        size_px: Side of the images that it is given; 0 is a face's.

    Raises:
        SettingsError: The checkpoint is of another kind.
    """
    return ModelFaces(
        check_upscaler(load_image_model(host.locate(checkpoint)), str(checkpoint.path)),
        device=host.device,
        precision=request.settings.restore.precision,
        batch_faces=request.image_batch(host),
        size_px=size_px,
        bfloat16=host.bfloat16(),
    )


UPSCALER = ModelRole(
    "upscaler",
    "restore.upscale.model",
    "restore.upscale.checkpoint",
    networks=("spandrel",),
    load=_load,
    order=20,
    in_job_id=InId.HASH,
    may_be_none=True,
    number_format=NumberFormat("restore.precision"),
)
