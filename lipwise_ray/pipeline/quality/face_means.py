"""Means of what was measured on the dubbed faces of a job's chunks."""

from __future__ import annotations

from collections.abc import Sequence
from math import exp

from lipwise_ray.state.face_records import FlickerMeans, SharpnessMeans
from lipwise_ray.state.markers import ChunkMarker

_DIGITS = 4
_FLICKER_SUMS = 3
SHARPNESS_SUMS = ("dubbed", "filmed", "dubbed_texture", "filmed_texture", "faces")
"""Names of the sums of `lipsync.sharpness.Sharpness`, in the order of its fields."""


def flicker_means(markers: Sequence[ChunkMarker]) -> FlickerMeans:
    """Return the mean flicker of the dubbed faces, and of the original ones."""
    dubbed, filmed, faces = _totals([marker.flicker for marker in markers], _FLICKER_SUMS)
    means = [round(total / faces, _DIGITS) if faces else None for total in (dubbed, filmed)]
    return FlickerMeans(dubbed=means[0], filmed=means[1], faces=int(faces))


def sharpness_means(markers: Sequence[ChunkMarker]) -> SharpnessMeans:
    """Return the mean sharpness of the dubbed mouths: geometric means, of ratios."""
    return sharpness_of_sums(_totals([marker.sharpness for marker in markers], len(SHARPNESS_SUMS)))


def sharpness_of_sums(sums: Sequence[float]) -> SharpnessMeans:
    """Return geometric means, of ratios, for sums by `SHARPNESS_SUMS`."""
    *sums, faces = sums
    if not faces:
        return SharpnessMeans()
    dubbed, filmed, dubbed_texture, filmed_texture = (total / faces for total in sums)
    return SharpnessMeans(
        sharpness=round(exp(dubbed - filmed), _DIGITS),
        texture=round(exp(dubbed_texture - filmed_texture), _DIGITS),
        dubbed=round(exp(dubbed), _DIGITS),
        filmed=round(exp(filmed), _DIGITS),
        faces=int(faces),
    )


def _totals(sums: Sequence[Sequence[float]], count: int) -> list[float]:
    """Return the totals of several chunks' sums; chunks without any, left as they were, count for nothing."""
    return [sum(one[number] for one in sums if one) for number in range(count)]
