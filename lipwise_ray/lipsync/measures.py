"""Measures of dubbed faces beside the original ones, taken while frames are rendered."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from lipwise_ray.lipsync.align import at_size
from lipwise_ray.lipsync.flicker import SIDE_PX, Flicker
from lipwise_ray.lipsync.frame_job import FaceTarget, FrameJob
from lipwise_ray.lipsync.restoration import Patch
from lipwise_ray.lipsync.sharpness import Sharpness, side_px
from lipwise_ray.lipsync.texture import Smoothness
from lipwise_ray.media.region import Canvas, read_luma
from lipwise_ray.values import F32Array

if TYPE_CHECKING:
    from av.video.frame import VideoFrame

_EVERY = 8
"""Sharpness and smoothness are measured in one output frame of so many: they hardly change from frame to frame."""


@dataclass(frozen=True, slots=True)
class OriginalFace:
    """An original face as it is remembered while the new one is laid over it.

    Attributes:
        patch: The new face; of it place and mask count.
        small: Luma by which flicker is measured.
        full: Luma by which sharpness is measured; None where it is not.
    """

    patch: Patch
    small: F32Array
    full: F32Array | None


class Measures:
    """Flicker, sharpness and smoothness of the faces that were rendered.

    Args:
        canvas: Geometry and colours of the frames.
    """

    def __init__(self, canvas: Canvas) -> None:
        self._canvas = canvas
        self.flicker, self.sharpness, self.smoothness = Flicker(), Sharpness(), Smoothness()

    def cropped(self, job: FrameJob, crop: F32Array) -> None:
        """Take in the crop of an original face of a frame, BGR in [0, 1], shape (S, S, 3)."""
        if not (job.outside or job.number % _EVERY):
            self.smoothness.add(crop)

    def filmed(self, job: FrameJob, target: FaceTarget, patch: Patch) -> OriginalFace:
        """Return a face as it was filmed.

        Args:
            job: Its frame, in which the original face still is.
            target: The face.
            patch: The new face.
        """
        side = 0 if job.number % _EVERY else side_px(len(patch.image), patch.to_shown, target.opacity)
        full = self._luma(job.frame, patch, side) if side else None
        return OriginalFace(patch, self._luma(job.frame, patch, SIDE_PX), full)

    def add(self, job: FrameJob, target: FaceTarget, face: OriginalFace) -> None:
        """Take in a face that was laid over its frame.

        Args:
            job: The frame.
            target: The face.
            face: The original one, of `filmed`.
        """
        images = np.stack([self._luma(job.frame, face.patch, SIDE_PX), face.small])
        self.flicker.add(target.track, job.number, job.source, images, face.patch.mask)
        if face.full is not None:
            self.sharpness.add(self._luma(job.frame, face.patch, len(face.full)), face.full, face.patch.mask)

    def _luma(self, frame: VideoFrame, patch: Patch, side_px: int) -> F32Array:
        return read_luma(frame, self._canvas, at_size(patch.to_shown, len(patch.image), side_px), side_px)
