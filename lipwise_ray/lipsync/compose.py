"""The mask by which a new face is laid over the old one, and the light it is given."""

from __future__ import annotations

from typing import Literal

import cv2
import numpy as np

from lipwise_ray.lipsync.align import TEMPLATE_PX, aligned_to_shown, between
from lipwise_ray.values import F32Array, F64Array

MaskKind = Literal["face", "soft", "box"]
_TOP_SHARE = 0.40
"""Above this share of the crop's height the image stays: the network only redraws the lower half."""

# The lower face in an aligned face of side 1: from under the nose to below an open jaw, inside the cheeks' outline.
_CENTRE = (0.5, 0.765)
_HALF_WIDTH, _HALF_UP, _HALF_DOWN = 0.35, 0.205, 0.42
_ROUNDNESS = 2.5  # 2 is an ellipse, more is nearer to a box
_FADE = 0.3

_MOST_SHIFT = 0.2
_BAND_STEP = 2
_FEWEST_PIXELS = 40
_SKIN = 0.15
_STEADY = 0.5
_REWEIGHTINGS = 4
_SOME = 0.1
_COARSE_PX = 64
_TUKEY = 4.685  # standard deviations, for 95 % efficiency on normal errors


def paste_mask(size_px: int, feather: float) -> F32Array:
    """Return the opacity of a pasted crop: fades out at the sides and above the mouth.

    Args:
        size_px: Side of the crop.
        feather: Share of the side over which it fades.

    Returns:
        Shape (size_px, size_px) in [0, 1], 0 on its whole rim.
    """
    place = np.arange(size_px) / (size_px - 1)
    sides = _smoothstep(np.minimum(place, 1 - place) / feather)
    rows = _smoothstep((place - _TOP_SHARE) / feather) * _smoothstep((1 - place) / (feather / 2))
    return (rows[:, None] * sides[None, :]).astype(np.float32)


def rim_mask(size_px: int, feather: float) -> F32Array:
    """Return an opacity that is 1 but for a fade at all four sides, over that share of the side."""
    place = (np.arange(size_px) + 0.5) / size_px
    fade = _smoothstep(np.minimum(place, 1 - place) / feather)
    return (fade[:, None] * fade[None, :]).astype(np.float32)


def lower_face(landmarks: F32Array, crop_to_shown: F64Array, size_px: int, aspect: float = 1.0) -> F32Array:
    """Return the mask of the lower face in a crop; its five points place, rotate and size it.

    Args:
        landmarks: Shape (5, 2), in the shown frame.
        crop_to_shown: Shape (2, 3).
        size_px: Side of the crop.
        aspect: Width of a shown pixel over its height.

    Returns:
        Shape (size_px, size_px) in [0, 1].
    """
    to_aligned = between(crop_to_shown, aligned_to_shown(landmarks, TEMPLATE_PX, aspect)) / TEMPLATE_PX
    place = np.arange(size_px) + 0.5
    x = to_aligned[0, 0] * place[None, :] + to_aligned[0, 1] * place[:, None] + to_aligned[0, 2] - _CENTRE[0]
    y = to_aligned[1, 0] * place[None, :] + to_aligned[1, 1] * place[:, None] + to_aligned[1, 2] - _CENTRE[1]
    down = y / np.where(y < 0, _HALF_UP, _HALF_DOWN)
    distance = (np.abs(x / _HALF_WIDTH) ** _ROUNDNESS + np.abs(down) ** _ROUNDNESS) ** (1 / _ROUNDNESS)
    return _smoothstep((1 - distance) / _FADE).astype(np.float32)


