"""Distances between the faces of several evaluated videos and those of their references."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np

from lipwise_ray.metrics.kid import kernel_distance
from lipwise_ray.pipeline.quality.evaluation_sums import Measured, Spread
from lipwise_ray.state import layout
from lipwise_ray.state.store import Store, load_file
from lipwise_ray.values import F32Array

FEW_FACES = 500
"""Below so many the Fréchet distance says more of their number than of the faces."""

_MOST_KEPT = 4000
"""Pairs of faces: their features take 16 KiB each."""


@dataclass(frozen=True, slots=True)
class FaceDistances:
    """Distances of a group of videos.

    Attributes:
        fid: Fréchet inception distance; None for fewer than two faces.
        kid: Kernel inception distance, over at most 4,000 faces taken evenly.
        faces: Number of faces on either side.
    """

    fid: float | None
    kid: float | None
    faces: int


@dataclass(slots=True)
class _EvenSample:
    """Every so-many-th pair of features, so that there are never more than some."""

    _step: int = 1
    _seen: int = 0
    _kept: list[tuple[F32Array, F32Array]] = field(default_factory=list[tuple[F32Array, F32Array]])

    def add(self, video: F32Array, reference: F32Array) -> None:
        for pair in zip(video, reference, strict=True):
            if self._seen % self._step == 0:
                self._kept.append((pair[0].copy(), pair[1].copy()))
                if len(self._kept) > _MOST_KEPT:
                    self._kept, self._step = self._kept[::2], self._step * 2
            self._seen += 1

    def distance(self) -> float | None:
        if not self._kept:
            return None
        video, reference = zip(*self._kept, strict=True)
        return kernel_distance(np.stack(video), np.stack(reference))


def face_distances(store: Store, jobs: Mapping[str, int]) -> FaceDistances | None:
    """Return the distances over all faces of several videos; None where a record of them is missing or damaged.

    A figure over some of the faces would pass for one over all.

    Args:
        store: The state.
        jobs: The videos' evaluations, and into how many stretches each was cut.
    """
    spread, sample = Spread(), _EvenSample()
    for job_id, stretches in jobs.items():
        for number in range(stretches):
            part = load_file(store, layout.measured(job_id, number), Measured.load)
            if part is None:
                return None
            spread.add(part)
            if len(part.video):
                sample.add(part.video, part.reference)
    return FaceDistances(spread.distance(), sample.distance(), spread.pictures)
