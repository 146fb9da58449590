"""Laying an image over a region, of which only the part that changes is computed."""

from __future__ import annotations

from fractions import Fraction
from typing import Any

import cv2
import numpy as np
import pytest

from lipwise_ray.media.blending import blend
from lipwise_ray.media.grain import Grain, with_grain
from lipwise_ray.media.overlay import write_region
from lipwise_ray.media.pixels import planar_format, plane_array, yuv_from_bgr
from lipwise_ray.media.region import Canvas, box_to_shown, plane_map, shown_part, touched
from lipwise_ray.synth.clips import ClipSpec, draw_frame
from lipwise_ray.values import ColorTags, Size

SIZE, SIDE_PX = Size(320, 240), 48


def _frame(name: str) -> tuple[Any, Canvas]:
    shape = planar_format(name)
    assert shape is not None
    drawn = draw_frame(ClipSpec(size=SIZE, pixel_format=name, rate=Fraction(25)), 5)
    return drawn, Canvas(SIZE, shape, ColorTags(matrix=6))


@pytest.mark.parametrize("name", ["yuv420p", "yuv444p", "yuv422p10le", "gray"])
@pytest.mark.parametrize("kernel", ["cubic", "linear"])
@pytest.mark.parametrize("grain", [None, Grain(7, 3.0)])
@pytest.mark.parametrize(
    ("box", "degrees"), [((40, 30, 180, 200), 0.0), ((41.3, 30.7, 177.1, 190), 11.0), ((-50, 120, 90, 300), -7.0)]
)
def test_leaving_out_what_does_not_change_changes_no_sample(
    name: str, kernel: Any, grain: Grain | None, box: tuple[float, ...], degrees: float
) -> None:
    """All planes are what they are when OpenCV resamples and mixes each with a wide margin around the image.

    Upright images are resampled by sums in another order: few samples are another level, none is another by two.
    """
    frame, canvas = _frame(name)
    planes = [plane_array(frame, plane).copy() for plane in range(canvas.format.planes)]
    random = np.random.default_rng(3)
    image = random.random((SIDE_PX, SIDE_PX, 3), np.float32)
    weight = np.zeros((SIDE_PX, SIDE_PX), np.float32)
    weight[18:45, 5:41] = random.random((27, 36), np.float32)
    to_shown = box_to_shown(np.array(box, np.float32), SIDE_PX, degrees)
    write_region(frame, canvas, to_shown, image, weight, kernel=kernel, linear_light=True, grain=grain)
    matrix, offset = yuv_from_bgr(canvas.color, SIZE.height, canvas.format.bits)
    yuv = cv2.split(cv2.transform(image, np.column_stack([matrix, offset])))
    peak = float((1 << canvas.format.bits) - 1)
    flags = cv2.INTER_CUBIC if kernel == "cubic" else cv2.INTER_LINEAR
    for plane, whole in enumerate(planes):
        to_plane = plane_map(to_shown, *canvas.format.shifts(plane))
        window = touched(to_plane, shown_part(weight), whole)
        assert window is not None
        top, left = (one.start for one in window)
        shifted, extent = to_plane - np.array([[0, 0, left], [0, 0, top]]), whole[window].shape[::-1]
        fresh = np.asarray(
            cv2.warpAffine(yuv[plane], shifted, extent, flags=flags, borderMode=cv2.BORDER_REPLICATE), np.float32
        )
        alpha = np.asarray(cv2.warpAffine(weight, shifted, extent, flags=cv2.INTER_LINEAR), np.float32)
        if grain is not None and not plane:
            fresh = with_grain(fresh, alpha, peak, grain, top, left)
        before = whole.copy()
        blend(whole[window], fresh, np.minimum(alpha, 1), peak=peak, black=None if plane else float(offset[0]))
        apart = np.abs(plane_array(frame, plane).astype(int) - whole)
        assert apart.max() <= (degrees == 0)
        assert np.count_nonzero(apart) < 0.002 * apart.size
        assert not np.array_equal(whole, before)
