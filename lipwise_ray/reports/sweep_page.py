"""One self-contained page that puts lip models side by side: no script, no request; light and dark; wide and narrow."""

from __future__ import annotations

import base64
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import islice

from lipwise_ray.reports.compare import ALL
from lipwise_ray.reports.figures import number
from lipwise_ray.reports.page import environment
from lipwise_ray.reports.pairing_words import pairing_words
from lipwise_ray.reports.report_links import NO_LINKS
from lipwise_ray.reports.sweep_figures import KINDS
from lipwise_ray.reports.sweep_rows import ColumnRuns
from lipwise_ray.reports.worst_first import Stills
from lipwise_ray.state.sweep_records import SweepFigure, SweepRow

_MOST_SAMPLES, _MOST_MISSING = 12, 500
_MODEL_HEADS = ("label", "network", "commercial use", "rows", "failed or absent", "frames/s of a worker", "terms")
_ARROWS = {"lower": "↓ lower is better", "higher": "↑ higher is better", "near 1": "1 is best"}
_SHOWN = ("lse_c", "sync_confidence", "psnr", "sharpness", "identity_distance")
_FEW_ROWS = 6


@dataclass(frozen=True, slots=True)
class Cell:
    """A figure of a column: its value, its difference from the first column's, the interval of that, and its mark.

    `coverage` tells of how few rows it is, where another column has more.
    """

    value: str
    difference: str = ""
    interval: str = ""
    is_clear: bool = False
    coverage: str = ""


@dataclass(frozen=True, slots=True)
class FigureLine:
    """A figure in all columns."""

    name: str
    better: str
    cells: Sequence[Cell]


@dataclass(frozen=True, slots=True)
class FigureGroup:
    """All figures over some rows, and what to be careful about."""

    title: str
    notes: Sequence[str]
    lines: Sequence[FigureLine]


@dataclass(frozen=True, slots=True)
class SampleSide:
    """A column's face and video of a row; `still` is base64 of a JPEG, `video` an address beside the page."""

    label: str
    still: str
    video: str
    facts: Sequence[str]


@dataclass(frozen=True, slots=True)
class SampleRow:
    """A row of the manifest in all columns, the original first."""

    name: str
    sides: Sequence[SampleSide]


@dataclass(frozen=True, slots=True, kw_only=True)
class SweepParts:
    """Parts of the page, in its order."""

    subtitle: str
    labels: Sequence[str]
    model_heads: Sequence[str]
    models: Sequence[Sequence[str]]
    overall: FigureGroup
    groups: Sequence[FigureGroup]
    samples: Sequence[SampleRow]
    missing: Sequence[Sequence[str]]
    missing_caption: str


def sweep_page(
    manifest: str,
    columns: Sequence[ColumnRuns],
    rows: Sequence[SweepRow],
    figures: Sequence[SweepFigure],
    stills: Stills,
    link: Callable[[str], str],
) -> str:
    """Return the page.

    Args:
        manifest: Name of the manifest.
        columns: The columns, in order.
        rows: Rows of all columns.
        figures: Figures of all groups.
        stills: Gives the original's and the column's face of a measured video.
        link: Gives the address of a video beside the page; empty for one that a browser does not play from there.
    """
    labels = [column.label for column in columns]
    by_row: dict[str, dict[str, SweepRow]] = {}
    for row in rows:
        by_row.setdefault(row.row_id, {})[row.column] = row
    missing = [row for row in rows if row.status != "done"]
    overall, *groups = _groups(figures, labels) or [FigureGroup("All rows", ["no row was measured"], [])]
    parts = SweepParts(
        subtitle=f"{manifest}; rows: {len(by_row)}; models: {len(labels)}; differences are from {labels[0]}",
        labels=labels,
        model_heads=_MODEL_HEADS,
        models=[_model(column, [row for row in rows if row.column == column.label]) for column in columns],
        overall=overall,
        groups=groups,
        samples=[_sample(name, by_row[name], labels, stills, link) for name in _chosen(by_row, len(labels))],
        missing=[[row.row_id, row.column, row.status, row.message or ""] for row in islice(missing, _MOST_MISSING)],
        missing_caption=f"{len(missing)} of {len(rows)}"
        + (f", the first {_MOST_MISSING}" if len(missing) > _MOST_MISSING else ""),
    )
    template = environment().get_template("sweep.html.jinja")
    return template.render(title="Lip models compared", parts=parts, links=NO_LINKS)


