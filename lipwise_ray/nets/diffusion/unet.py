"""The U-Net that gives latents of a face the mouth that audio asks for. Attribute names match its checkpoints."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING

import torch
from torch import nn
from torch.nn import functional

from lipwise_ray.nets.diffusion.attention import SpatialTransformer
from lipwise_ray.nets.diffusion.blocks import ClipGroupNorm, Downsample, ResnetBlock, Upsample
from lipwise_ray.nets.diffusion.motion import MotionModule

if TYPE_CHECKING:
    from torch import Tensor

_EPS = 1e-5
_HEADS = 8
_LAYERS = 2
_TIME_FACTOR = 4


@dataclass(frozen=True, slots=True)
class UNetShape:
    """Sizes of a U-Net.

    Attributes:
        c_in: Channels of its input.
        channels: Channels of its levels, the widest images first; the last level has no attention.
        has_motion: True where frames of a clip attend to each other.
        c_out: Channels of its output.
        context_channels: Channels of the tokens that condition it.
    """

    c_in: int
    channels: tuple[int, ...] = (320, 640, 1280, 1280)
    has_motion: bool = False
    c_out: int = 4
    context_channels: int = 384


class _UNetLevel(nn.Module):
    """Layers of one image size: each a residual block, attention, and attention over frames where there are some."""

    def __init__(self, inputs: Sequence[int], channels: int, shape: UNetShape, *, has_attention: bool) -> None:
        super().__init__()
        time_channels = _TIME_FACTOR * shape.channels[0]
        self.resnets = nn.ModuleList([ResnetBlock(count, channels, _EPS, time_channels) for count in inputs])
        self.attentions = (
            nn.ModuleList([SpatialTransformer(channels, _HEADS, shape.context_channels) for _ in inputs])
            if has_attention
            else None
        )
        self.motion_modules = nn.ModuleList([MotionModule(channels) for _ in inputs]) if shape.has_motion else None

    def layer(self, index: int, x: Tensor, time: Tensor, context: Tensor, frames: int) -> Tensor:
        x = self.resnets[index](x, time, frames)
        if self.attentions is not None:
            x = self.attentions[index](x, context)
        return x if self.motion_modules is None else self.motion_modules[index](x, frames)


class _UNetDownLevel(_UNetLevel):
    def __init__(self, c_in: int, channels: int, shape: UNetShape, *, is_last: bool) -> None:
        super().__init__((c_in, *[channels] * (_LAYERS - 1)), channels, shape, has_attention=not is_last)
        self.downsamplers = None if is_last else nn.ModuleList([Downsample(channels)])

    def forward(self, x: Tensor, time: Tensor, context: Tensor, frames: int) -> list[Tensor]:
        """Return the features that every layer makes, the last of them the input of the next level."""
        made: list[Tensor] = []
        for index in range(_LAYERS):
            x = self.layer(index, x, time, context, frames)
            made.append(x)
        if self.downsamplers is not None:
            made.append(self.downsamplers[0](x))
        return made


class _UNetUpLevel(_UNetLevel):
    def __init__(
        self, c_in: int, skips: Sequence[int], channels: int, shape: UNetShape, *, is_first: bool, is_last: bool
    ) -> None:
        before = (c_in, *[channels] * (len(skips) - 1))
        inputs = [count + skip for count, skip in zip(before, skips, strict=True)]
        super().__init__(inputs, channels, shape, has_attention=not is_first)
        self.upsamplers = None if is_last else nn.ModuleList([Upsample(channels)])

    def forward(self, x: Tensor, skips: list[Tensor], time: Tensor, context: Tensor, frames: int) -> Tensor:
        """Return features of the next level; takes from the end of `skips` what it joins."""
        for index in range(len(self.resnets)):
            x = self.layer(index, torch.cat((x, skips.pop()), dim=1), time, context, frames)
        return x if self.upsamplers is None else self.upsamplers[0](x)


class _UNetMiddle(nn.Module):
    def __init__(self, channels: int, shape: UNetShape) -> None:
        super().__init__()
        time_channels = _TIME_FACTOR * shape.channels[0]
        self.resnets = nn.ModuleList([ResnetBlock(channels, channels, _EPS, time_channels) for _ in range(2)])
        self.attentions = nn.ModuleList([SpatialTransformer(channels, _HEADS, shape.context_channels)])

    def forward(self, x: Tensor, time: Tensor, context: Tensor, frames: int) -> Tensor:
        x = self.resnets[0](x, time, frames)
        return self.resnets[1](self.attentions[0](x, context), time, frames)


class _TimeEmbedding(nn.Module):
    """The step of the diffusion as a vector: cosines and sines, and two linear layers."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.linear_1 = nn.Linear(channels, _TIME_FACTOR * channels)
        self.linear_2 = nn.Linear(_TIME_FACTOR * channels, _TIME_FACTOR * channels)
        self._half = channels // 2

    def forward(self, step: Tensor) -> Tensor:
        rates = torch.exp(torch.arange(self._half, device=step.device) * (-math.log(10000.0) / self._half))
        angles = step.float()[:, None] * rates
        waves = torch.cat((torch.cos(angles), torch.sin(angles)), dim=1).to(self.linear_1.weight.dtype)
        return self.linear_2(functional.silu(self.linear_1(waves)))


