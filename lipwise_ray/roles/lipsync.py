"""The network that makes new lips."""

from __future__ import annotations

from functools import partial

from lipwise_ray.lipsync.mel import MEL_BANDS
from lipwise_ray.lipsync.model import CompiledWav2LipSync, LipSync, Passthrough, Wav2LipSync, load_wav2lip
from lipwise_ray.lipsync.windows import WINDOW_COLUMNS
from lipwise_ray.models.loading import ModelHost, ModelRecipe, ModelRequest
from lipwise_ray.models.role import InId, ModelRole, NumberFormat
from lipwise_ray.nets.exports import Exportable
from lipwise_ray.nets.runtimes import TORCH
from lipwise_ray.nets.sizes import WAV2LIP_PX

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
    runtime = host.runtime(precision)

    def make() -> LipSync:
        if runtime == TORCH:
            return Wav2LipSync(path, device=host.device, precision=precision, batch_faces=batch, bfloat16=bfloat16)
        inputs = {"mel": (1, MEL_BANDS, WINDOW_COLUMNS), "face": (6, WAV2LIP_PX, WAV2LIP_PX)}
        network = Exportable("wav2lip", checkpoint.sha256, partial(load_wav2lip, path), inputs)
        is_bfloat16 = precision == "bfloat16" or (precision == "auto" and bfloat16)
        return CompiledWav2LipSync(host.compiled(network, runtime, batch, bfloat16=is_bfloat16), batch)

    return ModelRecipe((checkpoint,), make, (precision, bfloat16, runtime), batch)


# There is no int8: by OpenVINO it is about 1.5 times as fast as bfloat16, and faces keep an SSIM of 0.99 to float32,
# but figures of the demo move by more than 1 %. See `python -m benchmarks.runtimes --int8`.
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
    runtime_networks=("wav2lip",),
    recommended="wav2lip_gan",
)
