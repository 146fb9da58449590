"""The part of a crop that LatentSync draws anew."""

from __future__ import annotations

import numpy as np
import pytest

from lipwise_ray.lipsync.latentsync_mask import drawn_opacity, kept_pixels


@pytest.mark.parametrize(
    ("row", "first", "last"),
    [(95, 9, 246), (127, 9, 246), (128, 9, 247), (160, 11, 245), (192, 26, 230), (224, 64, 196), (242, 131, 152)],
)
def test_rows_are_the_published_ones(row: int, first: int, last: int) -> None:
    """Rows that were measured in the published mask have their first and last hidden columns there."""
    hidden = np.flatnonzero(kept_pixels(256)[row] == 0)
    assert (hidden[0], hidden[-1]) == (first, last)


def test_what_is_kept_is_one() -> None:
    """Above the cheeks, on the nose and below the chin the face is shown to the network: 1, where it draws 0."""
    kept = kept_pixels(256)
    assert set(np.unique(kept)) == {0, 1}
    assert kept[:95].min() == kept[243:].min() == kept[95:128, 78:178].min() == 1
    assert kept[128:160, 12:245].max() == 0


def test_larger_crops_have_soft_edges() -> None:
    """At 512 pixels the published mask is resampled: about 133 of its 4096 cells of latents lie between 0 and 1."""
    cells = kept_pixels(512)[::8, ::8]
    assert 120 < int(((cells > 0) & (cells < 1)).sum()) < 146


@pytest.mark.parametrize("side_px", [256, 512])
def test_nothing_is_drawn_over_what_is_kept(side_px: int) -> None:
    """What was drawn fades out before it meets what the network was shown, and is whole around the mouth."""
    opacity = drawn_opacity(side_px)
    assert float((opacity * kept_pixels(side_px)).max()) < 0.02
    middle = opacity[int(0.6 * side_px) : int(0.7 * side_px), int(0.3 * side_px) : int(0.7 * side_px)]
    assert float(middle.min()) == 1
    assert 0 <= opacity.min() < opacity.max() <= 1
