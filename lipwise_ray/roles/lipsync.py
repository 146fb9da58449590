"""The network that makes new lips."""

from __future__ import annotations

from functools import partial

from lipwise_ray.lipsync.audio_features import MEL, WHISPER_STATES, AudioFeature
from lipwise_ray.lipsync.mel import MEL_BANDS
from lipwise_ray.lipsync.model import CompiledWav2LipSync, LipSync, Passthrough, Wav2LipSync, load_wav2lip
from lipwise_ray.lipsync.musetalk import MuseTalkLipSync
from lipwise_ray.lipsync.windows import WINDOW_COLUMNS
from lipwise_ray.models.checkpoints import Checkpoint
from lipwise_ray.models.loading import ModelHost, ModelRecipe, ModelRequest
from lipwise_ray.models.role import InId, Machines, ModelRole, NumberFormat, Requirement, Wanted
from lipwise_ray.nets.exports import Exportable
from lipwise_ray.nets.runtimes import TORCH
from lipwise_ray.nets.sizes import WAV2LIP_PX
from lipwise_ray.roles.audio_encoder import hears_states
from lipwise_ray.roles.autoencoder import AUTOENCODER
from lipwise_ray.settings.model import Settings

PASSTHROUGH = "passthrough"
"""Name in place of the network's where faces stay as they are."""

WAV2LIP, MUSETALK = "wav2lip", "musetalk"

_CPU_BATCH, _GPU_BATCH = 16, 128
_FACE_BYTES = 16 << 20
"""GPU memory that a face takes in Wav2Lip in float32, see `benchmarks/gpu.py`."""

_MUSETALK_CPU_BATCH, _MUSETALK_GPU_BATCH = 2, 16
_MUSETALK_FACE_BYTES = 512 << 20


def _load(request: ModelRequest, host: ModelHost) -> ModelRecipe[LipSync] | None:
    settings, checkpoint = request.settings.lipsync, request.checkpoints.one(LIPSYNC.name)
    batch = request.batch(settings.batch_frames or host.batch(_CPU_BATCH, _GPU_BATCH, _FACE_BYTES))
    if settings.model == PASSTHROUGH:
        return ModelRecipe((), lambda: Passthrough(batch_faces=batch))
    if checkpoint is None:
        return None
    if checkpoint.network == MUSETALK:
        return _musetalk(request, host, checkpoint)
    precision, bfloat16, path = settings.precision, host.bfloat16(), host.locate(checkpoint)
    runtime = host.runtime(precision)

    def make() -> LipSync:
        if runtime == TORCH:
            return Wav2LipSync(path, device=host.device, precision=precision, batch_faces=batch, bfloat16=bfloat16)
        inputs = {"mel": (1, MEL_BANDS, WINDOW_COLUMNS), "face": (6, WAV2LIP_PX, WAV2LIP_PX)}
        network = Exportable(WAV2LIP, checkpoint.sha256, partial(load_wav2lip, path), inputs)
        is_bfloat16 = precision == "bfloat16" or (precision == "auto" and bfloat16)
        return CompiledWav2LipSync(host.compiled(network, runtime, batch, bfloat16=is_bfloat16), batch)

    return ModelRecipe((checkpoint,), make, (precision, bfloat16, runtime), batch)


def _musetalk(request: ModelRequest, host: ModelHost, unet: Checkpoint) -> ModelRecipe[LipSync]:
    settings, autoencoder = request.settings.lipsync, request.checkpoints.needed(AUTOENCODER.name)
    precision, bfloat16 = settings.precision, host.bfloat16()
    usual = settings.batch_frames or host.batch(_MUSETALK_CPU_BATCH, _MUSETALK_GPU_BATCH, _MUSETALK_FACE_BYTES)
    batch = request.batch(usual)

    def make() -> LipSync:
        return MuseTalkLipSync(
            host.locate(unet),
            host.locate(autoencoder),
            device=host.device,
            precision=precision,
            batch_faces=batch,
            bfloat16=bfloat16,
        )

    return ModelRecipe((unet, autoencoder), make, (precision, bfloat16), batch)


def _required(settings: Settings, machines: Machines) -> Requirement:
    """Return the checkpoint that the settings ask for; a file is of the network of the model that they name."""
    del machines
    lipsync = settings.lipsync
    networks = (MUSETALK, WAV2LIP) if hears_states(settings) else (WAV2LIP, MUSETALK)
    return Requirement((Wanted(lipsync.model, networks, lipsync.checkpoint),))


def heard_by(checkpoint: Checkpoint | None) -> AudioFeature:
    """Return the feature of audio that a lip-sync network hears.

    Args:
        checkpoint: The network's; None where faces stay as they are.
    """
    return WHISPER_STATES if checkpoint is not None and checkpoint.network == MUSETALK else MEL


# There is no int8: by OpenVINO it is about 1.5 times as fast as bfloat16, and faces keep an SSIM of 0.99 to float32,
# but figures of the demo move by more than 1 %. See `python -m benchmarks.runtimes --int8`.
LIPSYNC = ModelRole(
    "lipsync",
    "lipsync.model",
    "lipsync.checkpoint",
    networks=(WAV2LIP, MUSETALK),
    requirement=_required,
    load=_load,
    order=0,
    in_job_id=InId.HASH,
    needed=lambda settings, _: settings.lipsync.model != PASSTHROUGH,
    number_format=NumberFormat("lipsync.precision", float16_on_gpus=True),
    runtime_networks=(WAV2LIP,),
    recommended="wav2lip_gan",
)
