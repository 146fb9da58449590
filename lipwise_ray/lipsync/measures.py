"""Measures of dubbed faces beside the original ones, taken while frames are rendered."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from lipwise_ray.lipsync.align import at_size
from lipwise_ray.lipsync.flicker import FRAMES, SIDE_PX, Flicker
from lipwise_ray.lipsync.frame_job import FaceTarget, FrameJob
from lipwise_ray.lipsync.restoration import PatchPlace
from lipwise_ray.lipsync.sharpness import MOST_PX, Sharpness, side_px
from lipwise_ray.lipsync.texture import Smoothness
from lipwise_ray.media.planes import FaceImage, HostImage, Planes, View
from lipwise_ray.media.region import Canvas
from lipwise_ray.media.stored_luma import stored_luma

_EVERY = 11
"""One output frame of so many is measured. Codecs repeat their kinds of frames every 2, 3, 4 or 8, and key frames every
few of those: with none of them it has a factor in common, so that all kinds are met in turn."""


@dataclass(frozen=True, slots=True)
class LaidFace:
    """A face that is laid over its frame.

    Attributes:
        job: The frame.
        target: The face.
        place: Place of the new face in the frame.
    """

    job: FrameJob
    target: FaceTarget
    place: PatchPlace

    def view(self, side_px: int) -> View:
        """Return the new face's square of the frame, as an image of that side."""
        return View(self.job.frame, at_size(self.place.to_shown, self.place.side_px, side_px))

    @property
    def flicker_px(self) -> int:
        """Side of the image by which its flicker is measured; 0 where it is not."""
        return SIDE_PX if self.job.number % _EVERY < FRAMES else 0

    @property
    def sharpness_px(self) -> int:
        """Side of the image in which its sharpness is measured; 0 where it is not."""
        is_measured = self.job.number % _EVERY == 0
        return side_px(self.place.side_px, self.place.to_shown, self.target.opacity) if is_measured else 0


@dataclass(frozen=True, slots=True)
class FaceLuma:
    """Luma of a face in its frame.

    Attributes:
        small: By it flicker is measured; None where it is not.
        full: By it sharpness is measured, of any shape; None where it is not.
    """

    small: FaceImage | None
    full: FaceImage | None


class Measures:
    """Flicker, sharpness and smoothness of the faces that were rendered.

    Args:
        canvas: Geometry and colours of the frames.
        planes: Reads faces from frames.
    """

    def __init__(self, canvas: Canvas, planes: Planes) -> None:
        self._canvas = canvas
        self._planes = planes
        self.flicker, self.sharpness, self.smoothness = Flicker(), Sharpness(), Smoothness()

    def cropped(self, job: FrameJob, crop: FaceImage) -> None:
        """Take in the crop of an original face of a frame, BGR in [0, 1], shape (S, S, 3)."""
        if not (job.outside or job.number % _EVERY):
            self.smoothness.add(crop.host())

    def seen(self, faces: Sequence[LaidFace]) -> list[FaceLuma]:
        """Return faces as they are in their frames now: as they were filmed, or with the new ones over them."""
        small = self._luma(faces, [face.flicker_px for face in faces])
        sides = [face.sharpness_px for face in faces]
        stored = [self._stored(face) if 0 < side < MOST_PX else None for face, side in zip(faces, sides, strict=True)]
        warped = self._luma(faces, [0 if one else side for one, side in zip(stored, sides, strict=True)])
        return [FaceLuma(one, full or other) for one, full, other in zip(small, stored, warped, strict=True)]

    def _stored(self, face: LaidFace) -> FaceImage | None:
        """Return the luma of a face as it is stored: quicker than to resample it at that size, and no less sharp."""
        luma = stored_luma(face.job.frame, self._canvas, face.place.to_shown, face.place.side_px)
        return None if luma is None else HostImage(luma)

    def _luma(self, faces: Sequence[LaidFace], sides_px: Sequence[int]) -> list[FaceImage | None]:
        """Return the luma of faces at some sides, None where that is 0."""
        found: list[FaceImage | None] = [None] * len(faces)
        of_side: defaultdict[int, list[int]] = defaultdict(list)
        for number, side in enumerate(sides_px):
            of_side[side].append(number)
        of_side.pop(0, None)
        for side, numbers in of_side.items():
            views = [faces[number].view(side) for number in numbers]
            for number, luma in zip(numbers, self._planes.read_luma(self._canvas, views, side), strict=True):
                found[number] = luma
        return found

    def add(self, face: LaidFace, filmed: FaceLuma, dubbed: FaceLuma) -> None:
        """Take in a face that was laid over its frame.

        Args:
            face: The face.
            filmed: It, before that.
            dubbed: It, after that.
        """
        if filmed.small is not None and dubbed.small is not None:
            images = np.stack([dubbed.small.host(), filmed.small.host()])
            self.flicker.add(face.target.track, face.job.number, face.job.source, images, face.place.mask)
        if filmed.full is not None and dubbed.full is not None:
            self.sharpness.add(dubbed.full.host(), filmed.full.host(), face.place.mask)
