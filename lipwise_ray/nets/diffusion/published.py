"""Latent networks of published files, and of smaller ones of their layout."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

import torch
from torch import nn

from lipwise_ray.errors import WeightsError
from lipwise_ray.nets.checkpoint import OTHER_DO, check_fit, load_state_dict
from lipwise_ray.nets.diffusion.autoencoder import AUTOENCODER_CHANNELS, ImageAutoencoder, current_names
from lipwise_ray.nets.diffusion.blocks import NORM_GROUPS
from lipwise_ray.nets.diffusion.unet import LATENTSYNC_UNET, MUSETALK_UNET, LatentUNet, UNetShape

if TYPE_CHECKING:
    from torch import Tensor

_Network = TypeVar("_Network", bound=nn.Module)


def load_musetalk_unet(checkpoint: Path) -> LatentUNet:
    """Return MuseTalk's U-Net in float32 on the CPU, of the widths that its file has.

    Raises:
        WeightsError: The file does not hold its tensors.
    """
    return _load_unet(checkpoint, MUSETALK_UNET, "MuseTalk's U-Net")


def load_latentsync_unet(checkpoint: Path) -> LatentUNet:
    """Return LatentSync's U-Net in float32 on the CPU, of the widths that its file has, its layers over frames with it.

    Raises:
        WeightsError: The file does not hold its tensors; those over frames may be the ones that are missing.
    """
    return _load_unet(checkpoint, LATENTSYNC_UNET, "LatentSync's U-Net")


def load_autoencoder(checkpoint: Path) -> ImageAutoencoder:
    """Return Stable Diffusion's autoencoder in float32 on the CPU, of the widths that its file has.

    Raises:
        WeightsError: The file does not hold its tensors.
    """
    name, tensors = "Stable Diffusion's autoencoder", current_names(load_state_dict(checkpoint))
    levels = [f"encoder.down_blocks.{level}.resnets.0.conv1.weight" for level in range(len(AUTOENCODER_CHANNELS))]
    channels = _channels(tensors, levels, AUTOENCODER_CHANNELS, checkpoint, name)
    with torch.device("meta"):
        network = ImageAutoencoder(channels)
    return _loaded(network, tensors, checkpoint, name)


def _load_unet(checkpoint: Path, published: UNetShape, name: str) -> LatentUNet:
    tensors = load_state_dict(checkpoint)
    levels = [f"down_blocks.{level}.resnets.0.conv1.weight" for level in range(len(published.channels))]
    channels = _channels(tensors, levels, published.channels, checkpoint, name)
    with torch.device("meta"):  # a shape in a file does not decide how much memory is taken
        network = LatentUNet(replace(published, channels=channels))
    return _loaded(network, tensors, checkpoint, name)


def _channels(
    tensors: Mapping[str, Tensor], levels: Sequence[str], most: tuple[int, ...], path: Path, name: str
) -> tuple[int, ...]:
    """Return the channels of each level, none more than the published network has.

    Raises:
        WeightsError: They are none that such a network can have.
    """
    shapes = [tuple(tensors[level].shape) if level in tensors else () for level in levels]
    counts = tuple(shape[0] if shape else 0 for shape in shapes)
    if any(not 0 < count <= limit or count % NORM_GROUPS for count, limit in zip(counts, most, strict=True)):
        raise WeightsError(
            "other_network",
            str(path),
            got=f"not a checkpoint of {name}: its layers have no channels that {name} can have",
            do=OTHER_DO,
        )
    return counts


def _loaded(network: _Network, tensors: Mapping[str, Tensor], path: Path, name: str) -> _Network:
    check_fit(network, tensors, path, name)
    network.load_state_dict({key: tensor.float() for key, tensor in tensors.items()}, assign=True)
    return network.eval()
