"""What every implementation of `Planes` does, and that they do the same."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import av
import cv2
import numpy as np
import pytest
import torch

from lipwise_ray.lipsync.device_planes import DevicePlanes
from lipwise_ray.media.grain import Grain
from lipwise_ray.media.orientation import Orientation
from lipwise_ray.media.pixels import planar_format, plane_array, yuv_from_bgr
from lipwise_ray.media.planes import FaceLayer, HostImage, HostPlanes, Planes, View
from lipwise_ray.media.region import Canvas, Kernel, box_to_shown, compose, inverted, plane_map
from lipwise_ray.values import ColorTags, F32Array, F64Array, Size

DEVICES = ["cpu", *(["cuda"] if torch.cuda.is_available() else [])]
SIZE = Size(161, 119)
FORMATS = ["yuv420p", "yuv422p", "yuv444p", "yuv420p10le", "yuv444p12le", "gray", "gray10le"]
KERNELS: list[Kernel] = ["cubic", "linear"]
ROTATED = Canvas(SIZE, planar_format("yuv420p"), ColorTags(matrix=6), Orientation.clockwise(90))  # type: ignore[arg-type]  # it is one
SHAPES = {
    "upright": (ROTATED, Orientation(), 1.0, 0.0),
    "on its side": (ROTATED, Orientation.clockwise(270), 1.0, 0.0),
    "mirrored": (ROTATED, Orientation(-1.0, 0.0, 0.0, 1.0), 1.0, 0.0),
    "anamorphic": (ROTATED, Orientation(), 64 / 45, 0.0),
    "leaning head": (ROTATED, Orientation(), 1.0, 17.0),
    "tilted frame": (ROTATED, Orientation(0.96, -0.28, 0.28, 0.96), 1.0, -8.0),
}
FRAMES = [*((name, "upright") for name in FORMATS), *(("yuv420p", shape) for shape in list(SHAPES)[1:])]
BOXES = [
    (40.25, 30.5, 71.5, 62.0),
    (20.0, 15.0, 116.0, 111.0),
    (-31.5, -20.25, 50.0, 64.0),
    (90.0, 70.0, 230.75, 210.0),
    (-300.0, -260.0, 500.0, 540.0),
    (70.0, 50.0, 79.0, 59.0),
    (400.0, 300.0, 470.0, 370.0),
]
"""Regions: smaller than the image, as large, over the frame's edges, larger than the frame, tiny, wholly outside."""


def _canvas(name: str, shape: str = "upright") -> tuple[Canvas, float]:
    pixel_format = planar_format(name)
    assert pixel_format is not None
    _, orientation, aspect, roll = SHAPES[shape]
    return Canvas(SIZE, pixel_format, ColorTags(matrix=6), orientation, aspect), roll


def _frame(canvas: Canvas, seed: int) -> Any:
    """A frame of colours that all exist, with edges, and noise in some of it."""
    rng = np.random.default_rng(seed)
    frame = av.VideoFrame(canvas.size.width, canvas.size.height, canvas.format.name)
    for plane in range(canvas.format.planes):
        samples = plane_array(frame, plane)
        coarse = rng.integers(100, 150, (7, 9)).astype(np.float32)
        values = cv2.resize(
            coarse, samples.shape[::-1], interpolation=cv2.INTER_NEAREST if seed % 2 else cv2.INTER_LINEAR
        )
        if not plane:
            values = values + rng.standard_normal(samples.shape) * 4
        samples[:] = np.rint(np.clip(values, 60, 190) * (1 << (canvas.format.bits - 8)))
    return frame


def _views(canvas: Canvas, roll: float, size_px: int) -> list[View]:
    return [
        View(_frame(canvas, n), box_to_shown(np.array(box, np.float64), size_px, roll, canvas.aspect))
        for n, box in enumerate(BOXES)
    ]


def _planes(views: Sequence[View], canvas: Canvas) -> list[list[Any]]:
    return [[plane_array(view.frame, n).copy() for n in range(canvas.format.planes)] for view in views]


def _mask(size_px: int) -> F32Array:
    fade = np.clip(np.minimum(np.arange(size_px), np.arange(size_px)[::-1]) / (size_px / 6), 0, 1)
    return (fade[:, None] * fade).astype(np.float32)


def _image(size_px: int, seed: int) -> F32Array:
    coarse = np.random.default_rng(seed).random((5, 5, 3)).astype(np.float32) * 0.3 + 0.35
    return np.asarray(cv2.resize(coarse, (size_px, size_px), interpolation=cv2.INTER_CUBIC), np.float32)


