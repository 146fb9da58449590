"""The mask by which a new face is laid over the old one, and the light it is given."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Literal, TypeVar, cast

import cv2
import numpy as np

from lipwise_ray.faces.lower_face import axes, inside, jaw_shares, typical_lower_face
from lipwise_ray.faces.shape import views
from lipwise_ray.faces.silhouette import reach
from lipwise_ray.lipsync.align import inverse
from lipwise_ray.lipsync.moved_jaw import LOWEST
from lipwise_ray.lipsync.ranks import medians
from lipwise_ray.values import BoolArray, F32Array, F64Array

MaskKind = Literal["face", "soft", "box"]
_Floats = TypeVar("_Floats", F32Array, F64Array)
_TOP_SHARE = 0.40
"""Above this share of the crop's height the image stays: the network only redraws the lower half."""

_RADIUS_PX, _ANGLES = 64, 96
_RAYS = np.stack([f(2 * np.pi * np.arange(_ANGLES) / _ANGLES) for f in (np.cos, np.sin)], axis=1)
_PLACES = np.arange(_RADIUS_PX, dtype=np.float32)
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
_BAND_STEP = 4
_FEWEST_PIXELS = 10  # of every `_BAND_STEP`-th row and column: twice the step leaves a quarter of them
_SKIN = 0.15
_STEADY = 0.5
_LEANS = (1e-6, _STEADY, _STEADY)
_LEAST_PIVOT = 1e-9
_LEANING, _PIVOTS = np.diag(_LEANS), _LEAST_PIVOT * np.eye(3)
_REWEIGHTINGS = 4
_TO_DEVIATION, _LEAST_DEVIATION = 1.4826, 0.5 / 255
_SOME = 0.1
_TUKEY = 4.685  # standard deviations, for 95 % efficiency on normal errors
COARSE_PX, COARSE_BLUR_PX = 64, 64 / 20
"""Side of the small images in which colours of faces are compared, and the deviation of the blur there."""


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


def widest_lower_face(landmarks: F32Array, crop_to_shown: F64Array, size_px: int) -> F32Array:
    """Return the mask of a lower face whose jaw moves and hangs as low as it can, shape (size_px, size_px) in [0, 1].

    Args:
        landmarks: Shape (5, 2), in a frame of square pixels.
        crop_to_shown: Shape (2, 3).
        size_px: Side of the crop.
    """
    (seen,) = views(landmarks[None].astype(np.float64))
    lower = LOWEST * jaw_shares()[:, None] * seen[:, 1]
    points = np.asarray(typical_lower_face(landmarks) + lower, np.float32)
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
    around = here - middle
    scale = (_RADIUS_PX - 1) / max(math.sqrt(float((around * around).sum(axis=1).max())), 1e-6) / (1 + _BEYOND)
    edge_px = _edge(around * scale) * (1 + _BEYOND * lower)
    upwards, forwards = np.maximum(0, _RAYS @ np.stack([-down, front], axis=1)).T
    margin = (1 - trust) * _MARGIN_TURNED * (math.hypot(*front) - forwards)
    fade = _FADE * (1 - _SHARPER * forwards) + _FADE_UP * upwards
    fade = np.minimum(fade, fade + lower * (_FADE_MOVED - fade))
    # Along each ray: one less the place's share of the way to the edge, less the margin, over the fade.
    begin, slope = ((1 - margin) / fade).astype(np.float32), (1 / (edge_px * fade)).astype(np.float32)
    rays = _smoothstep(begin[:, None] - slope[:, None] * _PLACES)
    opacity = np.zeros((size_px, size_px), np.float32)
    edges = middle + _RAYS * (edge_px / scale)[:, None]
    left, top = (max(0, math.floor(at)) for at in edges.min(axis=0))
    stop_x, stop_y = (min(size_px, math.ceil(at) + 1) for at in edges.max(axis=0))
    if left < stop_x and top < stop_y:
        across, down = np.arange(left, stop_x, dtype=np.float32), np.arange(top, stop_y, dtype=np.float32)
        across, down = ((axis + 0.5 - at) * scale for axis, at in zip((across, down), middle, strict=True))
        opacity[top:stop_y, left:stop_x] = _at(rays, across.astype(np.float32), down.astype(np.float32))
    return opacity


