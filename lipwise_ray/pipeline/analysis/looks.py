"""Looking for faces in single frames: first looks, looks at doubtful faces from near, and looks between two others."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import cv2
import numpy as np

from lipwise_ray.faces.colour import colours
from lipwise_ray.faces.detections import CANDIDATE_SHARE, CLEAR_PX, DetectedFaces, FaceDetector
from lipwise_ray.faces.tracks import MIN_AFFINITY, affinity
from lipwise_ray.media.frames import FrameRecipe, SmallImage
from lipwise_ray.media.region import box_to_shown, pixel_map, read_region
from lipwise_ray.settings.model import DetectSettings
from lipwise_ray.values import BoolArray, F32Array, F64Array, I64Array, U8Array

if TYPE_CHECKING:
    from av.video.frame import VideoFrame

SURE_SCORE = 0.88
"""Faces that a detector is less sure of are looked at from near."""

_NEAR_PX, _VIEW, _WIDE_VIEW = 160, 2.5, 3.75
"""Side of the image of a second look, and the sides of a face that it shows: 64 px large, or 43."""

_AS_FINE = 0.75, 2.0
"""Pixels of the small image to one of a second look's, for which the frame itself has nothing to add."""

_MOST_NEAR = 4
"""Faces of a frame that are looked at from near, the largest: together they cost no more than the first look."""

_SAME_FACE_IOU = 0.4
_CELL_PX = 32
"""Detectors lay grids of so many pixels over an image: a part of it that keeps to them looks as the whole does."""

_MARGIN, _MARGIN_PX, _WORTH_CUTTING = 0.75, 128, 0.8
"""So much of what is around faces has a part in how sure a detector is, in their sides and in pixels."""


@dataclass(frozen=True, slots=True)
class Look:
    """Faces of a frame, in pixels of the shown frame.

    Attributes:
        number: Of the frame.
        candidates: All that a detector takes for faces, with the scores from near where they were looked at so.
        is_face: Mask of those that reach `detect.min_score` from afar or from near.
        is_likely: Mask of those that are faces from near too, or nearly so.
        colour: Colours of those, shape (N, 6); see `faces.colour`.
    """

    number: int
    candidates: DetectedFaces
    is_face: BoolArray
    is_likely: BoolArray
    colour: F32Array

    @property
    def faces(self) -> DetectedFaces:
        """The candidates that are faces."""
        found, here = self.candidates, self.is_face
        return DetectedFaces(found.box[here], found.landmarks[here], found.score[here])


@dataclass(frozen=True, slots=True)
class Between:
    """A frame between two that were looked at.

    Attributes:
        number: Of the frame.
        image: The frame.
        old: The look before it.
        new: The look after it.
    """

    number: int
    image: SmallImage
    old: Look
    new: Look


