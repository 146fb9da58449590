"""The network that makes new lips."""

from __future__ import annotations

from lipwise_ray.lipsync.model import LipSync, Passthrough, Wav2LipSync
from lipwise_ray.models.loading import ModelHost, ModelRecipe, ModelRequest
from lipwise_ray.models.role import InId, ModelRole, NumberFormat

PASSTHROUGH = "passthrough"
"""Name in place of the network's where faces stay as they are."""

_CPU_BATCH, _GPU_BATCH = 16, 128
_FACE_BYTES = 16 << 20
"""GPU memory that a face takes in Wav2Lip in float32, see `benchmarks/gpu.py`."""


def _load(request: ModelRequest, host: ModelHost) -> ModelRecipe[LipSync] | None:
    settings, checkpoint = request.settings.lipsync, request.checkpoints.one(LIPSYNC.name)
    batch = request.batch(settings.batch_frames or host.batch(_CPU_BATCH, _GPU_BATCH, _FACE_BYTES))
    if settings.model == PASSTHROUGH:
        return ModelRecipe((), lambda: Passthrough(batch_faces=batch))
    if checkpoint is None:
        return None
    precision, bfloat16, path = settings.precision, host.bfloat16(), host.locate(checkpoint)

    def make() -> LipSync:
        return Wav2LipSync(path, device=host.device, precision=precision, batch_faces=batch, bfloat16=bfloat16)

    return ModelRecipe((checkpoint,), make, (precision, bfloat16), batch)


LIPSYNC = ModelRole(
    "lipsync",
    "lipsync.model",
    "lipsync.checkpoint",
    networks=("wav2lip",),
    load=_load,
    order=0,
    in_job_id=InId.HASH,
    needed=lambda settings, _: settings.lipsync.model != PASSTHROUGH,
    number_format=NumberFormat("lipsync.precision", float16_on_gpus=True),
)
