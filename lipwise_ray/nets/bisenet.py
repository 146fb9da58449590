"""The network that tells skin from hair, glasses and the rest of a face."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import nn
from torch.nn import functional

if TYPE_CHECKING:
    from torch import Tensor

CLASSES = 19
BACKGROUND, GLASSES, HAIR, HAT = 0, 6, 17, 18
"""Classes of CelebAMask-HQ, as the published weights number them."""

_MEAN, _DEVIATION = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


class _ConvBlock(nn.Module):
    def __init__(self, inputs: int, outputs: int, kernel: int = 3, stride: int = 1) -> None:
        super().__init__()
        self.conv = nn.Conv2d(inputs, outputs, kernel, stride, kernel // 2, bias=False)
        self.bn = nn.BatchNorm2d(outputs)

    def forward(self, x: Tensor) -> Tensor:
        return functional.relu(self.bn(self.conv(x)))


class _Residual(nn.Module):
    def __init__(self, inputs: int, outputs: int, stride: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(inputs, outputs, 3, stride, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(outputs)
        self.conv2 = nn.Conv2d(outputs, outputs, 3, 1, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(outputs)
        self.downsample: nn.Module = nn.Identity()
        if inputs != outputs or stride != 1:
            self.downsample = nn.Sequential(nn.Conv2d(inputs, outputs, 1, stride, bias=False), nn.BatchNorm2d(outputs))

    def forward(self, x: Tensor) -> Tensor:
        inner = functional.relu(self.bn1(self.conv1(x)))
        return functional.relu(self.downsample(x) + self.bn2(self.conv2(inner)))


class _Backbone(nn.Module):
    """ResNet-18 without its head."""

    def __init__(self) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(3, 64, 7, 2, 3, bias=False)
        self.bn1 = nn.BatchNorm2d(64)
        self.layer1 = nn.Sequential(_Residual(64, 64, 1), _Residual(64, 64, 1))
        self.layer2 = nn.Sequential(_Residual(64, 128, 2), _Residual(128, 128, 1))
        self.layer3 = nn.Sequential(_Residual(128, 256, 2), _Residual(256, 256, 1))
        self.layer4 = nn.Sequential(_Residual(256, 512, 2), _Residual(512, 512, 1))

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        x = functional.max_pool2d(functional.relu(self.bn1(self.conv1(x))), 3, 2, 1)
        eighth = self.layer2(self.layer1(x))
        sixteenth = self.layer3(eighth)
        return eighth, sixteenth, self.layer4(sixteenth)


class _Attention(nn.Module):
    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.conv = _ConvBlock(inputs, outputs)
        self.conv_atten = nn.Conv2d(outputs, outputs, 1, bias=False)
        self.bn_atten = nn.BatchNorm2d(outputs)

    def forward(self, x: Tensor) -> Tensor:
        features = self.conv(x)
        weight = torch.sigmoid(self.bn_atten(self.conv_atten(features.mean((2, 3), keepdim=True))))
        return features * weight


class _Context(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.resnet = _Backbone()
        self.arm16 = _Attention(256, 128)
        self.arm32 = _Attention(512, 128)
        self.conv_head32 = _ConvBlock(128, 128)
        self.conv_head16 = _ConvBlock(128, 128)
        self.conv_avg = _ConvBlock(512, 128, 1)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        eighth, sixteenth, coarse = self.resnet(x)
        whole = self.conv_avg(coarse.mean((2, 3), keepdim=True))
        coarse = self.arm32(coarse) + whole
        up = self.conv_head32(functional.interpolate(coarse, sixteenth.shape[2:], mode="nearest"))
        middle = self.arm16(sixteenth) + up
        return eighth, self.conv_head16(functional.interpolate(middle, eighth.shape[2:], mode="nearest"))


class _Fusion(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.convblk = _ConvBlock(256, 256, 1)
        self.conv1 = nn.Conv2d(256, 64, 1, bias=False)
        self.conv2 = nn.Conv2d(64, 256, 1, bias=False)

    def forward(self, detail: Tensor, context: Tensor) -> Tensor:
        features = self.convblk(torch.cat((detail, context), 1))
        weight = functional.relu(self.conv1(features.mean((2, 3), keepdim=True)))
        return features * torch.sigmoid(self.conv2(weight)) + features


class _Head(nn.Module):
    def __init__(self, inputs: int, middle: int) -> None:
        super().__init__()
        self.conv = _ConvBlock(inputs, middle)
        self.conv_out = nn.Conv2d(middle, CLASSES, 1, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        return self.conv_out(self.conv(x))


class BiSeNet(nn.Module):
    """Classes of every pixel of an aligned face.

    Source: BiSeNet (Yu 2018) as in face-parsing.PyTorch; differs in: the two heads that only training uses are loaded
    and not run, and the input's normalisation is part of the network.
    """

    mean: Tensor
    deviation: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.cp = _Context()
        self.ffm = _Fusion()
        self.conv_out = _Head(256, 256)
        self.conv_out16 = _Head(128, 64)
        self.conv_out32 = _Head(128, 64)
        for name, values in (("mean", _MEAN), ("deviation", _DEVIATION)):
            self.register_buffer(name, torch.tensor(values).view(1, 3, 1, 1), persistent=False)

    def forward(self, faces: Tensor) -> Tensor:
        """Return the classes' scores.

        Args:
            faces: (N, 3, H, W), RGB in [0, 1], aligned as for restorers.

        Returns:
            (N, 19, H, W).
        """
        detail, context = self.cp((faces - self.mean) / self.deviation)
        scores = self.conv_out(self.ffm(detail, context))
        return functional.interpolate(scores, faces.shape[2:], mode="bilinear", align_corners=True)
