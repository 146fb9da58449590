"""One half of a network that embeds two kinds of input, as a network of its own."""

from __future__ import annotations

from typing import TYPE_CHECKING

from torch import nn

if TYPE_CHECKING:
    from torch import Tensor


class Half(nn.Module):
    """A network's half.

    Args:
        network: The network.
        embed: Its method that is this half.
    """

    def __init__(self, network: nn.Module, embed: str) -> None:
        super().__init__()
        self.network = network
        self._embed = embed

    def forward(self, batch: Tensor) -> Tensor:
        """Return embeddings of a batch, shape (N, D)."""
        return getattr(self.network, self._embed)(batch)
