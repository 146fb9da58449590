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


@dataclass(frozen=True, slots=True)
class Given:
    """What a restorer is given: a new face in its frame.

    Attributes:
        picture: BGR in [0, 1], shape (S, S, 3).
        mask: Opacity of the new face there, shape (S, S).
        to_shown: Map from the picture to the shown frame.
    """

    picture: F32Array
    mask: F32Array
    to_shown: F64Array


class Restoration:
    """Restores new faces, in three steps that may run side by side: what the network gets, the network, the patch.

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

    @property
    def face_bytes(self) -> int:
        """What a face on its way out takes."""
        return (self._restorer.size_px * self._restorer.scale) ** 2 * 3 * 4

    def given(self, frame: VideoFrame, patch: Patch, landmarks: F32Array) -> Given:
        """Return a new face as the restorer sees it.

        Args:
            frame: Its frame, in which the old face still is.
            patch: The new face.
            landmarks: Shape (5, 2).
        """
        to_shown = self._to_shown(patch, landmarks)
        picture = read_region(frame, self._canvas, to_shown, self._restorer.size_px, kernel=self._kernel)
        return Given(picture, _laid_over(picture, to_shown, patch), to_shown)

    def __call__(self, faces: Sequence[Given]) -> list[F32Array]:
        """Return the restored pictures of a batch."""
        side = self._restorer.size_px
        batch = np.zeros((self.batch_faces, side, side, 3), np.float32)
        for number, face in enumerate(faces):
            batch[number] = face.picture
        made = self._restorer(batch)[: len(faces)]
        # A face's picture goes as soon as it is laid over its frame: large ones must not hold the whole batch.
        return [one.copy() for one in made] if self._restorer.scale > 1 else list(made)

    def _to_shown(self, patch: Patch, landmarks: F32Array) -> F64Array:
        side = self._restorer.size_px
        if self._restorer.space == "aligned":
            return aligned_to_shown(landmarks, side, self._canvas.aspect)
        share = len(patch.picture) / side
        return patch.to_shown * np.array([share, share, 1])

    def patch(self, face: Given, restored: F32Array) -> Patch:
        """Return what is to be laid over a new face once it is in its frame.

        It goes over into the unrestored face inside the mask's edge.
        """
        given, mask = face.picture, self._strength * self._rim * np.minimum(1, _INSIDE * face.mask)
        side = len(restored)
        if side > len(given):
            given, mask = (
                np.asarray(cv2.resize(one, (side, side), interpolation=cv2.INTER_LINEAR), np.float32)
                for one in (given, mask)
            )
        share = self._restorer.size_px / side
        return Patch(with_colours_of(restored, given), mask, face.to_shown * np.array([share, share, 1]))


def _laid_over(picture: F32Array, to_shown: F64Array, patch: Patch) -> F32Array:
    """Lay a patch over another square picture of the shown frame, in place; return its opacity there."""
    side = len(picture)
    there = pixel_map(between(patch.to_shown, to_shown))
    opacity = np.ones(patch.picture.shape[:2], np.float32) if patch.mask is None else patch.mask
    mask = np.asarray(cv2.warpAffine(opacity, there, (side, side), flags=cv2.INTER_LINEAR, borderValue=0), np.float32)
    left, top, width, height = cv2.boundingRect((mask > 0).astype(np.uint8))
    if width:
        inside = slice(top, top + height), slice(left, left + width)
        shifted = there - np.array([[0, 0, left], [0, 0, top]])
        flags, border = cv2.INTER_CUBIC, cv2.BORDER_REPLICATE
        new = cv2.warpAffine(patch.picture, shifted, (width, height), flags=flags, borderMode=border)
        picture[inside] += mask[inside][..., None] * (np.clip(new, 0, 1) - picture[inside])
    return mask
