"""A check that a device's `Planes` do what OpenCV's do on this machine: seeded frames are rendered by both."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, TypeAlias

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
from lipwise_ray.media.orientation import UPRIGHT, Orientation
from lipwise_ray.media.pixels import plane_array, working_format
from lipwise_ray.media.planes import HostPlanes, Planes
from lipwise_ray.media.region import Canvas
from lipwise_ray.values import ColorTags, F32Array, PixelArray, Size

if TYPE_CHECKING:
    from av.video.frame import VideoFrame

_SIZE = Size(320, 240)
_SIDES_PX = (50, 130, 210)
_CROP_PX = 64
_SMOOTH = 0.5
_MOST_LEVELS = 1
_CAST = (0.12, 0.08, 0.05)


Implementations: TypeAlias = tuple[Planes, Lights, Compositor]
Hold: TypeAlias = "Callable[[VideoFrame], Callable[[], Sequence[PixelArray]]]"
"""Puts a frame's planes on a device too, as those of a video engine's frames are, and returns what tells them later."""


@dataclass(frozen=True, slots=True)
class _Case:
    """Frames and rules by which implementations are compared; what jobs may ask for is in one of the `_CASES`.

    Attributes:
        pixel_format: FFmpeg name of the frames' format.
        blend: Rules by which faces are laid over.
        contrast: Of the new faces beside the old ones.
        looks: Times that each face is seen, one after the other, with other noise.
        orientation: The way in which frames are shown.
        is_plain: Faces are rounded to levels and not restored, lie over one another and over the frames' edges, and
            planes of the frames are on the device already.
    """

    pixel_format: str
    blend: Blend
    contrast: float = 0.8
    looks: int = 1
    orientation: Orientation = UPRIGHT
    is_plain: bool = False


_BLEND = Blend("soft", 0.1, "cubic", match_light=True, linear_light=True, grain=True, align=True)
_PLAIN = Blend("box", 0.1, "linear", match_light=False, linear_light=False, grain=False, align=False)
_CASES = (
    _Case("yuv420p", _BLEND, looks=2),
    _Case("yuv422p10le", replace(_BLEND, match_light=False), contrast=0.2),
    _Case("yuv420p", _PLAIN, orientation=Orientation.clockwise(90), is_plain=True),
)
_OVER_EDGES = ((-30.5, -20.25, 100), (20.25, 40.5, 90), (150.75, 230.5, 120))
"""Left, top and side of the faces in frames of a plain case."""


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

    def hold(frame: VideoFrame) -> Callable[[], Sequence[PixelArray]]:
        from lipwise_ray.lipsync.device_resident import hold

        return hold(frame, device)

    return choose_planes(make, hold)


def undrawn_planes() -> PlanesChoice:
    """Return the planes of frames on which no face is drawn: OpenCV's, and no device is asked."""
    return PlanesChoice(*_host(), is_device=False, reason="no face is drawn")


def _host() -> Implementations:
    return HostPlanes(), HostLights(), HostCompositor()


def choose_planes(make: Callable[[], Implementations], hold: Hold) -> PlanesChoice:
    """Return a device's planes if they render seeded frames as OpenCV does, to a level; else OpenCV's.

    Args:
        make: Makes the device's.
        hold: Puts planes of frames on that device.
    """
    host = _host()
    try:
        made = make()
        levels = max(_most_levels(made, host, case, hold) for case in _CASES)
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

    def __init__(self, contrast: float) -> None:
        super().__init__(_CROP_PX, len(_SIDES_PX))
        self._contrast = contrast

    def __call__(self, faces_bgr: F32Array, sounds: F32Array) -> F32Array:
        """Return the faces."""
        del sounds
        return np.asarray(self._contrast * faces_bgr + np.array(_CAST, np.float32), np.float32)


