"""The mouth: lips, teeth and tongue of one viseme."""

# pyright: reportUnknownParameterType=false, reportUnknownLambdaType=false
# skia-python comes without types.
from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import skia

from lipwise_ray.synth.appearance import Appearance, mix, shade
from lipwise_ray.synth.head import Head, line, linear, paint, polygon, radial
from lipwise_ray.values import F32Array, F64Array

CENTRE_Y = 0.66
"""Height of the lips' meeting line when closed, in half face widths below the head's middle."""

CAVITY = (70, 18, 24)
TEETH = (242, 238, 228)
TONGUE = (204, 92, 100)

_OPENING, _JAW = 0.34, 0.17
_STEPS = 13


@dataclass(frozen=True, slots=True)
class Mouth:
    """The numbers of one frame's mouth, in half face widths.

    Attributes:
        half_width: From the middle to a corner.
        rise: Of the upper lip's edge over the meeting line.
        drop: Of the lower lip's edge under it.
        jaw: By which the chin is lower than at rest.
        bite, teeth, tongue: 0 to 1, as in `visemes.PARAMETERS`.
        rounding: 0 to 1.
    """

    half_width: float
    rise: float
    drop: float
    jaw: float
    bite: float
    teeth: float
    tongue: float
    rounding: float


def mouth_of(look: Appearance, row: F32Array) -> Mouth:
    """Return the mouth of a presenter.

    Args:
        look: The presenter.
        row: One row of a mouth track, shape (6,).
    """
    opening, width, rounding, teeth, tongue, bite = (float(value) for value in row)
    gap = _OPENING * opening
    return Mouth(
        half_width=look.mouth_width * (1 + 0.16 * width - 0.36 * rounding - 0.06 * opening),
        rise=0.24 * gap + 0.02 * bite,
        drop=0.76 * gap * (1 - 0.4 * bite),
        jaw=_JAW * opening * (1 - 0.4 * bite),
        bite=bite,
        teeth=teeth,
        tongue=tongue,
        rounding=rounding,
    )


def draw_mouth(canvas: skia.Canvas, head: Head, look: Appearance, mouth: Mouth) -> None:
    """Draw the mouth on a face."""
    px = head.pose.scale
    s = np.linspace(-1, 1, _STEPS)
    x = mouth.half_width * s
    # The meeting line dips a little in the middle; the corners of an open mouth sink with the jaw.
    seam = CENTRE_Y + 0.012 * (1 - s**2) + 0.35 * mouth.jaw * (1 - 0.4 * np.abs(s))
    arch = np.maximum(1 - np.abs(s) ** 2.4, 0) ** 0.75
    inner_top = seam - mouth.rise * arch
    inner_bottom = seam + mouth.drop * arch
    fuller = 1 + 0.35 * mouth.rounding
    bow = 1 - 0.20 * np.exp(-((s / 0.16) ** 2)) + 0.10 * np.exp(-(((np.abs(s) - 0.3) / 0.18) ** 2))
    outer_top = inner_top - look.upper_lip * fuller * bow * np.maximum(1 - np.abs(s) ** 2.2, 0) ** 0.8
    lower = look.lower_lip * fuller * (1 - 0.55 * mouth.bite)
    outer_bottom = inner_bottom + lower * np.maximum(1 - s**2, 0) ** 0.75
    wider = x * 1.03

    def ring(top_x: F64Array, top: F64Array, bottom_x: F64Array, bottom: F64Array) -> F64Array:
        return np.concatenate([np.stack([top_x, top], axis=1), np.stack([bottom_x, bottom], axis=1)[::-1]])

    lift = 0.05 + 0.05 * mouth.rounding
    chin_shadow = head.project([(0.0, float(outer_bottom.max()) + 0.05)], lift=lift)[0]
    canvas.drawOval(
        skia.Rect.MakeXYWH(chin_shadow[0] - 0.2 * px, chin_shadow[1] - 0.035 * px, 0.4 * px, 0.08 * px),
        paint(shade(look.skin, 0.62), 0.5, 0.04 * px),
    )
    inside = polygon(head.project(ring(x, inner_top, x, inner_bottom), lift=lift))
    if mouth.rise + mouth.drop > 0.004:  # thinner than a line
        _draw_inside(canvas, head, mouth, inside, (float(inner_top.min()), float(inner_bottom.max())))
    upper = polygon(head.project(ring(wider, outer_top, x, inner_top), lift=lift))
    lower_lip = polygon(head.project(ring(x, inner_bottom, wider, outer_bottom), lift=lift))
    top = head.project([(0, float(outer_top.min())), (0, float(inner_top.max()))], lift=lift)
    bottom = head.project([(0, float(inner_bottom.min())), (0, float(outer_bottom.max()))], lift=lift)
    canvas.drawPath(upper, linear(top[0], top[1], [shade(look.lip, 0.95), shade(look.lip, 0.72)]))
    canvas.drawPath(lower_lip, linear(bottom[0], bottom[1], [shade(look.lip, 1.04), shade(look.lip, 0.84)]))
    seam_line = skia.Path()
    edge = head.project(np.stack([x, inner_bottom], axis=1), lift=lift)
    seam_line.addPoly([skia.Point(float(a), float(b)) for a, b in edge], False)  # open
    canvas.drawPath(seam_line, line(shade(look.lip, 0.45), 0.022 * px, 0.8))
    shine = head.project(
        [(-0.3 * mouth.half_width * (1 if look.light < 0 else -1), float(inner_bottom.max()) + 0.45 * lower)]
    )
    canvas.drawOval(
        skia.Rect.MakeXYWH(shine[0, 0] - 0.07 * px, shine[0, 1] - 0.014 * px, 0.14 * px, 0.03 * px),
        paint(mix(look.lip, (255, 255, 255), 0.7), 0.4, 0.012 * px),
    )
    for corner in head.project([(-mouth.half_width, seam[0]), (mouth.half_width, seam[-1])], lift=lift):
        canvas.drawCircle(float(corner[0]), float(corner[1]), 0.022 * px, paint(shade(look.lip, 0.5), 0.5, 0.012 * px))


