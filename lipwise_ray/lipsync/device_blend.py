"""Noise, grain and mixing of many windows of planes at once, with torch: what `media.grain` does with one.

Windows of different sizes share a tensor; what is beyond a window's own size counts for nothing.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING

import cv2
import torch

from lipwise_ray.media.grain import grain_rules, tile_offset

if TYPE_CHECKING:
    from collections.abc import Sequence

    from torch import Tensor

    from lipwise_ray.media.grain import Grain

_TO_DEVIATION = 1.4826
_BLUR_PX = 9
"""Taps that OpenCV takes for a Gaussian of one pixel's deviation on float32."""


@dataclass(frozen=True, slots=True)
class Windows:
    """Sizes of windows, and where they are in their planes; each shape (B, 1, 1).

    Attributes:
        left: First column.
        top: First row.
        width: Columns.
        height: Rows.
    """

    left: Tensor
    top: Tensor
    width: Tensor
    height: Tensor

    def valid(self, like: Tensor) -> Tensor:
        """Tell which values of a tensor of shape (B, H, W) are in their window."""
        x = torch.arange(like.shape[2], device=like.device)
        return (x < self.width) & (torch.arange(like.shape[1], device=like.device)[:, None] < self.height)


def rim_noise(samples: Tensor, opacity: Tensor, windows: Windows) -> Tensor:
    """Return the noise of the samples where a mask fades out, NaN where there are too few to tell, shape (B,).

    Args:
        samples: Shape (B, H, W), float32.
        opacity: The same.
        windows: Their sizes.
    """
    rules = grain_rules()
    return _noise(samples, (opacity > rules.edge) & (opacity < rules.core), windows)


def with_grain(fresh: Tensor, opacity: Tensor, windows: Windows, peak: float, grains: Sequence[Grain | None]) -> Tensor:
    """Return new samples with as much fine noise as there is around them.

    Args:
        fresh: New samples, shape (B, H, W), float32.
        opacity: Of the new ones, the same.
        windows: Their sizes and places.
        peak: The largest sample value.
        grains: Grain of each window, or None.
    """
    rules, device = grain_rules(), fresh.device
    wanted = torch.tensor([float("nan") if one is None else one.noise for one in grains], dtype=torch.float64).to(
        device
    )
    largest = torch.where(windows.valid(opacity), opacity, 0).flatten(1).amax(dim=1)
    present = _noise(fresh, opacity > (largest.to(torch.float64) * rules.core)[:, None, None], windows)
    level = torch.sqrt((wanted * wanted - present * present).clamp_min(0)) / rules.tile_noise
    is_seen = level >= rules.least * peak  # no number is not
    level = torch.where(is_seen, level.clamp_max(rules.most * peak), 0).to(torch.float32)
    tile = _tile(device)
    offsets = torch.tensor([(0, 0) if one is None else tile_offset(one.seed) for one in grains])
    offsets = offsets.to(device, non_blocking=True)
    rows, columns = (torch.arange(fresh.shape[axis], device=device) for axis in (1, 2))
    down = (rows[:, None] + windows.top + offsets[:, 0, None, None]) % len(tile)
    across = (columns + windows.left + offsets[:, 1, None, None]) % len(tile)
    return fresh + level[:, None, None] * tile[down, across]


def mixed_light(old: Tensor, fresh: Tensor, opacity: Tensor, black: float) -> Tensor:
    """Return luma that is mixed as light adds up; as `media.region` does it."""
    dark = (old - black).clamp_max(0)
    was, becomes = ((one - black).clamp_min(0) for one in (old, fresh))
    light = was * was
    light = (light + opacity * (becomes * becomes - light)).clamp_min(0)
    return torch.sqrt(light) + black + (1 - opacity) * dark


@lru_cache(maxsize=8)
def _tile(device: torch.device) -> Tensor:
    return torch.from_numpy(grain_rules().tile).to(device)


def _noise(samples: Tensor, where: Tensor, windows: Windows) -> Tensor:
    """Return the deviation of the fine noise of some samples of each window, float64, shape (B,)."""
    rules = grain_rules()
    where = where & windows.valid(samples)
    soft = _blurred(_blurred(samples, windows.height, 1, rules.blur_sigma), windows.width, 2, rules.blur_sigma)
    size = torch.where(where, (samples - soft).abs(), torch.inf).flatten(1)
    count = where.flatten(1).sum(dim=1)
    ordered = torch.sort(size, dim=1).values
    middle = torch.stack([(count - 1).clamp_min(0) // 2, count // 2], dim=1).clamp_max(size.shape[1] - 1)
    median = torch.gather(ordered, 1, middle).to(torch.float64)
    noise = _TO_DEVIATION * ((median[:, 0] + median[:, 1]) * 0.5)
    return torch.where(count < rules.fewest_pixels, torch.nan, noise)


def _blurred(samples: Tensor, sizes: Tensor, axis: int, sigma: float) -> Tensor:
    """Return samples blurred by a Gaussian along an axis; at a window's edge they are mirrored."""
    kernel = cv2.getGaussianKernel(_BLUR_PX, sigma, cv2.CV_32F).ravel().tolist()
    shape = [1, 1, 1]
    shape[axis] = -1
    number = torch.arange(samples.shape[axis], device=samples.device).reshape(shape)
    total = torch.zeros_like(samples)
    for distance, weight in enumerate(kernel, -(_BLUR_PX // 2)):
        place = (number + distance).abs()
        place = torch.where(place < sizes, place, 2 * (sizes - 1) - place)
        place = torch.minimum(place.clamp_min(0), sizes - 1)
        total += weight * torch.gather(samples, axis, place.expand(samples.shape))
    return total