def _layers(views: Sequence[View], size_px: int, *, mask: bool, grain: bool) -> list[FaceLayer]:
    return [
        FaceLayer(
            view,
            HostImage(_image(size_px, n)),
            _mask(size_px) if mask else None,
            Grain(n, 6.0 * (n + 1)) if grain else None,
        )
        for n, view in enumerate(views)
    ]


def _yuv(image: F32Array, canvas: Canvas) -> F64Array:
    """An image of BGR as samples of 8 bits."""
    matrix, offset = yuv_from_bgr(canvas.color, canvas.size.height, 8)
    return image.astype(np.float64) @ matrix.T + offset


def _outside(canvas: Canvas, to_shown: F64Array, plane: int, shape: tuple[int, int], size_px: int) -> Any:
    """Pixels of a plane that no kernel can reach from a region."""
    back = inverted(plane_map(compose(canvas.to_stored(), to_shown), *canvas.format.shifts(plane)))
    rows, columns = np.indices(shape)
    at = np.einsum("ij,jhw->ihw", back[:, :2], np.stack([columns, rows])) + back[:, 2, None, None]
    step = max(1.0, 1.01 * float(np.abs(back[:, :2]).sum(axis=1).max()))
    return ((at < -0.5 - step) | (at > size_px - 0.5 + step)).any(axis=0)


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("kernel", KERNELS)
@pytest.mark.parametrize(("name", "shape"), FRAMES)
def test_regions_are_read_alike(name: str, shape: str, kernel: Kernel, device: str) -> None:
    """Whatever the format, the geometry and the size, all implementations see the same image, to a level."""
    canvas, roll = _canvas(name, shape)
    views = _views(canvas, roll, 32)
    expected = HostPlanes().read(canvas, views, 32, kernel=kernel)
    found = DevicePlanes(device).read(canvas, views, 32, kernel=kernel)
    luma = [planes.read_luma(canvas, views, 32) for planes in (HostPlanes(), DevicePlanes(device))]
    for one, other, lit, lit_too in zip(expected, found, *luma, strict=True):
        assert np.abs(_yuv(one.host(), canvas) - _yuv(other.host(), canvas)).max() < 1.05
        assert np.abs(lit.host() - lit_too.host()).max() < 1.05


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("rules", ["mask in linear light", "box"])
@pytest.mark.parametrize(
    ("name", "shape", "kernel"),
    [
        *((*frame, "cubic") for frame in FRAMES),
        ("yuv420p", "upright", "linear"),
    ],
)
def test_regions_are_written_alike(name: str, shape: str, kernel: Kernel, rules: str, device: str) -> None:
    """All implementations lay images over frames alike, to a level, and touch nothing that is outside."""
    mask = linear_light = rules != "box"
    canvas, roll = _canvas(name, shape)
    step = 1 << (canvas.format.bits - 8)
    results = []
    for planes in (HostPlanes(), DevicePlanes(device)):
        views = _views(canvas, roll, 48)
        before = _planes(views, canvas)
        planes.write(canvas, _layers(views, 48, mask=mask, grain=True), kernel=kernel, linear_light=linear_light)
        after = _planes(views, canvas)
        for view, olds, news in zip(views, before, after, strict=True):
            for plane, (old, new) in enumerate(zip(olds, news, strict=True)):
                outside = _outside(canvas, view.to_shown, plane, old.shape, 48)
                assert np.array_equal(old[outside], new[outside])
        assert not np.array_equal(before[0][0], after[0][0])
        results.append(after)
    for ones, others in zip(*results, strict=True):
        for one, other in zip(ones, others, strict=True):
            assert np.abs(one.astype(int) - other.astype(int)).max() <= step


@pytest.mark.parametrize("planes", [HostPlanes(), *map(DevicePlanes, DEVICES)])
@pytest.mark.parametrize("shape", ["upright", "leaning head"])
def test_a_region_does_not_depend_on_those_beside_it(planes: Planes, shape: str) -> None:
    """Alone or with others, in any order, a region is read and written the same, to the bit."""
    canvas, roll = _canvas("yuv420p", shape)
    views = _views(canvas, roll, 48)
    masks = [_mask(48)] * len(views)
    together = [one.host() for one in planes.read(canvas, views, 48)]
    noises = planes.noise_around(canvas, views, masks)
    alone = [planes.read(canvas, [view], 48)[0].host() for view in views]
    assert all(np.array_equal(a, b) for a, b in zip(together, alone, strict=True))
    assert noises == [planes.noise_around(canvas, [view], [_mask(48)])[0] for view in views]
    planes.write(canvas, _layers(views, 48, mask=True, grain=True), linear_light=True)
    again = _views(canvas, roll, 48)
    for layer in reversed(_layers(again, 48, mask=True, grain=True)):
        planes.write(canvas, [layer], linear_light=True)
    for ones, others in zip(_planes(views, canvas), _planes(again, canvas), strict=True):
        assert all(np.array_equal(a, b) for a, b in zip(ones, others, strict=True))


