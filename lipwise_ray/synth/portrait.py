"""A presenter in one frame: neck and clothes, head, eyes, brows, nose, ears, glasses."""

# pyright: reportUnknownParameterType=false, reportUnknownLambdaType=false
# skia-python comes without types.
from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import skia

from lipwise_ray.synth.appearance import Appearance, mix, shade
from lipwise_ray.synth.hair import draw_back_hair, draw_beard, draw_front_hair
from lipwise_ray.synth.head import Head, Pose, line, linear, paint, radial, smooth_path
from lipwise_ray.synth.mouth import CENTRE_Y, draw_mouth, mouth_of
from lipwise_ray.values import F32Array, F64Array

EYE_Y, BROW_Y, NOSE_Y = -0.18, -0.48, 0.0


@dataclass(frozen=True, slots=True)
class Expression:
    """Expression of a face: all that moves in it beside the head.

    Attributes:
        mouth: One row of a mouth track, shape (6,).
        blink: 0 open to 1 shut.
        gaze: Of the pupils, -1 to 1 in x and y.
        brows: -1 low to 1 raised.
    """

    mouth: F32Array
    blink: float = 0.0
    gaze: tuple[float, float] = (0.0, 0.0)
    brows: float = 0.0


@dataclass(frozen=True, slots=True)
class FaceTruth:
    """Truth about a face in the frame.

    Attributes:
        box: left, top, right, bottom in pixels; the chin at rest, so that it tells nothing of the mouth.
        landmarks: Eyes, nose, mouth corners, shape (5, 2), in the order of `faces.detections`.
    """

    box: tuple[float, float, float, float]
    landmarks: list[tuple[float, float]] = field(default_factory=list[tuple[float, float]])


def face_truth(look: Appearance, pose: Pose) -> FaceTruth:
    """Return the truth about a presenter's face."""
    head = Head(pose)
    rim = head.project(_outline(look, 0.0)[:, :2], _outline(look, 0.0)[:, 2])
    brow = head.project([(0.0, -0.80)])[0]
    left, right = float(rim[:, 0].min()), float(rim[:, 0].max())
    top, bottom = float(min(brow[1], rim[:, 1].min() + 0.35 * pose.scale)), float(rim[:, 1].max())
    points = head.project(
        [
            (-look.eye_gap, EYE_Y),
            (look.eye_gap, EYE_Y),
            (0.0, NOSE_Y + look.nose_length),
            (-look.mouth_width, CENTRE_Y),
            (look.mouth_width, CENTRE_Y),
        ]
    )
    return FaceTruth((left, top, right, bottom), [(float(x), float(y)) for x, y in points])


def draw_presenter(canvas: skia.Canvas, look: Appearance, pose: Pose, expression: Expression) -> None:
    """Draw a presenter from the chest up."""
    head = Head(pose)
    mouth = mouth_of(look, expression.mouth)
    draw_back_hair(canvas, head, look)
    _draw_body(canvas, pose, look)
    _draw_ears(canvas, head, look)
    outline = _outline(look, mouth.jaw)
    face = smooth_path(head.project(outline[:, :2], outline[:, 2]))
    _draw_skin(canvas, head, look, face)
    canvas.save()
    canvas.clipPath(face, skia.ClipOp.kIntersect, True)  # anti-aliased
    draw_beard(canvas, head, look, mouth)
    canvas.restore()
    _draw_nose(canvas, head, look)
    for side in (-1, 1):
        _draw_eye(canvas, head, look, side, expression)
        _draw_brow(canvas, head, look, side, expression.brows)
    draw_mouth(canvas, head, look, mouth)
    draw_front_hair(canvas, head, look)
    if look.glasses:
        _draw_glasses(canvas, head, look)


def _outline(look: Appearance, jaw: float) -> F64Array:
    """Return the rim of the face, shape (N, 3)."""
    chin, jaw_x = look.chin + jaw, look.jaw_width
    half = [
        (0.0, -1.28, 0.1),
        (0.55, -1.20, 0.1),
        (0.93, -0.80, 0.0),
        (1.0, -0.25, 0.0),
        (0.96, 0.25, 0.05),
        (0.5 * (0.96 + jaw_x), 0.62 + 0.3 * jaw, 0.1),
        (jaw_x, 0.88 + 0.7 * jaw, 0.25),
        (0.32, chin - 0.04, 0.45),
    ]
    mirrored = [(-x, y, z) for x, y, z in half[:0:-1]]
    return np.array([*half, (0.0, chin, 0.5), *mirrored])


