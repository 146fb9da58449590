"""The role of a network that sees the outline of a face, and the part of an image that it looks at."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np

from lipwise_ray.faces.shape import downwards, eyes_px, views
from lipwise_ray.values import F32Array, F64Array


@dataclass(frozen=True, slots=True)
class FaceView:
    """The part of an image that a landmarker looks at.

    Attributes:
        eyes: Its side, in distances of the eyes.
        middle: What of a head is in its middle: right, down, towards the viewer, as `shape.views` has it.
    """

    eyes: float
    middle: tuple[float, float, float]


class FaceLandmarker(Protocol):
    """Sees where the lower half of a face is.

    Attributes:
        size_px: Side of the views that it takes.
        view: What they show.
    """

    size_px: int
    view: FaceView

    def __call__(self, view_bgr: F32Array) -> F32Array | None:
        """Return the points of the mesh of the lower face, in pixels of the view, shape (M, 2); None without a face.

        Args:
            view_bgr: A face, placed by `face_view`, shape (size_px, size_px, 3) in [0, 1].
        """
        ...


def face_view(view: FaceView, landmarks: F32Array, size_px: int, aspect: float = 1.0) -> F64Array:
    """Return the map from a landmarker's view of a face to the shown frame, shape (2, 3); the head is upright in it.

    Args:
        view: What it shows.
        landmarks: Shape (5, 2).
        size_px: Side of the view.
        aspect: Width of a shown pixel over its height.
    """
    square = np.array([aspect, 1.0])
    (seen,) = views((landmarks * square)[None])
    down = downwards(seen)
    linear = np.array([[down[1], down[0]], [-down[0], down[1]]]) * (view.eyes * eyes_px(seen) / size_px)
    centre = seen[:, :3] @ np.array(view.middle) + seen[:, 3]
    return np.column_stack([linear, centre - linear @ np.full(2, size_px / 2)]) / square[:, None]