def _at(rays: F32Array, across: F32Array, down: F32Array) -> F32Array:
    """Return values along rays at the places of a grid, shape (rows, columns).

    Args:
        rays: By direction and distance, shape (_ANGLES, _RADIUS_PX); beyond is nothing.
        across: Of the columns, from where rays begin, shape (columns,).
        down: Of the rows, shape (rows,).
    """
    far, angle = cv2.cartToPolar(np.tile(across, (len(down), 1)), np.repeat(down[:, None], len(across), axis=1))
    angle *= np.float32(_ANGLES / (2 * np.pi))
    whole = np.concatenate([rays, rays[:1]])
    return np.asarray(cv2.remap(whole, far, angle, cv2.INTER_LINEAR, borderMode=cv2.BORDER_CONSTANT), np.float32)


def _edge(points: F64Array) -> F64Array:
    """Return the distances of the edge of a face from the middle of a disc in each direction, shape (_ANGLES,).

    Args:
        points: Of the mesh, from there.
    """
    within = reach(points, _RAYS)
    soft = (np.roll(within, 1) + within + np.roll(within, -1)) / 3
    return np.maximum(np.minimum(soft, within), 1.0)


def light_shifts(olds: Sequence[F32Array], news: Sequence[F32Array], mask: F32Array) -> list[F32Array | None]:
    """Return the shifts of colours that let new faces' light go over into that of the old ones.

    Compared are the pixels towards the mask's edge where both show the face's skin. A plane a channel is fitted through
    their differences; what does not fit (a jaw that moved, a shadow) has no say, and the plane leans no more than
    the pixels insist on.

    Args:
        olds: BGR in [0, 1], shape (S, S, 3) each.
        news: The same, one for each.
        mask: Opacity of all new ones, shape (S, S).

    Returns:
        Shape (3, 3) each: for each channel the shift at the crop's centre, and how much it grows over half its width
        and half its height; None where too little skin can be compared.

    Source: Tukey's biweight by iteratively reweighted least squares.
    """
    opacity = mask[::_BAND_STEP, ::_BAND_STEP]
    place = _places(len(mask))[::_BAND_STEP]
    band = 4 * opacity * (1 - opacity)
    here = np.flatnonzero(band > _SOME)
    rows, columns = np.divmod(here, len(place))
    across, down, band = place[columns], place[rows], band.ravel()[here]
    upper = int(np.searchsorted(down, _middle(opacity, place)))  # pixels come row by row
    found: list[F32Array | None] = [None] * len(olds)
    if not upper:
        return found
    pixels = _BAND_STEP * (rows * len(mask) + columns)
    # Channels of the one face, then those of the other: few steps over all of them cost less than many.
    both = [np.take(face.reshape(-1, 3), pixels, axis=0).T for pair in zip(olds, news, strict=True) for face in pair]
    colours = np.stack(both).reshape(len(olds), 6, -1)
    skin = medians(colours[..., :upper])
    is_alike = np.abs(skin[:, :3] - skin[:, 3:]).max(axis=1) <= _MOST_SHIFT
    use = np.abs(colours - skin[..., None]).max(axis=1) < _SKIN
    (some,) = np.nonzero(is_alike & (use.sum(axis=1) >= _FEWEST_PIXELS))
    if len(some):
        compared = colours[some]
        shifts = _fitted_planes(compared[:, :3] - compared[:, 3:], use[some], across, down, band)
        for number, shift in zip(some.tolist(), shifts, strict=True):
            found[number] = shift
    return found


def _fitted_planes(wanted: F32Array, use: BoolArray, across: F32Array, down: F32Array, band: F32Array) -> F32Array:
    """Return the planes that fit the shifts of pixels robustly, as `light_shifts` has them, shape (B, 3, 3).

    Args:
        wanted: Shift of each channel, shape (B, 3, N).
        use: Pixels that count, shape (B, N). Others weigh nothing, so that sums of all faces have as many terms.
        across: Places of the pixels, shape (N,).
        down: The same.
        band: Weight of each, shape (N,).
    """
    design = np.stack([np.ones_like(across), across, down])
    products = (design[:, None] * design).reshape(9, -1)  # of each two, as the normal equations have them
    counted = (band * use)[:, None]
    shift = np.zeros((len(wanted), 3, 3))
    shift[..., 0] = medians(wanted, use)
    for _ in range(_REWEIGHTINGS):
        residual = wanted - shift.astype(np.float32) @ design
        width = np.maximum(_TO_DEVIATION * medians(np.abs(residual), use), _LEAST_DEVIATION) * _TUKEY
        weight = np.maximum(1 - np.square(residual / width[..., None].astype(np.float32)), 0)
        weight *= weight
        weight *= counted
        normal = (weight @ products.T).astype(np.float64).reshape(-1, 3, 3, 3)
        normal += normal[..., :1, :1] * _LEANING + _PIVOTS
        right = ((weight * wanted) @ design.T).astype(np.float64)
        shift = np.linalg.solve(normal, right[..., None])[..., 0]
    return np.clip(shift, -_MOST_SHIFT, _MOST_SHIFT).astype(np.float32)