def _draw_inside(canvas: skia.Canvas, head: Head, mouth: Mouth, inside: skia.Path, span: tuple[float, float]) -> None:
    px = head.pose.scale
    top, bottom = span
    height = bottom - top
    middle = head.project([(0, (top + bottom) / 2)])[0]
    canvas.save()
    canvas.clipPath(inside, skia.ClipOp.kIntersect, True)  # anti-aliased
    canvas.drawPath(inside, radial(middle, mouth.half_width * px, [shade(CAVITY, 0.6), CAVITY], [0, 1]))
    if mouth.tongue > 0.02:  # hidden
        rise = (0.30 + 0.35 * mouth.tongue) * height
        wide = 0.62 * mouth.half_width
        place = head.project([(-wide, bottom - rise), (wide, bottom + 0.5 * rise)])
        low, high = place.min(axis=0), place.max(axis=0)
        canvas.drawOval(
            skia.Rect.MakeLTRB(float(low[0]), float(low[1]), float(high[0]), float(high[1])),
            paint(mix(CAVITY, TONGUE, min(1.0, 0.35 + 0.65 * mouth.tongue))),
        )
    if mouth.teeth > 0.02:  # hidden
        edge = top + (0.06 + 0.05 * mouth.bite) * mouth.teeth + 0.10 * height * mouth.teeth
        wide = mouth.half_width * 0.84
        row = [
            (-wide, top - 0.2),
            (wide, top - 0.2),
            (wide, edge - 0.02),
            (0.5 * wide, edge),
            (-0.5 * wide, edge),
            (-wide, edge - 0.02),
        ]
        canvas.drawPath(
            polygon(head.project(row)), paint(mix(CAVITY, TEETH, 0.25 + 0.72 * min(1.0, 1.4 * mouth.teeth)))
        )
    shadow = head.project([(-mouth.half_width, top), (mouth.half_width, top)])
    canvas.drawLine(*shadow[0], *shadow[1], line(CAVITY, 0.05 * px, 0.45, 0.02 * px))
    canvas.restore()
