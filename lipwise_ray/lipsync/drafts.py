"""Frames under way through a renderer, and the faces in them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

import cv2
import numpy as np

from lipwise_ray.lipsync.frame_job import FaceTarget, FrameJob
from lipwise_ray.lipsync.jaw import Jaw
from lipwise_ray.lipsync.restoration import PatchPlace, RestoredFace, RestorerInput
from lipwise_ray.lipsync.steadying import Sample
from lipwise_ray.media.planes import FaceImage
from lipwise_ray.values import F32Array, F64Array

LIGHT_RADIUS = 3
"""The light of a face is smoothed over so many frames before and after it, of the same track."""

_MOST_CHANGE = 0.12
_SPARSE_PX = 4


@dataclass(slots=True)
class FaceDraft:
    """A face under way: its crop, what the networks make of it, and how it is to be laid over the frame.

    ``mask`` is its opacity over the frame, None where it overwrites the crop; ``outline`` is the mask before things in
    front of the face are left out of it, and ``free`` is 0 where there are some, None without any; ``shift`` is the
    shift of its light, ``light`` the same smoothed over the frames around; ``restorer_input`` and ``restored`` are a
    restorer's input and output, ``sample`` what the frames around know of that, ``around`` the samples there by their
    distance in frames, and ``over`` the restored image that goes over the new one, with its place.
    ``crop`` and ``new`` stay where they were made; who needs their pixels in this machine's memory
    asks for them.
    """

    job: FrameJob
    target: FaceTarget
    to_shown: F64Array
    side_px: int
    crop: FaceImage
    mask: F32Array | None
    outline: F32Array | None
    new: FaceImage
    free: F32Array | None = None
    jaw: Jaw | None = None
    shift: F32Array | None = None
    restorer_input: RestorerInput | None = None
    restored: RestoredFace | None = None
    sample: Sample | None = None
    around: list[tuple[int, Sample]] = field(default_factory=list[tuple[int, Sample]])
    over: tuple[FaceImage, PatchPlace] | None = None
    light: F32Array | None = None
    _sparse: F32Array | None = None

    @property
    def sparse(self) -> F32Array:
        """Every so many pixels of the crop, by which it is told whether a face goes on."""
        if self._sparse is None:
            self._sparse = np.ascontiguousarray(self.crop.host()[::_SPARSE_PX, ::_SPARSE_PX])
        return self._sparse

    def leave_out(self, free: F32Array) -> None:
        """Leave things out of the mask; of several opacities the smallest counts.

        Args:
            free: 0 where they are, 1 on the face, shape (S, S).
        """
        self.free = free if self.free is None else np.minimum(self.free, free)

    @property
    def place(self) -> PatchPlace:
        """The place of the new face in the frame."""
        return PatchPlace(self.side_px, self.mask, self.to_shown)


@dataclass(frozen=True, slots=True)
class FrameDraft:
    """A frame under way, and its faces: none where it `is_far`, and only tells how faces were filmed there."""

    job: FrameJob
    faces: list[FaceDraft]
    is_far: bool = False

    def to_restore(self) -> list[FaceDraft]:
        """Return the faces that a restorer is given."""
        return [face for face in self.faces if face.restorer_input is not None]


def same_face(
    face: FaceDraft, near: list[tuple[int, FrameDraft]], radius: int = LIGHT_RADIUS
) -> Iterator[tuple[int, FaceDraft]]:
    """Yield a face as it is in the frames around, itself among them."""
    return ((distance, other) for distance, item in near for other in item.faces if _goes_on(face, other, radius))


def _goes_on(face: FaceDraft, other: FaceDraft, radius: int) -> bool:
    """Tell whether two faces near each other in the output are one in the same light: no cut, no jump of the source."""
    return (
        face.target.track == other.target.track
        and abs(face.job.source - other.job.source) <= radius
        and (face is other or cv2.norm(face.sparse, other.sparse, cv2.NORM_L1) < _MOST_CHANGE * face.sparse.size)
    )
