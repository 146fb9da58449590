"""Hair, beard and moustache."""

# pyright: reportUnknownParameterType=false, reportUnknownLambdaType=false
# skia-python comes without types.
from __future__ import annotations

import numpy as np
import skia

from lipwise_ray.synth.appearance import Appearance, mix, shade
from lipwise_ray.synth.head import Head, line, linear, paint, smooth_path
from lipwise_ray.synth.mouth import CENTRE_Y, Mouth

_LONG = ("long", "bob")
_STRANDS = 7


def draw_back_hair(canvas: skia.Canvas, head: Head, look: Appearance) -> None:
    """Draw what hangs behind the head."""
    dark = shade(look.hair, 0.72)
    if look.hair_style in _LONG:
        end = 2.5 if look.hair_style == "long" else 1.25
        points = [(-1.12, 0.9), (-1.30, 0.0), (-1.16, -1.0), (-0.55, -1.58), (0.0, -1.68)]
        shape = [(-1.10, end), *points, *[(-x, y) for x, y in points[-2::-1]], (1.10, end), (0.0, end - 0.1)]
        canvas.drawPath(head.smooth(shape, -0.35), paint(dark))
    elif look.hair_style == "bun":
        x, y = head.project([(0.0, -1.72)], -0.5)[0]
        canvas.drawCircle(x, y, 0.42 * head.pose.scale, paint(dark))
        canvas.drawCircle(x, y - 0.08 * head.pose.scale, 0.28 * head.pose.scale, paint(look.hair, 0.6, 0.05))
    elif look.hair_style == "curly":
        _draw_curls(canvas, head, look, back=True)


def draw_front_hair(canvas: skia.Canvas, head: Head, look: Appearance) -> None:
    """Draw what lies on the head."""
    px = head.pose.scale
    if look.hair_style == "curly":
        _draw_curls(canvas, head, look, back=False)
        return
    low = -0.28 if look.hair_style in {"short", "shaved", "side"} else -0.1
    line_y = -look.forehead
    part = look.parting if look.hair_style != "shaved" else 0.0
    height = {"shaved": 1.34, "bun": 1.46}.get(look.hair_style, 1.56)
    crown = [
        (-1.03, low), (-1.12, -0.75), (-0.78, -1.26), (-0.3, -height + 0.04), (0.0, -height),
        (0.3, -height + 0.04), (0.78, -1.26), (1.12, -0.75), (1.03, low),
    ]  # fmt: skip
    depth = [0.05, -0.05, -0.05, 0.05, 0.05, 0.05, -0.05, -0.05, 0.05]
    fringe = [
        (0.92, -0.52), (0.74, line_y + 0.10), (0.5 * (0.74 + part), line_y - 0.05), (part, line_y - 0.14),
        (0.5 * (-0.74 + part), line_y - 0.05), (-0.74, line_y + 0.10), (-0.92, -0.52),
    ]  # fmt: skip
    if look.hair_style == "side":
        fringe[2:4] = [(0.35, line_y + 0.13), (part, line_y - 0.02)]
    if look.hair_style == "bob":
        fringe = [(0.90, -0.45), (0.6, line_y + 0.26), (0.0, line_y + 0.32), (-0.6, line_y + 0.26), (-0.90, -0.45)]
    surface = head.project(fringe)
    crown_px = head.project(crown, np.array(depth))
    cap = smooth_path(np.concatenate([crown_px, surface]))
    top, bottom = head.project([(0.3 * look.light, -1.55), (-0.3 * look.light, -0.3)], 0.2)
    alpha = 0.62 if look.hair_style == "shaved" else 1.0
    tones = [shade(look.hair, 1.16), look.hair, shade(look.hair, 0.74)]
    brush = linear(top, bottom, tones)
    brush.setAlphaf(alpha)
    canvas.drawPath(cap, brush)
    if look.hair_style in _LONG:
        _draw_locks(canvas, head, look)
    if look.hair_style == "shaved":
        return
    canvas.save()
    canvas.clipPath(cap, skia.ClipOp.kIntersect, True)  # anti-aliased
    rng = np.random.default_rng(look.detail_seed)
    for share in np.linspace(-1, 1, _STRANDS):
        wave = float(rng.uniform(-0.08, 0.08))
        strand = [(part + 0.05 * share, -height), (0.75 * share + wave, -1.18), (1.02 * share, -0.6)]
        tone = shade(look.hair, 1.3 if rng.random() < 0.5 else 0.6)  # a coin
        canvas.drawPath(head.smooth(strand, closed=False), line(tone, 0.05 * px, 0.35, 0.02 * px))
    canvas.restore()


