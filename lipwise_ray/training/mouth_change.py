"""Change of a mouth through a clip: a photograph with speech over it has none."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import permutations

import cv2
import numpy as np

from lipwise_ray.media.region import box_to_shown
from lipwise_ray.values import F32Array, F64Array

_PX, _REACH_PX = 64, 5
_BLUR_PX = 1.5  # grain, and mouths that lie parts of a pixel apart, are no change

_MOUTH = np.s_[40:59, 18:46]
_AROUND = np.s_[40 - _REACH_PX : 59 + _REACH_PX, 18 - _REACH_PX : 46 + _REACH_PX]
"""Place of a mouth in `face_view`, at 64 pixels, and where it is looked for in another frame: boxes shake."""

_DOWN = 49.5 / _PX - 0.5


def face_view(box_xyxy: F32Array, landmarks: F32Array, px: int, roll_degrees: float, aspect: float) -> F64Array:
    """Return the (2, 3) affine map from a square crop to a face, level and with its mouth where it is looked for.

    A box alone does not say where the mouth of a head lies that is tilted to a side.

    Args:
        box_xyxy: Its box.
        landmarks: Eyes, nose, corners of the mouth; shape (5, 2).
        px: Side of the crop.
        roll_degrees: Roll of the face, clockwise; one for all its frames, or its shaking would count as change.
        aspect: Width of a shown pixel over its height.
    """
    half = (box_xyxy[2:] - box_xyxy[:2]).astype(np.float64) / 2
    roll = np.radians(roll_degrees)
    mouth = landmarks[3:].mean(axis=0, dtype=np.float64)
    centre = mouth - 2 * half[1] * _DOWN * np.array([-np.sin(roll) / aspect, np.cos(roll)])
    return box_to_shown(np.concatenate([centre - half, centre + half]), px, roll_degrees, aspect)


def mouth_change(faces: Sequence[F32Array]) -> float:
    """Return the change of a face's mouth, in [0, 1]; 0 for a photograph.

    It is 1 less the correlation of two mouths where they fit best, in the median over all pairs, so that neither the
    light nor a camera that moves counts. On two recorded speakers it was 0.04, and 0.005 on a photograph under a
    camera that moves.

    Args:
        faces: Luma of a face in some frames, by `face_view`, shape (S, S) each.
    """
    small = [
        cv2.GaussianBlur(
            cv2.resize(face, (_PX, _PX), interpolation=cv2.INTER_AREA).astype(np.float32), (0, 0), _BLUR_PX
        )
        for face in faces
    ]
    likeness = [
        float(cv2.matchTemplate(other[_AROUND], one[_MOUTH], cv2.TM_CCOEFF_NORMED).max())
        for one, other in permutations(small, 2)
    ]
    return float(np.clip(1 - np.median(likeness), 0, 1)) if likeness else 0.0