class FaceFinder:
    """Looks for faces.

    Args:
        detector: The detector.
        recipe: What is done to the video's frames.
        settings: How faces are looked for.
    """

    def __init__(self, detector: FaceDetector, recipe: FrameRecipe, settings: DetectSettings) -> None:
        self._detector, self._recipe, self._settings = detector, recipe, settings
        self._aspect = recipe.canvas.aspect
        self._sure = max(SURE_SCORE, settings.min_score)
        self.batch = settings.batch_frames if detector.together else 1
        """Images that are worth waiting for."""

    def look(self, frames: Sequence[tuple[int, SmallImage, VideoFrame]]) -> list[Look]:
        """Return the faces of frames, looked at from near where the detector is not sure.

        Args:
            frames: Their numbers, small images and full size.
        """
        found = self._found([image for _, image, _ in frames])
        scores = [faces.score.copy() for faces in found]
        doubtful = [self._doubtful(faces) for faces in found]
        crops: list[U8Array] = []
        for (_, image, decoded), faces, rows in zip(frames, found, doubtful, strict=True):
            views = [view for row in rows for view in _views(faces.box[row], self._aspect)]
            frame = None if all(_shows(image, view) for view in views) else self._recipe.apply(decoded)
            for view in views:
                if frame is None or _shows(image, view):
                    crops.append(_small_region(image, view))
                else:
                    crop = read_region(frame, self._recipe.canvas, view, _NEAR_PX)
                    crops.append(np.rint(crop * 255).astype(np.uint8))
        self._look_near(crops, found, doubtful, scores)
        return [
            self._judged(number, image, faces, score)
            for (number, image, _), faces, score in zip(frames, found, scores, strict=True)
        ]

    def look_between(self, frames: Sequence[Between]) -> list[Look]:
        """Return the faces of frames between looks: those in doubt are faces if they are in one of the looks.

        The others are looked at from near, though in the small image.

        Args:
            frames: Frames between looks; faces are sought where those of the two looks are.
        """
        if self._detector.together:
            found = self._found([one.image for one in frames])
        else:
            found = [self._found_around(one) for one in frames]
        scores = [self._as_beside(one, faces) for one, faces in zip(frames, found, strict=True)]
        doubtful = [
            rows[np.isnan(score[rows])]
            for rows, score in zip([self._doubtful(faces) for faces in found], scores, strict=True)
        ]
        crops = [
            _small_region(one.image, view)
            for one, faces, rows in zip(frames, found, doubtful, strict=True)
            for row in rows
            for view in _views(faces.box[row], self._aspect)
        ]
        scores = [np.where(np.isnan(score), faces.score, score) for faces, score in zip(found, scores, strict=True)]
        self._look_near(crops, found, doubtful, scores)
        return [
            self._judged(one.number, one.image, faces, score)
            for one, faces, score in zip(frames, found, scores, strict=True)
        ]

    def _found(self, images: Sequence[SmallImage]) -> list[DetectedFaces]:
        found = _detected(self._detector, [image.image_bgr for image in images], self._settings.batch_frames)
        return [self._shown(image, faces) for image, faces in zip(images, found, strict=True)]

    def _shown(self, image: SmallImage, faces: DetectedFaces) -> DetectedFaces:
        return faces.keep(self._settings.min_size_px).scaled(image.scale_x, image.scale_y)

    def _found_around(self, frame: Between) -> DetectedFaces:
        """Return the faces around those of the two looks: a part of the image costs a part of the time."""
        image = frame.image
        boxes = np.concatenate([look.candidates.box[look.is_likely] for look in (frame.old, frame.new)])
        part = _part(boxes / np.array([image.scale_x, image.scale_y] * 2, np.float32), image.image_bgr.shape)
        (faces,) = self._detector.detect([np.ascontiguousarray(image.image_bgr[part])])
        corner = np.array([part[1].start, part[0].start], np.float32)
        moved = DetectedFaces(faces.box + np.tile(corner, 2), faces.landmarks + corner, faces.score)
        return self._shown(image, moved)

    def _doubtful(self, faces: DetectedFaces) -> I64Array:
        rows = np.flatnonzero(faces.score < self._sure)
        sides = (faces.box[rows, 2:] - faces.box[rows, :2]).prod(axis=1)
        return rows[np.argsort(-sides, kind="stable")[:_MOST_NEAR]]

    def _look_near(
        self,
        crops: Sequence[U8Array],
        found: Sequence[DetectedFaces],
        doubtful: Sequence[I64Array],
        scores: Sequence[F32Array],
    ) -> None:
        """Put in scores what the detector thinks of doubtful faces from near, in the least of views: 0 for no face.

        Args:
            crops: Images of the doubtful faces of all frames, one a view.
            found: The faces of each frame.
            doubtful: The rows of those that are doubtful.
            scores: The scores of each frame.
        """
        seen = iter(_detected(self._detector, crops, self._settings.batch_frames))
        for faces, rows, score in zip(found, doubtful, scores, strict=True):
            for row in rows:
                box = faces.box[row]
                score[row] = min(_score_in(next(seen), view, box) for view in _views(box, self._aspect))

    def _as_beside(self, frame: Between, faces: DetectedFaces) -> F32Array:
        """Return the scores of faces between looks, nan where those in doubt are faces in neither."""
        score = faces.score.copy()
        is_later = frame.number - frame.old.number > frame.new.number - frame.number
        looks = (frame.new, frame.old) if is_later else (frame.old, frame.new)
        for row in np.flatnonzero(score < self._sure):
            beside = (_score_at(look, faces.box[row]) for look in looks)
            score[row] = next((one for one in beside if one >= self._settings.min_score), np.nan)
        return score

    def _judged(self, number: int, image: SmallImage, faces: DetectedFaces, score: F32Array) -> Look:
        is_face = np.maximum(faces.score, score) >= self._settings.min_score
        is_likely = score >= CANDIDATE_SHARE * self._settings.min_score
        colour = colours(image.image_bgr, faces.box[is_face] / np.array([image.scale_x, image.scale_y] * 2, np.float32))
        return Look(number, DetectedFaces(faces.box, faces.landmarks, score), is_face, is_likely, colour)


