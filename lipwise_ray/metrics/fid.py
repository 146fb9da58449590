"""The Fréchet distance between two sets of features, from moments that can be added up."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from lipwise_ray.values import F32Array, F64Array

IMAGE_PX = 299
"""Side of the images whose features are compared."""

_FEWEST = 2


@dataclass(frozen=True, slots=True)
class Moments:
    """Mean and spread of features, exact for any order and any division into parts.

    Attributes:
        count: Number of features.
        mean: Shape (D,).
        scatter: Sum of the outer products of their deviations from the mean, shape (D, D).
    """

    count: int
    mean: F64Array
    scatter: F64Array

    @staticmethod
    def of(features: F32Array) -> Moments:
        """Return the moments of features, shape (N, D)."""
        values = features.astype(np.float64)
        mean = values.mean(axis=0) if len(values) else np.zeros(values.shape[1])
        apart = values - mean
        return Moments(len(values), mean, apart.T @ apart)

    def joined(self, other: Moments) -> Moments:
        """Return the moments of both sets together.

        Source: Chan, Golub, LeVeque, Updating formulae and a pairwise algorithm for computing sample variances (1979).
        """
        if not self.count or not other.count:
            return self if self.count else other
        count = self.count + other.count
        apart = other.mean - self.mean
        mean = self.mean + apart * (other.count / count)
        between = np.outer(apart, apart) * (self.count * other.count / count)
        return Moments(count, mean, self.scatter + other.scatter + between)


def frechet(a: Moments, b: Moments) -> float | None:
    """Return the distance of two normal distributions with these moments; None for fewer than two features in a set.

    Few features make it too large: compare only figures of equally many.

    Source: Heusel et al., GANs trained by a two time-scale update rule (2017).
    """
    if min(a.count, b.count) < _FEWEST:
        return None
    spread_a, spread_b = (sums.scatter / (sums.count - 1) for sums in (a, b))
    values, vectors = np.linalg.eigh(spread_a)
    kept = values > values[-1] * len(values) * np.finfo(np.float64).eps
    root = vectors[:, kept] * np.sqrt(values[kept])
    # The eigenvalues of A·B other than nought are those of R'·B·R, with R·R' = A.
    common = np.linalg.eigvalsh(root.T @ spread_b @ root)
    apart = a.mean - b.mean
    cross = np.sqrt(np.clip(common, 0, None)).sum()
    return max(0.0, float(apart @ apart + np.trace(spread_a) + np.trace(spread_b) - 2 * cross))
