"""`Planes` with torch: only the regions' rectangles go to the device, only what was blended comes back.

Frames that a video engine has decoded are on the device already, and stay there: nothing of them goes up.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch

from lipwise_ray.lipsync import device_sampling as sampling
from lipwise_ray.lipsync.device_blend import Windows, mixed_light, rim_noise, with_grain
from lipwise_ray.lipsync.device_copies import DeviceCopies, device_images, packed
from lipwise_ray.lipsync.device_resident import Rectangle, keep_up
from lipwise_ray.media.area_average import area_weights
from lipwise_ray.media.pixels import bgr_from_yuv, plane_array, yuv_from_bgr
from lipwise_ray.media.region import (
    SMALLER,
    compose,
    inverted,
    is_upright,
    oversampling,
    plane_map,
    scale_of,
    shown_part,
    shrunk,
    touched,
)

if TYPE_CHECKING:
    from av.video.frame import VideoFrame
    from torch import Tensor

    from lipwise_ray.media.planes import FaceImage, FaceLayer, View
    from lipwise_ray.media.region import Canvas, Extent, Kernel
    from lipwise_ray.values import F32Array, F64Array, PixelArray

_TAPS_PX = 3
_MOST_PIXELS = 1 << 23
"""Pixels of windows that are worked on together; more faces would only take more memory."""


@dataclass(frozen=True, slots=True)
class _Patch:
    """A layer with its image on the device, the side at which that is laid, and what of its mask shows anything."""

    layer: FaceLayer
    image: Tensor
    side: int
    weight: F32Array | None
    part: Extent | None
    to_stored: F64Array


@dataclass(frozen=True, slots=True)
class _Blending:
    """Rules of a call, and the largest sample value and that of black."""

    kernel: Kernel
    peak: float
    black: float
    linear_light: bool


class DevicePlanes:
    """Works with torch, many regions in a call.

    Args:
        device: ``cuda``, or ``cpu`` where the same arithmetic is to be tested.
        faces_a_call: Regions that are best given to it together.
    """

    def __init__(self, device: str, faces_a_call: int = 32) -> None:
        self.faces_a_call = faces_a_call
        self._copies = DeviceCopies(torch.device(device))

    def read(
        self,
        canvas: Canvas,
        views: Sequence[View],
        size_px: int,
        *,
        quantize_8bit: bool = False,
        kernel: Kernel = "cubic",
    ) -> Sequence[FaceImage]:
        """Return regions as small images."""
        if not views:
            return []
        with self._copies.working():
            crops = [self._sampled(canvas, views, plane, size_px, kernel) for plane in range(canvas.format.planes)]
            matrix, offset = bgr_from_yuv(canvas.color, canvas.size.height, canvas.format.bits)
            if len(crops) == 1:
                neutral = torch.full_like(crops[0], 1 << (canvas.format.bits - 1))
                crops += [neutral, neutral]
            bgr = _transformed(crops, np.column_stack([matrix, -matrix @ offset])).clamp(0, 1)
            if quantize_8bit:
                bgr = torch.round(bgr * 255) / 255
            return device_images(bgr)

    def read_luma(self, canvas: Canvas, views: Sequence[View], size_px: int) -> Sequence[FaceImage]:
        """Return the luma of regions."""
        if not views:
            return []
        with self._copies.working():
            luma = self._sampled(canvas, views, 0, size_px, "cubic") / (1 << (canvas.format.bits - 8))
            return device_images(luma)

    def noise_around(
        self, canvas: Canvas, views: Sequence[View], weights: Sequence[F32Array]
    ) -> Sequence[float | None]:
        """Return the deviation of the fine noise where each mask fades out."""
        found: list[float | None] = [None] * len(views)
        maps = [plane_map(compose(canvas.to_stored(), view.to_shown), 0, 0) for view in views]
        parts = [
            (place, rectangle)
            for place, (view, to_plane, weight) in enumerate(zip(views, maps, weights, strict=True))
            if (rectangle := touched(to_plane, shown_part(weight), plane_array(view.frame, 0))) is not None
        ]
        with self._copies.working():
            for group in _in_groups(parts):
                places, rectangles = zip(*group, strict=True)
                source = self._copies.rectangles([views[n].frame for n in places], 0, rectangles)
                masks = self._copies.images([weights[n] for n in places])
                at = self._crop_places([maps[n] for n in places], rectangles)
                opacity = sampling.linear(masks, *at, repeats=False)
                noise = rim_noise(_samples(source, opacity), opacity, _windows(source))
                for place, value in zip(places, self._copies.downloaded(noise).tolist(), strict=True):
                    found[place] = None if np.isnan(value) else float(value)
        return found

    def write(
        self, canvas: Canvas, layers: Sequence[FaceLayer], *, kernel: Kernel = "cubic", linear_light: bool = False
    ) -> None:
        """Blend images into their frames."""
        rounds: defaultdict[int, list[FaceLayer]] = defaultdict(list)
        before: defaultdict[int, int] = defaultdict(int)
        for layer in layers:  # those of one frame may lie over one another
            rounds[before[id(layer.view.frame)]].append(layer)
            before[id(layer.view.frame)] += 1
        with self._copies.working():
            for together in rounds.values():
                self._blend(canvas, together, kernel, linear_light=linear_light)

    # reading ---------------------------------------------------------------------------------------

    def _sampled(self, canvas: Canvas, views: Sequence[View], plane: int, size_px: int, kernel: Kernel) -> Tensor:
        """Return a plane's samples in each region, shape (B, size_px, size_px)."""
        stored = [compose(canvas.to_stored(), view.to_shown) for view in views]
        groups: defaultdict[tuple[int, bool, bool], list[int]] = defaultdict(list)
        for place, to_stored in enumerate(stored):
            times = oversampling(to_stored, kernel)
            is_averaged = times > 1 and is_upright(to_stored)
            groups[0 if is_averaged else times, is_averaged, bool(to_stored[0, 0] == 0)].append(place)
        result = torch.empty((len(views), size_px, size_px), dtype=torch.float32, device=self._copies.device)
        peak = float(np.iinfo(plane_array(views[0].frame, plane).dtype).max)
        shifts = canvas.format.shifts(plane)
        for (times, is_averaged, swaps), places in groups.items():
            frames = [views[n].frame for n in places]
            if is_averaged:
                crops = self._averaged(frames, plane, [plane_map(stored[n], *shifts) for n in places], size_px)
                crops = (crops.transpose(1, 2) if swaps else crops).clamp_min(0)
            else:
                finer = np.array([1 / times, 1 / times, 1])
                maps = [plane_map(stored[n] * finer, *shifts) for n in places]
                crops = self._warped(frames, plane, maps, size_px * times, kernel).clamp(0, peak)
                crops = sampling.block_means(crops, times) if times > 1 else crops
            result[sampling.numbers_on(places, self._copies.device)] = crops
        return result

    def _averaged(self, frames: Sequence[VideoFrame], plane: int, maps: Sequence[F64Array], size_px: int) -> Tensor:
        rows = np.concatenate(maps)
        weights = area_weights(rows[:, 2], rows[:, 0] + rows[:, 1], size_px, together=1)
        across, down = weights[::2], weights[1::2]
        rectangles = [
            _within(plane_array(frame, plane), y.samples, x.samples)
            for frame, x, y in zip(frames, across, down, strict=True)
        ]
        source = self._copies.rectangles(frames, plane, rectangles)
        return sampling.averaged(
            source, [(one.first, one.weights[:, 0]) for one in across], [(one.first, one.weights[:, 0]) for one in down]
        )

    def _warped(
        self, frames: Sequence[VideoFrame], plane: int, maps: Sequence[F64Array], side: int, kernel: Kernel
    ) -> Tensor:
        corners = np.array([[0, side - 1, 0, side - 1], [0, 0, side - 1, side - 1], [1, 1, 1, 1]])
        rectangles: list[Rectangle] = []
        for frame, to_plane in zip(frames, maps, strict=True):
            seen = to_plane @ corners
            low, high = np.floor(seen.min(axis=1)).astype(int), np.ceil(seen.max(axis=1)).astype(int)
            columns, rows = (slice(a - _TAPS_PX, b + _TAPS_PX) for a, b in zip(low, high, strict=True))
            rectangles.append(_within(plane_array(frame, plane), rows, columns))
        source = self._copies.rectangles(frames, plane, rectangles)
        at = sampling.places(maps, side, side, self._copies.device)
        return sampling.cubic(source, *at) if kernel == "cubic" else sampling.linear(source, *at, repeats=True)

    # writing ---------------------------------------------------------------------------------------

    def _blend(self, canvas: Canvas, layers: Sequence[FaceLayer], kernel: Kernel, *, linear_light: bool) -> None:
        """Blend layers of different frames."""
        groups: defaultdict[tuple[int, bool], list[_Patch]] = defaultdict(list)
        for layer, image in zip(layers, self._copies.gathered([layer.image for layer in layers]), strict=True):
            patch = _patch(canvas, layer, image, kernel)
            groups[len(patch.image), patch.side < len(patch.image)].append(patch)
        matrix, offset = yuv_from_bgr(canvas.color, canvas.size.height, canvas.format.bits)
        for (size_px, is_smaller), patches in groups.items():
            sides = [patch.side for patch in patches]
            bgr = torch.stack([patch.image for patch in patches])
            samples = _transformed(list(bgr.unbind(3)), np.column_stack([matrix, offset])).unbind(3)
            images = [sampling.of_images(one.contiguous(), [size_px] * len(sides)) for one in samples]
            if is_smaller:
                weights = [sampling.box_weights(size_px, side) for side in sides]
                images = [sampling.of_images(sampling.averaged(one, weights, weights), sides) for one in images]
            blending = _Blending(kernel, float((1 << canvas.format.bits) - 1), float(offset[0]), linear_light)
            masks = self._copies.images(
                [np.ones((1, 1), np.float32) if patch.weight is None else patch.weight for patch in patches]
            )
            for plane in range(canvas.format.planes):
                self._blend_plane(patches, images[plane], masks, plane, canvas.format.shifts(plane), blending)

    def _blend_plane(
        self,
        patches: Sequence[_Patch],
        images: sampling.Rectangles,
        masks: sampling.Rectangles,
        plane: int,
        shifts: tuple[int, int],
        blending: _Blending,
    ) -> None:
        frames = [patch.layer.view.frame for patch in patches]
        targets = [plane_array(frame, plane) for frame in frames]
        maps = [plane_map(patch.to_stored, *shifts) for patch in patches]
        touching = [
            (n, window)
            for n, (patch, to_plane, target) in enumerate(zip(patches, maps, targets, strict=True))
            if (window := touched(to_plane, patch.part, target)) is not None
        ]
        for group in _in_groups(touching):
            numbers, windows = [n for n, _ in group], [window for _, window in group]
            source = self._copies.rectangles([frames[n] for n in numbers], plane, windows)
            at = self._crop_places([maps[n] for n in numbers], windows)
            own = images.of(numbers)
            fresh = sampling.cubic(own, *at) if blending.kernel == "cubic" else sampling.linear(own, *at, repeats=True)
            opacity = self._opacity([patches[n] for n in numbers], masks.of(numbers), at)
            grains = [patches[n].layer.grain for n in numbers]
            if not plane and any(grains):
                fresh = with_grain(fresh, opacity, _windows(source), blending.peak, grains)
            old = _samples(source, fresh)
            if blending.linear_light and not plane:
                mixed = mixed_light(old, fresh, opacity, blending.black)
            else:
                mixed = old + opacity * (fresh - old)
            parts = [targets[n][rows, columns] for n, (rows, columns) in group]
            stored = packed(torch.round(mixed).clamp(0, blending.peak), source, sum(part.size for part in parts))
            keep_up([frames[n] for n in numbers], plane, windows, stored)
            made = self._copies.downloaded(stored)
            begin = 0
            for part in parts:
                part[:] = made[begin : begin + part.size].view(part.dtype).reshape(part.shape)
                begin += part.size

    def _opacity(self, patches: Sequence[_Patch], masks: sampling.Rectangles, at: tuple[Tensor, Tensor]) -> Tensor:
        """Return the opacity of each pixel of each window, shape (B, H, W)."""
        opacity = sampling.linear(masks, *at, repeats=False).clamp_max(1)
        if all(patch.weight is not None for patch in patches):
            return opacity
        is_whole = sampling.column([patch.weight is None for patch in patches], self._copies.device) > 0
        sides = sampling.column([patch.side for patch in patches], self._copies.device)
        return torch.where(is_whole, sampling.inside(*at, sides), opacity)

    def _crop_places(self, maps: Sequence[F64Array], windows: Sequence[Rectangle]) -> tuple[Tensor, Tensor]:
        """Return the places in crops of the pixels of windows of planes."""
        width, height = (max(window[axis].stop - window[axis].start for window in windows) for axis in (1, 0))
        inverses = [
            inverted(to_plane - np.array([[0, 0, columns.start], [0, 0, rows.start]]))
            for to_plane, (rows, columns) in zip(maps, windows, strict=True)
        ]
        return sampling.places(inverses, width, height, self._copies.device)


