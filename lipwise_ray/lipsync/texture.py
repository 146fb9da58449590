"""Texture of faces: photographed or drawn, by their smoothness."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from lipwise_ray.lipsync.sharpness import luma_of
from lipwise_ray.values import F32Array

_SMOOTH_LEVELS = (1.0, 2.0)
_DRAWN = 0.46
"""Smoothness from which on faces count as drawn. Measured on crops of 96 pixels: photographed faces (GRID and other
recordings, of 360x288 to 1080x1920) have at most 0.43 a video, drawn ones (30 scenes and the demo) 0.49 and more."""


@dataclass(slots=True)
class Smoothness:
    """Smoothness of faces, summed: the share of neighbours that hardly differ.

    Attributes:
        total: Of the faces.
        faces: Number of them.
    """

    total: float = 0.0
    faces: int = 0

    def add(self, crop_bgr: F32Array) -> None:
        """Take in a face, BGR in [0, 1], shape (S, S, 3)."""
        luma = luma_of(crop_bgr)
        across, down = np.abs(np.diff(luma, axis=1))[:-1], np.abs(np.diff(luma, axis=0))[:, :-1]
        steps = np.maximum(across, down)
        self.total += sum(float((steps < levels).mean()) for levels in _SMOOTH_LEVELS)
        self.faces += 1


def looks_photographed(total: float, faces: int) -> bool:
    """Tell whether faces, whose smoothness sums up to `total`, are photographed and not drawn; no face is neither."""
    return faces > 0 and total / faces < _DRAWN