def _detected(detector: FaceDetector, images_bgr: Sequence[U8Array], batch: int) -> list[DetectedFaces]:
    """Return the faces of images of one size, computed in batches of one length, so that chunks do not show."""
    found: list[DetectedFaces] = []
    for start in range(0, len(images_bgr), batch):
        images = list(images_bgr[start : start + batch])
        filled = [*images, *(images[-1:] * (batch - len(images)))] if detector.together else images
        found += detector.detect(filled)[: len(images)]
    return found


def _part(boxes: F32Array, shape: Sequence[int]) -> tuple[slice, slice]:
    """Return the rows and columns of an image that are around some boxes; all, where that is hardly less."""
    height, width = shape[:2]
    if not len(boxes):
        return slice(0, height), slice(0, width)
    margin = np.maximum(_MARGIN * (boxes[:, 2:] - boxes[:, :2]).max(axis=1, keepdims=True), _MARGIN_PX)
    first = np.floor((boxes[:, :2] - margin).min(axis=0) / _CELL_PX).astype(int) * _CELL_PX
    last = np.ceil((boxes[:, 2:] + margin).max(axis=0) / _CELL_PX).astype(int) * _CELL_PX
    left, top = np.maximum(first, 0)
    right, bottom = np.minimum(last, (width, height))
    if (right - left) * (bottom - top) >= _WORTH_CUTTING * width * height:
        return slice(0, height), slice(0, width)
    return slice(int(top), int(bottom)), slice(int(left), int(right))


def _score_at(look: Look, box: F32Array) -> float:
    """Return the score of the candidate of a look that a box shows; 0 where it shows none."""
    if not len(look.candidates.score):
        return 0.0
    alike = affinity(box[None], look.candidates.box)[0]
    return float(look.candidates.score[np.argmax(alike)]) if alike.max() >= MIN_AFFINITY else 0.0


def _views(box: F32Array, aspect: float) -> list[F64Array]:
    """Return the maps from the images of a second look, of square pixels, to the shown frame, each of shape (2, 3).

    Args:
        box: The face.
        aspect: Width of a shown pixel over its height.
    """
    square = np.array([aspect, 1.0], np.float32)
    size, centre = (box[2:] - box[:2]) * square, (box[:2] + box[2:]) / 2
    near, wide = (
        box_to_shown(np.concatenate([centre - half, centre + half]), _NEAR_PX)
        for half in (size.max() * sides / 2 / square for sides in (_VIEW, _WIDE_VIEW))
    )
    if size.min() < CLEAR_PX:
        return [near]
    return [near, wide @ np.array([[-1, 0, _NEAR_PX], [0, 1, 0], [0, 0, 1]])]


def _score_in(seen: DetectedFaces, view: F64Array, box: F32Array) -> float:
    """Return the score of the face that a box shows, in a second look; 0 where it is none there."""
    corners = seen.box.reshape(-1, 2, 2) * view.diagonal() + view[:, 2]
    boxes = np.sort(corners, axis=1).reshape(-1, 4).astype(np.float32)
    return float(seen.score[_iou(box, boxes) >= _SAME_FACE_IOU].max(initial=0.0))


def _shows(image: SmallImage, view: F64Array) -> bool:
    """Tell whether a small image is about as fine as the image of a second look."""
    finest, coarsest = _AS_FINE
    return finest <= abs(view[0, 0]) / image.scale_x <= coarsest


def _small_region(image: SmallImage, view: F64Array) -> U8Array:
    """Return the image of a second look of what a small image holds of it."""
    to_small = view / np.array([[image.scale_x], [image.scale_y]])
    flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    crop = cv2.warpAffine(
        image.image_bgr, pixel_map(to_small), (_NEAR_PX, _NEAR_PX), flags=flags, borderMode=cv2.BORDER_REPLICATE
    )
    return np.asarray(crop, np.uint8)


def _iou(box: F32Array, others: F32Array) -> F32Array:
    overlap = np.clip(np.minimum(box[2:], others[:, 2:]) - np.maximum(box[:2], others[:, :2]), 0, None).prod(axis=1)
    areas = (others[:, 2:] - others[:, :2]).prod(axis=1) + (box[2:] - box[:2]).prod()
    return np.asarray(overlap / np.maximum(areas - overlap, 1e-9), np.float32)
