"""LR-ASD: a small network that tells whose lips move as in speech. Attribute names match its checkpoints.

Source: Liao et al., "LR-ASD: Lightweight and Robust Network for Active Speaker Detection" (2025); its parts, shapes and
constants from the published code and weights.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import nn

if TYPE_CHECKING:
    from torch import Tensor

SIDE_PX = 112
COLUMNS_A_FRAME = 4
"""Columns of cepstra, 10 ms each, to a frame of 1/25 s."""

REACH_FRAMES = 9
"""Frames on both sides on which a frame's features depend: of the face 2 + 1 a block, of audio fewer."""

_MEAN, _STD = 0.4161, 0.1688
_CHANNELS = ((1, 16, 32), (32, 32, 64), (64, 64, 128))
"""Of each block: before it, after its first convolution, after it."""

_FEATURES = 128
_EPSILON = 1e-3
_HIDDEN = 64


class _Block(nn.Module):
    """Convolutions over a frame's own axes, then over time, each normalised.

    Args:
        layers: Convolution and normalisation by the name that a checkpoint has for the first: ``s_1``, say.
    """

    def __init__(self, **layers: tuple[nn.Module, nn.Module]) -> None:
        super().__init__()
        self._order: list[tuple[str, str]] = []
        for name, (convolution, normalisation) in layers.items():
            norm = name.replace("_", "_norm_")
            self.add_module(name, convolution)
            self.add_module(norm, normalisation)
            self._order.append((name, norm))

    def forward(self, x: Tensor) -> Tensor:
        """Map (N, c_in, ...) to (N, c_out, ...)."""
        for convolution, normalisation in self._order:
            x = torch.relu(self.get_submodule(normalisation)(self.get_submodule(convolution)(x)))
        return x


def _of_video(c_in: int, c_out: int, kernel: tuple[int, int, int], stride: int = 1) -> tuple[nn.Module, nn.Module]:
    time, height, width = kernel
    padding = (time // 2, height // 2, width // 2)
    convolution = nn.Conv3d(c_in, c_out, kernel, (1, stride, stride), padding, bias=False)
    return convolution, nn.BatchNorm3d(c_out, eps=_EPSILON)


def _of_audio(c_in: int, c_out: int, kernel: tuple[int, int]) -> tuple[nn.Module, nn.Module]:
    convolution = nn.Conv2d(c_in, c_out, kernel, 1, (kernel[0] // 2, kernel[1] // 2), bias=False)
    return convolution, nn.BatchNorm2d(c_out, eps=_EPSILON)


class _VisualEncoder(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.block1, self.block2, self.block3 = (self._block(*channels) for channels in _CHANNELS)
        self.pool = nn.MaxPool3d((1, 3, 3), (1, 2, 2), (0, 1, 1))

    @staticmethod
    def _block(c_in: int, first: int, c_out: int) -> _Block:
        return _Block(
            s_1=_of_video(c_in, first, (1, 5, 5), stride=2 if c_in == 1 else 1),
            s_2=_of_video(first, c_out, (1, 3, 3)),
            t_1=_of_video(c_out, c_out, (5, 1, 1)),
            t_2=_of_video(c_out, c_out, (3, 1, 1)),
        )

    def forward(self, faces: Tensor) -> Tensor:
        """Map (N, 1, T, 112, 112), normalised, to (N, T, 128)."""
        x = self.pool(self.block1(faces))
        x = self.pool(self.block2(x))
        return self.block3(x).amax((3, 4)).transpose(1, 2)


class _AudioEncoder(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.block1, self.block2, self.block3 = (self._block(*channels) for channels in _CHANNELS)
        self.pool = nn.MaxPool2d((1, 3), (1, 2), (0, 1))

    @staticmethod
    def _block(c_in: int, first: int, c_out: int) -> _Block:
        return _Block(
            m_1=_of_audio(c_in, first, (5, 1)),
            m_2=_of_audio(first, c_out, (3, 1)),
            t_1=_of_audio(c_out, c_out, (1, 5)),
            t_2=_of_audio(c_out, c_out, (1, 3)),
        )

    def forward(self, cepstra: Tensor) -> Tensor:
        """Map (N, 1, 13, 4 T) to (N, T, 128)."""
        x = self.pool(self.block1(cepstra))
        x = self.pool(self.block2(x))
        return self.block3(x).mean(2).transpose(1, 2)


class _Gate(nn.Module):
    """Weights channels by what they hold."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.attention = nn.Conv1d(channels, channels, 1, bias=False)
        self.bn = nn.BatchNorm1d(channels, eps=_EPSILON)

    def forward(self, x: Tensor) -> Tensor:
        """Map (N, T, channels) to the same."""
        return x * torch.sigmoid(self.bn(self.attention(x.transpose(1, 2)))).transpose(1, 2)


class _Detector(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        width = 2 * _FEATURES
        self.gru_forward = nn.GRU(width, _HIDDEN, batch_first=True)
        self.gru_backward = nn.GRU(width, _HIDDEN, batch_first=True)
        self.attention = _Gate(2 * _HIDDEN)

    def forward(self, x: Tensor) -> Tensor:
        """Map (N, T, 256) to (N, T, 128)."""
        forward, _ = self.gru_forward(x)
        backward, _ = self.gru_backward(x.flip(1))
        return self.attention(torch.cat([forward, backward.flip(1)], 2))


class _Model(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.visualEncoder = _VisualEncoder()
        self.audioEncoder = _AudioEncoder()
        self.fusion = _Gate(2 * _FEATURES)
        self.detector = _Detector()


class _Logits(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.FC = nn.Linear(2 * _HIDDEN, 2)


class LrAsd(nn.Module):
    """Scores a face's frames, at 25 a second, by what is seen and heard."""

    def __init__(self) -> None:
        super().__init__()
        self.model = _Model()
        self.lossAV = _Logits()
        self.lossV = _Logits()  # of training alone

    def embed_faces(self, faces: Tensor) -> Tensor:
        """Return the features of faces, (N, T, 128); each depends on `REACH_FRAMES` on both sides.

        Args:
            faces: (N, T, 112, 112), gray in 0..255: mouth and chin.
        """
        return self.model.visualEncoder(((faces / 255 - _MEAN) / _STD)[:, None])

    def embed_audio(self, cepstra: Tensor) -> Tensor:
        """Return the features of audio, (N, T, 128); each depends on `REACH_FRAMES` at most.

        Args:
            cepstra: (N, 4 T, 13), of samples in the range of 16 bits.
        """
        return self.model.audioEncoder(cepstra.transpose(1, 2)[:, None])

    def score(self, faces: Tensor, audio: Tensor) -> Tensor:
        """Return logits, (N, T): above 0 the lips move as in speech. Each depends on the whole stretch.

        Args:
            faces: Of `embed_faces`.
            audio: Of `embed_audio`.
        """
        fused = self.model.fusion(torch.cat([audio, faces], 2))
        return self.lossAV.FC(self.model.detector(fused))[..., 1]

    def forward(self, faces: Tensor, cepstra: Tensor) -> Tensor:
        """Return logits, (N, T), of faces and audio as for the embeddings."""
        return self.score(self.embed_faces(faces), self.embed_audio(cepstra))