def light_shift(old: F32Array, new: F32Array, mask: F32Array) -> F32Array | None:
    """Return the shift of colours that lets a new face's light go over into that of the old one.

    Compared are the pixels towards the mask's edge where both show the face's skin. A plane a channel is fitted through
    their differences; what does not fit (a jaw that moved, a shadow) has no say, and the plane leans no more than
    the pixels insist on.

    Args:
        old: BGR in [0, 1], shape (S, S, 3).
        new: The same.
        mask: Opacity of the new one, shape (S, S).

    Returns:
        Shape (3, 3): for each channel the shift at the crop's centre, and how much it grows over half its width and
        half its height; None where too little skin can be compared.

    Source: Tukey's biweight by iteratively reweighted least squares.
    """
    size_px = len(mask)
    opacity, before, after = (
        plane[::_BAND_STEP, ::_BAND_STEP].reshape(-1, *plane.shape[2:]) for plane in (mask, old, new)
    )
    place = np.linspace(-1, 1, size_px)[::_BAND_STEP]
    across, down = (axis.ravel() for axis in np.meshgrid(place, place))
    band = 4 * opacity * (1 - opacity)
    # The upper edge lies on the cheeks and under the nose, whatever the jaw does: that is how the skin looks.
    upper = (band > _SOME) & (down < (down * opacity).sum() / max(1e-6, float(opacity.sum())))
    if not upper.any():
        return None
    skin = [np.median(colours[upper], axis=0) for colours in (before, after)]
    if np.abs(skin[0] - skin[1]).max() > _MOST_SHIFT:
        return None
    off = [np.abs(colours - colour).max(axis=1) for colours, colour in zip((before, after), skin, strict=True)]
    band = np.where(np.maximum(*off) < _SKIN, band, 0)
    use = band > _SOME
    if use.sum() < _FEWEST_PIXELS:
        return None
    design = np.stack([np.ones(int(use.sum())), across[use], down[use]], axis=1)
    wanted = (before - after)[use].astype(np.float64)
    shift = np.zeros((3, 3))
    shift[:, 0] = np.median(wanted, axis=0)
    for _ in range(_REWEIGHTINGS):
        residual = wanted - design @ shift.T
        width = np.maximum(1.4826 * np.median(np.abs(residual), axis=0), 0.5 / 255) * _TUKEY
        weight = np.clip(1 - (residual / width) ** 2, 0, None) ** 2 * band[use, None]
        normal = np.einsum("ni,nc,nj->cij", design, weight, design)
        normal += weight.sum(axis=0)[:, None, None] * np.diag([1e-6, _STEADY, _STEADY]) + 1e-9 * np.eye(3)
        right = np.einsum("ni,nc->ci", design, weight * wanted)
        shift = np.linalg.solve(normal, right[..., None])[..., 0]
    return np.clip(shift, -_MOST_SHIFT, _MOST_SHIFT).astype(np.float32)


def relit(face: F32Array, shift: F32Array) -> F32Array:
    """Return a face with a shift of `light_shift` added.

    Args:
        face: BGR in [0, 1], shape (S, S, 3).
        shift: Shape (3, 3).
    """
    place = np.linspace(-1, 1, len(face), dtype=np.float32)
    plane = shift[:, 0] + place[None, :, None] * shift[:, 1] + place[:, None, None] * shift[:, 2]
    return np.clip(face + plane, 0, 1).astype(np.float32)


def with_colours_of(restored: F32Array, given: F32Array) -> F32Array:
    """Return a restored face whose coarse colours are those of the face that the restorer was given.

    Restorers shift colours. What is wider than a lip comes from `given`, the detail from `restored`.

    Args:
        restored: BGR in [0, 1], shape (S, S, 3).
        given: The same.
    """
    was, became = (
        cv2.resize(face, (_COARSE_PX, _COARSE_PX), interpolation=cv2.INTER_AREA) for face in (given, restored)
    )
    soft = cv2.GaussianBlur(was - became, (0, 0), _COARSE_PX / 20, borderType=cv2.BORDER_REPLICATE)
    coarse = cv2.resize(soft, restored.shape[1::-1], interpolation=cv2.INTER_CUBIC)
    coarse += restored
    return np.asarray(np.clip(coarse, 0, 1, out=coarse), np.float32)


def _smoothstep(x: F64Array) -> F64Array:
    t = np.clip(x, 0.0, 1.0)
    return t * t * (3 - 2 * t)
