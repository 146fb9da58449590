"""Luma of a region as it is stored."""

from __future__ import annotations

import numpy as np
import pytest

from lipwise_ray.media.orientation import Orientation
from lipwise_ray.media.pixels import planar_format
from lipwise_ray.media.region import Canvas, box_to_shown, read_luma
from lipwise_ray.media.stored_luma import stored_luma
from lipwise_ray.synth.clips import ClipSpec, draw_frame
from lipwise_ray.values import ColorTags, Size

SIZE = Size(160, 120)
ORIENTATIONS = [*(Orientation.clockwise(degrees) for degrees in (0, 90, 180, 270)), Orientation(-1.0, 0.0, 0.0, 1.0)]


def _canvas(name: str, orientation: Orientation) -> Canvas:
    shape = planar_format(name)
    assert shape is not None
    return Canvas(SIZE, shape, ColorTags(matrix=6), orientation)


@pytest.mark.parametrize("orientation", ORIENTATIONS)
@pytest.mark.parametrize("name", ["yuv420p", "yuv422p10le"])
@pytest.mark.parametrize("corner", [(20, 30), (-12, -9), (100, 80)])
def test_it_is_what_a_crop_of_the_same_size_shows(orientation: Orientation, name: str, corner: tuple[int, int]) -> None:
    """However the frame is turned and mirrored, over its edges too, a crop of whole pixels is those pixels."""
    canvas, (left, top) = _canvas(name, orientation), corner
    frame = draw_frame(ClipSpec(size=SIZE, pixel_format=name), 3)
    to_shown = box_to_shown(np.array([left, top, left + 64, top + 64], np.float64), 64)
    luma = stored_luma(frame, canvas, to_shown, 64)
    assert luma is not None
    assert np.array_equal(luma, read_luma(frame, canvas, to_shown, 64))


def test_a_narrow_region_has_as_many_samples_as_it_covers() -> None:
    """Samples whose centres lie in it are all there, and no others; a region that leans has none."""
    canvas, frame = _canvas("yuv420p", Orientation()), draw_frame(ClipSpec(size=SIZE), 3)
    box = np.array([30.6, 20.4, 70.4, 110.6], np.float64)
    luma = stored_luma(frame, canvas, box_to_shown(box, 48), 48)
    assert luma is not None
    assert luma.shape == (91, 39)
    whole = box_to_shown(np.array([31, 20, 95, 84], np.float64), 64)
    assert np.array_equal(luma[:64], read_luma(frame, canvas, whole, 64)[:, :39])
    assert stored_luma(frame, canvas, box_to_shown(box, 48, 10.0), 48) is None
