"""Measurements of a finished video: records of its stretches, and the figures that come of them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from lipwise_ray.metrics.fid import Moments, frechet
from lipwise_ray.metrics.fidelity import psnr
from lipwise_ray.metrics.lse import SHIFTS, Curve
from lipwise_ray.pipeline.quality.face_means import SHARPNESS_SUMS, sharpness_of_sums
from lipwise_ray.pipeline.quality.size_fit import SizeFit
from lipwise_ray.state import layout
from lipwise_ray.state.face_records import FlickerMeans, SharpnessMeans
from lipwise_ray.state.job_result import Fidelity
from lipwise_ray.state.store import Store, load_file
from lipwise_ray.storage.address import shown
from lipwise_ray.storage.arrays import ArraySpec, read_npz
from lipwise_ray.values import F32Array, F64Array, I64Array

NO_FEATURES = np.zeros((0, 1), np.float32)
_DIGITS = 4
_ARRAYS = {
    "at": ArraySpec("int64", ("W",)),
    "distances": ArraySpec("float32", ("W", SHIFTS)),
    "video": ArraySpec("float32", ("N", "V")),
    "reference": ArraySpec("float32", ("N", "V")),
    "names": ArraySpec("U", ("S",)),
    "values": ArraySpec("float64", ("S",)),
}
_AT_A_TIME = 2048


@dataclass(frozen=True, slots=True)
class Measured:
    """Measurements of a stretch of a video.

    Attributes:
        at: First frames of the windows of lips, of 1/25 s, shape (W,).
        distances: Of lips and sound at all shifts, shape (W, 31).
        sums: Totals by what was measured, and how many were added up.
        video, reference: Features of faces, shape (N, 2048).
    """

    at: I64Array
    distances: F32Array
    sums: dict[str, float]
    video: F32Array
    reference: F32Array

    def save(self, path: Path) -> None:
        """Write as .npz."""
        arrays: dict[str, Any] = {"at": self.at, "distances": self.distances}
        arrays |= {"video": self.video, "reference": self.reference}
        names, values = np.array(list(self.sums), "U32"), np.array(list(self.sums.values()), np.float64)
        np.savez_compressed(path, **arrays, names=names, values=values)

    @staticmethod
    def load(path: Path) -> Measured:
        """Read the measurements that `save` wrote.

        Raises:
            ValueError: The file is damaged.
        """
        data = read_npz(path, _ARRAYS)
        sums = {str(name): float(value) for name, value in zip(data["names"], data["values"], strict=True)}
        return Measured(data["at"], data["distances"], sums, data["video"], data["reference"])


@dataclass(slots=True)
class Spread:
    """Distributions of the faces of videos and of their references, over any number of stretches and rows."""

    pictures: int = 0
    """Number of faces on either side."""
    _moments: list[Moments] = field(default_factory=list[Moments])
    _waiting: list[tuple[F32Array, F32Array]] = field(default_factory=list[tuple[F32Array, F32Array]])

    def add(self, part: Measured) -> None:
        """Take in a stretch."""
        if len(part.video):
            self.pictures += len(part.video)
            self._waiting.append((part.video, part.reference))
            if sum(len(video) for video, _ in self._waiting) >= _AT_A_TIME:
                self._take_in()

    def _take_in(self) -> None:
        """Join what waits; many features at a time, for moments are as large as 2048 of them."""
        sides = zip(*self._waiting, strict=True)
        more = [Moments.of(np.concatenate(side)) for side in sides]
        known = self._moments
        self._moments = [a.joined(b) for a, b in zip(known, more, strict=True)] if known else more
        self._waiting = []

    def distance(self) -> float | None:
        """Return the Fréchet inception distance; None for fewer than two images."""
        if self._waiting:
            self._take_in()
        return frechet(*self._moments) if self._moments else None


@dataclass(slots=True)
class Totals:
    """All that a video's stretches left, added up.

    Attributes:
        total: Distances at each shift, summed over windows, shape (31,).
        windows: Number of windows that were summed.
        broken: Number of those left out, for a distance that is not finite.
        curve: LSE-C by second.
        sums: Totals by what was measured, and by ``<name>_count`` how many were added up.
        spread: Features of faces.
    """

    total: F64Array = field(default_factory=lambda: np.zeros(SHIFTS))
    windows: int = 0
    broken: int = 0
    curve: Curve = field(default_factory=Curve)
    sums: dict[str, float] = field(default_factory=dict[str, float])
    spread: Spread = field(default_factory=Spread)

    def add(self, part: Measured) -> None:
        """Take in a stretch."""
        whole = np.isfinite(part.distances).all(axis=1)
        self.total += part.distances[whole].sum(axis=0, dtype=np.float64)
        self.windows += int(whole.sum())
        self.broken += int((~whole).sum())
        self.curve.add(part.at[whole], part.distances[whole])
        for name, value in part.sums.items():
            self.sums[name] = self.sums.get(name, 0.0) + value
        self.spread.add(part)

    def mean(self, name: str) -> float | None:
        """Return the mean of a figure, None where nothing was added up."""
        count = self.sums.get(f"{name}_count", 0)
        return self.sums[name] / count if count else None


def flicker_of(totals: Totals) -> FlickerMeans:
    """Return the flicker of the faces, and of the reference's."""
    return FlickerMeans(
        dubbed=_rounded(totals.mean("flicker")),
        filmed=_rounded(totals.mean("filmed")),
        faces=int(totals.sums.get("flicker_count", 0)),
    )


