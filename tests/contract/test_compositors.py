"""What every implementation of `Compositor` does, and that they do the same."""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np
import pytest
import torch

from lipwise_ray.lipsync.compositor import Compositor, HostCompositor, ImageLayer, opacity_in
from lipwise_ray.lipsync.device_compositor import DeviceCompositor
from lipwise_ray.media.planes import HostImage
from lipwise_ray.values import F32Array, F64Array

DEVICES = ["cpu", *(["cuda"] if torch.cuda.is_available() else [])]
EVERY: list[Compositor] = [HostCompositor(), *map(DeviceCompositor, DEVICES)]
SIDES = [(160, 160), (192, 384), (48, 96), (32, 32), (64, 64)]
"""Sides of a restorer's inputs and outputs."""

MOST = 0.6 / 255


def _image(side_px: int, seed: int) -> F32Array:
    """An image with areas, edges and noise."""
    rng = np.random.default_rng(seed)
    coarse = rng.random((6, 6, 3)).astype(np.float32)
    image = cv2.resize(coarse, (side_px, side_px), interpolation=cv2.INTER_CUBIC)
    image[side_px // 3 : side_px // 2, : side_px // 2] = 0.8 * image[0, 0]
    return np.clip(image + 0.02 * rng.standard_normal(image.shape), 0, 1).astype(np.float32)


def _images(side_px: int, count: int, seed: int = 0) -> list[HostImage]:
    return [HostImage(_image(side_px, seed + number)) for number in range(count)]


def _layer(side_px: int, to_image: F64Array, opacity: float = 1.0) -> ImageLayer:
    mask = np.zeros((40, 40), np.float32)
    mask[12:36, 6:34] = opacity
    mask = np.asarray(cv2.GaussianBlur(mask, (0, 0), 2), np.float32)
    return ImageLayer(HostImage(_image(40, 77)), to_image, opacity_in(mask, to_image, side_px))


def _layers(side_px: int) -> list[ImageLayer]:
    """Faces upright and leaning, over the edge, outside, and one that is wholly covered."""
    scale = side_px / 50
    return [
        _layer(side_px, np.array([[scale, 0, 3.3], [0, scale, 4.6]])),
        _layer(side_px, np.array([[0.9 * scale, -0.3 * scale, 9.1], [0.3 * scale, 0.9 * scale, 2.2]])),
        _layer(side_px, np.array([[scale, 0, -0.4 * side_px], [0, scale, 0.3 * side_px]])),
        _layer(side_px, np.array([[scale, 0, 3 * side_px], [0, scale, 0]])),
        _layer(side_px, np.array([[scale, 0, 3.3], [0, scale, 4.6]]), opacity=0),
    ]


def _laid_over(compositor: Compositor, side_px: int, numbers: list[int]) -> list[F32Array]:
    layers = _layers(side_px)
    images = [HostImage(_image(side_px, number)) for number in numbers]
    return [one.host() for one in compositor.laid_over(images, [layers[number] for number in numbers])]


def _steadied(
    compositor: Compositor, sides: tuple[int, int], numbers: list[int], smooth: float = 0.7
) -> list[F32Array]:
    """Faces as they are with those around: none, some on one side, and all of seven frames."""
    small, large = sides
    own = _image(large, 5)
    mixed = [own + 0.004 * number * (_image(large, number) - own) for number in range(7)]
    faces = [HostImage(np.asarray(image, np.float32)) for image in mixed]
    details = compositor.detail(compositor.luma(faces), small)
    around = [[0], [-2, -1, 0], [0, 1], [-3, -2, -1, 0, 1, 2, 3]]
    near = [[(distance, details[3 + distance]) for distance in around[number]] for number in numbers]
    return [one.host() for one in compositor.steadied([faces[3]] * len(numbers), near, 0.7)]


def _all(compositor: Compositor, sides: tuple[int, int], order: int = 1) -> list[list[F32Array]]:
    """What a compositor makes of images, all together or, in the other order, one by one."""
    small, large = sides
    together = [[*range(5)]] if order > 0 else [[number] for number in reversed(range(5))]
    made: list[list[Any]] = []
    for numbers in together:
        restored, given = ([_images(side, 5, seed)[n] for n in numbers] for side, seed in ((large, 20), (small, 30)))
        lumas = compositor.luma(restored)
        details = compositor.detail(lumas, small)
        made.append(
            [
                _laid_over(compositor, small, numbers),
                [one.host() for one in lumas],
                [one.fine.host() for one in details],
                [one.coarse.host() for one in details],
                [one.host() for one in compositor.with_colours_of(restored, given)],
                _steadied(compositor, sides, [number % 4 for number in numbers]),
            ]
        )
    return [[image for part in made[::order] for image in part[kind]] for kind in range(6)]


@pytest.mark.parametrize("sides", SIDES)
@pytest.mark.parametrize("compositor", EVERY[1:])
def test_images_are_made_alike(compositor: Compositor, sides: tuple[int, int]) -> None:
    """Laid over, enlarged, steadied, in their colours: all implementations give the same images, to a level."""
    ranges = (MOST, 255 * MOST, 255 * MOST, 255 * MOST, MOST, MOST)
    for most, ones, others in zip(ranges, _all(HostCompositor(), sides), _all(compositor, sides), strict=True):
        for one, other in zip(ones, others, strict=True):
            assert one.shape == other.shape
            assert np.abs(one - other).max() < most


@pytest.mark.parametrize("compositor", EVERY)
def test_an_image_does_not_depend_on_those_beside_it(compositor: Compositor) -> None:
    """Alone or with others, in any order, it is the same, to the bit."""
    for ones, others in zip(_all(compositor, (96, 192)), _all(compositor, (96, 192), -1), strict=True):
        assert all(np.array_equal(one, other) for one, other in zip(ones, others, strict=True))


@pytest.mark.parametrize("compositor", EVERY)
def test_only_the_masked_part_is_laid_over(compositor: Compositor) -> None:
    """Where a mask shows nothing the image stays, to the bit; where it is whole the new face is there."""
    layers = _layers(100)
    for number, image in enumerate(_laid_over(compositor, 100, [*range(5)])):
        old, covered = _image(100, number), layers[number].opacity > 0
        assert np.array_equal(image[~covered], old[~covered])
        assert np.array_equal(image, old) == (not covered.any())
    upright = _laid_over(compositor, 100, [0])[0]
    new = cv2.resize(_image(40, 77), (80, 80), interpolation=cv2.INTER_CUBIC)
    assert np.abs(upright[35:65, 30:60] - new[31:61, 27:57]).mean() < 0.05


@pytest.mark.parametrize("compositor", EVERY)
def test_nothing_is_no_error(compositor: Compositor) -> None:
    """Frames without faces come too."""
    assert not compositor.laid_over([], [])
    assert not compositor.luma([])
    assert not compositor.detail([], 8)
    assert not compositor.steadied([], [], 0.5)
    assert not compositor.with_colours_of([], [])
