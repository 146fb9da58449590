"""The lower half of a face in a frame, filmed and new, as a landmark network sees it or five points tell."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from lipwise_ray.faces.landmarker import FaceLandmarker, FaceView, face_view
from lipwise_ray.faces.lower_face import below_mouth, chin_arc, typical_lower_face
from lipwise_ray.faces.shape import eyes_px, views
from lipwise_ray.lipsync.align import inverse
from lipwise_ray.lipsync.moved_jaw import jaw_motion
from lipwise_ray.lipsync.restoration import Patch, laid_over
from lipwise_ray.media.region import Canvas, Kernel, read_region
from lipwise_ray.values import F32Array, F64Array

if TYPE_CHECKING:
    from av.video.frame import VideoFrame

BY_FIVE_POINTS = "five points"
"""Name, in records, of what tells where a jaw ends without a network: a typical head's."""

JAW_RADIUS = 2
"""Points are averaged over so many frames before and after, of the same track."""

_ALIKE, _UNLIKE = 0.28, 0.40
"""Networks outline faces from the front within the former, in distances of the eyes, of a typical one; past the latter
what they see is not this face: they lose those in profile, and do not say so."""

_MOVED = 0.1
"""A jaw that moves by this much, in distances of the eyes, moves as far as masks care."""

_PLAIN_VIEW, _PLAIN_PX = FaceView(4.0, (0.0, 0.0, 0.0)), 1


@dataclass(frozen=True, slots=True)
class Jaw:
    """The lower half of a face.

    Attributes:
        points: Of the mesh, in the view of the face, as shares of its side, shape (M, 2).
        trust: In [0, 1]: how far it was seen; the rest is typical.
        moved: In [0, 1]: how far the new chin is from the filmed one.
    """

    points: F64Array
    trust: float
    moved: float = 0.0


class Jaws:
    """Measures the lower halves of faces.

    Args:
        landmarker: The network; without, jaws are typical ones that move with the new face.
        canvas: Geometry and colours of the frames.
        kernel: How they are resampled.
    """

    def __init__(self, landmarker: FaceLandmarker | None, canvas: Canvas, kernel: Kernel) -> None:
        self._landmarker = landmarker
        self._view, self._size_px = (landmarker.view, landmarker.size_px) if landmarker else (_PLAIN_VIEW, _PLAIN_PX)
        self._canvas = canvas
        self._kernel: Kernel = kernel

    def measure(self, frame: VideoFrame, landmarks: F32Array, filmed: F32Array, new: Patch) -> Jaw:
        """Return the jaw of a face: as it was filmed, and where the new one is lower, as low as that.

        Args:
            frame: With the filmed face.
            landmarks: Its five points.
            filmed: The filmed face as it lies in the new one's patch.
            new: The new face.
        """
        size_px, aspect = self._size_px, self._canvas.aspect
        to_shown = face_view(self._view, landmarks, size_px, aspect)
        to_view = inverse(to_shown)
        eye_distance = size_px / self._view.eyes
        typical = typical_lower_face(landmarks, aspect) @ to_view[:, :2].T + to_view[:, 2]
        seen, trust, moved = typical, 0.0, 0.0
        if self._landmarker is not None:
            view = read_region(frame, self._canvas, to_shown, size_px, kernel=self._kernel)
            seen, trust = self._seen(self._landmarker, view, typical, landmarks, to_view)
            if trust:
                laid_over(view, to_shown, new)
                spoken, new_trust = self._seen(self._landmarker, view, typical, landmarks, to_view)
                down = np.where(below_mouth(), new_trust * (spoken - seen)[:, 1], 0)  # heads are upright in their views
                moved = trust * float(np.abs(down[chin_arc()]).mean()) / eye_distance
                seen[:, 1] += np.maximum(down, 0)
        if trust < 1:
            motion = jaw_motion(landmarks, filmed, new.image, new.to_shown, aspect)
            if motion is not None:
                typical[:, 1] += motion.lower * eye_distance
                moved += (1 - trust) * motion.by
        return Jaw((typical + trust * (seen - typical)) / size_px, trust, min(1.0, moved / _MOVED))

    def _seen(
        self, network: FaceLandmarker, view: F32Array, typical: F64Array, landmarks: F32Array, to_view: F64Array
    ) -> tuple[F64Array, float]:
        """Return the points that the network sees in a view, and how far they can be those of this face."""
        points = network(view)
        if points is None:
            return typical.copy(), 0.0
        (here,) = views((landmarks @ to_view[:, :2].T + to_view[:, 2])[None])
        off = np.sqrt(((points - typical) ** 2).sum(axis=1).mean()) / max(eyes_px(here), 1e-6)
        return points.astype(np.float64), float(np.clip((_UNLIKE - off) / (_UNLIKE - _ALIKE), 0, 1))

    def shown(self, jaws: Sequence[tuple[int, Jaw]], landmarks: F32Array) -> tuple[F32Array, float, float]:
        """Return the points of a jaw in the shown frame, shape (M, 2), how far they were seen, and how far it moved.

        Args:
            jaws: The face's own and those around it, with how many frames each is away; near ones count for more.
            landmarks: The face's five points.
        """
        weights = np.array([JAW_RADIUS + 1 - abs(distance) for distance, _ in jaws], np.float64)
        weights /= weights.sum()
        points = np.einsum("j,jmk->mk", weights, np.stack([jaw.points for _, jaw in jaws]))
        to_shown = face_view(self._view, landmarks, 1, self._canvas.aspect)
        trust, moved = weights @ [(jaw.trust, jaw.moved) for _, jaw in jaws]
        return np.asarray(points @ to_shown[:, :2].T + to_shown[:, 2], np.float32), float(trust), float(moved)
