"""A check that a device's `Planes` do what OpenCV's do on this machine: seeded frames are rendered by both."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TypeAlias

import av
import cv2
import numpy as np

from lipwise_ray.lipsync.audio_features import MEL
from lipwise_ray.lipsync.compositor import Compositor, HostCompositor
from lipwise_ray.lipsync.frame_job import Blend, FaceTarget, FrameJob
from lipwise_ray.lipsync.light import HostLights, Lights
from lipwise_ray.lipsync.model import Passthrough
from lipwise_ray.lipsync.renderer import Renderer
from lipwise_ray.lipsync.restore import Space
from lipwise_ray.media.pixels import plane_array, working_format
from lipwise_ray.media.planes import HostPlanes, Planes
from lipwise_ray.media.region import Canvas
from lipwise_ray.values import ColorTags, F32Array, PixelArray, Size

_SIZE = Size(320, 240)
_FORMATS = ("yuv420p", "yuv422p10le")
_SIDES_PX = (50, 130, 210)
_CROP_PX = 64
_SMOOTH = 0.5
_BLEND = Blend("soft", 0.1, "cubic", match_light=True, linear_light=True, grain=True, align=True)
_MOST_LEVELS = 1
_CONTRAST, _CAST = 0.8, (0.12, 0.08, 0.05)


Implementations: TypeAlias = tuple[Planes, Lights, Compositor]


@dataclass(frozen=True, slots=True)
class PlanesChoice:
    """Implementations that are used, and why.

    Attributes:
        planes: The device's, or OpenCV's where those are of no use.
        lights: The device's, or numpy's.
        compositor: The device's, or OpenCV's.
        is_device: True for the device's.
        reason: Says in a sentence what was found.
        is_fallback: True where there is a device, and its planes are of no use.
    """

    planes: Planes
    lights: Lights
    compositor: Compositor
    is_device: bool
    reason: str
    is_fallback: bool = False

    @property
    def fallback(self) -> str:
        """The reason where the CPU does what the device was meant for; else empty."""
        return self.reason if self.is_fallback else ""


def planes_for(device: str) -> PlanesChoice:
    """Return the planes of a worker: a GPU's where they agree with OpenCV's.

    Args:
        device: ``cpu`` or ``cuda``.
    """
    if not device.startswith("cuda"):
        return PlanesChoice(*_host(), is_device=False, reason="faces are cropped on the CPU: there is no GPU")

    def make() -> Implementations:
        from lipwise_ray.lipsync.device_compositor import DeviceCompositor
        from lipwise_ray.lipsync.device_light import DeviceLights
        from lipwise_ray.lipsync.device_planes import DevicePlanes

        return DevicePlanes(device), DeviceLights(device), DeviceCompositor(device)

    return choose_planes(make)


def undrawn_planes() -> PlanesChoice:
    """Return the planes of frames on which no face is drawn: OpenCV's, and no device is asked."""
    return PlanesChoice(*_host(), is_device=False, reason="no face is drawn")


def _host() -> Implementations:
    return HostPlanes(), HostLights(), HostCompositor()


def choose_planes(make: Callable[[], Implementations]) -> PlanesChoice:
    """Return a device's planes if they render seeded frames as OpenCV does, to a level; else OpenCV's.

    Args:
        make: Makes the device's.
    """
    host = _host()
    try:
        made = make()
        levels = max(_most_levels(made, host, name) for name in _FORMATS)
    except (RuntimeError, ImportError, OSError) as error:  # torch's are RuntimeErrors, out of memory too
        first_line = (str(error).splitlines() or [""])[0]
        return PlanesChoice(
            *host, is_device=False, reason=f"faces are cropped on the CPU: {first_line}", is_fallback=True
        )
    if levels > _MOST_LEVELS:
        reason = f"faces are cropped on the CPU: the device's frames differ by {levels} levels, at most 1 may be"
        return PlanesChoice(*host, is_device=False, reason=reason, is_fallback=True)
    reason = f"faces are cropped and blended on the device; levels between its frames and the CPU's: {levels}"
    return PlanesChoice(*made, is_device=True, reason=reason)


class _Dimmed(Passthrough):
    """Gives faces less contrast and another colour, so that there is light to match."""

    def __call__(self, faces_bgr: F32Array, sounds: F32Array) -> F32Array:
        """Return the faces."""
        del sounds
        return np.asarray(_CONTRAST * faces_bgr + np.array(_CAST, np.float32), np.float32)


class _Contrasting:
    """A restorer that doubles the size and the contrast of aligned faces."""

    size_px, scale, batch_faces = 96, 2, len(_SIDES_PX)
    space: Space = "aligned"

    def __call__(self, faces_bgr: F32Array) -> F32Array:
        """Return the faces."""
        large = faces_bgr.repeat(self.scale, axis=1).repeat(self.scale, axis=2)
        return np.asarray(np.clip(0.5 + 1.3 * (large - 0.5), 0, 1), np.float32)


def _most_levels(one: Implementations, other: Implementations, name: str) -> int:
    """Return the most levels of 8 bits by which frames differ that the two have rendered."""
    canvas = Canvas(_SIZE, working_format(name), ColorTags(matrix=6))
    unit = 1 << (canvas.format.bits - 8)
    most = 0
    for ours, theirs in zip(_rendered(*one, canvas), _rendered(*other, canvas), strict=True):
        most = max(most, *(int(np.abs(a.astype(int) - b.astype(int)).max()) for a, b in zip(ours, theirs, strict=True)))
    return -(-most // unit)


def _rendered(planes: Planes, lights: Lights, compositor: Compositor, canvas: Canvas) -> list[list[PixelArray]]:
    network, restorer = _Dimmed(_CROP_PX, len(_SIDES_PX)), _Contrasting()
    renderer = Renderer(
        network,
        canvas,
        _BLEND,
        restorer=restorer,
        smooth=_SMOOTH,
        planes=planes,
        lights=lights,
        compositor=compositor,
    )
    return [
        [plane_array(frame, plane).copy() for plane in range(canvas.format.planes)]
        for frame in renderer.render(_jobs(canvas))
    ]


def _jobs(canvas: Canvas) -> Iterator[FrameJob]:
    """Yield a frame a size of face, the second head leaning, with grain on them."""
    for number, side_px in enumerate(_SIDES_PX):
        rng = np.random.default_rng(number)
        frame = av.VideoFrame(canvas.size.width, canvas.size.height, canvas.format.name)
        for plane in range(canvas.format.planes):
            samples = plane_array(frame, plane)
            coarse = rng.uniform(90, 160, (6, 8)).astype(np.float32)
            values = cv2.resize(coarse, samples.shape[::-1], interpolation=cv2.INTER_CUBIC)
            values += 0 if plane else 3 * rng.standard_normal(samples.shape).astype(np.float32)
            samples[:] = np.rint(values * (1 << (canvas.format.bits - 8)))
        left, top = 20.25 + 9 * number, 15.5
        box = np.array([left, top, left + side_px, top + side_px], np.float32)
        points = np.array([[0.3, 0.35], [0.7, 0.35], [0.5, 0.55], [0.35, 0.75], [0.65, 0.75]]) * side_px + box[:2]
        points[::2, 1] += (number % 2) * 0.06 * side_px
        silent = np.zeros(MEL.shape, np.float32)
        target = FaceTarget(0, box, points.astype(np.float32), silent, opacity=1 - 0.3 * (number == 1))
        yield FrameJob(frame, (target,), source=number * 100, number=number * 100)
