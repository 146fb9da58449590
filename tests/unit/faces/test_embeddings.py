"""Embeddings of tracks."""

from __future__ import annotations

import numpy as np
import pytest

from lipwise_ray.faces.embeddings import FaceEmbeddings


def _faces(*rows: tuple[int, tuple[float, ...]]) -> FaceEmbeddings:
    return FaceEmbeddings(np.array([n for n, _ in rows]), np.array([face for _, face in rows]), np.array([0.4]))


def test_stretches_without_faces_add_nothing() -> None:
    """Their records have no number of values, and no bound; of nothing else nothing can be told."""
    part = _faces((3, (1.0, 0.0)), (1, (0.0, 1.0)), (3, (0.6, 0.8)))
    joined = FaceEmbeddings.joined([FaceEmbeddings.empty(), part, FaceEmbeddings.empty()])
    assert joined.track.tolist() == [1, 3]
    assert joined.total.tolist() == [[0.0, 1.0], [1.6, 0.8]]
    assert joined.same.tolist() == [0.4]
    nobody = FaceEmbeddings.joined([FaceEmbeddings.empty(), FaceEmbeddings.empty()])
    assert nobody.same_face([1], [3]) is None
    assert nobody.likeness(part, -1.0)([1]) == -np.inf


@pytest.mark.parametrize(("x", "told"), [(0.41, True), (0.39, None), (0.21, None), (0.19, False)])
def test_faces_are_one_persons_or_twos_or_either(*, x: float, told: bool | None) -> None:
    """From the bound on they are one's, below half of it two's; one without an embedding may be anybody."""
    found = _faces((0, (1.0, 0.0)), (1, (x, np.sqrt(1 - x**2))))
    assert found.same_face([0], [1]) is told
    assert found.same_face([0], [2]) is None
    assert found.sums_of([[1, 0], [2]]).tolist() == [[1.0 + x, np.sqrt(1 - x**2)], [0.0, 0.0]]
