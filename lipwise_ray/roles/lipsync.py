"""The network that makes new lips."""

from __future__ import annotations

from functools import partial

from lipwise_ray.errors import SettingsError
from lipwise_ray.lipsync.audio_features import LATENTSYNC_STATES, MEL, WHISPER_STATES, AudioFeature
from lipwise_ray.lipsync.frame_windows import FRAME_BY_FRAME, FrameWindow
from lipwise_ray.lipsync.latentsync import LATENTSYNC_FRAMES, WINDOW_CALLS, LatentSyncLipSync, Sampling, WindowCalls
from lipwise_ray.lipsync.mel import MEL_BANDS
from lipwise_ray.lipsync.model import CompiledWav2LipSync, LipSync, Passthrough, Wav2LipSync, load_wav2lip
from lipwise_ray.lipsync.musetalk import MuseTalkLipSync
from lipwise_ray.lipsync.onnx_lips import open_onnx_lips
from lipwise_ray.lipsync.windows import WINDOW_COLUMNS
from lipwise_ray.models.checkpoints import Checkpoint
from lipwise_ray.models.loading import ModelHost, ModelRecipe, ModelRequest
from lipwise_ray.models.role import InId, Machines, ModelRole, NumberFormat, Requirement, Wanted
from lipwise_ray.nets.exports import Exportable
from lipwise_ray.nets.onnx_layout import is_onnx
from lipwise_ray.nets.runtimes import TORCH
from lipwise_ray.nets.sizes import WAV2LIP_PX
from lipwise_ray.roles.audio_encoder import hears_states
from lipwise_ray.roles.autoencoder import AUTOENCODER
from lipwise_ray.settings.lipsync import LATENTSYNC_PX
from lipwise_ray.settings.model import Settings
from lipwise_ray.storage.address import whole_path

PASSTHROUGH = "passthrough"
"""Name in place of the network's where faces stay as they are."""

WAV2LIP, MUSETALK, ONNX_LIPS = "wav2lip", "musetalk", "onnx_lips"

ONNX_MODELS = ("wav2lip_96", "wav2lip_gan_96", "edtalk_256")
"""Lip-sync models, as the registry names them, that are ONNX files."""
LATENTSYNC = {f"latentsync_{side_px}": side_px for side_px in LATENTSYNC_PX.values()}
"""LatentSync's versions as networks of the registry, and the sides of their crops: nothing else tells them apart."""

_CPU_BATCH, _GPU_BATCH = 16, 128
_FACE_BYTES = 16 << 20
"""GPU memory that a face takes in Wav2Lip in float32, see `benchmarks/gpu.py`."""

_ONNX_FACE_BYTES = 128 << 20
"""The same of the largest that is known, of 256 pixels: seven times as many as Wav2Lip has."""

_NOT_IN_ONNX = ("bfloat16", "float16")

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
    if checkpoint.network == ONNX_LIPS:
        return _onnx_lips(request, host, checkpoint)
    if checkpoint.network in LATENTSYNC:
        return _latentsync(request, host, checkpoint)
    precision, bfloat16, path = settings.precision, host.bfloat16(), host.locate(checkpoint)
    runtime = host.runtime(precision)

    def make() -> LipSync:
        if runtime == TORCH:
            return Wav2LipSync(
                path,
                device=host.device,
                precision=precision,
                batch_faces=batch,
                bfloat16=bfloat16,
                strength=settings.strength,
            )
        inputs = {"mel": (1, MEL_BANDS, WINDOW_COLUMNS), "face": (6, WAV2LIP_PX, WAV2LIP_PX)}
        network = Exportable(WAV2LIP, checkpoint.sha256, partial(load_wav2lip, path), inputs)
        is_bfloat16 = precision == "bfloat16" or (precision == "auto" and bfloat16)
        compiled = host.compiled(network, runtime, batch, bfloat16=is_bfloat16)
        return CompiledWav2LipSync(compiled, batch, strength=settings.strength)

    return ModelRecipe((checkpoint,), make, (precision, bfloat16, runtime, settings.strength), batch)


def _onnx_lips(request: ModelRequest, host: ModelHost, checkpoint: Checkpoint) -> ModelRecipe[LipSync]:
    settings, runtime = request.settings.lipsync, host.runtime("float32")
    batch = request.batch(settings.batch_frames or host.batch(_CPU_BATCH, _GPU_BATCH, _ONNX_FACE_BYTES))

    def make() -> LipSync:
        return open_onnx_lips(
            host.locate(checkpoint),
            runtime=runtime,
            device=host.device,
            threads=host.threads,
            batch_faces=batch,
            strength=settings.strength,
        )

    return ModelRecipe((checkpoint,), make, (runtime, settings.strength), batch)


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


