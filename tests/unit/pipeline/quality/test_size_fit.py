"""Videos of another size than their reference's."""

from __future__ import annotations

import numpy as np
import pytest

from lipwise_ray.media.pixels import planar_format
from lipwise_ray.media.region import Canvas
from lipwise_ray.pipeline.quality.size_fit import SizeFit, size_fit
from lipwise_ray.values import ColorTags, Size


def _canvas(width: int, height: int, sample_aspect: float = 1.0) -> Canvas:
    planar = planar_format("yuv420p")
    assert planar is not None
    return Canvas(Size(width, height), planar, ColorTags(), sample_aspect=sample_aspect)


def test_sizes_rounded_to_even_numbers_are_one_shape() -> None:
    """854 pixels for 853.3 are scaled; boxes go along."""
    found = size_fit(_canvas(854, 480), _canvas(1280, 720), "scale")
    assert isinstance(found, SizeFit)
    assert found.size == Size(1280, 720)
    assert found.box(np.array([427, 240, 854, 480], np.float32)) == pytest.approx([640, 360, 1280, 720])
    assert found.scaled(np.zeros((480, 854), np.float32)).shape == (720, 1280)


@pytest.mark.parametrize(
    ("width", "height", "part"), [(512, 512, (280, 0, 720, 720)), (1000, 400, (0, 104, 1280, 512))]
)
def test_the_middle_is_cut_to_the_videos_shape(width: int, height: int, part: tuple[int, int, int, int]) -> None:
    """At the sides for a narrow video, above and below for a wide one; a point in the middle stays there."""
    found = size_fit(_canvas(width, height), _canvas(1280, 720), "crop")
    assert isinstance(found, SizeFit)
    assert (found.left, found.top, found.size.width, found.size.height) == part
    assert found.points(np.array([width / 2, height / 2], np.float32)) == pytest.approx([640, 360])
    assert found.part(np.zeros((720, 1280), np.float32)).shape == (part[3], part[2])


def test_pixels_that_are_not_square_count_as_they_are_shown() -> None:
    """720x576 at 64:45 is 16:9: of one shape with 1280x720, though the numbers are not."""
    assert isinstance(size_fit(_canvas(720, 576, 64 / 45), _canvas(1280, 720), "scale"), SizeFit)


def test_nothing_is_scaled_where_that_is_off() -> None:
    """The reason names both sizes."""
    assert "640x360" in str(size_fit(_canvas(640, 360), _canvas(1280, 720), "off"))
    assert size_fit(_canvas(1280, 720), _canvas(1280, 720), "off") == SizeFit(0, 0, Size(1280, 720), 1.0, 1.0)