class _Contrasting:
    """A restorer that doubles the size and the contrast of aligned faces."""

    size_px, scale, batch_faces = 96, 2, len(_SIDES_PX)
    space: Space = "aligned"

    def __call__(self, faces_bgr: F32Array) -> F32Array:
        """Return the faces."""
        large = faces_bgr.repeat(self.scale, axis=1).repeat(self.scale, axis=2)
        return np.asarray(np.clip(0.5 + 1.3 * (large - 0.5), 0, 1), np.float32)


def _most_levels(device: Implementations, host: Implementations, case: _Case, hold: Hold) -> int:
    """Return the most levels of 8 bits by which frames differ that the two have rendered."""
    canvas = Canvas(_SIZE, working_format(case.pixel_format), ColorTags(matrix=6), case.orientation)
    unit = 1 << (canvas.format.bits - 8)
    most = 0
    for ours, theirs in zip(
        _rendered(*device, canvas, case, hold if case.is_plain else None),
        _rendered(*host, canvas, case, None),
        strict=True,
    ):
        copies = len(ours) // len(theirs)  # planes that lie on the device too come twice
        pairs = zip(ours, [*theirs] * copies, strict=True)
        most = max(most, *(int(np.abs(a.astype(int) - b.astype(int)).max()) for a, b in pairs))
    return -(-most // unit)


def _rendered(
    planes: Planes, lights: Lights, compositor: Compositor, canvas: Canvas, case: _Case, hold: Hold | None
) -> list[list[PixelArray]]:
    """Return the planes of each frame, and after them those of it that lie on the device."""
    network, held = _Dimmed(case.contrast), list[Callable[[], Sequence[PixelArray]]]()
    renderer = Renderer(
        network,
        canvas,
        case.blend,
        quantize_8bit=case.is_plain,
        restorer=None if case.is_plain else _Contrasting(),
        smooth=_SMOOTH,
        planes=planes,
        lights=lights,
        compositor=compositor,
    )

    def jobs() -> Iterator[FrameJob]:
        for job in _jobs(canvas, case):
            if hold is not None:
                held.append(hold(job.frame))
            yield job

    found = [
        [plane_array(frame, plane).copy() for plane in range(canvas.format.planes)] for frame in renderer.render(jobs())
    ]
    return [[*here, *there()] for here, there in zip(found, held, strict=True)] if held else found


def _jobs(canvas: Canvas, case: _Case) -> Iterator[FrameJob]:
    """Yield frames with a face of each size, the second head leaning, with grain; in a plain case all faces in each."""
    unit = 1 << (canvas.format.bits - 8)
    for number, side_px in enumerate(_SIDES_PX):
        places = _OVER_EDGES if case.is_plain else ((20.25 + 9 * number, 15.5, side_px),)
        targets = tuple(_target(track, number, *place) for track, place in enumerate(places))
        for look in range(case.looks):
            drawn, noise = np.random.default_rng(number), np.random.default_rng((number, look))
            frame = av.VideoFrame(canvas.size.width, canvas.size.height, canvas.format.name)
            for plane in range(canvas.format.planes):
                samples = plane_array(frame, plane)
                coarse = drawn.uniform(90, 160, (6, 8)).astype(np.float32)
                values = cv2.resize(coarse, samples.shape[::-1], interpolation=cv2.INTER_CUBIC)
                values += 0 if plane else 3 * noise.standard_normal(samples.shape).astype(np.float32)
                samples[:] = np.rint(values * unit)
            yield FrameJob(frame, targets, source=number * 100 + look, number=number * 100 + look)


def _target(track: int, number: int, left: float, top: float, side_px: int) -> FaceTarget:
    box = np.array([left, top, left + side_px, top + side_px], np.float32)
    points = np.array([[0.3, 0.35], [0.7, 0.35], [0.5, 0.55], [0.35, 0.75], [0.65, 0.75]]) * side_px + box[:2]
    points[::2, 1] += (number % 2) * 0.06 * side_px
    silent = np.zeros(MEL.shape, np.float32)
    opacity = 1 - 0.3 * (number == 1 and not track)
    return FaceTarget(track, box, points.astype(np.float32), silent, opacity=opacity)
