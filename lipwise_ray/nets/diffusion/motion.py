"""Attention over the frames of a clip. Attribute names match LatentSync's checkpoints."""

from __future__ import annotations

from typing import TYPE_CHECKING

from torch import nn

from lipwise_ray.nets.diffusion.attention import Attention, FeedForward
from lipwise_ray.nets.diffusion.blocks import NORM_GROUPS
from lipwise_ray.nets.sinusoids import sinusoids

if TYPE_CHECKING:
    from torch import Tensor

LONGEST_CLIP = 24
"""Frames that positions are known for. Source: LatentSync configs/unet/stage2.yaml."""

_HEADS = 8
_ATTENTIONS = 2
_EPS = 1e-6


class _FramePlaces(nn.Module):
    """The place of a frame in its clip, added to its features."""

    pe: Tensor

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.register_buffer("pe", sinusoids(LONGEST_CLIP, channels)[None])

    def forward(self, x: Tensor) -> Tensor:
        return x + self.pe[:, : x.shape[1]].to(x.dtype)


class _FrameAttention(Attention):
    """Self-attention that knows where in the clip a frame is."""

    def __init__(self, channels: int) -> None:
        super().__init__(channels, _HEADS)
        self.pos_encoder = _FramePlaces(channels)

    def forward(self, x: Tensor, context: Tensor | None = None) -> Tensor:
        return super().forward(self.pos_encoder(x), context)


class _MotionBlock(nn.Module):
    """Two attentions over frames and a feed-forward layer, each after a layer normalisation."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.attention_blocks = nn.ModuleList([_FrameAttention(channels) for _ in range(_ATTENTIONS)])
        self.norms = nn.ModuleList([nn.LayerNorm(channels) for _ in range(_ATTENTIONS)])
        self.ff = FeedForward(channels)
        self.ff_norm = nn.LayerNorm(channels)

    def forward(self, x: Tensor) -> Tensor:
        for attention, norm in zip(self.attention_blocks, self.norms, strict=True):
            x = x + attention(norm(x))
        return x + self.ff(self.ff_norm(x))


class _FrameTransformer(nn.Module):
    """Attention of every position among the frames of its clip."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.norm = nn.GroupNorm(NORM_GROUPS, channels, eps=_EPS)
        self.proj_in = nn.Linear(channels, channels)
        self.transformer_blocks = nn.ModuleList([_MotionBlock(channels)])
        self.proj_out = nn.Linear(channels, channels)

    def forward(self, x: Tensor, frames: int) -> Tensor:
        count, channels, height, width = x.shape
        clips = count // frames
        # (clips * frames, C, H, W) to (clips * H * W, frames, C): a position is a sequence of frames.
        out = self.norm(x).flatten(2).view(clips, frames, channels, height * width)
        out = self.proj_in(out.permute(0, 3, 1, 2).reshape(clips * height * width, frames, channels))
        for block in self.transformer_blocks:
            out = block(out)
        out = self.proj_out(out).view(clips, height * width, frames, channels).permute(0, 2, 3, 1)
        return x + out.reshape(count, channels, height, width)


class MotionModule(nn.Module):
    """Attention over the frames of a clip, at every position by itself.

    Args:
        channels: Channels in and out.

    Source: LatentSync models/motion_module.py (two Temporal_Self blocks of 8 heads, sinusoidal places).
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.temporal_transformer = _FrameTransformer(channels)

    def forward(self, x: Tensor, frames: int) -> Tensor:
        """Map (clips * frames, C, H, W) to the same shape.

        Args:
            x: Features, the frames of a clip one after the other.
            frames: Frames a clip, at most `LONGEST_CLIP`.
        """
        return self.temporal_transformer(x, frames)
