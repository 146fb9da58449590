"""A renderer with a device's planes, and whether they may be used."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch

from lipwise_ray.lipsync import device_planes, device_sampling
from lipwise_ray.lipsync.compositor import HostCompositor
from lipwise_ray.lipsync.device_compositor import DeviceCompositor
from lipwise_ray.lipsync.device_copies import device_images
from lipwise_ray.lipsync.device_light import DeviceLights
from lipwise_ray.lipsync.device_planes import DevicePlanes
from lipwise_ray.lipsync.device_resident import hold
from lipwise_ray.lipsync.frame_job import Blend, FaceTarget, FrameJob
from lipwise_ray.lipsync.light import HostLights
from lipwise_ray.lipsync.model import Passthrough
from lipwise_ray.lipsync.planes_check import Implementations, PlanesChoice, choose_planes, planes_for
from lipwise_ray.lipsync.renderer import Renderer
from lipwise_ray.media.pixels import planar_format, plane_array
from lipwise_ray.media.planes import FaceLayer, HostImage, HostPlanes
from lipwise_ray.media.region import Canvas
from lipwise_ray.synth.clips import ClipSpec, draw_frame
from lipwise_ray.values import ColorTags, Size

SPEC = ClipSpec(size=Size(320, 240))
SHAPE = planar_format("yuv420p")
assert SHAPE is not None
CANVAS = Canvas(SPEC.size, SHAPE, ColorTags(matrix=6))
FULL = Blend("soft", 0.1, "cubic", match_light=True, linear_light=True, grain=True, align=False)
MEL = np.zeros((80, 16), np.float32)
BOXES = np.array([[20, 120, 80, 180], [150, 20, 310.5, 180.5]], np.float32)


class Softer(Passthrough):
    """Halves the contrast of every face."""

    def __call__(self, faces_bgr: Any, mels: Any) -> Any:
        del mels
        return np.asarray(0.25 + faces_bgr / 2, np.float32)


class Twice:
    """A restorer of twice the size."""

    size_px, scale, batch_faces, space = 48, 2, 3, "crop"

    def __call__(self, faces_bgr: Any) -> Any:
        return faces_bgr.repeat(2, axis=1).repeat(2, axis=2)


class Striped:
    """A restorer of aligned faces that draws stripes, on the device that it is given."""

    size_px, scale, batch_faces, space = 128, 1, 4, "aligned"

    def __call__(self, faces_bgr: Any) -> Any:
        made = np.asarray(faces_bgr, np.float32).copy()
        made[:, ::3] *= 0.8
        return made

    def redrawn(self, faces: Any) -> Any:
        whole = torch.from_numpy(self(np.stack([face.host() for face in faces])))
        return device_images(whole)


def _jobs(boxes: Any) -> Iterator[FrameJob]:
    points = np.array([[20, 22], [40, 22], [30, 35], [22, 46], [38, 46]], np.float32)
    for number in range(11):
        shown = boxes if number % 4 else boxes[:1]
        faces = [FaceTarget(k, box + 0.3 * number, points + box[:2], MEL, 0.7) for k, box in enumerate(shown)]
        yield FrameJob(draw_frame(SPEC, number), tuple(faces), source=number, number=number)


def _rendered(used: Implementations, **rules: Any) -> list[list[Any]]:
    names = dict(zip(("planes", "lights", "compositor"), used, strict=True))
    renderer = Renderer(Softer(64, 4), CANVAS, **{"blend": FULL, **rules}, **names)
    return [[plane_array(frame, plane).copy() for plane in range(3)] for frame in renderer.render(_jobs(BOXES))]


@pytest.mark.parametrize(
    "restored",
    [
        {},
        pytest.param({"restorer": Twice()}, marks=pytest.mark.slow),
        pytest.param({"restorer": Twice(), "smooth": 0.8}, marks=pytest.mark.slow),
        {"restorer": Striped(), "smooth": 0.5, "strength": "auto"},
    ],
)
@pytest.mark.parametrize("blend", [FULL, replace(FULL, mask="box", align=True, linear_light=False)])
def test_frames_are_the_same_to_a_level(restored: Any, blend: Blend) -> None:
    """Light, grain, fades, a restorer: the device's frames are OpenCV's to a level, and outside of the faces equal."""
    both: tuple[Implementations, ...] = (
        (HostPlanes(), HostLights(), HostCompositor()),
        (DevicePlanes("cpu", 5), DeviceLights("cpu", 3), DeviceCompositor("cpu", 4)),
    )
    frames, device = (_rendered(used, **restored, blend=blend) for used in both)
    for number, (one, other) in enumerate(zip(frames, device, strict=True)):
        for a, b in zip(one, other, strict=True):
            assert np.abs(a.astype(int) - b.astype(int)).max() <= 1
        filmed = plane_array(draw_frame(SPEC, number), 0)
        assert not np.array_equal(other[0], filmed)
        assert np.array_equal(other[0][200:], filmed[200:])
        assert np.array_equal(other[0][:, 95:140], filmed[:, 95:140])


def test_frames_do_not_depend_on_how_many_faces_are_read_together() -> None:
    """One face a call or many: the same pixels, to the bit, so that chunks do not show."""
    one, many = (
        _rendered(
            (DevicePlanes("cpu", size), DeviceLights("cpu", 8 - size), DeviceCompositor("cpu", size)),
            restorer=Striped(),
            smooth=0.5,
        )
        for size in (1, 7)
    )
    assert all(np.array_equal(a, b) for pair in zip(one, many, strict=True) for a, b in zip(*pair, strict=True))


def _chosen(make: Callable[[], Implementations]) -> PlanesChoice:
    return choose_planes(make, lambda frame: hold(frame, "cpu"))


def test_a_device_that_agrees_is_used() -> None:
    """Where its frames are OpenCV's, the device's planes are taken."""
    made = DevicePlanes("cpu"), DeviceLights("cpu"), DeviceCompositor("cpu")
    choice = _chosen(lambda: made)
    assert (choice.planes, choice.lights, choice.compositor) == made
    assert choice.is_device


def test_a_worker_without_a_gpu_uses_opencv() -> None:
    """On a CPU OpenCV is the faster one, and where torch has no GPU there is an answer, not an error."""
    assert isinstance(planes_for("cpu").planes, HostPlanes)
    assert planes_for("cuda").is_device == torch.cuda.is_available()


class Shifted(DevicePlanes):
    """Lays everything a quarter of a pixel further to the right."""

    def write(self, canvas: Any, layers: Sequence[FaceLayer], **rules: Any) -> None:
        aside = np.array([[0, 0, 0.25], [0, 0, 0]])
        moved = [replace(one, view=replace(one.view, to_shown=one.view.to_shown + aside)) for one in layers]
        super().write(canvas, moved, **rules)


class Backward(DevicePlanes):
    """Lays those over the others that should lie under them."""

    def write(self, canvas: Any, layers: Sequence[FaceLayer], **rules: Any) -> None:
        super().write(canvas, layers[::-1], **rules)


class Dark(DeviceLights):
    """Gives all faces no light."""

    def relit(self, faces: Any, shifts: Any) -> Any:
        return super().relit(faces, [0 * shift for shift in shifts])


class Pale(DeviceCompositor):
    """Gives restored faces other colours."""

    def with_colours_of(self, restored: Any, given: Any) -> Any:
        return super().with_colours_of(restored, [HostImage(0.9 * face.host()) for face in given])


def _broken() -> Any:
    raise RuntimeError("CUDA error: no kernel image is available\nfor this device")


def _without_torch() -> Any:
    raise ImportError("No module named 'torch'")


@pytest.mark.parametrize(
    ("make", "says"),
    [
        (lambda: (Shifted("cpu"), DeviceLights("cpu"), DeviceCompositor("cpu")), "levels"),
        (lambda: (Backward("cpu"), DeviceLights("cpu"), DeviceCompositor("cpu")), "levels"),
        (lambda: (DevicePlanes("cpu"), Dark("cpu"), DeviceCompositor("cpu")), "levels"),
        (lambda: (DevicePlanes("cpu"), DeviceLights("cpu"), Pale("cpu")), "levels"),
        (_broken, "no kernel image"),
        (_without_torch, "No module named"),
    ],
)
def test_a_device_that_does_not_is_not(make: Any, says: str) -> None:
    """Where a device fails, or moves faces by a part of a pixel, OpenCV stays, and a line says why."""
    choice = _chosen(make)
    assert isinstance(choice.planes, HostPlanes)
    assert isinstance(choice.lights, HostLights)
    assert isinstance(choice.compositor, HostCompositor)
    assert not choice.is_device
    assert says in choice.reason
    assert "\n" not in choice.reason


def _black_past_the_edge(source: Any, x: Any, y: Any) -> Any:
    inside = torch.where(source.holds(x, y), 1.0, 0.0)
    return AT(source, x, y) * inside


AT = device_sampling.Rectangles.at
FAULTS = {
    "edges": (device_sampling.Rectangles, "at", _black_past_the_edge),
    "stays on the device": (device_planes, "keep_up", lambda *_: None),
    "rows and columns": (device_planes, "is_upright", lambda _: True),
    "kernel": (device_sampling, "linear", lambda source, x, y, **_: device_sampling.cubic(source, x, y)),
    "linear light": (device_planes, "mixed_light", lambda old, new, opacity, _: old + opacity * (new - old)),
    "steadying": (DeviceCompositor, "steadied", lambda _, restored, *__: restored),
    "boxes": (device_sampling, "inside", lambda x, y, sides: torch.ones_like(x, dtype=torch.float32)),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_a_fault_in_one_step_is_seen(fault: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whichever step of a device is wrong, and in whichever of the frames that jobs may have, OpenCV stays."""
    monkeypatch.setattr(*FAULTS[fault])
    choice = _chosen(lambda: (DevicePlanes("cpu"), DeviceLights("cpu"), DeviceCompositor("cpu")))
    assert not choice.is_device
    assert "levels" in choice.reason
