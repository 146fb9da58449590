"""AudioSeal: a network that hides a message of 16 bits in speech, and the one that reads it.

Source: San Roman et al., "Proactive Detection of Voice Cloning with Localized Watermarking" (2024); their package
`audioseal` 0.2.0 and its cards `audioseal_wm_16bits` and `audioseal_detector_16bits`. Differs in: no streaming, and no
code that a checkpoint names is run.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

import torch
from torch import nn
from torch.nn.functional import pad

from lipwise_ray.nets.checkpoint import check_fit, load_state_dict
from lipwise_ray.nets.mark_reading import MARK_BITS

if TYPE_CHECKING:
    from torch import Tensor

RATE_HZ = 16_000

_STRIDES = (2, 4, 5, 8)
_FILTERS, _DIMENSION, _DETECTED = 32, 128, 32
_KERNEL, _INNER_KERNEL = 7, 3
_LAYERS = 2
_SCORES = 2
"""Of each sample: that it is not marked, and that it is."""

_WRAPPED = re.compile(r"\.(conv|convtr)\.\1(?:\.inner_conv)?\.")
_GAIN = re.compile(r"\.(?:weight_g|parametrizations\.weight\.original0)$")
_DIRECTIONS = (".weight_v", ".parametrizations.weight.original1")

_Network = TypeVar("_Network", bound=nn.Module)


class _PaddedConv(nn.Conv1d):
    """A convolution that divides a length by its stride and rounds up; zeros go around the signal."""

    def forward(self, input: Tensor) -> Tensor:  # noqa: A002  # torch's own name of it
        """Map (N, c_in, T) to (N, c_out, ceil(T / stride))."""
        (kernel,), (stride,) = self.kernel_size, self.stride
        right = (kernel - stride) // 2
        return super().forward(pad(input, (kernel - stride - right, right + -input.shape[-1] % stride)))


class _Stretching(nn.ConvTranspose1d):
    """A transposed convolution that multiplies a length by its stride.

    Args:
        c_in: Channels before it.
        c_out: Channels after it.
        stride: The stride; the kernel is twice as long.
    """

    def __init__(self, c_in: int, c_out: int, stride: int) -> None:
        super().__init__(c_in, c_out, 2 * stride, stride)
        self._left, self._right = stride - stride // 2, stride // 2

    def forward(self, input: Tensor, output_size: list[int] | None = None) -> Tensor:  # noqa: A002  # as above
        """Map (N, c_in, T) to (N, c_out, T * stride)."""
        stretched = super().forward(input, output_size)
        return stretched[..., self._left : stretched.shape[-1] - self._right]


class _ResidualUnit(nn.Module):
    def __init__(self, channels: int) -> None:
        super().__init__()
        first, second = (
            _PaddedConv(channels, channels // 2, _INNER_KERNEL),
            _PaddedConv(channels // 2, channels, 1),
        )
        self.block = nn.Sequential(nn.ELU(), first, nn.ELU(), second)

    def forward(self, x: Tensor) -> Tensor:
        """Map (N, channels, T) to the same shape."""
        return x + self.block(x)


class _Recurrent(nn.Module):
    def __init__(self, channels: int) -> None:
        super().__init__()
        self.lstm = nn.LSTM(channels, channels, _LAYERS)

    def forward(self, x: Tensor) -> Tensor:
        """Map (N, channels, T) to the same shape."""
        steps = x.permute(2, 0, 1)
        return (self.lstm(steps)[0] + steps).permute(1, 2, 0)


class _Encoder(nn.Module):
    """SEANet's encoder: 320 samples to a step of 128 features."""

    def __init__(self) -> None:
        super().__init__()
        layers: list[nn.Module] = [_PaddedConv(1, _FILTERS, _KERNEL)]
        channels = _FILTERS
        for stride in _STRIDES:
            layers += [
                _ResidualUnit(channels),
                nn.ELU(),
                _PaddedConv(channels, 2 * channels, 2 * stride, stride),
            ]
            channels *= 2
        layers += [_Recurrent(channels), nn.ELU(), _PaddedConv(channels, _DIMENSION, _KERNEL)]
        self.model = nn.Sequential(*layers)

    def forward(self, x: Tensor) -> Tensor:
        """Map (N, 1, T) to (N, 128, ceil(T / 320))."""
        return self.model(x)