def _draw_skin(canvas: skia.Canvas, head: Head, look: Appearance, face: skia.Path) -> None:
    px = head.pose.scale
    centre = head.project([(0.35 * look.light, -0.25)])[0]
    tones = [shade(look.skin, 1.10), look.skin, shade(look.skin, 0.84)]
    canvas.drawPath(face, radial(centre, 1.75 * px, tones, [0, 0.55, 1]))
    canvas.save()
    canvas.clipPath(face, skia.ClipOp.kIntersect, True)  # anti-aliased
    dark_side = -1.05 if look.light > 0 else 1.05
    blob = head.project([(dark_side, 0.25)], 0.0)[0]
    canvas.drawOval(_around(blob, 0.45 * px, 1.2 * px), paint(shade(look.skin, 0.6), 0.40 * abs(look.light), 0.2 * px))
    for side in (-1, 1):
        cheek = head.project([(side * 0.58, 0.30)])[0]
        rosy = mix(look.skin, (214, 78, 76), 0.6)
        canvas.drawOval(_around(cheek, 0.26 * px, 0.17 * px), paint(rosy, look.blush, 0.10 * px))
        socket = head.project([(side * look.eye_gap, EYE_Y - 0.03)])[0]
        canvas.drawOval(_around(socket, 0.30 * px, 0.17 * px), paint(shade(look.skin, 0.72), 0.28, 0.07 * px))
        fold = head.smooth([(side * 0.27, 0.30), (side * 0.42, 0.46), (side * 0.50, 0.64)], closed=False)
        canvas.drawPath(fold, line(shade(look.skin, 0.7), 0.025 * px, 0.28, 0.02 * px))
    under_hair = head.project([(0.0, -1.0)])[0]
    canvas.drawOval(_around(under_hair, 0.95 * px, 0.24 * px), paint(shade(look.skin, 0.66), 0.35, 0.09 * px))
    canvas.restore()


def _draw_nose(canvas: skia.Canvas, head: Head, look: Appearance) -> None:
    px = head.pose.scale
    tip_y = NOSE_Y + look.nose_length
    wide = look.nose_width
    away = -1 if look.light > 0 else 1
    bridge = [(away * 0.07, -0.20), (away * 0.10, 0.5 * tip_y), (away * wide * 0.9, tip_y - 0.02)]
    canvas.drawPath(head.smooth(bridge, closed=False), line(shade(look.skin, 0.66), 0.06 * px, 0.35, 0.035 * px))
    tip = head.project([(0.0, tip_y - 0.05)], lift=0.16)[0]
    canvas.drawOval(_around(tip, wide * px, 0.11 * px), paint(shade(look.skin, 0.9), 0.55, 0.04 * px))
    under = head.project([(0.0, tip_y + 0.06)], lift=0.08)[0]
    canvas.drawOval(_around(under, wide * 0.9 * px, 0.045 * px), paint(shade(look.skin, 0.55), 0.5, 0.025 * px))
    for side in (-1, 1):
        hole = head.project([(side * 0.48 * wide, tip_y + 0.025)], lift=0.10)[0]
        canvas.drawOval(_around(hole, 0.045 * px, 0.024 * px), paint(shade(look.skin, 0.34), 0.75, 0.008 * px))
        wing = head.smooth(
            [(side * wide * 0.85, tip_y - 0.08), (side * wide * 1.08, tip_y), (side * wide * 0.85, tip_y + 0.045)],
            closed=False,
        )
        canvas.drawPath(wing, line(shade(look.skin, 0.6), 0.022 * px, 0.5, 0.008 * px))
    shine = head.project([(0.04 * look.light, tip_y - 0.09)], lift=0.2)[0]
    canvas.drawOval(_around(shine, 0.05 * px, 0.06 * px), paint(shade(look.skin, 1.5), 0.5, 0.025 * px))


