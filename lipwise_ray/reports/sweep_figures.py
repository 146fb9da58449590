"""Figures of a comparison of lip models, over all rows, by language and by tag, beside those of the first column."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from lipwise_ray.reports.compare import ALL, interval
from lipwise_ray.state.sweep_records import SweepFigure, SweepRow

LOWER, HIGHER, NEAR_ONE = "lower", "higher", "near 1"


@dataclass(frozen=True, slots=True)
class FigureKind:
    """A figure as pages name it: what is better, and how many digits are shown."""

    name: str
    better: str
    digits: int


KINDS: Mapping[str, FigureKind] = {
    "lse_d": FigureKind("LSE-D", LOWER, 2),
    "lse_c": FigureKind("LSE-C", HIGHER, 2),
    "sync_distance": FigureKind("sync distance", LOWER, 3),
    "sync_confidence": FigureKind("sync confidence", HIGHER, 3),
    "off_sync": FigureKind("offset, frames", LOWER, 2),
    "psnr": FigureKind("PSNR, dB", HIGHER, 2),
    "face_psnr": FigureKind("PSNR of the face, dB", HIGHER, 2),
    "ssim": FigureKind("SSIM", HIGHER, 4),
    "face_ssim": FigureKind("SSIM of the face", HIGHER, 4),
    "fid": FigureKind("FID of faces", LOWER, 2),
    "kid": FigureKind("KID of faces", LOWER, 4),
    "identity_distance": FigureKind("identity distance", LOWER, 3),
    "mouth_distance": FigureKind("distance of the lips, % of the eyes'", LOWER, 2),
    "sharpness": FigureKind("sharpness of the mouth", NEAR_ONE, 3),
    "flicker": FigureKind("flicker, levels", LOWER, 3),
    "seconds_a_frame": FigureKind("seconds a frame", LOWER, 4),
}
_OVER_FACES = ("fid", "kid")
_MOST_TAGS = 20
"""A tag may be a row's own, and a distance over faces takes seconds."""


@dataclass(frozen=True, slots=True)
class GroupDistances:
    """Distances over all faces of some videos: `fid`, `kid`, the number of faces, and what to be careful about."""

    fid: float | None
    kid: float | None
    faces: int
    note: str | None


DistancesGiver = Callable[[Sequence[str]], GroupDistances | None]
"""Returns the distances of evaluations, by their jobs; None where there are none."""


def groups_of(rows: Sequence[SweepRow]) -> dict[str, set[str]]:
    """Return the ids of rows by group: all, each language, each of the most frequent tags."""
    languages: dict[str, set[str]] = {}
    tags: dict[str, set[str]] = {}
    for row in rows:
        if row.language:
            languages.setdefault(f"language:{row.language}", set()).add(row.row_id)
        for tag in filter(None, row.tags.split(",")):
            tags.setdefault(f"tag:{tag}", set()).add(row.row_id)
    most = sorted(tags, key=lambda name: (-len(tags[name]), name))[:_MOST_TAGS]
    tags = {name: tags[name] for name in most}
    named = {name: found[name] for found in (languages, tags) for name in sorted(found)}
    return {ALL: {row.row_id for row in rows}, **named}


def figures_of(rows: Sequence[SweepRow], columns: Sequence[str], distances: DistancesGiver) -> list[SweepFigure]:
    """Return the figures of each group, column by column; columns after the first with their difference from it.

    Args:
        rows: Rows of all columns.
        columns: Labels, in order.
        distances: Gives the distances over faces.
    """
    by_column = {label: {row.row_id: row for row in rows if row.column == label} for label in columns}
    found: list[SweepFigure] = []
    for group, ids in groups_of(rows).items():
        first = _within(by_column[columns[0]], ids)
        for label in columns:
            here = _within(by_column[label], ids)
            over_faces = dict(_over_faces(group, label, list(here.values()), distances))
            for figure, kind in KINDS.items():
                one = (
                    over_faces.get(figure)
                    if figure in _OVER_FACES
                    else _mean(group, label, figure, kind, here, first if label != columns[0] else {})
                )
                if one is not None:
                    found.append(one)
    return found


def _within(rows: Mapping[str, SweepRow], ids: set[str]) -> dict[str, SweepRow]:
    return {row_id: row for row_id, row in rows.items() if row_id in ids}


def _mean(
    group: str,
    label: str,
    figure: str,
    kind: FigureKind,
    here: Mapping[str, SweepRow],
    first: Mapping[str, SweepRow],
) -> SweepFigure | None:
    values = {row_id: value for row_id, row in here.items() if (value := getattr(row, figure)) is not None}
    if not values:
        return None
    pairs = [
        value - base
        for row_id, value in values.items()
        if row_id in first and (base := getattr(first[row_id], figure)) is not None
    ]
    low, high = interval(np.array(pairs, np.float64))
    numbers = list(values.values())
    return SweepFigure(
        group=group,
        column=label,
        figure=figure,
        better=kind.better,
        rows=len(values),
        mean=float(np.mean(numbers)),
        median=float(np.median(numbers)),
        pairs=len(pairs),
        difference=float(np.mean(pairs)) if pairs else None,
        low=low,
        high=high,
    )


def _over_faces(
    group: str, label: str, rows: Sequence[SweepRow], distances: DistancesGiver
) -> Iterator[tuple[str, SweepFigure]]:
    measured = [row for row in rows if row.job_id and row.faces]
    found = distances([str(row.job_id) for row in measured]) if measured else None
    if found is None:
        return
    for figure, value in (("fid", found.fid), ("kid", found.kid)):
        if value is not None:
            yield (
                figure,
                SweepFigure(
                    group=group,
                    column=label,
                    figure=figure,
                    better=KINDS[figure].better,
                    rows=len(measured),
                    mean=value,
                    faces=found.faces,
                    note=found.note if figure == "fid" else None,
                ),
            )
