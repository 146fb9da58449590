"""Small seeded checkpoints in the published layouts of latent lip models."""

from __future__ import annotations

from pathlib import Path

import torch

from lipwise_ray.nets.diffusion.autoencoder import ImageAutoencoder
from lipwise_ray.nets.diffusion.unet import LatentUNet, UNetShape
from lipwise_ray.nets.whisper_encoder import WhisperEncoder, WhisperShape

CHANNELS = (32, 32, 32, 32)
PIECE_STEPS = 150


def write_musetalk(folder: Path) -> dict[str, str]:
    """Write MuseTalk's three files, and return the settings of `lipsync` that name them.

    The encoder hears 3 s at once, so that short audio has seams.
    """
    folder.mkdir(exist_ok=True)
    torch.manual_seed(0)
    unet = LatentUNet(UNetShape(8, CHANNELS))
    torch.save(unet.state_dict(), folder / "unet.pth")
    return {"model": "musetalk_15", "checkpoint": str(folder / "unet.pth"), **_write_others(folder)}


def write_latentsync(folder: Path) -> dict[str, str]:
    """Write LatentSync's three files, and return the settings of `lipsync` that name them, at the smaller size.

    Every layer is drawn: the published network begins with some at zero, and would give zeros.
    """
    folder.mkdir(exist_ok=True)
    torch.manual_seed(0)
    unet = LatentUNet(UNetShape(13, CHANNELS, has_motion=True))
    for parameter in unet.parameters():
        torch.nn.init.normal_(parameter, std=0.1)
    torch.save({"global_step": 1, "state_dict": unet.state_dict()}, folder / "latentsync_unet.pt")
    return {"model": "latentsync_15", "checkpoint": str(folder / "latentsync_unet.pt"), **_write_others(folder)}


def _write_others(folder: Path) -> dict[str, str]:
    torch.save(ImageAutoencoder(CHANNELS).state_dict(), folder / "vae.bin")
    encoder = WhisperEncoder(WhisperShape(steps=PIECE_STEPS))
    named = {f"model.encoder.{name}": tensor for name, tensor in encoder.state_dict().items()}
    torch.save(named, folder / "whisper.bin")
    return {
        "autoencoder_checkpoint": str(folder / "vae.bin"),
        "audio_encoder_checkpoint": str(folder / "whisper.bin"),
    }