def _draw_locks(canvas: skia.Canvas, head: Head, look: Appearance) -> None:
    end = 2.2 if look.hair_style == "long" else 1.1
    for side in (-1, 1):
        lock = [(0.98, -0.7), (1.12, -0.5), (1.24, 0.3), (1.16, end), (0.92, end - 0.05), (0.98, 0.3), (0.90, -0.3)]
        path = head.smooth([(side * x, y) for x, y in lock], -0.02)
        canvas.drawPath(path, paint(shade(look.hair, 0.94)))
        inner = head.smooth([(side * 1.08, -0.4), (side * 1.12, 0.4), (side * 1.04, end)], 0.0, closed=False)
        canvas.drawPath(inner, line(shade(look.hair, 1.2), 0.05 * head.pose.scale, 0.35, 0.02 * head.pose.scale))


def _draw_curls(canvas: skia.Canvas, head: Head, look: Appearance, *, back: bool) -> None:
    rng = np.random.default_rng(look.detail_seed)
    px = head.pose.scale
    angles = np.linspace(np.pi * 0.9, np.pi * 2.1, 17) if back else np.linspace(np.pi * 1.10, np.pi * 1.90, 13)
    rings = ((1.38, 0.34),) if back else ((1.36, 0.28), (1.22, 0.22))
    for radius, size in rings:
        for angle in angles:
            x = float(np.cos(angle)) * (radius - 0.22)
            y = float(np.sin(angle)) * radius * 1.02 - 0.12
            curl = size * float(rng.uniform(0.8, 1.15))
            tone = shade(look.hair, float(rng.uniform(0.7, 0.85)) if back else float(rng.uniform(0.82, 1.15)))
            place = head.project([(x, y)], -0.3 if back else 0.0)[0]
            canvas.drawCircle(*place, curl * px, paint(tone))
            if not back:
                canvas.drawCircle(
                    place[0],
                    place[1] - 0.3 * curl * px,
                    0.5 * curl * px,
                    paint(shade(look.hair, 1.25), 0.25, 0.04 * px),
                )


def draw_beard(canvas: skia.Canvas, head: Head, look: Appearance, mouth: Mouth) -> None:
    """Draw beard and moustache; the face's rim is the clip."""
    px = head.pose.scale
    if look.beard:
        jaw = mouth.jaw
        side_y = CENTRE_Y + 0.16 + 0.6 * jaw
        tone = mix(look.hair, look.skin, 0.12)
        points = [
            (-1.05, -0.05), (-0.93, 0.30), (-0.72, 0.56), (-0.50, CENTRE_Y - 0.02), (-0.40, side_y),
            (0.0, CENTRE_Y + 0.22 + jaw), (0.40, side_y), (0.50, CENTRE_Y - 0.02), (0.72, 0.56),
            (0.93, 0.30), (1.05, -0.05), (1.2, 0.8), (0.8, 1.5), (0.0, 1.75), (-0.8, 1.5), (-1.2, 0.8),
        ]  # fmt: skip
        canvas.drawPath(head.smooth(points), paint(tone, look.beard, 0.035 * px))
    if look.moustache:
        y = CENTRE_Y - look.upper_lip - 0.05 - mouth.rise
        wide = look.mouth_width * 1.05
        points = [
            (-wide, y + 0.10),
            (-0.5 * wide, y - 0.05),
            (0.0, y - 0.02),
            (0.5 * wide, y - 0.05),
            (wide, y + 0.10),
            (0.0, y + 0.06),
        ]
        canvas.drawPath(head.smooth(points), paint(mix(look.hair, look.skin, 0.08), look.moustache, 0.02 * px))
