"""Detections and tracks of boxes that a test says."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from lipwise_ray.faces.colour import COLOURS
from lipwise_ray.faces.detections import Detections
from lipwise_ray.faces.people import find_people
from lipwise_ray.faces.select import LIKE, Likeness, SelectionRule, select_tracks
from lipwise_ray.faces.tracks import Tracks, link
from lipwise_ray.values import Size, Span

Boxes = dict[int, list[tuple[float, float, float, float]]]

SIZE = Size(640, 360)


def _points(box: np.ndarray) -> np.ndarray:
    shares = np.array([[0.3, 0.4], [0.7, 0.4], [0.5, 0.6], [0.35, 0.8], [0.65, 0.8]])
    return box[:2] + (box[2:] - box[:2]) * shares


def _colours(colour: Callable[[float, int], float] | None, left: float, frame: int) -> list[float]:
    if colour is None:
        return [np.nan] * COLOURS
    return [50, 25, 25, colour(left, frame), 0, 0]


def make_detections(
    faces: Boxes, frames: int, stride: int = 1, colour: Callable[[float, int], float] | None = None
) -> Detections:
    """Return detections from boxes by frame.

    Args:
        faces: Boxes (left, top, right, bottom) of each frame that has some, in pixels.
        frames: Number of frames of the video.
        stride: Every so many frames one was searched.
        colour: Lightness of the clothing by a box's left edge and the frame; without, no colours are known.
    """
    rows = [(n, np.array(box, np.float32)) for n in sorted(faces) for box in faces[n]]
    return Detections(
        looked=np.arange(0, frames, stride, dtype=np.int64),
        frame=np.array([n for n, _ in rows], np.int64),
        box=np.array([b for _, b in rows], np.float32).reshape(-1, 4),
        landmarks=np.array([_points(b) for _, b in rows], np.float32).reshape(-1, 5, 2),
        score=np.ones(len(rows), np.float32),
        colour=np.array([_colours(colour, float(box[0]), n) for n, box in rows], np.float32).reshape(-1, COLOURS),
        change=np.zeros(frames, np.float32),
        is_blend=np.zeros(frames, np.bool_),
    )


def walk(x: float, step: float, frames: range) -> Boxes:
    return {n: [(x + step * n, 100, x + step * n + 80, 200)] for n in frames}


def link_boxes(found: Detections, spans: list[Span] | None = None, gap: int = 10, stride: int = 1) -> Tracks:
    return link(found, spans or [Span(0, len(found.change))], SIZE, max_gap_frames=gap, stride=stride)


def chosen_tracks(tracks: Tracks, rule: SelectionRule, likeness: Likeness | None = None) -> list[int]:
    """Return the tracks that a rule chooses among everybody who is there."""
    people = find_people(tracks, 0.0, by_elimination=rule.kind != LIKE)
    return select_tracks(people, rule, tracks, likeness)


def turned(yaw: float, roll: float = 0.0, side: float = 100.0) -> np.ndarray:
    """Return the landmarks of a face that is turned to a side and leans, as its shape projects them: (5, 2), pixels.

    Args:
        yaw: Degrees to the side.
        roll: Degrees that it leans.
        side: Size of the face, in pixels.
    """
    half = 0.19 * side
    eyes, nose, mouth = half * np.cos(np.radians(yaw)), half * np.sin(np.radians(yaw)), 0.8 * half
    points = np.array([[-eyes, -20], [eyes, -20], [nose, 0], [-mouth * 0.8, 20], [mouth * 0.8, 20]])
    cos, sin = np.cos(np.radians(roll)), np.sin(np.radians(roll))
    return (points @ np.array([[cos, sin], [-sin, cos]]) + 200).astype(np.float32)


def three_people() -> Tracks:
    """Return three people side by side, and a blip of a passer-by."""
    faces = {
        n: [(400, 100, 440, 150), (20, 100, 60, 150), (260, 80, 360, 220)] + ([(600, 10, 620, 30)] if n == 3 else [])
        for n in range(30)
    }
    return link_boxes(make_detections(faces, 30))
