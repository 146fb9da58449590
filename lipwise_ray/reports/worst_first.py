"""Videos of a run that need eyes most, and what a page says of each."""

from __future__ import annotations

import base64
from collections.abc import Callable
from dataclasses import dataclass

from markupsafe import Markup

from lipwise_ray.reports import charts
from lipwise_ray.reports.figures import number, percent
from lipwise_ray.reports.pairing_words import pairing_words
from lipwise_ray.reports.row_sheet import FlatRow, RowDetail, RowSheet
from lipwise_ray.state.job_result import FailedAttempt, MeasuredAttempt

Stills = Callable[[str], tuple[bytes, bytes] | None]
"""Images (JPEG) of a job's face in the original and in the dubbed video, None where there are none."""

DONE = "status = 'done'"
"""Of rows, in SQL: there is a video."""
MOST_WITH_DETAILS = 24
_FAR_OFF = 3
"""Offsets from this on, in frames, are called wrong; SyncNet itself may be off by one. None of other scorers is: they
may know nothing of such faces."""

_PAIRED = ("lag_s", "compared_s", "video_s", "fitted_size")
_LSE, _OTHER = ("lse_c", "lse_d"), ("sync_confidence", "sync_distance")
_FIGURE_NAMES = {_LSE: ("LSE-C", "LSE-D"), _OTHER: ("sync confidence", "sync distance")}


_CERTAINTY = "coalesce(after_sync_confidence, after_lse_c)"
_IS_FAR_OFF = f"after_sync_confidence IS NULL AND abs(coalesce(after_offset, 0)) >= {_FAR_OFF}"


def _kind(row: FlatRow) -> tuple[str, str]:
    """Return the names of a row's certainty and distance: LSE-C and LSE-D are SyncNet's alone."""
    return _OTHER if row["after_sync_confidence"] is not None else _LSE


def _certainty(row: FlatRow) -> float | None:
    return row[f"after_{_kind(row)[0]}"]


def _is_far_off(row: FlatRow) -> bool:
    return _kind(row) == _LSE and abs(row["after_offset"] or 0) >= _FAR_OFF


def scorer(row: FlatRow) -> str:
    """Return a judge by its weights: any file of a user's own goes by the same name."""
    return f"{row['judge']} ({str(row['judge_sha256'] or '')[:8]})" if row["judge_sha256"] else str(row["judge"])


def worst_first(rows: RowSheet) -> list[FlatRow]:
    """Return the rows that need eyes most, a few: to be checked, without a score, far off, the least certain."""
    order = (
        f"verdict IS NOT 'check', {_CERTAINTY} IS NOT NULL, NOT ({_IS_FAR_OFF}), coalesce({_CERTAINTY}, 0), "
        f"-coalesce(no_face_share, 0) - coalesce(undubbed_share, 0) LIMIT {MOST_WITH_DETAILS}"
    )
    return list(rows.where(DONE, order=order))


@dataclass(frozen=True, slots=True)
class WorstCard:
    """A video that needs eyes, as the page shows it."""

    name: str
    verdict: str
    is_bad: bool
    images: list[tuple[str, str]]
    ways: list[str]
    made: list[str]
    curve: Markup
    caption: str
    output: str | None


def card(row: FlatRow, detail: RowDetail, stills: Stills) -> WorstCard:
    """Return the card of a video.

    Args:
        row: Its row.
        detail: Details of that.
        stills: Gives images of a job.
    """
    name, figure = str(row["row_id"]), _FIGURE_NAMES[_kind(row)][0]
    verdict, is_bad = _verdict(row)
    images = stills(str(row["job_id"])) if row["job_id"] else None
    return WorstCard(
        name=name,
        verdict=verdict,
        is_bad=is_bad,
        images=[
            (word, base64.b64encode(data).decode())
            for word, data in zip(("filmed", "dubbed"), images or (), strict=False)
        ],
        ways=[_way(attempt, str(row["job_id"])) for attempt in detail.attempts],
        made=detail.made.words(),
        curve=Markup(charts.line(list(detail.curve), f"{figure} of {name} by second")),
        caption=f"{figure[:1].upper()}{figure[1:]} by second",
        output=row["output"],
    )


def _way(attempt: FailedAttempt | MeasuredAttempt, delivered: str) -> str:
    """Return the result of an attempt with other settings."""
    changed = [(section, key, value) for section, values in attempt.settings.items() for key, value in values.items()]
    settings = ", ".join(f"{section}.{key} = {value}" for section, key, value in changed)
    if isinstance(attempt, FailedAttempt):
        end = attempt.message
    else:  # other scorers' figures are no part of attempts
        end = "" if attempt.lse_c is None else f"LSE-C {number(attempt.lse_c)}"
    mark = " (delivered)" if attempt.job_id == delivered else ""
    return f"{settings or 'as set'}: {', '.join(filter(None, (attempt.verdict, end)))}{mark}"


def _verdict(row: FlatRow) -> tuple[str, bool]:
    """Return the verdict of the figures, and whether it is bad."""
    is_bad = row["verdict"] == "check"
    check = f"to check: {row['to_check']}. " if is_bad else ""
    if _certainty(row) is None:
        return f"{check}no score: {row['no_score'] or 'not measured'}", True
    certainty, distance = _kind(row)
    names = _FIGURE_NAMES[certainty, distance]
    before = f"{number(row[f'before_{certainty}'])} → " if row[f"before_{certainty}"] is not None else ""
    figures = f"{names[0]} {before}{number(row[f'after_{certainty}'])}, {names[1]} {number(row[f'after_{distance}'])}"
    bare = "".join(
        f", {percent(row[key])} {what}"
        for key, what in (("no_face_share", "without a face"), ("undubbed_share", "seen and not dubbed"))
        if row[key]
    )
    offset = int(row["after_offset"])
    alike = "".join(
        f", {name} {number(row[key], digits)}"
        for key, name, digits in (("psnr", "PSNR", 1), ("ssim", "SSIM", 3), ("fid", "FID", 1))
        if row[key] is not None
    )
    alike += "".join(f", {word}" for word in pairing_words(*(row[key] for key in _PAIRED)))
    return f"{check}{figures}, offset {f'{offset:+d}' if offset else 0} frames{bare}{alike}", is_bad or _is_far_off(row)
