"""The autoencoder between images and their latents. Attribute names match its checkpoints."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import pairwise
from typing import TYPE_CHECKING

from torch import nn
from torch.nn import functional

from lipwise_ray.nets.diffusion.attention import Attention
from lipwise_ray.nets.diffusion.blocks import NORM_GROUPS, Downsample, ResnetBlock, Upsample

if TYPE_CHECKING:
    from torch import Tensor

LATENT_CHANNELS = 4
LATENT_SCALE = 0.18215
"""Factor that gives latents a variance near 1. Source: Rombach et al., "High-Resolution Image Synthesis with Latent
Diffusion Models" (2022), as the published configurations have it."""

AUTOENCODER_CHANNELS = (128, 256, 512, 512)
"""Channels of the levels of sd-vae-ft-mse, the largest images first."""

_EPS = 1e-6
_LAYERS = 2
_OLD_NAMES = {"query": "to_q", "key": "to_k", "value": "to_v", "proj_attn": "to_out.0"}


class _PositionAttention(Attention):
    """Attention of one head among the positions of an image, the input added."""

    def __init__(self, channels: int) -> None:
        super().__init__(channels, 1, has_biases=True)
        self.group_norm = nn.GroupNorm(NORM_GROUPS, channels, eps=_EPS)

    def forward(self, x: Tensor, context: Tensor | None = None) -> Tensor:
        positions = self.group_norm(x).flatten(2).transpose(1, 2)
        found = super().forward(positions, context)
        return x + found.transpose(1, 2).unflatten(2, x.shape[2:])


class _ImageMiddle(nn.Module):
    def __init__(self, channels: int) -> None:
        super().__init__()
        self.attentions = nn.ModuleList([_PositionAttention(channels)])
        self.resnets = nn.ModuleList([ResnetBlock(channels, channels, _EPS) for _ in range(2)])

    def forward(self, x: Tensor) -> Tensor:
        return self.resnets[1](self.attentions[0](self.resnets[0](x)))


class _EncoderLevel(nn.Module):
    def __init__(self, c_in: int, channels: int, *, is_last: bool) -> None:
        super().__init__()
        inputs = (c_in, *[channels] * (_LAYERS - 1))
        self.resnets = nn.ModuleList([ResnetBlock(count, channels, _EPS) for count in inputs])
        self.downsamplers = None if is_last else nn.ModuleList([Downsample(channels, is_padded_behind=True)])

    def forward(self, x: Tensor) -> Tensor:
        for resnet in self.resnets:
            x = resnet(x)
        return x if self.downsamplers is None else self.downsamplers[0](x)


class _DecoderLevel(nn.Module):
    def __init__(self, c_in: int, channels: int, *, is_last: bool) -> None:
        super().__init__()
        inputs = (c_in, *[channels] * _LAYERS)
        self.resnets = nn.ModuleList([ResnetBlock(count, channels, _EPS) for count in inputs])
        self.upsamplers = None if is_last else nn.ModuleList([Upsample(channels)])

    def forward(self, x: Tensor) -> Tensor:
        for resnet in self.resnets:
            x = resnet(x)
        return x if self.upsamplers is None else self.upsamplers[0](x)


class _ImageEncoder(nn.Module):
    def __init__(self, channels: tuple[int, ...]) -> None:
        super().__init__()
        self.conv_in = nn.Conv2d(3, channels[0], 3, padding=1)
        self.down_blocks = nn.ModuleList(
            _EncoderLevel(before, count, is_last=level == len(channels) - 1)
            for level, (before, count) in enumerate(pairwise((channels[0], *channels)))
        )
        self.mid_block = _ImageMiddle(channels[-1])
        self.conv_norm_out = nn.GroupNorm(NORM_GROUPS, channels[-1], eps=_EPS)
        self.conv_out = nn.Conv2d(channels[-1], 2 * LATENT_CHANNELS, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        x = self.conv_in(x)
        for level in self.down_blocks:
            x = level(x)
        return self.conv_out(functional.silu(self.conv_norm_out(self.mid_block(x))))


class _ImageDecoder(nn.Module):
    def __init__(self, channels: tuple[int, ...]) -> None:
        super().__init__()
        rising = channels[::-1]
        self.conv_in = nn.Conv2d(LATENT_CHANNELS, rising[0], 3, padding=1)
        self.mid_block = _ImageMiddle(rising[0])
        self.up_blocks = nn.ModuleList(
            _DecoderLevel(before, count, is_last=level == len(channels) - 1)
            for level, (before, count) in enumerate(pairwise((rising[0], *rising)))
        )
        self.conv_norm_out = nn.GroupNorm(NORM_GROUPS, channels[0], eps=_EPS)
        self.conv_out = nn.Conv2d(channels[0], 3, 3, padding=1)

    def forward(self, latents: Tensor) -> Tensor:
        x = self.mid_block(self.conv_in(latents))
        for level in self.up_blocks:
            x = level(x)
        return self.conv_out(functional.silu(self.conv_norm_out(x)))


class ImageAutoencoder(nn.Module):
    """Images to latents of an eighth of their size, and back.

    Args:
        channels: Channels of the levels, the largest images first.

    Source: the published configuration of sd-vae-ft-mse; layers and names of tensors are those of `AutoencoderKL` in
    diffusers. Differs in: latents are the mode of their distribution, not a sample, so that they repeat.
    """

    def __init__(self, channels: tuple[int, ...] = AUTOENCODER_CHANNELS) -> None:
        super().__init__()
        self.encoder = _ImageEncoder(channels)
        self.decoder = _ImageDecoder(channels)
        self.quant_conv = nn.Conv2d(2 * LATENT_CHANNELS, 2 * LATENT_CHANNELS, 1)
        self.post_quant_conv = nn.Conv2d(LATENT_CHANNELS, LATENT_CHANNELS, 1)

    def encode(self, images: Tensor) -> Tensor:
        """Return scaled latents, shape (N, 4, H / 8, W / 8).

        Args:
            images: RGB in [-1, 1], shape (N, 3, H, W); H and W divisible by 8.
        """
        return self.quant_conv(self.encoder(images))[:, :LATENT_CHANNELS] * LATENT_SCALE

    def decode(self, latents: Tensor) -> Tensor:
        """Return images, RGB, in [-1, 1] but for overshoot, shape (N, 3, H, W).

        Args:
            latents: Scaled, shape (N, 4, H / 8, W / 8).
        """
        return self.decoder(self.post_quant_conv(latents / LATENT_SCALE))


def current_names(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return an autoencoder's tensors under today's names: older files call the projections of attention otherwise.

    Args:
        tensors: A checkpoint's tensors.
    """
    renamed: dict[str, Tensor] = {}
    for name, tensor in tensors.items():
        before, _, last = name.rpartition(".")
        parent, _, projection = before.rpartition(".")
        known = _OLD_NAMES.get(projection) if ".attentions." in name else None
        renamed[f"{parent}.{known}.{last}" if known else name] = tensor
    return renamed
