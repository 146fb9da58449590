"""The section `lipsync` of the settings."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from lipwise_ray.settings.execution import Section
from lipwise_ray.settings.picture import PrecisionSetting

LATENTSYNC_PX = {"latentsync_15": 256, "latentsync_16": 512}
"""Side of the crops of LatentSync's versions, whose files hold the same tensors."""


class LipsyncSettings(Section):
    """The lip-sync network."""

    model: str = "wav2lip_gan"
    """A name of the registry, or ``passthrough``."""
    checkpoint: str | None = None
    """A file of weights instead of the registry's: of Wav2Lip, as an ONNX file also of a larger Wav2Lip or of EDTalk,
    or with ``model = "musetalk_15"`` of MuseTalk's U-Net, with ``latentsync_15`` or ``latentsync_16`` of
    LatentSync's."""
    autoencoder: str = "sd_vae_ft_mse"
    """The autoencoder of musetalk_15, latentsync_15 and latentsync_16: a name of the registry."""
    autoencoder_checkpoint: str | None = None
    """A file instead of the registry's."""
    audio_encoder: str = "whisper_tiny"
    """The audio encoder with which those three hear: a name of the registry."""
    audio_encoder_checkpoint: str | None = None
    """A file instead of the registry's."""
    steps: Annotated[int, Field(ge=1, le=500)] = 20
    """Steps in which latentsync_15 and latentsync_16 draw; time goes by them."""
    guidance: Annotated[float, Field(ge=1, le=10)] = 1.5
    """Factor by which their lips go from what no audio gives to what the audio gives. 1 is the audio alone, in half
    the time; the published programs use 1 to 2."""
    seed: Annotated[int, Field(ge=0, le=4294967295)] = 1247
    """Of the noise that they begin with: other numbers give other details."""
    noise: Literal["shared", "window"] = "shared"
    """Noise of their windows of 16 frames: ``shared`` is one for all, as in the original, for a face that stays as it
    is from window to window. With ``window`` each has its own, by its place and by the audio that it hears: for
    details that repeat too plainly every 16 frames."""
    precision: PrecisionSetting = "auto"
    """``auto`` is float16 on a GPU, bfloat16 on a CPU that has it in hardware, else float32."""
    batch_frames: Annotated[int, Field(ge=0, le=1024)] = 0
    """Faces a network call; 0 means 16 on a CPU, 128 on a GPU, and of musetalk_15 2 and 16. LatentSync always takes
    16."""
    strength: Annotated[float, Field(ge=0, le=2)] = 1.0
    """Strength of the mouth's movements, of models that hear the mel: 1 as they draw it, 0 as in silence. It scales the
    mel's distance from silence, of edtalk_256 its own weight of the mouth; from about 1.3 on loud speech is at the end
    of the scale."""
    audio_offset_ms: Annotated[float, Field(ge=-5000, le=5000)] = 0.0
    """The lips follow the audio this much later in the track; the delivered audio does not move."""
    windows: Literal["padded", "reference"] = "padded"
    """``reference`` ends where the original's loop over mel windows ends, a few frames early."""
    levels: bool = False
    """Round the network's input to 256 levels, as the original does."""
    silence: Literal["original", "closed", "off"] = "original"
    """In pauses of the new audio: ``original`` shows the original lips where the original audio pauses too, and closes
    the mouth elsewhere; ``closed`` closes it; ``off`` leaves pauses to the network."""
    min_pause_s: Annotated[float, Field(ge=0.1, le=60)] = 0.3
    """Shorter pauses count as speech."""
    vad: str = "auto"
    """Tells speech from pauses: a name of the registry, ``none`` for a rule by level, which takes music for speech, or
    ``auto`` for silero_vad where the extra `vad` is installed. It hears no singing: songs need ``none``."""
    vad_checkpoint: str | None = None
    """A file instead of the registry's."""

    def drawn_px(self) -> int | None:
        """Return the side of LatentSync's crops, None for other models."""
        return LATENTSYNC_PX.get(self.model)

    def idle_keys(self) -> set[str]:
        """Return the settings that decide nothing of what the model draws: earlier jobs' ids have no word of them."""
        of_others = () if self.drawn_px() else ("steps", "guidance", "seed", "noise")
        usual = {key for key, value in (("strength", 1), ("noise", "shared")) if getattr(self, key) == value}
        return {"batch_frames", *of_others, *usual}
