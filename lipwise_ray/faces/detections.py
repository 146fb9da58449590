"""Detections, and the role of a detector."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Protocol

import numpy as np

from lipwise_ray.faces.colour import COLOURS
from lipwise_ray.storage.arrays import ArraySpec, read_npz
from lipwise_ray.values import BoolArray, F32Array, I64Array, U8Array

LANDMARKS = 5
"""Eyes (the image's left first), nose, mouth corners (the image's left first)."""

CANDIDATE_SHARE = 0.7
"""Of the least score of a face: what a detector is less sure of is no face, whatever a second look would say."""

CLEAR_PX = 36
"""A face of this size is surely one in any view; a hand is one in some, and none in another size or in a mirror."""

_ARRAYS = {
    "looked": ArraySpec("int64", ("L",)),
    "frame": ArraySpec("int64", ("N",)),
    "box": ArraySpec("float32", ("N", 4)),
    "landmarks": ArraySpec("float32", ("N", LANDMARKS, 2)),
    "score": ArraySpec("float32", ("N",)),
    "colour": ArraySpec("float32", ("N", COLOURS)),
    "change": ArraySpec("float32", ("F",)),
    "is_blend": ArraySpec("bool", ("F",)),
}


@dataclass(frozen=True, slots=True)
class DetectedFaces:
    """The faces of one image.

    Attributes:
        box: left, top, right, bottom in pixels, shape (N, 4), float32.
        landmarks: Shape (N, 5, 2), float32, x and y.
        score: In [0, 1], shape (N,), float32.
    """

    box: F32Array
    landmarks: F32Array
    score: F32Array

    @staticmethod
    def empty() -> DetectedFaces:
        """Return an empty result."""
        return DetectedFaces(
            np.zeros((0, 4), np.float32), np.zeros((0, LANDMARKS, 2), np.float32), np.zeros(0, np.float32)
        )

    def scaled(self, scale_x: float, scale_y: float) -> DetectedFaces:
        """Return the same faces in an image that is larger by these factors."""
        box = self.box * np.array([scale_x, scale_y, scale_x, scale_y], np.float32)
        landmarks = self.landmarks * np.array([scale_x, scale_y], np.float32)
        return DetectedFaces(box, landmarks, self.score)

    def keep(self, min_side_px: float) -> DetectedFaces:
        """Return the faces whose shorter side is at least `min_side_px`."""
        side = np.minimum(self.box[:, 2] - self.box[:, 0], self.box[:, 3] - self.box[:, 1])
        mask = side >= min_side_px
        return DetectedFaces(self.box[mask], self.landmarks[mask], self.score[mask])


class FaceDetector(Protocol):
    """Finds faces in small upright BGR images.

    Attributes:
        together: The images of a call are computed together, so that the last digits of a result may depend on how
            many there are.
    """

    together: bool

    def detect(self, images_bgr: Sequence[U8Array]) -> list[DetectedFaces]:
        """Return the faces of each image; images of one call have one size."""
        ...


@dataclass(frozen=True, slots=True)
class Detections:
    """Detections of a stretch of video, in pixels of the shown frame.

    Attributes:
        looked: Numbers of the frames that were looked at, shape (L,).
        frame: Frame number of each detection, non-decreasing, shape (N,).
        box: Shape (N, 4). landmarks: shape (N, 5, 2). score: shape (N,).
        colour: Colours of each, shape (N, 6); see `faces.colour`.
        change: Difference of each frame of the stretch from the one before, shape (F,), 0-255.
        is_blend: Mask of the frames of the stretch that are blends of those around, shape (F,).
    """

    looked: I64Array
    frame: I64Array
    box: F32Array
    landmarks: F32Array
    score: F32Array
    colour: F32Array
    change: F32Array
    is_blend: BoolArray

    def save(self, path: Path) -> None:
        """Write as .npz."""
        np.savez_compressed(
            path,
            looked=self.looked,
            frame=self.frame,
            box=self.box,
            landmarks=self.landmarks,
            score=self.score,
            colour=self.colour,
            change=self.change,
            is_blend=self.is_blend,
        )

    @staticmethod
    def load(path: Path) -> Detections:
        """Read the detections that `save` wrote.

        Raises:
            ValueError: The file is damaged.
        """
        return Detections(**read_npz(path, _ARRAYS))

    def within(self, first: int, frames: int) -> Detections:
        """Return the detections of a stretch as those of a whole video in which nothing else was looked at.

        Args:
            first: The video's frame with which the stretch begins.
            frames: Of the video.
        """
        change, is_blend = np.zeros(frames, np.float32), np.zeros(frames, np.bool_)
        change[first : first + len(self.change)] = self.change
        is_blend[first : first + len(self.change)] = self.is_blend
        return replace(self, change=change, is_blend=is_blend)

    @staticmethod
    def joined(parts: Sequence[Detections]) -> Detections:
        """Return consecutive stretches as one."""
        return Detections(
            np.concatenate([p.looked for p in parts]),
            np.concatenate([p.frame for p in parts]),
            np.concatenate([p.box for p in parts]),
            np.concatenate([p.landmarks for p in parts]),
            np.concatenate([p.score for p in parts]),
            np.concatenate([p.colour for p in parts]),
            np.concatenate([p.change for p in parts]),
            np.concatenate([p.is_blend for p in parts]),
        )
