"""Colours of people."""

from __future__ import annotations

import numpy as np

from lipwise_ray.faces.colour import colours, difference, mean_colours

RED, GREY = (53.2, 80.1, 67.2), (53.6, 0.0, 0.0)
BOXES = np.array([[10, 10, 50, 50], [70, 60, 95, 98]], np.float32)


def test_face_and_clothing_are_apart() -> None:
    """A red face over grey: CIELAB of both; below the picture nothing is known."""
    image = np.full((100, 100, 3), 128, np.uint8)
    image[10:50, 10:50] = image[60:98, 70:95] = (0, 0, 255)
    face, low = colours(image, BOXES)
    assert np.allclose(face, [*RED, *GREY], atol=0.1)
    assert np.allclose(low, [*RED, *[np.nan] * 3], atol=0.1, equal_nan=True)


def test_nobody_has_no_colours() -> None:
    """An image without faces, and a face outside of the image."""
    image = np.zeros((20, 20, 3), np.uint8)
    assert colours(image, np.zeros((0, 4), np.float32)).shape == (0, 6)
    assert np.isnan(colours(image, np.array([[-90, -90, -50, -50]], np.float32))).all()


def test_means_are_of_what_is_known() -> None:
    """Clothing that was seen once counts once."""
    seen = np.array([[10, 0, 0, 30, 1, 2], [20, 0, 0, *[np.nan] * 3]], np.float32)
    assert mean_colours(seen).tolist() == [15, 0, 0, 30, 1, 2]
    assert np.isnan(mean_colours(seen[:0])).all()


def test_differences_are_of_what_both_show() -> None:
    """Of face and clothing, of the face alone, of nothing."""
    new = np.array([10, 0, 0, 30, 0, 0], np.float32)
    unknown = [np.nan] * 3
    old = np.array([[13, 4, 0, 30, 0, 0], [13, 4, 0, *unknown], [*unknown, *unknown]], np.float32)
    assert np.allclose(difference(old, new), [5 / 2**0.5, 5, np.nan], equal_nan=True)
