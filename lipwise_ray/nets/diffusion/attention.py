"""Attention over positions and conditions of latent-diffusion networks. Attribute names match their checkpoints."""

from __future__ import annotations

from typing import TYPE_CHECKING

from torch import nn
from torch.nn import functional

from lipwise_ray.nets.diffusion.blocks import NORM_GROUPS

if TYPE_CHECKING:
    from torch import Tensor

_INNER_FACTOR = 4
_SPATIAL_EPS = 1e-6


class Attention(nn.Module):
    """Multi-head attention whose projections in have no bias.

    Args:
        channels: Channels of queries and of the output.
        heads: Number of heads.
        context_channels: Channels of keys and values; None for self-attention.
        has_biases: True where the projections in have biases, as in autoencoders.
    """

    def __init__(
        self, channels: int, heads: int, context_channels: int | None = None, *, has_biases: bool = False
    ) -> None:
        super().__init__()
        source = context_channels or channels
        self.to_q = nn.Linear(channels, channels, bias=has_biases)
        self.to_k = nn.Linear(source, channels, bias=has_biases)
        self.to_v = nn.Linear(source, channels, bias=has_biases)
        self.to_out = nn.ModuleList([nn.Linear(channels, channels)])
        self._heads = heads

    def forward(self, x: Tensor, context: Tensor | None = None) -> Tensor:
        """Map (N, L, C) to (N, L, C).

        Args:
            x: What asks.
            context: What is asked, shape (N, M, context_channels); `x` itself where it is None.
        """
        source = x if context is None else context
        queries, keys, values = (self._split(part) for part in (self.to_q(x), self.to_k(source), self.to_v(source)))
        found = functional.scaled_dot_product_attention(queries, keys, values)
        return self.to_out[0](found.transpose(1, 2).flatten(2))

    def _split(self, x: Tensor) -> Tensor:
        return x.unflatten(2, (self._heads, -1)).transpose(1, 2)


class _GatedLinear(nn.Module):
    """Linear layer one half of which, by GELU, gates the other."""

    def __init__(self, c_in: int, c_out: int) -> None:
        super().__init__()
        self.proj = nn.Linear(c_in, 2 * c_out)

    def forward(self, x: Tensor) -> Tensor:
        values, gate = self.proj(x).chunk(2, dim=-1)
        return values * functional.gelu(gate)


class FeedForward(nn.Module):
    """Gated layer of four times the width, and one back; `net.1` is where checkpoints had their dropout."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        inner = _INNER_FACTOR * channels
        self.net = nn.Sequential(_GatedLinear(channels, inner), nn.Identity(), nn.Linear(inner, channels))

    def forward(self, x: Tensor) -> Tensor:
        """Map (N, L, C) to (N, L, C)."""
        return self.net(x)


class _TransformerBlock(nn.Module):
    """Self-attention, attention to the condition, and a feed-forward layer, each after a layer normalisation."""

    def __init__(self, channels: int, heads: int, context_channels: int) -> None:
        super().__init__()
        self.norm1 = nn.LayerNorm(channels)
        self.attn1 = Attention(channels, heads)
        self.norm2 = nn.LayerNorm(channels)
        self.attn2 = Attention(channels, heads, context_channels)
        self.norm3 = nn.LayerNorm(channels)
        self.ff = FeedForward(channels)

    def forward(self, x: Tensor, context: Tensor) -> Tensor:
        x = x + self.attn1(self.norm1(x))
        x = x + self.attn2(self.norm2(x), context)
        return x + self.ff(self.norm3(x))


class SpatialTransformer(nn.Module):
    """Attention among the positions of an image, and from them to a condition.

    Args:
        channels: Channels in and out.
        heads: Heads of every attention.
        context_channels: Channels of the condition's tokens.
    """

    def __init__(self, channels: int, heads: int, context_channels: int) -> None:
        super().__init__()
        self.norm = nn.GroupNorm(NORM_GROUPS, channels, eps=_SPATIAL_EPS)
        self.proj_in = nn.Conv2d(channels, channels, 1)
        self.transformer_blocks = nn.ModuleList([_TransformerBlock(channels, heads, context_channels)])
        self.proj_out = nn.Conv2d(channels, channels, 1)

    def forward(self, x: Tensor, context: Tensor) -> Tensor:
        """Map (N, C, H, W) to (N, C, H, W).

        Args:
            x: Features.
            context: Tokens of the condition, shape (N, M, context_channels).
        """
        height, width = x.shape[2:]
        out = self.proj_in(self.norm(x)).flatten(2).transpose(1, 2)
        for block in self.transformer_blocks:
            out = block(out, context)
        return x + self.proj_out(out.transpose(1, 2).unflatten(2, (height, width)))
