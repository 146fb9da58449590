"""Small drawings for a page: SVG that needs no script, no network, and adapts to light and dark."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape
from itertools import pairwise

import numpy as np

_WIDTH, _HEIGHT = 320, 120
_LEFT, _BOTTOM, _TOP = 44, 18, 8


def bars(values: Sequence[float], labels: Sequence[str], title: str) -> str:
    """Return a bar chart: a column a value.

    Args:
        values: Heights of the columns, from 0 on.
        labels: A tooltip for each; the first and the last stand below the axis.
        title: Name of the chart for screen readers.
    """
    top = max([*values, 1e-9])
    step = (_WIDTH - _LEFT) / max(1, len(values))
    inner = _HEIGHT - _BOTTOM - _TOP
    shapes = [
        f'<rect x="{_LEFT + place * step + 1:.1f}" y="{_TOP + inner * (1 - value / top):.1f}" '
        f'width="{max(1.0, step - 2):.1f}" height="{inner * value / top:.1f}">'
        f"<title>{escape(label)}: {value:g}</title></rect>"
        for place, (value, label) in enumerate(zip(values, labels, strict=True))
    ]
    ends = (labels[0], labels[-1]) if labels else ("", "")
    return _framed("".join(shapes), f"{top:g}", ends, title)


def histogram(values: Sequence[float], title: str, bins: int = 16) -> str:
    """Return a histogram of values; empty where there are none.

    Args:
        values: A value a video.
        title: Name of the chart for screen readers; the number of videos is added.
        bins: Number of columns.
    """
    if not values:
        return ""
    counts, edges = np.histogram(values, bins=bins)
    labels = [f"{low:.2f} to {high:.2f}" for low, high in pairwise(edges)]
    return bars([float(count) for count in counts], labels, f"{title}, {len(values)} videos")


def line(values: Sequence[float | None], title: str, unit: str = "s") -> str:
    """Return a curve with gaps where values are missing.

    Args:
        values: A value at each unit of the axis, None where it is missing.
        title: Name of the chart for screen readers.
        unit: Unit of the horizontal axis.
    """
    numbers = [value for value in values if value is not None]
    if not numbers:
        return ""
    top, low = max([*numbers, 1e-9]), min([*numbers, 0.0])
    inner = _HEIGHT - _BOTTOM - _TOP
    step = (_WIDTH - _LEFT - 4) / max(1, len(values) - 1)
    paths: list[list[str]] = [[]]
    for place, value in enumerate(values):
        if value is None:
            paths.append([])
            continue
        y = _TOP + inner * (1 - (value - low) / (top - low))
        paths[-1].append(f"{_LEFT + place * step:.1f},{y:.1f}")
    shapes = [f'<polyline points="{" ".join(path)}"/>' for path in paths if len(path) > 1]
    shapes += [
        f'<circle cx="{x}" cy="{y}" r="2"/>' for path in paths if len(path) == 1 for x, y in [path[0].split(",")]
    ]
    return _framed("".join(shapes), f"{top:.2f}", (f"0 {unit}", f"{len(values)} {unit}"), title)


def _framed(shapes: str, top: str, ends: tuple[str, str], title: str) -> str:
    base = _HEIGHT - _BOTTOM
    first, last = (escape(text) for text in ends)
    return (
        f'<svg viewBox="0 0 {_WIDTH} {_HEIGHT}" role="img" aria-label="{escape(title, quote=True)}">'
        f'<text x="{_LEFT - 4}" y="{_TOP + 8}" text-anchor="end">{top}</text>'
        f'<text x="{_LEFT - 4}" y="{base}" text-anchor="end">0</text>'
        f'<line x1="{_LEFT}" y1="{base}" x2="{_WIDTH}" y2="{base}"/>{shapes}'
        f'<text x="{_LEFT}" y="{_HEIGHT - 4}">{first}</text>'
        f'<text x="{_WIDTH}" y="{_HEIGHT - 4}" text-anchor="end">{last}</text></svg>'
    )


def intervals(lines: Sequence[tuple[str, float, float | None, float | None]], title: str) -> str:
    """Return an image of its own: values with their intervals, a line each, around nought.

    Args:
        lines: Name, value, and the bounds of its interval, None where there is none.
        title: What is shown.
    """
    row, left, width = 24, 140, 640
    height = row * (len(lines) + 2)
    bounds = [bound for _, *values in lines for bound in values if bound is not None]
    reach = max([*(abs(bound) for bound in bounds), 1e-9])
    middle, scale = (left + width) / 2, (width - left) / 2 * 0.9 / reach
    shapes: list[str] = []
    for place, (name, value, low, high) in enumerate(lines):
        y = row * (place + 1.5)
        shapes.append(f'<text x="{left - 8}" y="{y + 4}" text-anchor="end">{escape(name)}</text>')
        if low is not None and high is not None:
            shapes.append(f'<line x1="{middle + low * scale:.1f}" y1="{y}" x2="{middle + high * scale:.1f}" y2="{y}"/>')
        shapes.append(f'<circle cx="{middle + value * scale:.1f}" cy="{y}" r="4"><title>{value:+.3f}</title></circle>')
    style = (
        "text{font:12px sans-serif;fill:#555}line{stroke:#2563c9;stroke-width:2}circle{fill:#2563c9}"
        ".axis{stroke:#999;stroke-width:1;stroke-dasharray:3 3}"
        "@media(prefers-color-scheme:dark){text{fill:#bbb}line{stroke:#7fb0ff}circle{fill:#7fb0ff}}"
    )
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" role="img" '
        f'aria-label="{escape(title, quote=True)}"><style>{style}</style>'
        f'<text x="8" y="16">{escape(title)}</text>'
        f'<line class="axis" x1="{middle}" y1="{row}" x2="{middle}" y2="{height - row}"/>{"".join(shapes)}'
        f'<text x="{left}" y="{height - 8}">{-reach:.2f}</text>'
        f'<text x="{middle}" y="{height - 8}" text-anchor="middle">0</text>'
        f'<text x="{width - 4}" y="{height - 8}" text-anchor="end">{reach:+.2f}</text></svg>'
    )
