"""Likeness of a drawn mouth to the true one: its shapes over time, and its sharpness."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import cv2
import numpy as np

from lipwise_ray.lipsync.sharpness import LUMA_BGR
from lipwise_ray.values import F32Array, U8Array

_TOP, _BOTTOM, _LEFT, _RIGHT = 0.54, 1.0, 0.2, 0.8
"""The mouth's part of a face's box, at rest and wide open."""
_COARSE = (14, 11)
"""Width and height at which shapes are compared: lips and teeth are still apart, and what detectors' boxes tremble by
is not seen."""
_STILL = 1e-4
"""Mean square of levels below which nothing moves, or has an edge, but rounding."""


@dataclass(frozen=True, slots=True)
class MouthLikeness:
    """Likeness of a video's mouth to the true one, frame by frame.

    Attributes:
        shape: Correlation of the mouths' coarse images over time, 1 where they move alike. What does not
            change (the face itself) has no say. None where either mouth never moves.
        sharpness: Energy of the mouth's gradients, times the true one's. None where the true one has none.
    """

    shape: float | None
    sharpness: float | None


def mouth_likeness(crops: Mapping[int, U8Array], true: Mapping[int, U8Array]) -> MouthLikeness:
    """Compare mouths at equal times.

    Args:
        crops: BGR faces by frame number, shape (S, S, 3), S the same in all.
        true: The same, of the true lips.
    """
    both = sorted(crops.keys() & true.keys())
    if not both:
        return MouthLikeness(None, None)
    ours, theirs = ([_mouth(faces[number]) for number in both] for faces in (crops, true))
    return MouthLikeness(_correlation(_coarse(ours), _coarse(theirs)), _ratio(ours, theirs))


def _mouth(face_bgr: U8Array) -> F32Array:
    side = len(face_bgr)
    part = face_bgr[round(_TOP * side) : round(_BOTTOM * side), round(_LEFT * side) : round(_RIGHT * side)]
    return part.astype(np.float32) @ LUMA_BGR


def _coarse(mouths: list[F32Array]) -> F32Array:
    small = np.stack([cv2.resize(luma, _COARSE, interpolation=cv2.INTER_AREA) for luma in mouths])
    return np.asarray(small - small.mean(axis=0), np.float32)


def _correlation(ours: F32Array, theirs: F32Array) -> float | None:
    energies = [float(np.square(moves).mean()) for moves in (ours, theirs)]
    return float((ours * theirs).mean()) / (energies[0] * energies[1]) ** 0.5 if min(energies) > _STILL else None


def _ratio(ours: list[F32Array], theirs: list[F32Array]) -> float | None:
    drawn, true = (float(np.mean([gradient_energy(luma) for luma in mouths])) for mouths in (ours, theirs))
    return drawn / true if true > _STILL else None


def gradient_energy(luma: F32Array) -> float:
    """Return the mean squared difference of neighbours in an image of shape (H, W)."""
    return float(np.square(np.diff(luma, axis=0)).mean() + np.square(np.diff(luma, axis=1)).mean())
