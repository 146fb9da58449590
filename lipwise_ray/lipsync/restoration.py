"""From new lips to a restored face: one warp in, the restorer, one warp out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import cv2
import numpy as np

from lipwise_ray.lipsync.align import aligned_to_shown, between
from lipwise_ray.lipsync.compose import rim_mask, with_colours_of
from lipwise_ray.lipsync.restore import Restorer
from lipwise_ray.media.region import Canvas, Kernel, pixel_map, read_region
from lipwise_ray.values import F32Array, F64Array

if TYPE_CHECKING:
    from av.video.frame import VideoFrame

_RIM = 0.04
_INSIDE = 2  # a mask's opacity at which only the restored face shows is the reciprocal


@dataclass(frozen=True, slots=True)
class Patch:
    """A picture to be laid over a frame.

    Attributes:
        picture: BGR in [0, 1], shape (S, S, 3).
        mask: Its opacity, shape (S, S); None overwrites.
        to_shown: Map from the picture to the shown frame.
    """

    picture: F32Array
    mask: F32Array | None
    to_shown: F64Array


class Restoration:
    """Restores new faces.

    Args:
        restorer: The network; every call gets a full batch, the last one padded.
        canvas: Geometry and colours of the frames.
        kernel: How pictures are resampled.
        strength: Share of the restored face, the rest is unrestored.
    """

    def __init__(self, restorer: Restorer, canvas: Canvas, kernel: Kernel, strength: float) -> None:
        self._restorer = restorer
        self._canvas = canvas
        self._kernel: Kernel = kernel
        self._strength = np.float32(strength)
        self._rim = rim_mask(restorer.size_px, _RIM)

    @property
    def batch_faces(self) -> int:
        """Faces a call of the network."""
        return self._restorer.batch_faces

    def __call__(self, faces: Sequence[tuple[VideoFrame, Patch, F32Array]]) -> list[Patch]:
        """Return what is to be laid over new faces once they are in their frames.

        Args:
            faces: For each its frame, in which the old face still is; the new face; its landmarks, shape (5, 2).
        """
        side = self._restorer.size_px
        given = np.zeros((self.batch_faces, side, side, 3), np.float32)
        places: list[tuple[F32Array, F64Array]] = []
        for number, (frame, patch, landmarks) in enumerate(faces):
            to_shown = self._to_shown(patch, landmarks)
            old = read_region(frame, self._canvas, to_shown, side, kernel=self._kernel)
            new, mask = _seen_from(to_shown, patch, side)
            given[number] = old + mask[..., None] * (new - old)
            places.append((mask, to_shown))
        results = self._restorer(given)
        return [self._patch(*place, seen, made) for place, seen, made in zip(places, given, results, strict=False)]

    def _to_shown(self, patch: Patch, landmarks: F32Array) -> F64Array:
        side = self._restorer.size_px
        if self._restorer.space == "aligned":
            return aligned_to_shown(landmarks, side, self._canvas.aspect)
        share = len(patch.picture) / side
        return patch.to_shown * np.array([share, share, 1])

    def _patch(self, mask: F32Array, to_shown: F64Array, given: F32Array, restored: F32Array) -> Patch:
        """Return a restored face; it goes over into the unrestored one inside the mask's edge."""
        mask = self._strength * self._rim * np.minimum(1, _INSIDE * mask)
        side = len(restored)
        if side > len(given):
            given, mask = (
                np.asarray(cv2.resize(one, (side, side), interpolation=cv2.INTER_LINEAR), np.float32)
                for one in (given, mask)
            )
        share = self._restorer.size_px / side
        return Patch(with_colours_of(restored, given), mask, to_shown * np.array([share, share, 1]))


def _seen_from(to_shown: F64Array, patch: Patch, side: int) -> tuple[F32Array, F32Array]:
    """Return a patch and its opacity as they lie in another square picture of the shown frame."""
    there = pixel_map(between(patch.to_shown, to_shown))
    flags = cv2.INTER_CUBIC
    picture = cv2.warpAffine(patch.picture, there, (side, side), flags=flags, borderMode=cv2.BORDER_REPLICATE)
    opacity = np.ones(patch.picture.shape[:2], np.float32) if patch.mask is None else patch.mask
    mask = cv2.warpAffine(opacity, there, (side, side), flags=cv2.INTER_LINEAR, borderValue=0)
    return np.clip(picture, 0, 1).astype(np.float32), np.asarray(mask, np.float32)