def sharpness_of(totals: Totals) -> SharpnessMeans | None:
    """Return the sharpness of the mouths beside the reference's; None where no face was compared."""
    sums = [totals.sums.get(f"sharp_{name}", 0.0) for name in SHARPNESS_SUMS]
    return sharpness_of_sums(sums) if sums[-1] else None


@dataclass(frozen=True, slots=True)
class Pairing:
    """Pairing of a video with its reference.

    Attributes:
        reference: The reference's address.
        fit: The video's frames on the reference's, or the reason why no pixels were compared.
        size: The size that the video was brought from and to, in words.
        start_s: Where the part of the reference begins that the video shows.
        lag_s: By so much the video comes later than that part.
        video_s, reference_s: Lengths of the video and of that part.
        is_still: The reference is one image, which is beside every frame.
    """

    reference: str
    fit: SizeFit | str
    size: str
    start_s: float
    lag_s: float
    video_s: float
    reference_s: float
    is_still: bool

    @property
    def compared_s(self) -> float:
        """Length of the part that both have."""
        if isinstance(self.fit, str):
            return 0.0
        if self.is_still:
            return self.video_s
        return max(0.0, min(self.video_s, self.reference_s + self.lag_s) - max(0.0, self.lag_s - self.start_s))


def fidelity_of(pairing: Pairing, absent: Mapping[str, str], totals: Totals) -> Fidelity:
    """Return the likeness of a video to its reference.

    Args:
        pairing: How they were paired.
        absent: Reasons, by figure, why it cannot be told, for want of checkpoints.
        totals: Of the video's stretches.
    """
    square, face_square = totals.mean("square"), totals.mean("face_square")
    figures = {
        "psnr": psnr(square) if square is not None else None,
        "ssim": totals.mean("ssim"),
        "face_psnr": psnr(face_square) if face_square is not None else None,
        "face_ssim": totals.mean("face_ssim"),
        "fid": totals.spread.distance(),
        "identity_distance": totals.mean("identity"),
        "mouth_distance": totals.mean("mouth"),
    }
    why = dict(absent)
    none_at_all = "the reference ends before the video's first picture" if square is None else ""
    is_fitted = isinstance(pairing.fit, SizeFit)
    if isinstance(pairing.fit, str):
        none_at_all, why = pairing.fit, {}
    for name, value in figures.items():
        if value is None and name not in why:
            why[name] = none_at_all or _why_not(name, square if name == "psnr" else face_square)
    return Fidelity(
        reference=shown(pairing.reference),
        pictures=int(totals.sums.get("square_count", 0)),
        faces=int(totals.sums.get("face_square_count", 0)),
        after_its_end=int(totals.sums.get("beyond_count", 0)),
        **{name: _rounded(value) for name, value in figures.items()},
        fitted=pairing.size if is_fitted and pairing.size else None,
        lag_s=_rounded(pairing.lag_s) if is_fitted and not pairing.is_still else None,
        compared_s=_rounded(pairing.compared_s),
        reference_s=None if pairing.is_still else _rounded(pairing.reference_s),
        why=why,
    )


def _rounded(value: float | None) -> float | None:
    return None if value is None else round(value, _DIGITS)


def _why_not(name: str, square: float | None) -> str:
    if square is None:
        return "no face is found"
    if name.endswith("psnr"):
        return "the pictures are equal"
    return "needs two pictures of faces" if name == "fid" else "the pictures are too small"


def overall_distance(store: Store, jobs: Mapping[str, int]) -> tuple[float | None, int]:
    """Return the Fréchet inception distance over all faces of several videos, and how many faces there were.

    Args:
        store: The state.
        jobs: The videos' evaluations, and into how many stretches each was cut.
    """
    spread = Spread()
    for job_id, stretches in jobs.items():
        for number in range(stretches):
            part = load_file(store, layout.measured(job_id, number), Measured.load)
            if part is None:  # damaged, or gone
                return None, spread.pictures  # a figure over some of them would pass for one over all
            spread.add(part)
    return spread.distance(), spread.pictures
