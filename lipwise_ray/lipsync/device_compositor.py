"""`Compositor` with torch: the faces of many frames in a call, where they are.

Every value is a sum of its own, term by term; see `device_sampling`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import cv2
import numpy as np
import torch

from lipwise_ray.lipsync import device_sampling as sampling
from lipwise_ray.lipsync.compose import COARSE_BLUR_PX, COARSE_PX
from lipwise_ray.lipsync.compositor import HostCompositor
from lipwise_ray.lipsync.device_copies import DeviceCopies, device_images
from lipwise_ray.lipsync.sharpness import LUMA_BGR
from lipwise_ray.lipsync.steadying import DETAIL_RADIUS, STILL_LEVELS, FineDetail, detail_blur_px, near_weight
from lipwise_ray.media.region import inverted, shown_part

if TYPE_CHECKING:
    from torch import Tensor

    from lipwise_ray.lipsync.compositor import ImageLayer
    from lipwise_ray.media.planes import FaceImage
    from lipwise_ray.values import F32Array, F64Array, I64Array

_DEVIATIONS = 4
"""Standard deviations at which OpenCV ends a Gaussian."""


@dataclass(frozen=True, slots=True)
class _Taps:
    """For each value along an axis the numbers of the values that it is made of, and their weights, both (N, taps)."""

    numbers: I64Array
    weights: F32Array


class DeviceCompositor:
    """Works with torch, many faces in a call.

    Args:
        device: ``cuda``, or ``cpu`` where the same arithmetic is to be tested.
        faces_a_call: Faces that are best given to it together.
    """

    def __init__(self, device: str, faces_a_call: int = 8) -> None:
        self.faces_a_call = faces_a_call
        self._copies = DeviceCopies(torch.device(device))

    def laid_over(self, images: Sequence[FaceImage], layers: Sequence[ImageLayer]) -> Sequence[FaceImage]:
        """Return images with others laid over them."""
        parts = [part for layer in layers if (part := shown_part(layer.opacity)) is not None]
        if not parts:
            return images
        # Places are those of the whole image, whatever the others' masks cover.
        left, right, top, bottom = zip(*parts, strict=True)
        within = slice(None), slice(min(top), max(bottom) + 1), slice(min(left), max(right) + 1)
        with self._copies.working():
            whole = torch.stack(self._copies.gathered(images))
            side, device = whole.shape[1], self._copies.device
            at = [
                one[within] for one in sampling.places([inverted(one.to_image) for one in layers], side, side, device)
            ]
            new = torch.stack(self._copies.gathered([layer.image for layer in layers]))
            sides = [new.shape[1]] * len(layers)
            fresh = [
                sampling.cubic(sampling.of_images(channel.contiguous(), sides), *at).clamp(0, 1)
                for channel in new.unbind(3)
            ]
            opacity = self._copies.sent(np.stack([layer.opacity for layer in layers])[within])[..., None]
            old = whole[within]
            whole[within] = old + opacity * (torch.stack(fresh, dim=3) - old)
            return device_images(whole)

    def luma(self, images: Sequence[FaceImage]) -> Sequence[FaceImage]:
        """Return the luma of images."""
        if not images:
            return []
        with self._copies.working():
            blue, green, red = torch.stack(self._copies.gathered(images)).unbind(3)
            weights = [float(weight) for weight in 255 * LUMA_BGR]
            return device_images(blue * weights[0] + green * weights[1] + red * weights[2])

    def detail(self, lumas: Sequence[FaceImage], side_px: int) -> Sequence[FineDetail]:
        """Return the fine detail of restored faces."""
        if not lumas:
            return []
        with self._copies.working():
            luma = torch.stack(self._copies.gathered(lumas))
            if luma.shape[1] > side_px:
                luma = self._filtered(luma, _area(luma.shape[1], side_px))
            coarse = self._filtered(luma, _gaussian(side_px, detail_blur_px(side_px), repeats=False))
            both = zip(device_images(luma - coarse), device_images(coarse), strict=True)
            return [FineDetail(*one) for one in both]

    def steadied(
        self, restored: Sequence[FaceImage], around: Sequence[Sequence[tuple[int, FineDetail]]], smooth: float
    ) -> Sequence[FaceImage]:
        """Return restored faces whose fine detail is averaged with that of the frames around."""
        if not restored:
            return []
        details = [dict(one) for one in around]
        with self._copies.working():
            gathered = self._copies.gathered
            fine, coarse = (
                torch.stack(gathered(one))
                for one in ([one[0].fine for one in details], [one[0].coarse for one in details])
            )
            total, weights = fine.clone(), torch.ones_like(fine)
            for distance in (at for at in range(-DETAIL_RADIUS, DETAIL_RADIUS + 1) if at):
                near = near_weight(distance, smooth)
                if near <= 0 or not any(distance in one for one in details):
                    continue
                there = [one.get(distance, one[0]) for one in details]
                shown = sampling.column([distance in one for one in details], self._copies.device) * near
                apart = (torch.stack(gathered([one.coarse for one in there])) - coarse) / STILL_LEVELS
                weight = shown.to(torch.float32) * torch.exp(-(apart * apart))
                total += weight * torch.stack(gathered([one.fine for one in there]))
                weights += weight
            change = (total / weights - fine) / 255
            faces = torch.stack(gathered(restored))
            if change.shape[1] < faces.shape[1]:
                change = self._filtered(change, _cubic(change.shape[1], faces.shape[1]))
            return device_images((faces + change[..., None]).clamp(0, 1))

    def with_colours_of(self, restored: Sequence[FaceImage], given: Sequence[FaceImage]) -> Sequence[FaceImage]:
        """Return restored faces with the coarse colours of others."""
        if not restored:
            return []
        with self._copies.working():
            became, was = (torch.stack(self._copies.gathered(faces)) for faces in (restored, given))
            side = became.shape[1]
            if side < COARSE_PX:  # no restorer is so small, and OpenCV's averages do not enlarge
                return HostCompositor().with_colours_of(restored, given)
            if was.shape[1] < side:
                was = self._filtered(was, _linear(was.shape[1], side))
            coarse = self._filtered(was - became, _area(side, COARSE_PX)) if side > COARSE_PX else was - became
            soft = self._filtered(coarse, _gaussian(COARSE_PX, COARSE_BLUR_PX, repeats=True))
            return device_images((self._filtered(soft, _cubic(COARSE_PX, side)) + became).clamp(0, 1))

    def _filtered(self, images: Tensor, taps: _Taps) -> Tensor:
        """Return images whose rows and columns are weighted sums of theirs.

        Args:
            images: Shape (B, S, S) or (B, S, S, 3).
            taps: Along each axis.
        """
        numbers = torch.from_numpy(np.ascontiguousarray(taps.numbers.T)).to(self._copies.device, non_blocking=True)
        weights = self._copies.sent(taps.weights.T)
        for axis in (2, 1):
            shape = [1] * images.ndim
            shape[axis] = -1
            total = None
            for number, weight in zip(numbers, weights, strict=True):
                part = images.index_select(axis, number) * weight.reshape(shape)
                total = part if total is None else total.add_(part)
            assert total is not None  # a filter has taps
            images = total
        return images


def _area(size: int, count: int) -> _Taps:
    """Return averages of equal shares of so many values."""
    first, weights = sampling.box_weights(size, count)
    return _Taps(np.minimum(first[:, None] + np.arange(weights.shape[1]), size - 1), weights)


def _gaussian(size: int, deviation_px: float, *, repeats: bool) -> _Taps:
    """Return a blur; past the edge it repeats, or the image is mirrored there."""
    radius = round(deviation_px * _DEVIATIONS * 2 + 1) // 2
    weights = np.asarray(cv2.getGaussianKernel(2 * radius + 1, deviation_px, cv2.CV_32F), np.float32)[:, 0]
    at = np.arange(size)[:, None] + np.arange(-radius, radius + 1)
    if not repeats:
        at = np.abs(at)
        at = np.minimum(at, 2 * (size - 1) - at)
    return _Taps(np.clip(at, 0, size - 1), np.tile(weights, (size, 1)))


def _cubic(size: int, count: int) -> _Taps:
    """Return values between values by the cubic kernel that OpenCV has."""
    at = _between(size, count)
    _, weights = sampling.cubic_weights(torch.from_numpy(at))
    numbers = np.floor(at).astype(np.int64)[:, None] + np.array(sampling.AROUND)
    return _Taps(np.clip(numbers, 0, size - 1), torch.stack(weights, dim=1).numpy())


def _linear(size: int, count: int) -> _Taps:
    """Return values between values by straight lines."""
    at = _between(size, count)
    first = np.floor(at)
    after = (at - first).astype(np.float32)
    numbers = first.astype(np.int64)[:, None] + np.arange(2)
    return _Taps(np.clip(numbers, 0, size - 1), np.stack([1 - after, after], axis=1))


def _between(size: int, count: int) -> F64Array:
    """Return the places of so many pixels among `size` ones over the same length."""
    return np.asarray((np.arange(count) + 0.5) * (size / count) - 0.5, np.float64)
