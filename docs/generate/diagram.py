"""Diagrams as SVG, of a text that says where boxes stand and what leads where; legible on light and dark pages."""

from __future__ import annotations

import tomllib
from collections.abc import Iterator, Sequence
from html import escape
from pathlib import Path
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

ROOT = Path(__file__).resolve().parents[2]
_TEXTS = Path(__file__).with_name("diagrams")
_UNIT_X, _UNIT_Y = 164, 88
_WIDTH, _HEIGHT = 144, 48
_LINE = 15
_MARGIN = 14
_LAYER_HEIGHT = 30

_STYLE = """<style>
text { font: 12px system-ui, sans-serif; text-anchor: middle; fill: #1b2730; }
text.note { font-size: 11px; fill: #5b6b76; paint-order: stroke; stroke: #fff; stroke-width: 4px; }
rect { fill: #eef5f4; stroke: #3f7d78; stroke-width: 1; rx: 6px; }
rect.gpu { stroke-width: 3; }
path { fill: none; stroke: #7b8a94; stroke-width: 1.4; marker-end: url(#tip); }
path.dashed { stroke-dasharray: 4 4; }
marker path { fill: #7b8a94; stroke: none; marker-end: none; }
@media (prefers-color-scheme: dark) {
text { fill: #e6eef0; }
text.note { fill: #a9b7bf; stroke: #131416; }
rect { fill: #1d3533; stroke: #5fb5ad; }
}
</style>
<defs><marker id="tip" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="7" markerHeight="7" orient="auto">\
<path d="M0 0 8 4 0 8z"/></marker></defs>
"""

Point = tuple[float, float]


class Box(BaseModel):
    """A box: its middle in units of the grid, its lines of text."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    id: str
    at: Point
    text: str
    gpu: bool = False


class Edge(BaseModel):
    """An arrow from box to box, over corners where it has some; its text has a place of its own."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    start: Annotated[str, Field(alias="from")]
    end: Annotated[str, Field(alias="to")]
    via: tuple[Point, ...] = ()
    text: str = ""
    text_at: Point = (0, 0)
    dashed: bool = False


class Diagram(BaseModel):
    """Boxes and arrows."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    title: str
    boxes: tuple[Box, ...]
    edges: tuple[Edge, ...]
    legend: str = ""


def diagrams() -> dict[str, str]:
    """Return all diagrams as SVG, by the names of their files."""
    texts = {path.stem: tomllib.loads(path.read_text("utf-8")) for path in sorted(_TEXTS.glob("*.toml"))}
    drawn = {f"{name}.svg": _drawn(Diagram.model_validate(text)) for name, text in texts.items()}
    return {**drawn, "layers.svg": _layers()}


def _drawn(diagram: Diagram) -> str:
    boxes = {box.id: box for box in diagram.boxes}
    corners = [box.at for box in diagram.boxes] + [corner for edge in diagram.edges for corner in edge.via]
    width = max(_place(one)[0] for one in corners) + _WIDTH / 2 + _MARGIN
    height = max(_place(one)[1] for one in corners) + _HEIGHT / 2 + _MARGIN
    parts = [part for edge in diagram.edges for part in _arrow(edge, boxes)]
    parts += [part for box in diagram.boxes for part in _box(box)]
    parts += [_text(edge.text, _place(edge.text_at), "note") for edge in diagram.edges if edge.text]
    if diagram.legend:
        height += _LINE
        parts.append(_text(diagram.legend, (width / 2, height - _MARGIN / 2), "note"))
    return _svg(diagram.title, width, height, parts)


def _svg(title: str, width: float, height: float, parts: Sequence[str]) -> str:
    head = f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width:g} {height:g}" role="img" width="{width:g}">'
    return "\n".join([head, f"<title>{escape(title)}</title>", _STYLE.rstrip(), *parts, "</svg>\n"])


def _place(at: Point) -> Point:
    """Return a place in pixels."""
    return at[0] * _UNIT_X + _WIDTH / 2 + _MARGIN, at[1] * _UNIT_Y + _HEIGHT / 2 + _MARGIN


def _box(box: Box) -> Iterator[str]:
    x, y = _place(box.at)
    kind = ' class="gpu"' if box.gpu else ""
    yield f'<rect{kind} x="{x - _WIDTH / 2:g}" y="{y - _HEIGHT / 2:g}" width="{_WIDTH}" height="{_HEIGHT}" rx="6"/>'
    lines = box.text.split("\n")
    for number, line in enumerate(lines):
        yield _text(line, (x, y + 4 + (number - (len(lines) - 1) / 2) * _LINE))


def _arrow(edge: Edge, boxes: dict[str, Box]) -> Iterator[str]:
    start, end = (_place(boxes[name].at) for name in (edge.start, edge.end))
    corners = [_place(one) for one in edge.via]
    first, last = _border(start, [*corners, end][0]), _border(end, [start, *corners][-1])
    points = " ".join(f"{x:.1f} {y:.1f}" for x, y in [first, *corners, last])
    kind = ' class="dashed"' if edge.dashed else ""
    yield f'<path{kind} d="M{points}"/>'


def _border(middle: Point, towards: Point) -> Point:
    """Return the point of a box's border on the way from its middle to another point."""
    dx, dy = towards[0] - middle[0], towards[1] - middle[1]
    scale = min(half / abs(one) for half, one in ((_WIDTH / 2 + 2, dx), (_HEIGHT / 2 + 2, dy)) if one)
    return middle[0] + dx * scale, middle[1] + dy * scale


def _text(text: str, at: Point, kind: str = "") -> str:
    named = f' class="{kind}"' if kind else ""
    return f'<text{named} x="{at[0]:g}" y="{at[1]:g}">{escape(text)}</text>'


def _layers() -> str:
    """Return the layers of the package, as the contract of imports has them, the highest first."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))
    contracts = project["tool"]["importlinter"]["contracts"]
    layers = next(
        one["layers"] for one in contracts if one["type"] == "layers" and one["containers"] == ["lipwise_ray"]
    )
    width = 640
    parts: list[str] = []
    for number, layer in enumerate(layers):
        names = layer.split(" | ")
        each = (width - 2 * _MARGIN) / len(names)
        y = _MARGIN + number * _LAYER_HEIGHT
        for place, name in enumerate(names):
            x = _MARGIN + place * each
            parts.append(f'<rect x="{x + 2:g}" y="{y:g}" width="{each - 4:g}" height="{_LAYER_HEIGHT - 5}" rx="4"/>')
            parts.append(_text(name, (x + each / 2, y + 17)))
    height = 2 * _MARGIN + len(layers) * _LAYER_HEIGHT + _LINE
    parts.append(_text("Imports run downwards.", (width / 2, height - _MARGIN), "note"))
    return _svg("Layers of the package", width, height, parts)