def _draw_eye(canvas: skia.Canvas, head: Head, look: Appearance, side: int, expression: Expression) -> None:
    px = head.pose.scale
    size, x0 = look.eye_size, side * look.eye_gap
    open_share = 1 - expression.blink
    lid_top, lid_bottom = 0.52 * size * open_share + 0.06 * size * expression.blink, 0.34 * size
    inner, outer = x0 - side * size, x0 + side * size
    lower_y = EYE_Y + lid_bottom * (0.4 + 0.6 * open_share)
    upper = [
        (inner, EYE_Y + 0.05 * size),
        (x0 - side * 0.45 * size, EYE_Y - 0.75 * lid_top),
        (x0, EYE_Y - lid_top),
        (x0 + side * 0.5 * size, EYE_Y - 0.75 * lid_top),
        (outer, EYE_Y),
    ]
    if expression.blink > 0.5:  # shut: the lid hangs on the lower rim
        upper = [(x, lower_y - 0.25 * size * abs((x - x0) / size)) for x, _ in upper]
    lower = [(x0 + side * 0.5 * size, lower_y - 0.03), (x0, lower_y), (x0 - side * 0.5 * size, lower_y - 0.03)]
    white = head.smooth([*upper, *lower])
    if expression.blink < 0.9:  # nearly shut
        canvas.save()
        canvas.clipPath(white, skia.ClipOp.kIntersect, True)  # anti-aliased
        canvas.drawPath(white, paint((246, 244, 240)))
        gaze_x, gaze_y = expression.gaze
        middle = head.project([(x0 + 0.25 * size * gaze_x, EYE_Y - 0.02 + 0.12 * size * gaze_y)], lift=0.02)[0]
        radius = 0.52 * size * px
        rings = [shade(look.iris, 1.25), look.iris, shade(look.iris, 0.5)]
        canvas.drawCircle(*middle, radius, radial(middle, radius, rings, [0.2, 0.75, 1]))
        canvas.drawCircle(*middle, 0.48 * radius, paint((16, 14, 16)))
        glint = middle + np.array([0.3 * look.light - 0.1, -0.35]) * radius
        canvas.drawCircle(*glint, 0.18 * radius, paint((255, 255, 255), 0.9))
        lid_shade = head.smooth(upper, closed=False)
        canvas.drawPath(lid_shade, line((30, 24, 30), 0.10 * px, 0.35, 0.03 * px))
        canvas.restore()
    canvas.drawPath(head.smooth(upper, closed=False), line(shade(mix(look.hair, (30, 22, 22), 0.6), 0.7), 0.042 * px))
    crease = [(x, y - 0.07 - 0.05 * open_share) for x, y in upper[1:-1]]
    canvas.drawPath(head.smooth(crease, closed=False), line(shade(look.skin, 0.58), 0.018 * px, 0.55))
    canvas.drawPath(head.smooth(lower, closed=False), line(shade(look.skin, 0.55), 0.014 * px, 0.5))


def _draw_brow(canvas: skia.Canvas, head: Head, look: Appearance, side: int, raised: float) -> None:
    y, thick, tilt = BROW_Y - 0.05 * raised, look.brow_thickness, look.brow_tilt
    gap = look.eye_gap
    above = [(gap - 0.27, y - 0.03 + tilt), (gap - 0.02, y - 0.07 - 0.3 * thick), (gap + 0.31, y + 0.05 - 0.4 * tilt)]
    below = [(gap + 0.02, y - 0.07 + 0.75 * thick), (gap - 0.26, y - 0.03 + tilt + 0.9 * thick)]
    shape = head.smooth([(side * x, height) for x, height in [*above, *below]])
    canvas.drawPath(shape, paint(shade(look.hair, 0.8), 0.9, 0.008 * head.pose.scale))


def _draw_ears(canvas: skia.Canvas, head: Head, look: Appearance) -> None:
    for side in (-1, 1):
        ear = head.smooth(
            [(side * x, y) for x, y in ((0.95, -0.30), (1.08, -0.36), (1.15, -0.15), (1.08, 0.12), (0.98, 0.22))], -0.1
        )
        canvas.drawPath(ear, paint(shade(look.skin, 0.86)))
        fold = head.smooth([(side * 1.03, -0.22), (side * 1.08, -0.1), (side * 1.02, 0.05)], -0.08, closed=False)
        canvas.drawPath(fold, line(shade(look.skin, 0.6), 0.03 * head.pose.scale, 0.6, 0.01 * head.pose.scale))


def _draw_glasses(canvas: skia.Canvas, head: Head, look: Appearance) -> None:
    px = head.pose.scale
    frame = line(shade(look.accent, 0.45), 0.05 * px)
    for side in (-1, 1):
        rim = [
            (side * (look.eye_gap + dx), EYE_Y + dy)
            for dx, dy in ((-0.30, -0.12), (0.0, -0.22), (0.30, -0.16), (0.30, 0.14), (0.0, 0.23), (-0.27, 0.14))
        ]
        path = head.smooth(rim)
        canvas.drawPath(path, paint((235, 245, 255), 0.10))
        canvas.drawPath(path, frame)
        arm = head.project([(side * (look.eye_gap + 0.31), EYE_Y - 0.05)])[0]
        ear = head.project([(side * 1.02, EYE_Y - 0.10)], 0.0)[0]
        canvas.drawLine(*arm, *ear, frame)
    bridge = head.smooth(
        [(-look.eye_gap + 0.29, EYE_Y), (0.0, EYE_Y - 0.06), (look.eye_gap - 0.29, EYE_Y)], closed=False
    )
    canvas.drawPath(bridge, frame)


