"""What the figures of dubbed beside true lips say."""

from __future__ import annotations

import pytest

from lipwise_ray.metrics.mouth import MouthLikeness
from lipwise_ray.pipeline.quality.demo_sync import DemoComparison, gap_closed

UNKNOWN = MouthLikeness(None, None)


@pytest.mark.parametrize(("after", "closed"), [(0.8, 0.0), (0.5, 0.5), (0.2, 1.0), (0.1, 1.0), (1.2, 0.0)])
def test_more_than_the_whole_gap_is_not_better(after: float, closed: float) -> None:
    """A judge may like drawn lips more than true ones; that counts as the gap closed."""
    assert gap_closed(0.8, after, 0.2) == pytest.approx(closed)
    assert DemoComparison("a", 0.8, after, 0.2, UNKNOWN).gap_closed == pytest.approx(closed)


def test_no_gap_is_not_closed() -> None:
    """Where the true lips are no nearer to the sound than the filmed ones there is nothing to close."""
    assert DemoComparison("a", 0.2, 0.1, 0.2, UNKNOWN).gap_closed is None
    assert DemoComparison("a", None, 0.1, 0.2, UNKNOWN).gap_closed is None
