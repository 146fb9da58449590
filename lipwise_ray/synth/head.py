"""Projection of a head's points into the frame, and the few brushes that draw there."""

# pyright: reportUnknownParameterType=false, reportUnknownLambdaType=false
# skia-python comes without types.
from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import skia

from lipwise_ray.synth.appearance import Rgb
from lipwise_ray.values import F64Array

Points = Sequence[tuple[float, float]] | F64Array

_BULGE, _HALF_WIDTH, _HALF_HEIGHT, _MIDDLE_Y = 0.95, 1.12, 1.5, -0.1


@dataclass(frozen=True, slots=True)
class Pose:
    """A head in the frame.

    Attributes:
        x, y: Its middle in pixels.
        scale: Pixels of half a face's width.
        yaw, pitch, roll: Radians; positive turns to the image's right, down, and clockwise.
    """

    x: float
    y: float
    scale: float
    yaw: float = 0.0
    pitch: float = 0.0
    roll: float = 0.0


class Head:
    """Projects points of a head: x right, y down, in half face widths from its middle; z towards the camera."""

    def __init__(self, pose: Pose) -> None:
        self.pose = pose

    def project(self, points: Points, depth: float | F64Array | None = None, lift: float = 0.0) -> F64Array:
        """Return pixels, shape (N, 2).

        Args:
            points: x and y, shape (N, 2).
            depth: z of the points; None for the surface of the face.
            lift: Added to the surface.
        """
        pose = self.pose
        xy = np.asarray(points, np.float64)
        x, y = xy[:, 0], xy[:, 1]
        if depth is None:
            inside = 1 - (x / _HALF_WIDTH) ** 2 - ((y - _MIDDLE_Y) / _HALF_HEIGHT) ** 2
            z = _BULGE * np.sqrt(np.maximum(inside, 0)) + lift
        else:
            z = np.broadcast_to(np.asarray(depth, np.float64), x.shape)
        turned = x * np.cos(pose.yaw) + z * np.sin(pose.yaw)
        front = z * np.cos(pose.yaw) - x * np.sin(pose.yaw)
        nodded = y * np.cos(pose.pitch) + front * np.sin(pose.pitch)
        cos, sin = np.cos(pose.roll), np.sin(pose.roll)
        out = np.stack([turned * cos - nodded * sin, turned * sin + nodded * cos], axis=1)
        return out * pose.scale + (pose.x, pose.y)

    def smooth(self, points: Points, depth: float | F64Array | None = None, *, closed: bool = True) -> skia.Path:
        """Return a smooth curve through the points.

        Args:
            points: x and y, shape (N, 2).
            depth: z of the points; None for the surface of the face.
            closed: Join the last point to the first.
        """
        return smooth_path(self.project(points, depth), closed=closed)


def smooth_path(points: F64Array, *, closed: bool = True) -> skia.Path:
    """Return the Catmull-Rom curve through pixels of shape (N, 2).

    Args:
        points: Pixels, shape (N, 2).
        closed: Join the last point to the first.
    """
    count = len(points)
    path = skia.Path()
    path.moveTo(float(points[0, 0]), float(points[0, 1]))
    for i in range(count if closed else count - 1):
        p0 = points[i - 1] if closed or i else points[0]
        p1, p2 = points[i], points[(i + 1) % count]
        p3 = points[(i + 2) % count] if closed or i + 2 < count else points[-1]
        control_1, control_2 = p1 + (p2 - p0) / 6, p2 - (p3 - p1) / 6
        path.cubicTo(
            float(control_1[0]),
            float(control_1[1]),
            float(control_2[0]),
            float(control_2[1]),
            float(p2[0]),
            float(p2[1]),
        )
    if closed:
        path.close()
    return path


def polygon(points: F64Array) -> skia.Path:
    """Return straight lines through pixels of shape (N, 2), closed."""
    path = skia.Path()
    path.addPoly([skia.Point(float(x), float(y)) for x, y in points], True)  # closed
    return path


def paint(color: Rgb, alpha: float = 1.0, blur_px: float = 0.0) -> skia.Paint:
    """Return a brush that fills."""
    brush = skia.Paint(AntiAlias=True, Color=skia.Color(*color, round(255 * alpha)))
    if blur_px > 0.3:  # less does not show
        brush.setMaskFilter(skia.MaskFilter.MakeBlur(skia.kNormal_BlurStyle, blur_px))
    return brush


def line(color: Rgb, width_px: float, alpha: float = 1.0, blur_px: float = 0.0) -> skia.Paint:
    """Return a brush that draws lines with round ends."""
    brush = paint(color, alpha, blur_px)
    brush.setStyle(skia.Paint.kStroke_Style)
    brush.setStrokeWidth(width_px)
    brush.setStrokeCap(skia.Paint.kRound_Cap)
    brush.setStrokeJoin(skia.Paint.kRound_Join)
    return brush


def radial(centre: F64Array, radius_px: float, colors: Sequence[Rgb], stops: Sequence[float]) -> skia.Paint:
    """Return a brush that changes colour with the distance from a point.

    Args:
        centre: Pixel, shape (2,).
        radius_px: Distance of the last colour.
        colors: Colours from the centre outwards.
        stops: Distance of each colour as a share of the radius, rising from 0 to 1.
    """
    brush = skia.Paint(AntiAlias=True)
    brush.setShader(
        skia.GradientShader.MakeRadial(
            skia.Point(float(centre[0]), float(centre[1])),
            max(radius_px, 0.1),
            [skia.Color(*color) for color in colors],
            list(stops),
        )
    )
    return brush


def linear(start: F64Array, stop: F64Array, colors: Sequence[Rgb]) -> skia.Paint:
    """Return a brush that changes colour along a line.

    Args:
        start: Pixel of the first colour, shape (2,).
        stop: Pixel of the last one, shape (2,).
        colors: Colours, evenly spaced.
    """
    brush = skia.Paint(AntiAlias=True)
    ends = [skia.Point(float(start[0]), float(start[1])), skia.Point(float(stop[0]), float(stop[1]))]
    brush.setShader(skia.GradientShader.MakeLinear(ends, [skia.Color(*color) for color in colors]))
    return brush
