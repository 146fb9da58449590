"""The mask by which a new face is laid over the old one, and the light it is given."""

from __future__ import annotations

from typing import Literal

import cv2
import numpy as np

from lipwise_ray.faces.lower_face import axes, inside, jaw_shares, triangles, typical_lower_face
from lipwise_ray.faces.shape import views
from lipwise_ray.lipsync.align import inverse
from lipwise_ray.lipsync.moved_jaw import LOWEST
from lipwise_ray.media.region import pixel_map
from lipwise_ray.values import F32Array, F64Array

MaskKind = Literal["face", "soft", "box"]
_TOP_SHARE = 0.40
"""Above this share of the crop's height the image stays: the network only redraws the lower half."""

_RADIUS_PX, _ANGLES, _SOFT = 64, 192, 2
_DISC_PX, _DISC_CENTRE = (2 * _RADIUS_PX, 2 * _RADIUS_PX), (_RADIUS_PX - 0.5, _RADIUS_PX - 0.5)
_RAYS = np.stack([f(2 * np.pi * np.arange(_ANGLES) / _ANGLES) for f in (np.cos, np.sin)], axis=1)
_UNROLL = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP | cv2.WARP_FILL_OUTLIERS
_SUBPIXEL_BITS = 4
_FADE, _FADE_UP = 0.22, 0.22
"""Shares of the way from a face's edge to its middle over which its mask fades, and so much more upwards: there it ends
on the face."""

_SHARPER = 0.7
"""In profile the lips are at the edge, and it fades over so much less."""

_BEYOND, _FADE_MOVED, _SIDEWAYS = 0.10, 0.11, 0.6
"""Shares by which a mask reaches beyond a jaw that moved, and over which it fades there: between the filmed and the new
edge only the new face is to be seen. So it is downwards, not upwards, and goes over where rays rise by the third."""

_MARGIN_TURNED = 0.14
"""So far inside of the edge that begins where a typical head is in profile, but there: it tells little of the jaw."""

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
    """Return the mask of the lower face in a crop as five points tell it: a typical head's, turned as this one is.

    Args:
        landmarks: Shape (5, 2), in the shown frame.
        crop_to_shown: Shape (2, 3).
        size_px: Side of the crop.
        aspect: Width of a shown pixel over its height.

    Returns:
        Shape (size_px, size_px) in [0, 1].
    """
    return jaw_mask(typical_lower_face(landmarks, aspect), crop_to_shown, size_px, trust=0.0)


def widest_lower_face(landmarks: F32Array, crop_to_shown: F64Array, size_px: int, aspect: float = 1.0) -> F32Array:
    """Return the mask of a lower face whose jaw moves and hangs as low as it can, shape (size_px, size_px) in [0, 1].

    Args:
        landmarks: Shape (5, 2), in the shown frame.
        crop_to_shown: Shape (2, 3).
        size_px: Side of the crop.
        aspect: Width of a shown pixel over its height.
    """
    square = np.array([aspect, 1.0])
    (seen,) = views((landmarks * square)[None])
    lower = LOWEST * jaw_shares()[:, None] * seen[:, 1] / square
    points = np.asarray(typical_lower_face(landmarks, aspect) + lower, np.float32)
    return jaw_mask(points, crop_to_shown, size_px, trust=0.0, moved=1.0)


def jaw_mask(points: F32Array, crop_to_shown: F64Array, size_px: int, trust: float, moved: float = 0.0) -> F32Array:
    """Return the mask of a lower face in a crop: it fades towards the face's edge.

    Nothing of it lies beyond, but around a jaw that moves.

    Args:
        points: Of the mesh of the lower face, shape (M, 2), in the shown frame.
        crop_to_shown: Shape (2, 3).
        size_px: Side of the crop.
        trust: In [0, 1]: how far the points are known to be this face's; of typical ones some of the edge is left out.
        moved: In [0, 1]: how far the new chin is from the filmed one.

    Returns:
        Shape (size_px, size_px) in [0, 1].
    """
    to_crop = inverse(crop_to_shown)
    here, middle = (at @ to_crop[:, :2].T + to_crop[:, 2] for at in (points, inside(points)))
    _, down, front = axes(here)
    lower = moved * _smoothstep(_RAYS @ down / _SIDEWAYS + 0.5)
    scale = (_RADIUS_PX - 1) / max(float(np.linalg.norm(here - middle, axis=1).max()), 1e-6) / (1 + _BEYOND)
    edge_px = _edge((here - middle) * scale) * (1 + _BEYOND * lower)
    upwards, forwards = (np.maximum(0, _RAYS @ axis) for axis in (-down, front))
    margin = (1 - trust) * _MARGIN_TURNED * (np.linalg.norm(front) - forwards)
    fade = _FADE * (1 - _SHARPER * forwards) + _FADE_UP * upwards
    fade = np.minimum(fade, fade + lower * (_FADE_MOVED - fade))
    depth = 1 - np.arange(_RADIUS_PX) / edge_px[:, None]
    rays = _smoothstep((depth - margin[:, None]) / fade[:, None]).astype(np.float32)
    opacity = cv2.warpPolar(rays, _DISC_PX, _DISC_CENTRE, _RADIUS_PX, _UNROLL)
    to_disc = np.array([[scale, 0, _RADIUS_PX - scale * middle[0]], [0, scale, _RADIUS_PX - scale * middle[1]]])
    flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    return np.asarray(cv2.warpAffine(opacity, pixel_map(to_disc), (size_px, size_px), flags=flags), np.float32)


def _edge(points: F64Array) -> F64Array:
    """Return the distances of the edge of a face from the middle of a disc in each direction, shape (_ANGLES,).

    Args:
        points: Of the mesh, from there.
    """
    corners = np.rint((points + _RADIUS_PX - 0.5) * (1 << _SUBPIXEL_BITS)).astype(np.int32)
    silhouette = np.zeros(_DISC_PX, np.float32)
    for triangle in corners[triangles()]:
        cv2.fillConvexPoly(silhouette, triangle, 1, shift=_SUBPIXEL_BITS)
    rays = cv2.warpPolar(silhouette, (_RADIUS_PX, _ANGLES), _DISC_CENTRE, _RADIUS_PX, cv2.INTER_LINEAR)
    # To where a ray first leaves the face; its edge is painted too, and so is the middle.
    within = np.minimum.accumulate(rays, axis=1).sum(axis=1) - 1
    wrapped = np.concatenate([within[-_SOFT:], within, within[:_SOFT]])
    soft = np.convolve(wrapped, np.full(2 * _SOFT + 1, 1 / (2 * _SOFT + 1)), mode="valid")
    return np.maximum(np.minimum(soft, within), 1.0)


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
