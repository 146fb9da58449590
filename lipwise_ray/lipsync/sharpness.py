"""Sharpness and texture of dubbed mouths, against the face around them and beside the original ones."""

from __future__ import annotations

import math
from dataclasses import dataclass

import cv2
import numpy as np

from lipwise_ray.media.region import scale_of
from lipwise_ray.values import BoolArray, F32Array, F64Array

LUMA_BGR = np.array([0.114, 0.587, 0.299], np.float32)
"""Weights of the channels in luma. Source: Rec. ITU-R BT.601."""

_LEAST_PX, MOST_PX = 64, 512
_FINE_PX = 1.0
_EDGES = 0.75
_NOISE_TO_EDGES = 2.44
"""Of Gaussian noise the mean size of the strongest quarter, over the median size: so much of it is no edge."""

_FLOOR = 0.1
_INSIDE, _OUTSIDE = 0.5, 0.02
_AROUND_TO, _ASIDE = 0.5, 0.1
_FEWEST_PIXELS = 64
_MOST_LOG = math.log(8)


@dataclass(frozen=True, slots=True)
class Detail:
    """Fine detail of a region: what a Gaussian of one pixel takes away, in levels of luma of 255.

    Attributes:
        edges: Of the strongest quarter, beyond what noise of the region's own median explains: 0 where it is flat,
            however grainy.
        texture: Median size: that of skin and of grain.
    """

    edges: float
    texture: float


def luma_of(image_bgr: F32Array) -> F32Array:
    """Return the luma of an image in [0, 1], shape (S, S, 3), in levels of 255, shape (S, S)."""
    return image_bgr @ (255 * LUMA_BGR)


def detail_of(luma: F32Array, region: BoolArray) -> Detail:
    """Return the detail of a region, which has at least one pixel.

    Args:
        luma: In levels of 255, shape (S, S).
        region: The same shape.
    """
    return _detail(_fine(luma), region)


def _fine(luma: F32Array) -> F32Array:
    """Return the size of the fine detail of each pixel, shape (S, S)."""
    return np.abs(luma - cv2.GaussianBlur(luma, (0, 0), _FINE_PX))


def _detail(fine_of_pixels: F32Array, region: BoolArray) -> Detail:
    fine = np.sort(fine_of_pixels[region])
    middle = len(fine) // 2
    strongest, median = float(fine[int(_EDGES * len(fine)) :].mean()), float(fine[[~middle, middle]].mean())
    return Detail(math.sqrt(max(0.0, strongest**2 - (_NOISE_TO_EDGES * median) ** 2)), median)


def side_px(crop_px: int, to_shown: F64Array, opacity: float) -> int:
    """Return the side of the image in which a face is measured, at most 512; 0 where it fades, or is under 64 pixels.

    Args:
        crop_px: Side of its crop.
        to_shown: The map from the crop to the shown frame.
        opacity: Of the new face.
    """
    side = round(crop_px * scale_of(to_shown))
    return 0 if side < _LEAST_PX or opacity < 1 else min(MOST_PX, side)


def regions_of(mask: F32Array | None, size_px: tuple[int, int]) -> tuple[BoolArray, BoolArray] | None:
    """Return the regions of the new mouth in a crop and of the face around it, each of the shape that is measured.

    Around it is the upper half of the crop, without its sides. None where either has too few pixels.

    Args:
        mask: Opacity of the new face, shape (S, S); None where it overwrites the crop.
        size_px: Rows and columns of the image that is measured.
    """
    down, across = ((np.arange(side) + 0.5) / side for side in size_px)
    within = np.abs(across - 0.5) < 0.5 - _ASIDE
    upper = (down < _AROUND_TO)[:, None] & within[None, :]
    if mask is None:
        mouth, around = (down >= _AROUND_TO)[:, None] & within[None, :], upper
    else:
        opacity = cv2.resize(mask, size_px[::-1], interpolation=cv2.INTER_LINEAR)
        mouth, around = opacity > _INSIDE, upper & (opacity < _OUTSIDE)
    return (mouth, around) if min(mouth.sum(), around.sum()) >= _FEWEST_PIXELS else None


@dataclass(slots=True)
class Sharpness:
    """Sharpness of mouths, as sums that can be added up: of the logarithms of a mouth's detail over that around it.

    A face is measured at the size that it has in the frame, before it is encoded; ratios are cut off at 8 and 1/8, so
    that no single face counts for many.

    Attributes:
        dubbed, filmed: Sums for the edges of the new mouths, and of the original ones at the same places.
        dubbed_texture, filmed_texture: The same for their texture.
        faces: Number of faces that are summed.
    """

    dubbed: float = 0.0
    filmed: float = 0.0
    dubbed_texture: float = 0.0
    filmed_texture: float = 0.0
    faces: int = 0

    def add(self, dubbed: F32Array, filmed: F32Array, mask: F32Array | None) -> None:
        """Take in a face.

        Args:
            dubbed: Luma of the crop in levels of 255, of any shape.
            filmed: The same of the original.
            mask: Opacity of the new face, shape (S, S); None where it overwrites the crop.
        """
        regions = regions_of(mask, (dubbed.shape[0], dubbed.shape[1]))
        if regions is None:
            return
        mouth, around = regions
        fine = _fine(filmed)
        new, old, beside = detail_of(dubbed, mouth), _detail(fine, mouth), _detail(fine, around)
        self.dubbed += _log_ratio(new.edges, beside.edges)
        self.filmed += _log_ratio(old.edges, beside.edges)
        self.dubbed_texture += _log_ratio(new.texture, beside.texture)
        self.filmed_texture += _log_ratio(old.texture, beside.texture)
        self.faces += 1


def _log_ratio(detail: float, around: float) -> float:
    return max(-_MOST_LOG, min(_MOST_LOG, math.log((detail + _FLOOR) / (around + _FLOOR))))
