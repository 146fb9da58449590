"""Keeping what is in front of faces out of their masks, and counting it."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import cv2
import numpy as np

from lipwise_ray.lipsync.align import aligned_to_shown, between
from lipwise_ray.lipsync.background import Stage, in_batches
from lipwise_ray.lipsync.covered import REACH, STEP, VIEW_PX, FilmedFace, covered, filmed_face
from lipwise_ray.lipsync.drafts import FaceDraft, FrameDraft
from lipwise_ray.lipsync.neighbours import with_neighbours
from lipwise_ray.lipsync.occluder import FaceMasker
from lipwise_ray.media.planes import Planes, View
from lipwise_ray.media.region import Canvas, Kernel, pixel_map
from lipwise_ray.values import F32Array, F64Array

_SMOOTH = 1
OCCLUSION_RADIUS = REACH + _SMOOTH
"""So many frames before and after decide what is in front of a face, where no network does."""

BY_NEIGHBOURS = "neighbours"
"""Name in records where frames around are compared and no network looks."""

_LEAST_SHARE = 0.02
"""A face is occluded where more of its mask is."""


@dataclass(slots=True)
class Occlusion:
    """Figures of what was in front of faces, as sums that can be added up.

    Attributes:
        seen: Frames with a dubbed face.
        occluded: Those of them in which something was in front of one.
        share: Sum of the shares of the masks that were covered, over those: in each frame the largest.
    """

    seen: int = 0
    occluded: int = 0
    share: float = 0.0

    def add(self, share: float) -> None:
        """Take in a frame, of whose masks at most that share was covered."""
        self.seen += 1
        if share > _LEAST_SHARE:
            self.occluded += 1
            self.share += share


class Occlusions:
    """Finds what is in front of faces.

    Args:
        canvas: Geometry and colours of the frames.
        kernel: How they are resampled.
        maskers: Networks that tell faces from the rest; where several do, the smallest opacity counts.
        compares: Compare faces with those in the frames around.
        planes: Reads the faces that networks see.
    """

    def __init__(
        self, canvas: Canvas, kernel: Kernel, maskers: Sequence[FaceMasker], *, compares: bool, planes: Planes
    ) -> None:
        self._canvas = canvas
        self._kernel: Kernel = kernel
        self._maskers = maskers
        self._compares = compares
        self._planes = planes
        self.found = Occlusion()
        """Of the frames that are shown."""

    def compared(self, drafts: Iterator[FrameDraft], stage: Stage) -> Iterator[FrameDraft]:
        """Yield the frames that are not far, with what comparison finds in front of their faces.

        Args:
            drafts: All frames.
            stage: Its time is counted there.
        """
        if not self._compares:
            yield from (draft for draft in drafts if not draft.is_far)
            return
        waiting: deque[FrameDraft] = deque()

        def filmed() -> Iterator[list[FilmedFace]]:
            for draft in drafts:
                begin = time.perf_counter()
                waiting.append(draft)
                job = draft.job
                faces = [
                    filmed_face(job.frame, self._canvas, target.landmarks, target.track, job.source)
                    for target in job.targets
                ]
                stage.add(time.perf_counter() - begin)
                yield faces

        for covers in _smoothed(_covers(filmed(), stage)):
            draft = waiting.popleft()
            if draft.is_far:
                continue
            for face, cover in zip(draft.faces, covers, strict=True):
                if cover.opacity.any():
                    in_crop = _warped(cover.opacity, cover.face.to_shown, face, cv2.BORDER_CONSTANT)
                    face.leave_out(1 - in_crop)
            yield draft

    def masked(
        self, drafts: Iterator[FrameDraft], stage: Stage, most_waiting: Callable[[int], int]
    ) -> Iterator[FrameDraft]:
        """Yield the frames, with what networks find in front of their faces.

        Args:
            drafts: The frames.
            stage: The networks' time is counted there.
            most_waiting: Says how many frames may wait for a batch of so many faces.
        """
        for masker in self._maskers:
            drafts = self._masked_by(masker, drafts, stage, most_waiting)
        return drafts

    def cleared(self, drafts: Iterator[FrameDraft]) -> Iterator[FrameDraft]:
        """Yield frames whose faces' masks leave out what is in front of the faces; it is counted."""
        for draft in drafts:
            shares = [0.0]
            for face in draft.faces:
                if face.mask is not None and face.free is not None:
                    whole = float(face.mask.sum())
                    face.mask = face.mask * face.free
                    shares.append(1 - float(face.mask.sum()) / whole if whole else 0.0)
            if draft.faces and not draft.job.outside:
                self.found.add(max(shares))
            yield draft

    def _masked_by(
        self, masker: FaceMasker, drafts: Iterator[FrameDraft], stage: Stage, most_waiting: Callable[[int], int]
    ) -> Iterator[FrameDraft]:
        size, side = masker.batch_faces, masker.size_px

        def run(batch: list[FaceDraft]) -> None:
            begin = time.perf_counter()
            faces = np.zeros((size, side, side, 3), np.float32)
            places = [aligned_to_shown(face.target.landmarks, side, self._canvas.aspect) for face in batch]
            views = [View(face.job.frame, to_shown) for face, to_shown in zip(batch, places, strict=True)]
            for number, crop in enumerate(self._planes.read(self._canvas, views, side, kernel=self._kernel)):
                faces[number] = crop.host()
            for face, to_shown, free in zip(batch, places, masker(faces), strict=False):
                face.leave_out(_warped(free, to_shown, face, cv2.BORDER_REPLICATE))
            stage.add(time.perf_counter() - begin)

        return in_batches(drafts, lambda draft: draft.faces, run, size=size, most_waiting=most_waiting(size))


@dataclass(frozen=True, slots=True)
class _Cover:
    face: FilmedFace
    opacity: F32Array


def _covers(filmed: Iterator[list[FilmedFace]], stage: Stage) -> Iterator[list[_Cover]]:
    for faces, near in with_neighbours(filmed, REACH):
        begin = time.perf_counter()
        others = [other for distance, others in near if distance % STEP == 0 for other in others]
        covers = [_Cover(face, covered(face, [one for one in others if _is_same(face, one)])) for face in faces]
        stage.add(time.perf_counter() - begin)
        yield covers


def _smoothed(covers: Iterator[list[_Cover]]) -> Iterator[list[_Cover]]:
    """Yield covers averaged over the frames around each, near ones count for more."""
    for here, near in with_neighbours(covers, _SMOOTH):
        smooth: list[_Cover] = []
        for cover in here:
            same = [
                (_SMOOTH + 1 - abs(distance), other.opacity)
                for distance, others in near
                for other in others
                if _is_same(cover.face, other.face)
            ]
            whole = sum(weight for weight, _ in same)
            total = np.zeros((VIEW_PX, VIEW_PX), np.float32)
            for weight, opacity in same:
                total += np.float32(weight / whole) * opacity
            smooth.append(_Cover(cover.face, total))
        yield smooth


def _is_same(face: FilmedFace, other: FilmedFace) -> bool:
    """Tell whether two faces near each other in the output are one: no cut, no jump of the source."""
    return face.track == other.track and abs(face.source - other.source) <= REACH


def _warped(image: F32Array, to_shown: F64Array, face: FaceDraft, edge: int) -> F32Array:
    """Return an image, which a map takes to the shown frame, as it lies in a face's crop."""
    map_to_image = pixel_map(between(face.to_shown, to_shown))
    flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    size = (face.side_px, face.side_px)
    return np.asarray(cv2.warpAffine(image, map_to_image, size, flags=flags, borderMode=edge), np.float32)
