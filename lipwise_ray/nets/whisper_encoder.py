"""Whisper's encoder of speech. Attribute names match its checkpoints as transformers has them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from torch import nn
from torch.nn import functional

from lipwise_ray.nets.checkpoint import check_fit, load_state_dict

if TYPE_CHECKING:
    from torch import Tensor

_PREFIXES = ("model.encoder.", "encoder.")
_RENAMED = {
    "attn.query": "self_attn.q_proj",
    "attn.key": "self_attn.k_proj",
    "attn.value": "self_attn.v_proj",
    "attn.out": "self_attn.out_proj",
    "attn_ln": "self_attn_layer_norm",
    "mlp.0": "fc1",
    "mlp.2": "fc2",
    "mlp_ln": "final_layer_norm",
}
"""Names inside a layer as Whisper's own files have them, to those of transformers."""

_RENAMED_OUTSIDE = {"positional_embedding": "embed_positions.weight", "ln_post.": "layer_norm.", "blocks.": "layers."}


@dataclass(frozen=True, slots=True)
class WhisperShape:
    """Sizes of an encoder.

    Attributes:
        bands: Bands of the spectrogram.
        steps: Longest sequence of states.
        channels: Channels of a state.
        heads: Heads of every attention.
        layers: Number of layers.
    """

    bands: int = 80
    steps: int = 1500
    channels: int = 384
    heads: int = 6
    layers: int = 4


WHISPER_TINY = WhisperShape()
"""Source: openai/whisper-tiny, config.json."""


class _SelfAttention(nn.Module):
    """Multi-head self-attention; keys have no bias."""

    def __init__(self, shape: WhisperShape) -> None:
        super().__init__()
        channels = shape.channels
        self.k_proj = nn.Linear(channels, channels, bias=False)
        self.v_proj = nn.Linear(channels, channels)
        self.q_proj = nn.Linear(channels, channels)
        self.out_proj = nn.Linear(channels, channels)
        self._heads = shape.heads

    def forward(self, x: Tensor) -> Tensor:
        queries, keys, values = (
            part.unflatten(2, (self._heads, -1)).transpose(1, 2)
            for part in (self.q_proj(x), self.k_proj(x), self.v_proj(x))
        )
        found = functional.scaled_dot_product_attention(queries, keys, values)
        return self.out_proj(found.transpose(1, 2).flatten(2))


class _Layer(nn.Module):
    """Self-attention and two linear layers, each after a layer normalisation."""

    def __init__(self, shape: WhisperShape) -> None:
        super().__init__()
        self.self_attn = _SelfAttention(shape)
        self.self_attn_layer_norm = nn.LayerNorm(shape.channels)
        self.fc1 = nn.Linear(shape.channels, 4 * shape.channels)
        self.fc2 = nn.Linear(4 * shape.channels, shape.channels)
        self.final_layer_norm = nn.LayerNorm(shape.channels)

    def forward(self, x: Tensor) -> Tensor:
        x = x + self.self_attn(self.self_attn_layer_norm(x))
        return x + self.fc2(functional.gelu(self.fc1(self.final_layer_norm(x))))


class WhisperEncoder(nn.Module):
    """Log-mel spectrograms of speech to states, 50 a second.

    Args:
        shape: Sizes.

    Source: Radford et al., "Robust Speech Recognition via Large-Scale Weak Supervision" (2022); layers and names of
    tensors are those of `WhisperEncoder` in transformers.
    """

    def __init__(self, shape: WhisperShape = WHISPER_TINY) -> None:
        super().__init__()
        self.conv1 = nn.Conv1d(shape.bands, shape.channels, 3, padding=1)
        self.conv2 = nn.Conv1d(shape.channels, shape.channels, 3, stride=2, padding=1)
        self.embed_positions = nn.Embedding(shape.steps, shape.channels)
        self.layers = nn.ModuleList([_Layer(shape) for _ in range(shape.layers)])
        self.layer_norm = nn.LayerNorm(shape.channels)

    def forward(self, mel: Tensor) -> Tensor:
        """Return the states before the first layer and after each, none of them normalised.

        Args:
            mel: Log-mel spectrograms, shape (N, bands, 2 * T), T at most the shape's `steps`.

        Returns:
            Shape (N, T, layers + 1, channels). `layer_norm` of the last is what Whisper's decoder reads.
        """
        x = functional.gelu(self.conv2(functional.gelu(self.conv1(mel)))).transpose(1, 2)
        x = x + self.embed_positions.weight[: x.shape[1]]
        states = [x]
        for layer in self.layers:
            x = layer(x)
            states.append(x)
        return torch.stack(states, dim=2)


def encoder_tensors(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return the encoder's tensors of a checkpoint, float32, under the names of this module.

    Args:
        tensors: Those of a file as transformers or as Whisper itself writes them, with or without a decoder.
    """
    found: dict[str, Tensor] = {}
    for name, tensor in tensors.items():
        prefix = next((prefix for prefix in _PREFIXES if name.startswith(prefix)), None)
        if prefix is not None:
            found[_renamed(name.removeprefix(prefix))] = tensor.float()
    return found or {name: tensor.float() for name, tensor in tensors.items()}


def load_whisper_encoder(checkpoint: Path, channels: int, layers: int) -> WhisperEncoder:
    """Return an encoder in float32 on the CPU; the length of its sequence is what the file has.

    Args:
        checkpoint: A file of Whisper, of transformers' names or its own.
        channels: Channels of its states.
        layers: Number of its layers.

    Raises:
        WeightsError: The file does not hold such an encoder.
    """
    tensors = encoder_tensors(load_state_dict(checkpoint))
    places = tensors.get("embed_positions.weight")
    steps = len(places) if places is not None and places.ndim else 0
    shape = WhisperShape(steps=min(max(1, steps), WHISPER_TINY.steps), channels=channels, layers=layers)
    with torch.device("meta"):  # a shape in a file does not decide how much memory is taken
        network = WhisperEncoder(shape)
    check_fit(network, tensors, checkpoint, "Whisper's tiny encoder")
    network.load_state_dict(tensors, assign=True)
    return network.eval()


def _renamed(name: str) -> str:
    for old, new in _RENAMED_OUTSIDE.items():
        if name.startswith(old):
            name = new + name.removeprefix(old)
    head, dot, rest = name.partition(".")
    index, _, inner = rest.partition(".")
    if head != "layers" or not dot:
        return name
    part, _, last = inner.rpartition(".")
    return f"layers.{index}.{_RENAMED.get(part, part)}.{last}"