def _draw_body(canvas: skia.Canvas, pose: Pose, look: Appearance) -> None:
    px = pose.scale
    # The body follows the head's place but neither turns nor nods with it.
    body = Head(Pose(pose.x - 0.25 * px * np.sin(pose.yaw), pose.y, px, roll=0.25 * pose.roll))
    neck = body.smooth(
        [(-0.52, 0.5), (-0.50, 1.2), (-0.62, 1.66), (-0.3, 2.5), (0.3, 2.5), (0.62, 1.66), (0.50, 1.2), (0.52, 0.5)],
        0.0,
    )
    canvas.drawPath(neck, paint(shade(look.skin, 0.80)))
    canvas.save()
    canvas.clipPath(neck, skia.ClipOp.kIntersect, True)  # anti-aliased
    under = body.project([(0.0, 1.12)], 0.0)[0]
    canvas.drawOval(_around(under, 0.75 * px, 0.36 * px), paint(shade(look.skin, 0.45), 0.6, 0.10 * px))
    canvas.restore()
    shoulders = body.smooth(
        [
            (-2.9, 16.0), (-2.8, 4.5), (-2.35, 2.55), (-1.75, 2.05), (-0.72, 1.66), (0.0, 2.1),
            (0.72, 1.66), (1.75, 2.05), (2.35, 2.55), (2.8, 4.5), (2.9, 16.0),
        ],
        0.0,
    )  # fmt: skip
    left, right = body.project([(-2.4, 2.2), (2.4, 3.2)], 0.0)
    lit = [shade(look.clothes, 1.12), shade(look.clothes, 0.78)]
    canvas.drawPath(shoulders, linear(left, right, lit if look.light < 0 else lit[::-1]))
    canvas.save()
    canvas.clipPath(shoulders, skia.ClipOp.kIntersect, True)  # anti-aliased
    _draw_garment(canvas, body, look)
    canvas.restore()


def _draw_garment(canvas: skia.Canvas, body: Head, look: Appearance) -> None:
    px = body.pose.scale
    dark = shade(look.clothes, 0.6)
    if look.garment == "crew":
        neckline = body.smooth([(-0.78, 1.62), (-0.4, 2.05), (0.0, 2.2), (0.4, 2.05), (0.78, 1.62)], 0.0, closed=False)
        canvas.drawPath(neckline, line(dark, 0.10 * px))
        return
    if look.garment == "hoodie":
        hood = body.smooth([(-1.0, 1.72), (-0.62, 2.3), (0.0, 2.65), (0.62, 2.3), (1.0, 1.72)], 0.0, closed=False)
        canvas.drawPath(hood, line(dark, 0.22 * px, 0.8, 0.02 * px))
        for side in (-1, 1):
            cord = body.smooth([(side * 0.3, 2.5), (side * 0.32, 3.0), (side * 0.28, 3.5)], 0.0, closed=False)
            canvas.drawPath(cord, line((236, 236, 232), 0.05 * px))
        return
    inner = [(-0.7, 1.6), (0.7, 1.6), (0.0, 3.6)]
    canvas.drawPath(body.smooth(inner, 0.0), paint(look.shirt))
    for side in (-1, 1):
        collar = body.project([(side * 0.60, 1.50), (side * 0.95, 1.75), (side * 0.42, 2.35), (side * 0.02, 2.02)], 0.0)
        path = skia.Path()
        path.addPoly([skia.Point(float(x), float(y)) for x, y in collar], True)  # closed
        canvas.drawPath(path, paint(look.shirt))
        canvas.drawPath(path, line(shade(look.shirt, 0.7), 0.02 * px, 0.7))
        if look.garment == "blazer":
            lapel = body.project([(side * 0.9, 1.7), (side * 1.25, 2.1), (side * 0.95, 2.5), (side * 0.1, 3.9)], 0.0)
            flap = skia.Path()
            flap.addPoly([skia.Point(float(x), float(y)) for x, y in lapel], True)  # closed
            canvas.drawPath(flap, paint(shade(look.clothes, 0.86)))
            canvas.drawPath(flap, line(dark, 0.03 * px))
    if look.garment == "blazer":
        tie = body.project([(-0.12, 2.02), (0.12, 2.02), (0.20, 3.4), (0.0, 3.8), (-0.20, 3.4)], 0.0)
        path = skia.Path()
        path.addPoly([skia.Point(float(x), float(y)) for x, y in tie], True)  # closed
        canvas.drawPath(path, paint(look.accent))


def _around(centre: F64Array, half_width: float, half_height: float) -> skia.Rect:
    return skia.Rect.MakeLTRB(
        float(centre[0] - half_width), float(centre[1] - half_height),
        float(centre[0] + half_width), float(centre[1] + half_height),
    )  # fmt: skip