class _Decoder(nn.Module):
    """SEANet's decoder, the way back."""

    def __init__(self) -> None:
        super().__init__()
        channels = _FILTERS << len(_STRIDES)
        layers: list[nn.Module] = [_PaddedConv(_DIMENSION, channels, _KERNEL), _Recurrent(channels)]
        for stride in reversed(_STRIDES):
            layers += [nn.ELU(), _Stretching(channels, channels // 2, stride), _ResidualUnit(channels // 2)]
            channels //= 2
        layers += [nn.ELU(), _PaddedConv(channels, 1, _KERNEL)]
        self.model = nn.Sequential(*layers)

    def forward(self, x: Tensor) -> Tensor:
        """Map (N, 128, T) to (N, 1, 320 T)."""
        return self.model(x)


class _MessageFeatures(nn.Module):
    """Features of a message: a vector for each bit that is 0, another for each that is 1."""

    def __init__(self) -> None:
        super().__init__()
        self.msg_processor = nn.Embedding(2 * MARK_BITS, _DIMENSION)

    def forward(self, bits: Tensor) -> Tensor:
        """Map (N, 16) of 0 and 1 to (N, 128, 1)."""
        return self.msg_processor(2 * torch.arange(MARK_BITS, device=bits.device) + bits).sum(-2)[..., None]


class AudioSealGenerator(nn.Module):
    """Makes the mark of a wave: what is to be added to it."""

    def __init__(self) -> None:
        super().__init__()
        self.encoder, self.decoder, self.msg_processor = _Encoder(), _Decoder(), _MessageFeatures()

    def forward(self, wave: Tensor, bits: Tensor) -> Tensor:
        """Map waves, (N, 1, T) in [-1, 1] at 16 kHz, and messages, (N, 16) of 0 and 1, to marks, (N, 1, T)."""
        return self.decoder(self.encoder(wave) + self.msg_processor(bits))[..., : wave.shape[-1]]


class _SampleEncoder(_Encoder):
    """The encoder, brought back to the rate of the samples."""

    def __init__(self) -> None:
        super().__init__()
        hop = 1
        for stride in _STRIDES:
            hop *= stride
        self.reverse_convolution = nn.ConvTranspose1d(_DIMENSION, _DETECTED, hop, hop)

    def forward(self, x: Tensor) -> Tensor:
        """Map (N, 1, T) to (N, 32, T)."""
        return self.reverse_convolution(self.model(x))[..., : x.shape[-1]]


class AudioSealDetector(nn.Module):
    """Tells which samples are marked, and reads the message."""

    def __init__(self) -> None:
        super().__init__()
        self.detector = nn.Sequential(_SampleEncoder(), nn.Conv1d(_DETECTED, _SCORES + MARK_BITS, 1))

    def forward(self, wave: Tensor) -> tuple[Tensor, Tensor]:
        """Map waves, (N, 1, T), to probabilities of being marked, (N, T), and the bits' logits, (N, 16, T)."""
        scores: Tensor = self.detector(wave)
        return scores[:, :_SCORES].softmax(1)[:, 1], scores[:, _SCORES:]


def load_audioseal(kind: type[_Network], path: Path) -> _Network:
    """Return the generator or the detector of a checkpoint.

    Args:
        kind: Its class.
        path: The checkpoint, as it is published, or as a plain state dict.

    Raises:
        WeightsError: The file is no checkpoint, or another network's.
    """
    tensors = plain_tensors(load_state_dict(path, with_settings=True))
    with torch.device("meta"):
        check_fit(kind(), tensors, path, kind.__name__)
    network = kind()
    network.load_state_dict(tensors)
    return network.eval()


def _product(gain: Tensor, direction: Tensor) -> Tensor:
    """Return a weight by its lengths and directions along the first axis.

    Source: `torch.nn.utils.weight_norm`.
    """
    lengths = direction.flatten(1).norm(dim=1).reshape(-1, *[1] * (direction.ndim - 1))
    return direction * (gain.reshape(lengths.shape) / lengths)


def plain_tensors(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    """Return a checkpoint's tensors by the names of these modules, each weight as the product of its parts."""
    named = {_WRAPPED.sub(".", name): value for name, value in tensors.items()}
    plain: dict[str, Tensor] = {}
    for name, value in named.items():
        stem = _GAIN.sub("", name)
        direction = next((named[stem + end] for end in _DIRECTIONS if stem + end in named), None)
        if stem != name and direction is not None and value.numel() == len(direction):
            plain[f"{stem}.weight"] = _product(value, direction)
        elif not name.endswith(_DIRECTIONS):
            plain[name] = value
    return plain
