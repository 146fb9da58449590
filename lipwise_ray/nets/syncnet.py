"""SyncNet v2, by which LSE-D and LSE-C are measured."""

from __future__ import annotations

from typing import TYPE_CHECKING

from torch import nn

if TYPE_CHECKING:
    from torch import Tensor

SIDE_PX = 224
CEPSTRA, COLUMNS = 13, 20
"""A window of audio: 13 cepstra of 20 columns, 10 ms each."""


class SyncNet(nn.Module):
    """Embeds audio and lips; the nearer the two, the better they go together.

    Source: syncnet_python SyncNetModel.py, with its published weights' names.
    """

    def __init__(self) -> None:
        super().__init__()
        self.netcnnaud = nn.Sequential(
            *_conv2d(1, 64, (3, 3), 1),
            nn.MaxPool2d(1, 1),
            *_conv2d(64, 192, (3, 3), 1),
            nn.MaxPool2d(3, (1, 2)),
            *_conv2d(192, 384, (3, 3), 1),
            *_conv2d(384, 256, (3, 3), 1),
            *_conv2d(256, 256, (3, 3), 1),
            nn.MaxPool2d(3, 2),
            *_conv2d(256, 512, (5, 4), 0),
        )
        self.netfcaud = _head()
        self.netfclip = _head()
        self.netcnnlip = nn.Sequential(
            *_conv3d(3, 96, (5, 7, 7), 2, 0),
            nn.MaxPool3d((1, 3, 3), (1, 2, 2)),
            *_conv3d(96, 256, (1, 5, 5), 2, 1),
            nn.MaxPool3d((1, 3, 3), (1, 2, 2), (0, 1, 1)),
            *_conv3d(256, 256, (1, 3, 3), 1, 1),
            *_conv3d(256, 256, (1, 3, 3), 1, 1),
            *_conv3d(256, 256, (1, 3, 3), 1, 1),
            nn.MaxPool3d((1, 3, 3), (1, 2, 2)),
            *_conv3d(256, 512, (1, 6, 6), 1, 0),
        )

    def embed_sound(self, mfcc: Tensor) -> Tensor:
        """Return embeddings of audio, (N, 1024), from cepstra of (N, 1, 13, 20)."""
        return self.netfcaud(self.netcnnaud(mfcc).flatten(1))

    def embed_lips(self, frames: Tensor) -> Tensor:
        """Return embeddings of lips, (N, 1024), from BGR levels of 0 to 255, (N, 3, 5, 224, 224)."""
        return self.netfclip(self.netcnnlip(frames).flatten(1))


def _conv2d(channels: int, out: int, kernel: tuple[int, int], padding: int) -> tuple[nn.Module, ...]:
    return nn.Conv2d(channels, out, kernel, padding=padding), nn.BatchNorm2d(out), nn.ReLU(inplace=True)


def _conv3d(channels: int, out: int, kernel: tuple[int, int, int], stride: int, padding: int) -> tuple[nn.Module, ...]:
    conv = nn.Conv3d(channels, out, kernel, (1, stride, stride), (0, padding, padding))
    return conv, nn.BatchNorm3d(out), nn.ReLU(inplace=True)


def _head() -> nn.Sequential:
    return nn.Sequential(nn.Linear(512, 512), nn.BatchNorm1d(512), nn.ReLU(), nn.Linear(512, 1024))
