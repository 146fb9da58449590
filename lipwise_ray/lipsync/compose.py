"""The mask by which a new face is laid over the old one."""

from __future__ import annotations

from typing import Literal

import numpy as np

from lipwise_ray.values import F32Array

MaskKind = Literal["soft", "box"]
_TOP_SHARE = 0.40
"""Above this share of the crop's height the picture stays: the network only redraws the lower half."""


def paste_mask(size_px: int, kind: MaskKind, feather: float) -> F32Array | None:
    """Return the opacity of the pasted crop.

    Args:
        size_px: Side of the crop.
        kind: ``soft`` fades out at the sides and above the mouth; ``box`` overwrites the whole box.
        feather: Share of the side over which ``soft`` fades.

    Returns:
        Shape (size_px, size_px) in [0, 1], 0 on its whole rim; None for ``box``.
    """
    if kind == "box":
        return None
    place = np.arange(size_px) / (size_px - 1)
    sides = _smoothstep(np.minimum(place, 1 - place) / feather)
    rows = _smoothstep((place - _TOP_SHARE) / feather) * _smoothstep((1 - place) / (feather / 2))
    return (rows[:, None] * sides[None, :]).astype(np.float32)


def _smoothstep(x: np.ndarray[tuple[int], np.dtype[np.float64]]) -> np.ndarray[tuple[int], np.dtype[np.float64]]:
    t = np.clip(x, 0.0, 1.0)
    return t * t * (3 - 2 * t)
