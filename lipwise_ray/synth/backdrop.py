"""Backdrops behind the presenters."""

# pyright: reportUnknownParameterType=false, reportUnknownLambdaType=false
# skia-python comes without types.
from __future__ import annotations

import numpy as np
import skia

from lipwise_ray.synth.appearance import Appearance, mix, shade
from lipwise_ray.synth.head import line, linear, paint
from lipwise_ray.values import Size


def draw_backdrop(look: Appearance, size: Size) -> skia.Image:
    """Return the room behind a presenter."""
    surface = skia.Surface(size.width, size.height)
    canvas = surface.getCanvas()
    rng = np.random.default_rng([look.detail_seed, 0xBAC])
    width, height = float(size.width), float(size.height)
    tones = [shade(look.wall, 1.12), shade(look.wall, 0.74)]
    ends = np.array([[0, 0], [width, height]] if look.light < 0 else [[width, 0], [0, height]])
    canvas.drawRect(skia.Rect.MakeWH(width, height), linear(ends[0], ends[1], tones))
    soft = 0.008 * height
    if look.backdrop == "window":
        _draw_window(canvas, look, size, soft)
    elif look.backdrop == "shelf":
        _draw_shelf(canvas, look, rng, size, soft)
    elif look.backdrop == "lights":
        for _ in range(14):
            x, y = rng.uniform(0, width), rng.uniform(0, 0.8 * height)
            tone = mix(look.accent, (255, 226, 170), float(rng.uniform(0.3, 1)))
            canvas.drawCircle(x, y, rng.uniform(0.02, 0.08) * height, paint(tone, 0.35, soft))
    elif look.backdrop == "wall":
        left = width * (0.04 if look.parting < 0 else 0.66)
        frame = skia.Rect.MakeXYWH(left, 0.10 * height, 0.30 * width, 0.30 * height)
        canvas.drawRect(frame, paint(shade(look.accent, 0.8), 1, soft))
        inner = skia.Rect.MakeXYWH(left + 0.02 * width, 0.13 * height, 0.26 * width, 0.24 * height)
        canvas.drawRect(inner, paint(mix(look.accent, (240, 236, 226), 0.75), 1, soft))
        canvas.drawCircle(left + 0.12 * width, 0.28 * height, 0.07 * height, paint(look.clothes, 0.6, soft))
    return surface.makeImageSnapshot()


def _draw_window(canvas: skia.Canvas, look: Appearance, size: Size, soft: float) -> None:
    width, height = size.width, size.height
    left = width * (0.03 if look.light < 0 else 0.52)
    pane = skia.Rect.MakeXYWH(left, 0.05 * height, 0.45 * width, 0.62 * height)
    sky = [(196, 224, 246), (240, 240, 224)]
    canvas.drawRect(pane, linear(np.array([left, 0]), np.array([left, 0.6 * height]), sky))
    canvas.drawOval(
        skia.Rect.MakeXYWH(left, 0.46 * height, 0.30 * width, 0.3 * height), paint((122, 160, 112), 0.8, 3 * soft)
    )
    bars = line((244, 244, 240), 0.018 * height, 1, soft)
    canvas.drawRect(pane, bars)
    canvas.drawLine(left + 0.225 * width, 0.05 * height, left + 0.225 * width, 0.67 * height, bars)


def _draw_shelf(canvas: skia.Canvas, look: Appearance, rng: np.random.Generator, size: Size, soft: float) -> None:
    width, height = size.width, size.height
    wood = mix(look.wall, (110, 76, 48), 0.7)
    for level in (0.30, 0.62, 0.94):
        x = 0.0
        while x < width:
            thick, tall = rng.uniform(0.02, 0.045) * width, rng.uniform(0.14, 0.22) * height
            tone = mix(
                look.wall, (int(rng.integers(60, 220)), int(rng.integers(60, 200)), int(rng.integers(60, 200))), 0.6
            )
            if rng.random() < 0.85:  # a gap now and then
                canvas.drawRect(skia.Rect.MakeXYWH(x, level * height - tall, thick, tall), paint(tone, 0.9, soft))
            x += thick * 1.05
        canvas.drawRect(skia.Rect.MakeXYWH(0, level * height, width, 0.02 * height), paint(wood, 1, soft))
