"""Flicker of dubbed faces, beside that of the original ones."""

from __future__ import annotations

from dataclasses import dataclass, field

import cv2
import numpy as np

from lipwise_ray.values import F32Array

SIDE_PX = 48
"""Side of the small images of a face that are compared."""

FRAMES = 3
"""Frames that are compared: before, now, after."""


@dataclass(slots=True)
class Flicker:
    """A mean over faces, as sums that can be added up.

    What flickers or swims goes back and forth from frame to frame, so an image's distance from the mean of the one
    before and the one after it is looked at; even motion has hardly any.

    Attributes:
        dubbed: Sum of mean absolute distances of the dubbed faces, in levels of 255.
        filmed: The same of the faces in the original, at the same places.
        faces: Number of faces that are summed.
    """

    dubbed: float = 0.0
    filmed: float = 0.0
    faces: int = 0
    _near: dict[int, list[tuple[int, int, F32Array]]] = field(
        default_factory=dict[int, list[tuple[int, int, F32Array]]]
    )

    def add(self, track: int, number: int, source: int, images: F32Array, mask: F32Array | None) -> None:
        """Take in a face.

        Args:
            track: Track whose face it is.
            number: Of the output frame; a face's frames come in order.
            source: Of the source frame; where it jumps, nothing is compared.
            images: Luma of the dubbed and of the original face in levels of 255, shape (2, 48, 48); of one face alone,
                shape (48, 48).
            mask: Opacity of the new face, shape (S, S); None where all of it is seen.
        """
        near = self._near.get(track, [])
        if near and (near[-1][0] != number - 1 or abs(near[-1][1] - source) > 1):
            near = []
        near = [*near[1 - FRAMES :], (number, source, images)]
        self._near[track] = near
        if len(near) < FRAMES:
            return
        apart = np.abs(near[1][2] - (near[0][2] + near[2][2]) / 2).reshape(-1, SIDE_PX, SIDE_PX)
        weight = np.ones(apart.shape[1:], np.float32)
        if mask is not None:
            weight = np.asarray(cv2.resize(mask, (SIDE_PX, SIDE_PX), interpolation=cv2.INTER_AREA), np.float32)
        total = float(weight.sum())
        if total:
            means = (apart * weight).sum(axis=(1, 2)) / total
            self.dubbed += float(means[0])
            self.filmed += float(means[-1])
            self.faces += 1