def _latentsync(request: ModelRequest, host: ModelHost, unet: Checkpoint) -> ModelRecipe[LipSync]:
    settings, autoencoder = request.settings.lipsync, request.checkpoints.needed(AUTOENCODER.name)
    precision, bfloat16, size_px = settings.precision, host.bfloat16(), LATENTSYNC[unet.network]
    sampling = Sampling(settings.steps, settings.guidance, settings.seed, settings.noise == "shared")
    calls = WindowCalls(request.batch(WINDOW_CALLS.images), request.batch(WINDOW_CALLS.clips))

    def make() -> LipSync:
        return LatentSyncLipSync(
            host.locate(unet),
            host.locate(autoencoder),
            size_px=size_px,
            sampling=sampling,
            device=host.device,
            precision=precision,
            bfloat16=bfloat16,
            calls=calls,
        )

    return ModelRecipe((unet, autoencoder), make, (precision, bfloat16, size_px, sampling), calls.images)


def _required(settings: Settings, machines: Machines) -> Requirement:
    """Return the checkpoint that the settings ask for.

    A file is of the network of the model that they name; that of a model which hears the mel may be an ONNX file.

    Raises:
        SettingsError: They ask for something that the model does not bear.
        WeightsError: The registry knows no model of that name, which decides the network also of a file.
    """
    lipsync, hears_mel = settings.lipsync, not hears_states(settings)
    machines.installed(lipsync.model)
    is_file_onnx = lipsync.checkpoint is not None and is_onnx(whole_path(lipsync.checkpoint))
    is_in_onnx = hears_mel and (is_file_onnx if lipsync.checkpoint is not None else lipsync.model in ONNX_MODELS)
    if lipsync.strength != 1 and not hears_mel:
        raise SettingsError(
            "no_strength",
            f"lipsync.strength = {lipsync.strength:g}",
            got=f"{lipsync.model} has no such strength",
            must="only models that hear the mel support it",
            do="Leave it at 1, or choose one of them: wav2lip, edtalk_256",
        )
    if is_in_onnx and lipsync.precision in _NOT_IN_ONNX:
        raise SettingsError(
            "onnx_precision",
            f"lipsync.precision = {lipsync.precision}",
            got="an ONNX lip-sync model computes in float32",
            do="Set it to auto or float32, or take a checkpoint for torch",
        )
    drawn_px = lipsync.drawn_px()
    of_latents = f"latentsync_{drawn_px}" if drawn_px else MUSETALK
    first = ONNX_LIPS if is_in_onnx else WAV2LIP if hears_mel else of_latents
    networks = (first, *(one for one in LIPSYNC.networks if one != first))
    return Requirement((Wanted(lipsync.model, networks, lipsync.checkpoint),))


def heard_by(checkpoint: Checkpoint | None) -> AudioFeature:
    """Return the feature of audio that a lip-sync network hears.

    Args:
        checkpoint: The network's; None where faces stay as they are.
    """
    network = checkpoint.network if checkpoint is not None else ""
    return LATENTSYNC_STATES if network in LATENTSYNC else WHISPER_STATES if network == MUSETALK else MEL


def taken_by(checkpoint: Checkpoint | None) -> FrameWindow:
    """Return the frames that a lip-sync network takes together.

    Args:
        checkpoint: The network's; None where faces stay as they are.
    """
    return LATENTSYNC_FRAMES if checkpoint is not None and checkpoint.network in LATENTSYNC else FRAME_BY_FRAME


# There is no int8: by OpenVINO it is about 1.5 times as fast as bfloat16, and faces keep an SSIM of 0.99 to float32,
# but figures of the demo move by more than 1 %. See `python -m benchmarks.runtimes --int8`.
LIPSYNC = ModelRole(
    "lipsync",
    "lipsync.model",
    "lipsync.checkpoint",
    networks=(WAV2LIP, MUSETALK, *LATENTSYNC, ONNX_LIPS),
    requirement=_required,
    load=_load,
    order=0,
    in_job_id=InId.HASH,
    needed=lambda settings, _: settings.lipsync.model != PASSTHROUGH,
    number_format=NumberFormat("lipsync.precision", float32_networks=(ONNX_LIPS,), float16_on_gpus=True),
    runtime_networks=(WAV2LIP, ONNX_LIPS),
    recommended="wav2lip_gan",
)
