"""Distances over the faces of several videos."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from lipwise_ray.metrics.kid import kernel_distance
from lipwise_ray.metrics.lse import SHIFTS
from lipwise_ray.pipeline.quality.evaluation_sums import Measured
from lipwise_ray.pipeline.quality.face_distances import face_distances
from lipwise_ray.state import layout
from lipwise_ray.state.store import LocalStore
from lipwise_ray.values import F32Array


def _faces(seed: int, shift: float = 0.0) -> F32Array:
    return np.random.default_rng(seed).normal(shift, 1, (20, 4)).astype(np.float32)


def test_distances_are_over_all_faces_of_a_group(tmp_path: Path) -> None:
    """As of one set of faces; while a record of one video is missing there is none, for it would be another figure."""
    store = LocalStore(tmp_path / "state")
    sides = [(_faces(number), _faces(10 + number, 0.7)) for number in range(3)]
    keys = [layout.measured("a", 0), layout.measured("a", 1), layout.measured("b", 0)]
    for key, side in zip(keys, sides, strict=True):
        Measured(np.zeros(0, np.int64), np.zeros((0, SHIFTS), np.float32), {}, *side).save(tmp_path / "m.npz")
        store.put_file(key, tmp_path / "m.npz")
    found = face_distances(store, {"a": 2, "b": 1})
    assert found is not None
    assert found.faces == 60
    assert found.kid == pytest.approx(kernel_distance(*(np.concatenate(side) for side in zip(*sides, strict=True))))
    assert found.fid is not None
    assert found.fid > 1
    store.remove(keys[1])
    assert face_distances(store, {"a": 2, "b": 1}) is None
