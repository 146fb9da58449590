"""Convolutional blocks of latent-diffusion networks. Attribute names match their checkpoints."""

from __future__ import annotations

from typing import TYPE_CHECKING

from torch import nn
from torch.nn import functional

if TYPE_CHECKING:
    from torch import Tensor

NORM_GROUPS = 32


class ClipGroupNorm(nn.GroupNorm):
    """Group normalisation whose statistics run over all frames of a clip.

    Args:
        channels: Channels of what is normalised.
        eps: Added to the variance.

    Source: LatentSync models/resnet.py, which normalises (B, C, F, H, W); with one frame a clip it is the usual one.
    """

    def __init__(self, channels: int, eps: float) -> None:
        super().__init__(NORM_GROUPS, channels, eps=eps)

    def over(self, x: Tensor, frames: int) -> Tensor:
        """Return normalised features.

        Args:
            x: Shape (clips * frames, C, H, W), the frames of a clip one after the other.
            frames: Frames a clip.
        """
        if frames == 1:
            return self(x)
        count, channels, height, width = x.shape
        clips = x.view(count // frames, frames, channels, height, width).transpose(1, 2)
        normalised = self(clips.reshape(count // frames, channels, frames * height, width))
        back = normalised.view(count // frames, channels, frames, height, width).transpose(1, 2)
        return back.reshape(count, channels, height, width)


class ResnetBlock(nn.Module):
    """Two convolutions, each after a normalisation and SiLU, and the input added.

    Args:
        c_in: Channels of the input.
        c_out: Channels of the output.
        eps: Of the normalisations.
        time_channels: Width of the time embedding that is added between the convolutions, or None.
    """

    def __init__(self, c_in: int, c_out: int, eps: float, time_channels: int | None = None) -> None:
        super().__init__()
        self.norm1 = ClipGroupNorm(c_in, eps)
        self.conv1 = nn.Conv2d(c_in, c_out, 3, padding=1)
        self.time_emb_proj = None if time_channels is None else nn.Linear(time_channels, c_out)
        self.norm2 = ClipGroupNorm(c_out, eps)
        self.conv2 = nn.Conv2d(c_out, c_out, 3, padding=1)
        self.conv_shortcut = None if c_in == c_out else nn.Conv2d(c_in, c_out, 1)

    def forward(self, x: Tensor, time: Tensor | None = None, frames: int = 1) -> Tensor:
        """Map (N, c_in, H, W) to (N, c_out, H, W).

        Args:
            x: Features, N = clips * frames.
            time: Activated time embedding, shape (N, time_channels).
            frames: Frames a clip.
        """
        out = self.conv1(functional.silu(self.norm1.over(x, frames)))
        if self.time_emb_proj is not None and time is not None:
            out = out + self.time_emb_proj(time)[:, :, None, None]
        out = self.conv2(functional.silu(self.norm2.over(out, frames)))
        return out + (x if self.conv_shortcut is None else self.conv_shortcut(x))


class Downsample(nn.Module):
    """Convolution that halves height and width.

    Args:
        channels: Channels in and out.
        is_padded_behind: True where zeros are added right and below alone, as autoencoders do it.
    """

    def __init__(self, channels: int, *, is_padded_behind: bool = False) -> None:
        super().__init__()
        self.conv = nn.Conv2d(channels, channels, 3, stride=2, padding=0 if is_padded_behind else 1)
        self._is_padded_behind = is_padded_behind

    def forward(self, x: Tensor) -> Tensor:
        """Map (N, C, H, W) to (N, C, H / 2, W / 2)."""
        return self.conv(functional.pad(x, (0, 1, 0, 1)) if self._is_padded_behind else x)


class Upsample(nn.Module):
    """Nearest neighbours to twice the size, then a convolution."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(channels, channels, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        """Map (N, C, H, W) to (N, C, 2 H, 2 W)."""
        return self.conv(functional.interpolate(x, scale_factor=2.0, mode="nearest"))
