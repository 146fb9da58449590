"""Appearance of a presenter: everything that stays the same from frame to frame, drawn from a seed."""

from __future__ import annotations

import colorsys
from dataclasses import dataclass

import numpy as np

Rgb = tuple[int, int, int]

_SKINS: tuple[Rgb, ...] = (
    (255, 224, 200), (246, 208, 180), (240, 196, 160), (226, 178, 138), (208, 156, 114),
    (188, 134, 94), (164, 112, 76), (138, 92, 62), (112, 74, 52), (88, 60, 46),
)  # fmt: skip
_HAIRS: tuple[Rgb, ...] = (
    (28, 24, 26), (52, 36, 28), (84, 56, 36), (120, 78, 44), (168, 118, 62),
    (206, 166, 98), (150, 66, 34), (176, 176, 182), (224, 222, 220), (64, 50, 70),
)  # fmt: skip
_IRISES: tuple[Rgb, ...] = ((74, 48, 30), (104, 74, 40), (58, 108, 84), (66, 118, 160), (96, 104, 112), (44, 36, 34))
_CLOTHES: tuple[Rgb, ...] = (
    (44, 62, 92), (120, 44, 52), (60, 96, 78), (222, 214, 200), (40, 42, 48), (182, 120, 52),
    (92, 78, 128), (70, 130, 150), (206, 96, 88), (148, 154, 160),
)  # fmt: skip
_WALLS: tuple[Rgb, ...] = (
    (206, 214, 220), (226, 214, 196), (178, 196, 190), (188, 180, 204), (112, 128, 146), (214, 190, 176),
    (90, 104, 98), (232, 228, 220), (140, 160, 180), (66, 72, 86),
)  # fmt: skip

HAIR_STYLES = ("short", "side", "long", "bob", "bun", "curly", "shaved")
GARMENTS = ("crew", "shirt", "blazer", "hoodie")
BACKDROPS = ("wall", "window", "shelf", "lights", "gradient")


@dataclass(frozen=True, slots=True)
class Appearance:
    """A presenter. Lengths are in units of half the face's width."""

    skin: Rgb
    hair: Rgb
    iris: Rgb
    lip: Rgb
    clothes: Rgb
    shirt: Rgb
    wall: Rgb
    accent: Rgb
    hair_style: str
    garment: str
    backdrop: str
    jaw_width: float
    chin: float
    forehead: float
    eye_size: float
    eye_gap: float
    brow_thickness: float
    brow_tilt: float
    nose_width: float
    nose_length: float
    mouth_width: float
    upper_lip: float
    lower_lip: float
    beard: float
    moustache: float
    glasses: bool
    blush: float
    light: float
    parting: float
    detail_seed: int


def shade(color: Rgb, factor: float) -> Rgb:
    """Return a colour made lighter (factor above 1) or darker, a little warmer in the dark."""
    if factor >= 1:
        mix = min(1.0, factor - 1)
        return (
            round(color[0] + (255 - color[0]) * mix),
            round(color[1] + (255 - color[1]) * mix),
            round(color[2] + (255 - color[2]) * mix),
        )
    return (round(color[0] * factor**0.85), round(color[1] * factor), round(color[2] * factor**1.05))


def mix(first: Rgb, second: Rgb, fraction: float) -> Rgb:
    """Blend `second` into `first`: 0 gives the first, 1 the second."""
    return (
        round(first[0] + (second[0] - first[0]) * fraction),
        round(first[1] + (second[1] - first[1]) * fraction),
        round(first[2] + (second[2] - first[2]) * fraction),
    )


def _varied(color: Rgb, rng: np.random.Generator, amount: float) -> Rgb:
    hue, lightness, saturation = colorsys.rgb_to_hls(*(channel / 255 for channel in color))
    hue = (hue + rng.normal(0, 0.008 * amount)) % 1.0
    lightness = float(np.clip(lightness * (1 + rng.normal(0, 0.04 * amount)), 0.04, 0.96))
    saturation = float(np.clip(saturation * (1 + rng.normal(0, 0.08 * amount)), 0, 1))
    red, green, blue = colorsys.hls_to_rgb(hue, lightness, saturation)
    return (round(red * 255), round(green * 255), round(blue * 255))


def draw_appearance(seed: int) -> Appearance:
    """Return the presenter of a seed."""
    rng = np.random.default_rng([seed, 0x100C])

    def pick(colors: tuple[Rgb, ...], amount: float = 1.0) -> Rgb:
        return _varied(colors[int(rng.integers(len(colors)))], rng, amount)

    def between(low: float, high: float) -> float:
        return float(rng.uniform(low, high))

    skin = pick(_SKINS)
    darkness = 1 - sum(skin) / 765
    rosy = mix(skin, (196, 62, 74), between(0.30, 0.62))
    lip = shade(rosy, between(0.78, 0.95) - 0.25 * darkness)
    style = str(rng.choice(HAIR_STYLES))
    bearded = style in {"short", "side", "curly", "shaved"} and rng.random() < 0.4  # share of them
    return Appearance(
        skin=skin,
        hair=pick(_HAIRS),
        iris=pick(_IRISES),
        lip=lip,
        clothes=pick(_CLOTHES, 2),
        shirt=_varied((236, 238, 242), rng, 1),
        wall=pick(_WALLS, 2),
        accent=pick(_CLOTHES, 2),
        hair_style=style,
        garment=str(rng.choice(GARMENTS)),
        backdrop=str(rng.choice(BACKDROPS)),
        jaw_width=between(0.56, 0.82),
        chin=between(1.14, 1.30),
        forehead=between(0.80, 0.94),
        eye_size=between(0.20, 0.26),
        eye_gap=between(0.40, 0.47),
        brow_thickness=between(0.05, 0.11),
        brow_tilt=between(-0.05, 0.07),
        nose_width=between(0.15, 0.25),
        nose_length=between(0.24, 0.36),
        mouth_width=between(0.36, 0.45),
        upper_lip=between(0.055, 0.095),
        lower_lip=between(0.075, 0.125),
        beard=between(0.35, 0.95) if bearded else 0.0,
        moustache=between(0.4, 0.9) if bearded and rng.random() < 0.6 else 0.0,  # share of them
        glasses=bool(rng.random() < 0.25),  # share of all
        blush=between(0.05, 0.3),
        light=between(-1, 1),
        parting=between(-0.5, 0.5),
        detail_seed=int(rng.integers(1 << 31)),
    )