def _patch(canvas: Canvas, layer: FaceLayer, image: Tensor, kernel: Kernel) -> _Patch:
    to_stored, weight, side = compose(canvas.to_stored(), layer.view.to_shown), layer.weight, len(image)
    scale = scale_of(to_stored)
    if kernel == "cubic" and scale < SMALLER:
        side = max(2, round(len(image) * scale))
        to_stored = to_stored * np.array([len(image) / side, len(image) / side, 1])
        weight = None if weight is None else shrunk(weight, side)
    part = (0, side - 1, 0, side - 1) if weight is None else shown_part(weight)
    return _Patch(layer, image, side, weight, part, to_stored)


def _within(plane: PixelArray, rows: slice, columns: slice) -> Rectangle:
    """Return the part of a plane that decides what is seen of some rows and columns, which may lie beyond its edge."""
    low = [min(max(0, part.start), size - 1) for part, size in zip((rows, columns), plane.shape, strict=True)]
    high = [min(max(1, part.stop), size) for part, size in zip((rows, columns), plane.shape, strict=True)]
    return slice(low[0], max(high[0], low[0] + 1)), slice(low[1], max(high[1], low[1] + 1))


def _in_groups(parts: Sequence[tuple[int, Rectangle]]) -> Iterator[list[tuple[int, Rectangle]]]:
    """Yield rectangles in groups whose common size is not too large for memory."""
    group: list[tuple[int, Rectangle]] = []
    height = width = 0
    for part in parts:
        rows, columns = part[1]
        taller, wider = max(height, rows.stop - rows.start), max(width, columns.stop - columns.start)
        if group and (len(group) + 1) * taller * wider > _MOST_PIXELS:
            yield group
            group, taller, wider = [], rows.stop - rows.start, columns.stop - columns.start
        group.append(part)
        height, width = taller, wider
    if group:
        yield group


def _transformed(channels: Sequence[Tensor], matrix: F32Array | F64Array) -> Tensor:
    """Return other channels by a matrix of shape (3, 4), the last one's column for a constant; shape (..., 3)."""
    rows: list[list[float]] = np.asarray(matrix, np.float32).tolist()
    made = [row[0] * channels[0] + row[1] * channels[1] + row[2] * channels[2] + row[3] for row in rows]
    return torch.stack(made, dim=-1)


def _windows(source: sampling.Rectangles) -> Windows:
    return Windows(source.left, source.top, source.width, source.height)


def _samples(source: sampling.Rectangles, like: Tensor) -> Tensor:
    """Return the samples of rectangles from their first row and column on, in the shape of another tensor."""
    x = torch.arange(like.shape[2], device=like.device)
    y = torch.arange(like.shape[1], device=like.device)[:, None]
    return source.at(x + source.left, y + source.top)