@lru_cache(maxsize=16)
def _places(side_px: int) -> F32Array:
    """Return the places of rows or columns from -1 to 1, shape (side_px,), read-only."""
    place = np.linspace(-1, 1, side_px, dtype=np.float32)
    place.flags.writeable = False
    return place


def _middle(opacity: F32Array, place: F32Array) -> float:
    """Return the middle row of a mask.

    The upper edge lies on the cheeks and under the nose, whatever the jaw does: that is how the skin looks.
    """
    return float(opacity.sum(axis=1) @ place) / max(1e-6, float(opacity.sum()))


@dataclass(frozen=True, slots=True)
class LightRules:
    """Rules of `light_shifts`, for those that follow them elsewhere.

    Attributes:
        band_step: Every so many rows and columns are compared.
        some: Products of an opacity and what it leaves, times 4, above which a pixel is in the mask's edge.
        skin: Differences from the skin's colour below which a pixel shows it.
        fewest_pixels: Pixels that are needed.
        most_shift: The largest shift.
        reweightings: Number of fits.
        to_deviation: Factor from a median to a standard deviation.
        least_width: The smallest standard deviation.
        tukey: Standard deviations at which a pixel has no say any more.
        leans: Share of the pixels' weight that is added to the constant and to the two slopes, each on the diagonal.
        least_pivot: What is added there in any case.
        middle: Row below which the skin is not looked for, given a mask and the places of its rows.
    """

    band_step: int
    some: float
    skin: float
    fewest_pixels: int
    most_shift: float
    reweightings: int
    to_deviation: float
    least_width: float
    tukey: float
    leans: tuple[float, float, float]
    least_pivot: float
    middle: Callable[[F32Array, F32Array], float]


def light_rules() -> LightRules:
    """Return the rules by which the light of faces is matched."""
    return LightRules(
        _BAND_STEP,
        _SOME,
        _SKIN,
        _FEWEST_PIXELS,
        _MOST_SHIFT,
        _REWEIGHTINGS,
        _TO_DEVIATION,
        _LEAST_DEVIATION,
        _TUKEY,
        _LEANS,
        _LEAST_PIVOT,
        _middle,
    )


def relit(face: F32Array, shift: F32Array) -> F32Array:
    """Return a face with a shift of `light_shifts` added.

    Args:
        face: BGR in [0, 1], shape (S, S, 3).
        shift: Shape (3, 3).
    """
    place = _places(len(face))
    # A product over whole rows: to add one that repeats every three numbers takes longer.
    across = (shift[:, 0] + place[:, None] * shift[:, 1]).ravel()
    made = np.stack([np.ones_like(place), place], axis=1) @ np.stack([across, np.tile(shift[:, 2], len(place))])
    made += face.reshape(len(face), -1)
    return np.clip(made, 0, 1, out=made).reshape(face.shape)


def with_colours_of(restored: F32Array, given: F32Array) -> F32Array:
    """Return a restored face whose coarse colours are those of the face that the restorer was given.

    Restorers shift colours. What is wider than a lip comes from `given`, the detail from `restored`.

    Args:
        restored: BGR in [0, 1], shape (S, S, 3).
        given: The same.
    """
    was, became = (cv2.resize(face, (COARSE_PX, COARSE_PX), interpolation=cv2.INTER_AREA) for face in (given, restored))
    soft = cv2.GaussianBlur(was - became, (0, 0), COARSE_BLUR_PX, borderType=cv2.BORDER_REPLICATE)
    coarse = cv2.resize(soft, restored.shape[1::-1], interpolation=cv2.INTER_CUBIC)
    coarse += restored
    return np.asarray(np.clip(coarse, 0, 1, out=coarse), np.float32)


def _smoothstep(x: _Floats) -> _Floats:
    t = np.minimum(np.maximum(x, 0), 1)
    return cast("_Floats", t * t * (3 - 2 * t))
