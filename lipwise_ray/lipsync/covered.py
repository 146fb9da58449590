"""Comparison of a lower face with the frames around, for things that come in front of it for a moment."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import cv2
import numpy as np

from lipwise_ray.faces.select import yaw_degrees
from lipwise_ray.lipsync.align import TEMPLATE, TEMPLATE_PX, aligned_to_shown, at_size, inverse
from lipwise_ray.lipsync.compose import lower_face, widest_lower_face
from lipwise_ray.lipsync.ranks import median, ranked
from lipwise_ray.media.region import Canvas, read_region, scale_of
from lipwise_ray.values import BoolArray, F32Array, F64Array

if TYPE_CHECKING:
    from av.video.frame import VideoFrame

VIEW_PX = 64
REACH = 12
"""A face is compared with those so many frames before and after, every `STEP` of them."""

STEP = 3
_FEWEST = 5
"""With fewer to compare, nothing can be told."""

_VIEW = (TEMPLATE / TEMPLATE_PX - [0.2, 0.4]) / 0.6
_EYES_PX = float(np.linalg.norm(_VIEW[1] - _VIEW[0])) * VIEW_PX
_NEAR_MIDDLE = slice(round(VIEW_PX / 2 - 0.85 * _EYES_PX), round(VIEW_PX / 2 + 0.85 * _EYES_PX))
_COLUMNS = np.arange(VIEW_PX)[None, :] + 0.5
_ROWS = _COLUMNS.T
_STEP_PX, _MOST_FINER = 3.0, 4
"""A view is sampled every so many pixels of the frame, and then averaged: it is blurred anyway."""

_FLOOR, _BLUR_PX = 0.08, 1.0
_WINDOW_PX = 5
_STRONG, _WEAK = 0.14, 0.08  # of the logarithm of light
_EDGE = 0.3  # of how much a thing differs: so much blurred edges do outside of it
_SPREAD_QUANTILE = 0.3
_PLAY_PX, _JAW_PLAY_PX = 2, 4
_MOST_MOTION_PX, _MOST_YAW_DEG = 5.0, 45.0
_INSIDE, _ON_FACE = 0.5, 0.1
_FEWEST_SURE, _FEWEST_ENTERING = 25, 6
_SOFT_PX = 1.5
_SQUARE = np.ones((3, 3), np.uint8)


@dataclass(frozen=True, slots=True)
class FilmedFace:
    """A lower face as it was filmed, aligned by its five points.

    Attributes:
        track: Track whose face it is.
        source: Number of the source frame.
        to_shown: Map from the view to the shown frame.
        light: Logarithm of its BGR, each channel's median between eyes and mouth taken away, shape (3, S, S).
        points: Eyes, nose, mouth corners in the view, shape (5, 2).
        yaw: Degrees.
    """

    track: int
    source: int
    to_shown: F64Array
    light: F32Array
    points: F64Array
    yaw: float

    @property
    def opacity(self) -> F32Array:
        """Opacity of a mask of the lower face, shape (S, S)."""
        return lower_face(np.asarray(self.points, np.float32), np.eye(2, 3), VIEW_PX)

    @property
    def beside_mouth(self) -> BoolArray:
        """The part that stays as it is when somebody speaks: below the nose, not around the mouth, shape (S, S)."""
        (x, y), nose = self.points[3:].mean(axis=0), self.points[2]
        half = max(float(np.linalg.norm(self.points[4] - self.points[3])) / 2, 0.2 * _EYES_PX) + 0.25 * _EYES_PX
        high = np.where(y > _ROWS, 0.35, 0.45) * _EYES_PX
        mouth = ((_COLUMNS - x) / half) ** 2 + ((_ROWS - y) / high) ** 2 < 1
        below_nose = (np.abs(_COLUMNS - nose[0]) < 0.4 * _EYES_PX) & (y > _ROWS)
        return (nose[1] < _ROWS) & ~mouth & ~below_nose


def filmed_face(frame: VideoFrame, canvas: Canvas, landmarks: F32Array, track: int = 0, source: int = 0) -> FilmedFace:
    """Return a lower face as it is in a frame.

    Args:
        frame: The frame.
        canvas: Its geometry and colours.
        landmarks: The face's five points, shape (5, 2).
        track: Track whose face it is.
        source: Number of the source frame.
    """
    to_shown = aligned_to_shown(landmarks, VIEW_PX, canvas.aspect, _VIEW)
    to_view = inverse(to_shown)
    points = landmarks @ to_view[:, :2].T + to_view[:, 2]
    light = _light(_view(frame, canvas, to_shown))
    light -= _level(light, points)
    return FilmedFace(track, source, to_shown, light, points, float(yaw_degrees(landmarks[None], canvas.aspect)[0]))


def _view(frame: VideoFrame, canvas: Canvas, to_shown: F64Array) -> F32Array:
    """Return the view of a face, BGR in [0, 1], shape (S, S, 3)."""
    finer = min(_MOST_FINER, max(1, math.ceil(scale_of(to_shown) / _STEP_PX)))
    side = finer * VIEW_PX
    image = read_region(frame, canvas, at_size(to_shown, VIEW_PX, side), side, kernel="linear")
    if finer > 1:
        image = cv2.resize(image, (VIEW_PX, VIEW_PX), interpolation=cv2.INTER_AREA)
    return np.asarray(image, np.float32)


def _level(planes: F32Array, points: F64Array) -> F32Array:
    """Return the medians of planes in the part by which light is told, between eyes and mouth, shape (3, 1, 1).

    Args:
        planes: Shape (3, S, S).
        points: Eyes, nose, mouth corners in the view, shape (5, 2).
    """
    inside = 0.15 * _EYES_PX
    top, bottom = float(points[:2, 1].max()) + inside, float(points[3:, 1].min()) - inside
    rows = slice(max(0, math.floor(top + 0.5)), max(0, math.ceil(bottom - 0.5)))
    part = planes[:, rows, _NEAR_MIDDLE].reshape(3, -1)
    if not part.size:
        return np.zeros((3, 1, 1), np.float32)
    middle = part.shape[1] // 2
    return np.partition(part, middle, axis=1)[:, middle, None, None]


def covered(face: FilmedFace, around: Sequence[FilmedFace]) -> F32Array:
    """Return the opacity of what is in front of a lower face, shape (S, S) in [0, 1].

    The face is compared with the median of those around, wherever that may have moved: by as much as its points do,
    and below the mouth as far as a jaw does. Light that changes on all of it is no difference, nor is what differs
    among those around too. What differs counts if enough of it lies beside the mouth, which itself may do anything, and
    if it comes from beyond the face: a mouth that opens wide does not.

    Args:
        face: The face.
        around: The same in the frames around, and itself.
    """
    nothing = np.zeros((VIEW_PX, VIEW_PX), np.float32)
    if len(around) < _FEWEST or abs(face.yaw) > _MOST_YAW_DEG:
        return nothing
    ordered_points = np.sort(np.stack([one.points for one in around]), axis=0)
    usual_points = (ordered_points[(len(around) - 1) // 2] + ordered_points[len(around) // 2]) / 2
    motion_px = float(np.abs(face.points - usual_points).max())
    if motion_px > _MOST_MOTION_PX:
        return nothing
    things = _things(face, [one.light for one in around], motion_px)
    return nothing if things is None else np.asarray(cv2.GaussianBlur(things, (0, 0), _SOFT_PX), np.float32)


def _things(face: FilmedFace, lights: Sequence[F32Array], motion_px: float) -> F32Array | None:
    """Return the mask of things in front of a lower face, 1 and 0, shape (S, S); None without any.

    Args:
        face: The face.
        lights: The light of it and of those around.
        motion_px: How far it may be from where it usually is.
    """
    usual = median(lights)
    here = np.asarray(face.light - _level(face.light - usual, face.points), np.float32)
    # In most faces there is nothing. So what takes time comes after what rules it out: the spread among the others, the
    # mask, and last the search for where it fits best.
    difference, can_be = _difference(here, usual), face.beside_mouth
    if _count(can_be & (difference > _STRONG)) < _FEWEST_SURE:
        return None
    spread = _usual_spread(lights, usual)
    can_be &= difference - spread > _STRONG
    if _count(can_be) < _FEWEST_SURE:
        return None
    opacity = face.opacity
    if _count(_opened(can_be & (opacity > _INSIDE))) < _FEWEST_SURE:
        return None
    can_be = (opacity > _INSIDE) & face.beside_mouth
    apart = _least_difference(here, usual, face, _PLAY_PX + round(motion_px)) - spread
    sure = _opened((apart > _STRONG) & can_be)
    if _count(sure) < _FEWEST_SURE:
        return None
    edge = max(_WEAK, _EDGE * float(np.median(apart[sure])))
    widest = widest_lower_face(np.asarray(face.points, np.float32), np.eye(2, 3), VIEW_PX)
    count, labels = cv2.connectedComponents(((apart > edge) & (widest > _ON_FACE)).astype(np.uint8))
    parts = np.asarray(labels, np.int64)
    enough = np.bincount(parts[sure], minlength=count) >= _FEWEST_SURE
    rim = (opacity > _ON_FACE) & (opacity < _INSIDE)
    enough &= np.bincount(parts[rim], minlength=count) >= _FEWEST_ENTERING
    enough[0] = False
    if not enough.any():
        return None
    return enough[parts].astype(np.float32)


def _light(face_bgr: F32Array) -> F32Array:
    """Return the logarithm of the light of an image that is blurred a little, shape (3, S, S)."""
    soft = cv2.GaussianBlur(face_bgr, (0, 0), _BLUR_PX)
    planes = np.stack(cv2.split(soft))
    return np.log(np.maximum(planes, 0, out=planes) + np.float32(_FLOOR), out=planes)


def _usual_spread(lights: Sequence[F32Array], usual: F32Array) -> F32Array:
    """Return the difference of faces from the usual one that is not unusual, shape (S, S)."""
    return ranked([_largest(one - usual) for one in lights], int(_SPREAD_QUANTILE * len(lights)))


def _largest(apart: F32Array) -> F32Array:
    """Return the largest size of three channels, shape (S, S); the channels are overwritten.

    Args:
        apart: Shape (3, S, S).
    """
    np.abs(apart, out=apart)
    return np.maximum(np.maximum(apart[0], apart[1]), apart[2])


def _difference(here: F32Array, usual: F32Array) -> F32Array:
    return np.asarray(cv2.boxFilter(_largest(here - usual), -1, (_WINDOW_PX, _WINDOW_PX)), np.float32)


def _count(mask: BoolArray) -> int:
    return int(np.count_nonzero(mask))


def _opened(mask: BoolArray) -> BoolArray:
    """Return the pixels of a mask that are no line."""
    return np.asarray(cv2.morphologyEx(mask.astype(np.uint8), cv2.MORPH_OPEN, _SQUARE) > 0, np.bool_)


def _least_difference(here: F32Array, usual: F32Array, face: FilmedFace, play_px: int) -> F32Array:
    """Return the difference from the usual face where that fits best nearby, shape (S, S)."""
    farthest = play_px + _JAW_PLAY_PX
    padded = np.pad(usual, ((0, 0), (farthest, farthest), (farthest, farthest)), mode="edge")
    below_mouth = face.points[3:, 1].mean() < _ROWS
    found = np.full((VIEW_PX, VIEW_PX), np.inf, np.float32)
    for down in _steps(farthest):
        for right in _steps(play_px):
            top, left = farthest + down, farthest + right
            apart = _difference(here, padded[:, top : top + VIEW_PX, left : left + VIEW_PX])
            nearer = np.minimum(found, apart)
            found = nearer if abs(down) <= play_px else np.where(below_mouth, nearer, found)
    return found


def _steps(most_px: int) -> range:
    """Return every other distance up to one, 0 among them: the window is wide enough for those between."""
    most = most_px - most_px % 2
    return range(-most, most + 1, 2)
