"""The network that keeps what is in front of faces out of their masks."""

from __future__ import annotations

from lipwise_ray.lipsync.parsing import FaceParser
from lipwise_ray.models.loading import ModelHost, ModelRecipe, ModelRequest
from lipwise_ray.models.role import InId, ModelRole, NumberFormat


def _load(request: ModelRequest, host: ModelHost) -> ModelRecipe[FaceParser] | None:
    checkpoint = request.checkpoints.one(PARSER.name)
    if checkpoint is None:
        return None
    path, batch = host.locate(checkpoint), request.image_batch(host)
    precision, bfloat16 = request.settings.lipsync.precision, host.bfloat16()

    def make() -> FaceParser:
        return FaceParser(path, device=host.device, precision=precision, batch_faces=batch, bfloat16=bfloat16)

    return ModelRecipe((checkpoint,), make, (precision, bfloat16), batch)


PARSER = ModelRole(
    "parser",
    "composite.parser",
    "composite.parser_checkpoint",
    networks=("bisenet",),
    load=_load,
    order=30,
    in_job_id=InId.HASH,
    needed=lambda settings, _: settings.composite.mask != "box",
    may_be_none=True,
    number_format=NumberFormat("lipsync.precision", float16_on_gpus=True),
)