@pytest.mark.parametrize("device", DEVICES)
def test_noise_is_found_alike(device: str) -> None:
    """Where a mask fades out the same noise is found, and where there is too little of it, none."""
    canvas, roll = _canvas("yuv420p")
    views = _views(canvas, roll, 48)
    masks = [_mask(48)] * (len(views) - 1) + [np.zeros((48, 48), np.float32)]
    expected = HostPlanes().noise_around(canvas, views, masks)
    found = DevicePlanes(device).noise_around(canvas, views, masks)
    assert [one is None for one in expected] == [one is None for one in found]
    assert {one is None for one in found} == {True, False}
    for one, other in zip(expected, found, strict=True):
        assert one == other or other == pytest.approx(one, rel=1e-3)


@pytest.mark.parametrize("device", DEVICES)
def test_layers_of_one_frame_lie_over_one_another_as_they_come(device: str) -> None:
    """The later one covers the earlier one, also where an image was read on the device and never left it."""
    canvas, _ = _canvas("yuv420p")
    results = []
    for planes in (HostPlanes(), DevicePlanes(device)):
        frame = _frame(canvas, 3)
        whole, part = (
            View(frame, box_to_shown(np.array(box, np.float64), 40)) for box in ((20, 20, 90, 90), (50, 30, 120, 100))
        )
        (seen,) = planes.read(canvas, [View(_frame(canvas, 4), whole.to_shown)], 40)
        layers = [
            FaceLayer(whole, seen, None, None),
            FaceLayer(part, HostImage(_image(40, 7)), _mask(40), None),
            FaceLayer(whole, seen, _mask(40), None),
        ]
        planes.write(canvas, layers)
        results.append([plane_array(frame, n).copy() for n in range(3)])
        planes.write(canvas, layers[::-1])
        assert not np.array_equal(results[-1][0], plane_array(frame, 0))
    for one, other in zip(*results, strict=True):
        assert np.abs(one.astype(int) - other.astype(int)).max() <= 1


def _exact(samples: Any, to_plane: F64Array, size_px: int) -> F64Array:
    """The mean of the cubically interpolated samples over each pixel of a crop, by 24 x 24 places in it."""
    finer = 24
    place = (np.arange(size_px * finer) + 0.5) / finer - 0.5
    crop = np.stack(np.meshgrid(place, place))
    x, y = np.einsum("ij,jhw->ihw", to_plane[:, :2], crop) + to_plane[:, 2, None, None]

    def near(t: F64Array) -> F64Array:
        return (1.25 * t - 2.25) * t * t + 1

    def far(t: F64Array) -> F64Array:
        return ((-0.75 * t + 3.75) * t - 6) * t + 3

    def weights(after: F64Array) -> list[F64Array]:
        return [far(1 + after), near(after), near(1 - after), far(2 - after)]

    left, top, total = np.floor(x).astype(int), np.floor(y).astype(int), np.zeros_like(x)
    for row, weight_y in enumerate(weights(y - top), -1):
        for column, weight_x in enumerate(weights(x - left), -1):
            rows, columns = (
                np.clip(a, 0, s - 1) for a, s in zip((top + row, left + column), samples.shape, strict=True)
            )
            total += weight_y * weight_x * samples[rows, columns]
    return total.reshape(size_px, finer, size_px, finer).mean(axis=(1, 3))


@pytest.mark.parametrize("planes", [HostPlanes(), DevicePlanes("cpu")])
@pytest.mark.parametrize("degrees", [0, 90, 180, 270])
@pytest.mark.parametrize("side", [39.0, 55.5, 83.0])
def test_a_smaller_upright_crop_is_where_it_should_be(planes: Planes, degrees: Any, side: float) -> None:
    """Each pixel is the mean over its own area of the frame, to a level, whatever the rotation: no mouth moves."""
    canvas, _ = _canvas("yuv420p")
    canvas = replace(canvas, orientation=Orientation.clockwise(degrees))
    frame = _frame(canvas, 2)
    to_shown = box_to_shown(np.array([17.3, 21.9, 17.3 + side, 21.9 + side]), 24)
    (luma,) = planes.read_luma(canvas, [View(frame, to_shown)], 24)
    to_plane = plane_map(compose(canvas.to_stored(), to_shown), 0, 0)
    expected = _exact(plane_array(frame, 0).astype(np.float64), to_plane, 24)
    assert np.abs(luma.host() - expected).max() < 1.0