class LatentUNet(nn.Module):
    """Stable Diffusion 1.5's U-Net on tokens of audio, with LatentSync's layers over frames where its shape has them.

    Args:
        shape: Sizes; `MUSETALK_UNET` and `LATENTSYNC_UNET` are those of the published files.

    Source: the configurations of MuseTalk 1.5 (musetalk.json) and LatentSync (configs/unet/stage2.yaml). Layers and
    names of tensors are those of `UNet2DConditionModel` in diffusers, and motion modules LatentSync's; differs in:
    frames of a clip stand one after the other in the batch.
    """

    def __init__(self, shape: UNetShape) -> None:
        super().__init__()
        first, *_ = channels = shape.channels
        deepest = len(channels) - 1
        self.conv_in = nn.Conv2d(shape.c_in, first, 3, padding=1)
        self.time_embedding = _TimeEmbedding(first)
        self.down_blocks = nn.ModuleList(
            _UNetDownLevel(before, count, shape, is_last=level == deepest)
            for level, (before, count) in enumerate(pairwise((first, *channels)))
        )
        self.mid_block = _UNetMiddle(channels[-1], shape)
        skips = [first]
        for level, count in enumerate(channels):
            skips += [count] * (_LAYERS if level == deepest else _LAYERS + 1)
        rising = channels[::-1]
        self.up_blocks = nn.ModuleList()
        for level, (before, count) in enumerate(pairwise((rising[0], *rising))):
            joined = [skips.pop() for _ in range(_LAYERS + 1)]
            self.up_blocks.append(
                _UNetUpLevel(before, joined, count, shape, is_first=level == 0, is_last=level == deepest)
            )
        self.conv_norm_out = ClipGroupNorm(first, _EPS)
        self.conv_out = nn.Conv2d(first, shape.c_out, 3, padding=1)

    def forward(self, latents: Tensor, step: Tensor, context: Tensor, frames: int = 1) -> Tensor:
        """Return latents of the network's output.

        Args:
            latents: Shape (clips * frames, c_in, H, W), the frames of a clip one after the other; H and W divisible
                by 8.
            step: Step of the diffusion for each, shape (clips * frames,).
            context: Tokens of audio for each, shape (clips * frames, M, context_channels).
            frames: Frames a clip.

        Returns:
            Shape (clips * frames, c_out, H, W).
        """
        time = functional.silu(self.time_embedding(step))
        x = self.conv_in(latents)
        skips = [x]
        for level in self.down_blocks:
            made = level(x, time, context, frames)
            skips += made
            x = made[-1]
        x = self.mid_block(x, time, context, frames)
        for level in self.up_blocks:
            x = level(x, skips, time, context, frames)
        return self.conv_out(functional.silu(self.conv_norm_out.over(x, frames)))


MUSETALK_UNET = UNetShape(c_in=8)
"""Source: MuseTalk 1.5, musetalk.json: latents of the face with its lower half hidden, and of the whole face."""

LATENTSYNC_UNET = UNetShape(c_in=13, has_motion=True)
"""Source: LatentSync configs/unet/stage2.yaml: noise, the mask, latents of the masked face, and of the reference."""
