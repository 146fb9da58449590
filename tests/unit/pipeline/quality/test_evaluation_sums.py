"""Figures of a finished video, from sums of its stretches."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from lipwise_ray.metrics.lse import SHIFTS
from lipwise_ray.pipeline.quality.evaluation_sums import (
    NO_FEATURES,
    Measured,
    Pairing,
    Totals,
    fidelity_of,
    flicker_of,
    overall_distance,
)
from lipwise_ray.pipeline.quality.size_fit import SizeFit
from lipwise_ray.state import layout
from lipwise_ray.state.store import LocalStore
from lipwise_ray.values import Size

PAIRED = Pairing(
    reference="/refs/r.mp4",
    fit=SizeFit(0, 0, Size(64, 48), 1.0, 1.0),
    size="",
    start_s=0.0,
    lag_s=0.0,
    video_s=2.0,
    reference_s=1.0,
    is_still=False,
)
NONE_HEARD = (np.zeros(0, np.int64), np.zeros((0, SHIFTS), np.float32))


def _part(sums: dict[str, float] | None = None, faces: tuple[Any, Any] = (NO_FEATURES, NO_FEATURES)) -> Measured:
    return Measured(*NONE_HEARD, sums or {}, *faces)


def _faces(seed: int, count: int = 12) -> tuple[Any, Any]:
    rng = np.random.default_rng(seed)
    return rng.normal(size=(count, 4)).astype(np.float32), rng.normal(0.5, size=(count, 4)).astype(np.float32)


def _totals(*parts: Measured) -> Totals:
    totals = Totals()
    for part in parts:
        totals.add(part)
    return totals


def test_means_do_not_depend_on_how_a_video_is_cut() -> None:
    """Sums and their counts are added up before they are divided."""
    cut = _totals(_part({"ssim": 1.8, "ssim_count": 2}), _part({"ssim": 0.3, "ssim_count": 1}))
    assert cut.mean("ssim") == pytest.approx(_totals(_part({"ssim": 2.1, "ssim_count": 3})).mean("ssim"))
    assert cut.mean("face_ssim") is None


def test_a_window_without_numbers_is_counted_and_not_added() -> None:
    """One that a network gave no number for spoils neither the figure nor its curve."""
    distances = np.ones((3, SHIFTS), np.float32)
    distances[1, 7] = np.nan
    totals = _totals(Measured(np.arange(3), distances, {}, NO_FEATURES, NO_FEATURES))
    assert (totals.windows, totals.broken) == (2, 1)
    assert totals.total.tolist() == [2.0] * SHIFTS


def test_every_figure_that_is_none_says_why() -> None:
    """Equal images have no PSNR, a video beside nothing has no figure at all, and absent checkpoints are named."""
    equal = {"square": 0.0, "square_count": 4, "ssim": 4.0, "ssim_count": 4, "beyond_count": 2}
    found = fidelity_of(PAIRED, {"fid": "inception_fid is not installed"}, _totals(_part(equal)))
    assert (found.psnr, found.ssim, found.pictures, found.after_its_end) == (None, 1.0, 4, 2)
    assert found.why["psnr"] == "the pictures are equal"
    assert found.why["face_psnr"] == "no face is found"
    assert found.why["fid"] == "inception_fid is not installed"
    nothing = fidelity_of(PAIRED, {}, _totals())
    assert set(nothing.why.values()) == {"the reference ends before the video's first picture"}
    assert len(nothing.why) == 7


def test_flicker_is_a_mean_over_all_faces() -> None:
    """The reference's is told beside it; a video without faces has none."""
    sums = {"flicker": 6.0, "flicker_count": 4, "filmed": 2.0, "filmed_count": 4}
    found = flicker_of(_totals(_part(sums), _part()))
    assert (found.dubbed, found.filmed, found.faces) == (1.5, 0.5, 4)
    assert flicker_of(_totals()).dubbed is None


def test_a_record_is_read_as_it_was_written(tmp_path: Path) -> None:
    """And one that was cut off is a ValueError, by which it is measured again."""
    path = tmp_path / "m.npz"
    part = Measured(np.arange(2), np.ones((2, SHIFTS), np.float32), {"ssim": 0.5, "ssim_count": 1}, *_faces(1))
    part.save(path)
    known = Measured.load(path)
    assert known.sums == part.sums
    assert np.array_equal(known.video, part.video)
    assert known.distances.shape == (2, SHIFTS)
    path.write_bytes(path.read_bytes()[:300])
    with pytest.raises(ValueError, match=r"m\.npz"):
        Measured.load(path)


def test_the_distance_of_all_videos_is_over_all_of_their_faces(tmp_path: Path) -> None:
    """As if they were one video; while one stretch of one of them is missing there is no such figure."""
    store, parts = LocalStore(tmp_path / "state"), [_part(faces=_faces(seed)) for seed in range(3)]
    keys = [layout.measured("a", 0), layout.measured("a", 1), layout.measured("b", 0)]
    for key, part in zip(keys, parts, strict=True):
        part.save(tmp_path / "m.npz")
        store.put_file(key, tmp_path / "m.npz")
    expected = _totals(*parts).spread.distance()
    distance, faces = overall_distance(store, {"a": 2, "b": 1})
    assert faces == 36
    assert distance == pytest.approx(expected)
    assert distance is not None
    assert distance > 0
    store.remove(keys[1])
    assert overall_distance(store, {"a": 2, "b": 1})[0] is None
