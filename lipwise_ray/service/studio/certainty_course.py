"""Drawing of how sure the sync of a video is, second by second, over the whole width of its seek bar."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby

from markupsafe import Markup

_WIDTH, _HEIGHT = 1000, 100
_TOP_ROOM = 4


@dataclass(frozen=True, slots=True)
class CertaintyCourse:
    """Drawing of the course.

    Attributes:
        drawing: SVG that is stretched to any width; time goes from its left to its right edge.
        least, most: Bounds of its height.
        lowest_s: Seconds at which the certainty is lowest.
        lowest: The certainty there.
        has_gaps: Some second was not measured.
    """

    drawing: Markup
    least: float
    most: float
    lowest_s: float
    lowest: float
    has_gaps: bool


def certainty_course(values: Sequence[float | None], lasting_s: float) -> CertaintyCourse | None:
    """Return the drawing; None where no second has a value.

    Args:
        values: LSE-C of each second, None where it was not measured.
        lasting_s: Length of the video.
    """
    known = [(value, second) for second, value in enumerate(values) if value is not None]
    if not known or lasting_s <= 0:
        return None
    lowest, lowest_s = min(known)
    least, most = min(0.0, lowest), max(max(known)[0], 1e-9)
    shapes: list[Markup] = []
    for is_known, group in groupby(enumerate(values), key=lambda one: one[1] is not None):
        if is_known:
            shapes += _stretch([(second, value or 0.0) for second, value in group], lasting_s, least, most)
    svg = Markup('<svg viewBox="0 0 {} {}" preserveAspectRatio="none" role="img" aria-label="{}">{}</svg>').format(
        _WIDTH, _HEIGHT, f"Certainty by second, {lowest:.2f} to {most:.2f}", Markup("").join(shapes)
    )
    return CertaintyCourse(svg, least, most, lowest_s, lowest, len(known) < len(values))


def _stretch(stretch: list[tuple[int, float]], lasting_s: float, least: float, most: float) -> list[Markup]:
    """Return the line through the middles of seconds that follow each other, and the surface below it."""

    def x(seconds: float) -> str:
        return f"{_WIDTH * min(1.0, seconds / lasting_s):.1f}"

    def y(value: float) -> str:
        return f"{_TOP_ROOM + (_HEIGHT - _TOP_ROOM) * (1 - (value - least) / (most - least)):.1f}"

    first, last = stretch[0], stretch[-1]
    points = [f"{x(first[0])},{y(first[1])}"]
    points += [f"{x(second + 0.5)},{y(value)}" for second, value in stretch if second + 0.5 < lasting_s]
    points.append(f"{x(last[0] + 1)},{y(last[1])}")
    line = " ".join(points)
    area = f"{x(first[0])},{_HEIGHT} {line} {x(last[0] + 1)},{_HEIGHT}"
    return [Markup('<polygon points="{}"/>').format(area), Markup('<polyline points="{}"/>').format(line)]
