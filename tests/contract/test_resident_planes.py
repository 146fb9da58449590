"""Frames whose planes are on a device are read and written as all others are, and nothing of them goes up again."""

from __future__ import annotations

import gc
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
import torch

from lipwise_ray.lipsync.device_copies import DeviceCopies
from lipwise_ray.lipsync.device_planes import DevicePlanes
from lipwise_ray.lipsync.device_resident import hold, resident
from lipwise_ray.lipsync.fading import copied
from lipwise_ray.lipsync.restoration import PatchPlace
from lipwise_ray.media.pixels import plane_array
from lipwise_ray.media.planes import FaceLayer, HostImage, HostPlanes, View
from lipwise_ray.media.region import Canvas
from tests.contract.test_planes import DEVICES, _canvas, _image, _layers, _mask, _planes, _views

SIDE = 48


def _resident_views(canvas: Canvas, roll: float, device: str) -> list[View]:
    views = _views(canvas, roll, SIDE)
    for view in views:
        hold(view.frame, device)
    return views


def _everything(planes: DevicePlanes, canvas: Canvas, views: Sequence[View]) -> list[Any]:
    """What is read before, between and after two layers a frame, of the second of which the first is the ground."""
    masks = [_mask(SIDE)] * len(views)
    found: list[Any] = []
    for layers in (_layers(views, SIDE, mask=True, grain=True), _layers(views[::-1], SIDE, mask=False, grain=False)):
        found += [one.host() for one in planes.read(canvas, views, SIDE)]
        found += [one.host() for one in planes.read_luma(canvas, views, 32)]
        found += planes.noise_around(canvas, views, masks)
        planes.write(
            canvas, [*layers, *(FaceLayer(one.view, HostImage(_image(SIDE, 9)), _mask(SIDE), None) for one in layers)]
        )
    found += [one.host() for one in planes.read(canvas, views, SIDE)]
    return found + [plane for view in _planes(views, canvas) for plane in view]


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize(
    ("name", "shape"),
    [
        pytest.param("yuv420p", "upright", marks=pytest.mark.slow),
        ("yuv420p10le", "on its side"),
        pytest.param("yuv420p", "leaning head", marks=pytest.mark.slow),
    ],
)
def test_planes_on_the_device_change_nothing(name: str, shape: str, device: str) -> None:
    """Every image, noise and written sample is to the bit what it is of frames that are uploaded."""
    canvas, roll = _canvas(name, shape)
    planes = DevicePlanes(device)
    views = _resident_views(canvas, roll, device)
    ours = _everything(planes, canvas, views)
    theirs = _everything(planes, canvas, _views(canvas, roll, SIDE))
    assert all(np.array_equal(a, b) for a, b in zip(ours, theirs, strict=True))
    for view in views:  # a copy of each frame as it is now, on the device and here
        kept = resident(view.frame, torch.device(device))
        assert kept is not None
        for n, samples in enumerate(kept.planes):
            stored = plane_array(view.frame, n)
            assert np.array_equal(samples.cpu().numpy().view(stored.dtype), stored)


@pytest.mark.parametrize("device", DEVICES)
def test_nothing_goes_up_again(device: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Frames whose planes are on the device are read and written without an upload; one that is not takes all along."""
    canvas, roll = _canvas("yuv420p")
    planes, uploads = DevicePlanes(device), list[int]()
    upload = DeviceCopies.uploaded

    def counted(self: DeviceCopies, of: Any, rectangles: Any) -> Any:
        uploads.append(len(of))
        return upload(self, of, rectangles)

    monkeypatch.setattr(DeviceCopies, "uploaded", counted)
    views = _resident_views(canvas, roll, device)
    ours = _everything(planes, canvas, views)
    assert uploads == []
    mixed = [*_resident_views(canvas, roll, device)[:3], *_views(canvas, roll, SIDE)[3:]]
    assert all(np.array_equal(a, b) for a, b in zip(_everything(planes, canvas, mixed), ours, strict=True))
    assert uploads
    assert [resident(view.frame, torch.device(device)) is not None for view in mixed] == [
        n < 3 for n in range(len(mixed))
    ]


def test_writing_elsewhere_takes_them_off() -> None:
    """A frame that is written to or faded in this machine's memory is uploaded from then on, as it is by then."""
    canvas, roll = _canvas("yuv420p")
    planes = DevicePlanes("cpu")
    views = _resident_views(canvas, roll, "cpu")[:2]
    layers = _layers(views, SIDE, mask=True, grain=False)
    HostPlanes().write(canvas, layers[:1])
    parts = copied(views[1].frame, canvas, [PatchPlace(SIDE, _mask(SIDE), views[1].to_shown)])
    planes.write(canvas, layers[1:])
    for part in parts:
        part.fade(0.5)
    again = _views(canvas, roll, SIDE)[:2]
    for one, other in zip(views, again, strict=True):
        for n in range(3):
            plane_array(other.frame, n)[:] = plane_array(one.frame, n)
    for one, other in zip(planes.read(canvas, views, SIDE), planes.read(canvas, again, SIDE), strict=True):
        assert np.array_equal(one.host(), other.host())


def test_frames_of_one_source_are_written_apart() -> None:
    """Copies of one decoded frame share its planes until one of them is written to, and outlive it."""
    from lipwise_ray.media.frames import FrameRecipe

    canvas, _ = _canvas("yuv420p")
    recipe = FrameRecipe(canvas, (0, 0), canvas.size, canvas.size, "yuv420p", canvas.color)
    (view, *_) = _resident_views(canvas, 0.0, "cpu")
    view.frame.color_range, view.frame.colorspace = 1, 6
    one, other = (View(recipe.apply(view.frame), view.to_shown) for _ in range(2))
    before = plane_array(view.frame, 0).copy()
    del view
    gc.collect()
    planes = DevicePlanes("cpu")
    planes.write(canvas, _layers([one], SIDE, mask=True, grain=False))
    kept = [resident(each.frame, torch.device("cpu")) for each in (one, other)]
    assert kept[0] is not None
    assert kept[1] is not None
    assert np.array_equal(kept[1].planes[0].numpy(), before)
    assert np.array_equal(kept[0].planes[0].numpy(), plane_array(one.frame, 0))
    assert not np.array_equal(kept[0].planes[0].numpy(), before)