def _model(column: ColumnRuns, rows: Sequence[SweepRow]) -> list[str]:
    done = [row for row in rows if row.status == "done"]
    speeds = [row.seconds_a_frame for row in done if row.seconds_a_frame]
    rate = len(speeds) / sum(speeds) if speeds else None
    terms = list(dict.fromkeys(row.terms for row in done if row.terms))
    uses = list(dict.fromkeys(row.commercial for row in done if row.commercial))
    return [
        column.label,
        column.network or ("other tool's files" if column.kind == "files" else "none"),
        ", ".join(uses) or "not known",
        str(len(done)),
        str(len(rows) - len(done)),
        number(rate, 1),
        "; ".join(terms) or "not known",
    ]


def _groups(figures: Sequence[SweepFigure], labels: Sequence[str]) -> list[FigureGroup]:
    groups: dict[str, dict[str, dict[str, SweepFigure]]] = {}
    for one in figures:
        groups.setdefault(one.group, {}).setdefault(one.figure, {})[one.column] = one
    return [
        FigureGroup(
            title="All rows" if name == ALL else name.replace(":", " ", 1).capitalize(),
            notes=_notes(lines),
            lines=[
                FigureLine(
                    KINDS[figure].name,
                    _ARROWS[KINDS[figure].better],
                    _cells([lines[figure].get(label) for label in labels], KINDS[figure].digits),
                )
                for figure in KINDS
                if figure in lines
            ],
        )
        for name, lines in groups.items()
    ]


def _notes(lines: Mapping[str, Mapping[str, SweepFigure]]) -> list[str]:
    notes = [one.note for line in lines.values() for one in line.values() if one.note]
    pairs = max((one.pairs for line in lines.values() for one in line.values()), default=0)
    if 0 < pairs < _FEW_ROWS:
        notes.append(f"rows: {pairs}, too few for intervals to be trusted")
    return list(dict.fromkeys(notes))


def _cells(figures: Sequence[SweepFigure | None], digits: int) -> list[Cell]:
    """Return the cells of a line; a mean over fewer rows than another's says so, for it is of other rows."""
    most = max((one.rows for one in figures if one), default=0)
    return [
        replace(_cell(one, digits), coverage=f"{one.rows} of {most} rows" if one and one.rows < most else "")
        for one in figures
    ]


def _cell(one: SweepFigure | None, digits: int) -> Cell:
    if one is None:
        return Cell("-")
    if one.faces is not None:
        return Cell(number(one.mean, digits), f"{one.faces:,} faces")
    if one.difference is None:
        return Cell(number(one.mean, digits))
    bounds = f"{one.low:+.{digits}f} to {one.high:+.{digits}f}" if one.low is not None and one.high is not None else ""
    is_clear = one.is_clear and one.pairs >= _FEW_ROWS
    mark = " *" if is_clear else ""
    return Cell(number(one.mean, digits), f"{one.difference:+.{digits}f}{mark}", bounds, is_clear)


def _chosen(by_row: Mapping[str, Mapping[str, SweepRow]], columns: int) -> list[str]:
    """Return some rows that all columns have, or most: of each language in turn."""
    waiting: dict[str, deque[str]] = {}
    order = sorted(by_row, key=lambda name: columns - sum(row.status == "done" for row in by_row[name].values()))
    for name in order:
        languages = {row.language for row in by_row[name].values() if row.language}
        if any(row.status == "done" for row in by_row[name].values()):
            waiting.setdefault(min(languages, default=""), deque()).append(name)
    chosen: list[str] = []
    while any(waiting.values()) and len(chosen) < _MOST_SAMPLES:
        chosen += [names.popleft() for names in waiting.values() if names]
    return chosen[:_MOST_SAMPLES]


def _sample(
    name: str,
    rows: Mapping[str, SweepRow],
    labels: Sequence[str],
    stills: Stills,
    link: Callable[[str], str],
) -> SampleRow:
    original, sides = "", list[SampleSide]()
    for label in labels:
        row = rows.get(label)
        if row is None or row.status != "done":
            sides.append(SampleSide(label, "", "", [row.message or row.status if row else "not made"]))
            continue
        images = stills(row.job_id) if row.job_id else None
        before, after = (base64.b64encode(data).decode() for data in images) if images else ("", "")
        original = original or before
        facts = [
            f"{KINDS[figure].name} {number(value, KINDS[figure].digits)}"
            for figure in _SHOWN
            if (value := getattr(row, figure)) is not None
        ]
        paired = pairing_words(row.lag_s, row.compared_s, row.video_s, row.fitted)
        sides.append(SampleSide(label, after, link(row.video or ""), [*facts, *paired]))
    beside = [SampleSide("original", original, "", [])] if original else []
    return SampleRow(name, [*beside, *sides])
