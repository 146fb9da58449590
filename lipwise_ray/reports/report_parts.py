"""Parts of a run's page: what it says, whichever page shows it."""

from __future__ import annotations

import time
from array import array
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import islice

import numpy as np
from markupsafe import Markup

from lipwise_ray.reports import charts
from lipwise_ray.reports.figures import number, percent
from lipwise_ray.reports.row_sheet import FlatRow, RowSheet
from lipwise_ray.reports.rows import RunReport
from lipwise_ray.reports.worst_first import DONE, MOST_WITH_DETAILS, Stills, WorstCard, card, scorer, worst_first
from lipwise_ray.state.run_records import EvaluationEnd

Costs = Callable[[float, float], list[str]]
"""Returns the costs of GPU seconds, at best and at worst, on each kind of machine."""

RowLine = Sequence[str | list[str]]
"""Cells of a row in the list of all rows, as `ROW_HEADS` names them."""

_MOST_ALIKE, _FEW = 8, 3
_LONG = 300
_BUCKETS = 24
_IS_MADE = (
    f"{DONE} AND (coalesce(mix_gain_db, stretch_most, spoken_by, further_languages) IS NOT NULL OR stretch_video <> 1)"
)
"""Of rows, in SQL: `MadeAudio.words` has something to say."""

_MEASURES = ("source", "before", "after")
_DISTRIBUTIONS = (
    ("after_lse_c", "LSE-C"),
    ("after_lse_d", "LSE-D"),
    ("after_offset", "offset, frames"),
    ("flicker_dubbed", "flicker, levels"),
    ("sharpness", "sharpness of the mouth"),
    ("psnr", "PSNR, dB"),
    ("ssim", "SSIM"),
    ("identity_distance", "identity distance"),
    ("frames_per_s", "frames a second"),
)
ROW_HEADS = (
    "row",
    "status",
    "LSE-C",
    "LSE-D",
    "offset",
    "no face",
    "undubbed",
    "doubtful",
    "frames",
    "seconds",
    "attempts",
    "output or reason",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class ReportParts:
    """Parts of the page, in its order; texts are plain, and charts are marked up.

    Attributes:
        subtitle: What the run was, and how it ended.
        summary: Names and values.
        judges: Names of the scorers.
        notes: Notes on the run and its rows.
        failures: Code, rows to show and number of further ones.
        unfinished, unfinished_caption: Rows that did not end: id and output.
        worst: Videos that need eyes most.
        softest: Those with the softest mouths.
        made, made_caption: Those whose audio or length is not simply the row's own.
        language_heads, languages: Means by language.
        distributions: Name and histogram of each figure.
        left_behind: Parts of sources that outputs lack.
        costs: A line a kind of machine.
        throughput: Chart of the frames a second, empty where nothing was rendered.
        stages: Busy time by stage.
    """

    subtitle: str
    summary: list[tuple[str, str]]
    judges: str
    notes: list[str]
    failures: list[tuple[str, list[FlatRow], int]]
    unfinished: list[list[str]]
    unfinished_caption: str
    worst: list[WorstCard]
    softest: list[list[str]]
    made: list[tuple[str, list[str]]]
    made_caption: str
    language_heads: list[str]
    languages: list[list[str]]
    distributions: list[tuple[str, Markup]]
    left_behind: list[list[str]]
    costs: list[str]
    throughput: Markup
    stages: list[list[str]]


def parts_of(report: RunReport, stills: Stills, costs: Costs | None, most: int) -> ReportParts:
    """Return the parts of a run's page.

    Args:
        report: The run.
        stills: Gives images of a job.
        costs: What GPU seconds cost; None leaves costs out.
        most: The most lines of a list.
    """
    rows = report.rows
    gpu_s = sum(rows.column("gpu_s", DONE))
    further = f"; the first {most} of {len(report.left)}" if len(report.left) > most else ""
    return ReportParts(
        subtitle=f"{report.run.manifest}, begun {_clock(report.run.begun)}; {_ending(report)}",
        summary=_summary(report, gpu_s),
        judges=", ".join(_judges(rows)),
        notes=_notes(report),
        failures=_failures(rows),
        unfinished=[[str(row["row_id"]), str(row["output"] or "")] for row in islice(report.left, most)],
        unfinished_caption=f"Run the same command again to go on with them{further}",
        worst=[card(row, rows.detail(row["row"]), stills) for row in worst_first(rows)],
        softest=_softest(rows),
        made=_made(rows, most),
        made_caption=_made_caption(rows, most),
        language_heads=["language", "videos", *(f"{n}, {word}" for n in ("LSE-C", "LSE-D") for word in _MEASURES)],
        languages=_languages(rows),
        distributions=[
            (name, Markup(drawing))
            for key, name in _DISTRIBUTIONS
            if (drawing := charts.histogram(rows.column(key, DONE), name))
        ],
        left_behind=_left_behind(rows),
        costs=costs(gpu_s, gpu_s) if costs else [],
        throughput=_throughput(report),
        stages=_stages(rows),
    )


def _ending(report: RunReport) -> str:
    if report.ended is None:
        return "not ended yet, or stopped: these are the rows that ended so far"
    return f"{report.ended.seconds / 60:.1f} minutes"


def _judges(rows: RowSheet) -> list[str]:
    """Return the judges of the rows that have a score."""
    certain = "after_sync_confidence IS NOT NULL OR after_lse_c IS NOT NULL"
    found = rows.ask(f"DISTINCT judge, judge_sha256 FROM rows WHERE {DONE} AND ({certain})")
    return sorted({scorer({"judge": judge, "judge_sha256": sha256}) for judge, sha256 in found})


def _summary(report: RunReport, gpu_s: float) -> list[tuple[str, str]]:
    total, rows = report.run.rows, report.rows
    fid = report.ended.fid if isinstance(report.ended, EvaluationEnd) else None
    ((done, to_check, frames, not_free, unclear),) = rows.ask(
        "count(*), total(verdict = 'check'), total(frames), total(commercial_use = 'no'), "
        f"total(commercial_use = 'unclear') FROM rows WHERE {DONE}"
    )
    ended = len(rows)
    left = total - ended
    return [
        ("rows", str(total)),
        ("done", str(done)),
        ("to check", f"{to_check:.0f}"),
        ("failed", str(ended - done)),
        *([("left", str(left))] if left > 0 else []),
        ("frames delivered", f"{frames:,.0f}"),
        ("GPU hours", f"{gpu_s / 3600:.2f}"),
        ("LSE-C, median", number(_median(rows.column("after_lse_c", DONE)))),
        ("LSE-D, median", number(_median(rows.column("after_lse_d", DONE)))),
        *([("FID, all faces", number(fid))] if fid is not None else []),
        ("not for commerce", f"{not_free:.0f}"),
        ("commerce unclear", f"{unclear:.0f}"),
    ]


def _failures(rows: RowSheet) -> list[tuple[str, list[FlatRow], int]]:
    """Return code, rows to show and number of further ones, the most frequent first."""
    found = rows.ask(f"code, count(*) FROM rows WHERE NOT {DONE} GROUP BY code")
    return [
        (
            str(code),
            list(rows.where(f"NOT {DONE} AND code IS ?", (code,), order=f" LIMIT {_MOST_ALIKE}")),
            max(0, count - _MOST_ALIKE),
        )
        for code, count in sorted(found, key=lambda group: (-group[1], str(group[0])))
    ]


def _left_behind(rows: RowSheet) -> list[list[str]]:
    """Return the parts of sources that outputs lack: kind, reason, rows, and a few of them; the most frequent first."""
    counts: Counter[tuple[str, str]] = Counter()
    few: dict[tuple[str, str], list[str]] = {}
    for row_id, parts in rows.parts("row_id", "left_behind"):
        of_row = {(part["kind"], part["why"]): part["what"] for part in parts}
        counts.update(of_row.keys())
        for group, what in of_row.items():
            named = few.setdefault(group, [])
            if len(named) < _FEW:
                named.append(f"{row_id}: {what}")
    ordered = sorted(counts.items(), key=lambda group: (-group[1], group[0]))
    return [[kind, why, str(count), ", ".join(few[kind, why])] for (kind, why), count in ordered]


def _notes(report: RunReport) -> list[str]:
    """Return notes on the run and its rows, each line once, the most frequent first."""
    counted = report.rows.ask(
        f"note, count(*), min(_place) FROM rows WHERE {DONE} AND note != '' GROUP BY note ORDER BY 2 DESC, 3"
    )
    ran = [*report.run.notes, *(report.run.fallbacks or ())]
    return [*ran, *(f"{count} rows: {text}" for text, count, _ in counted)]


def _languages(rows: RowSheet) -> list[list[str]]:
    keys = [f"{measure}_{figure}" for figure in ("lse_c", "lse_d") for measure in _MEASURES]
    language = "coalesce(nullif(language, ''), 'not given')"
    means = ", ".join(f"avg({key})" for key in keys)
    found = rows.ask(f"{language}, count(*), {means} FROM rows WHERE {DONE} GROUP BY 1 ORDER BY 1")
    return [[name, str(count), *map(number, figures)] for name, count, *figures in found]


def _softest(rows: RowSheet) -> list[list[str]]:
    """Return videos with those first whose mouths are the softest beside the original ones."""
    order = f"sharpness LIMIT {MOST_WITH_DETAILS}"
    return [
        [str(row["row_id"]), number(row["sharpness"]), number(row["texture"]), str(row["output"] or "")]
        for row in rows.where(f"{DONE} AND sharpness IS NOT NULL", order=order)
    ]


def _made(rows: RowSheet, most: int) -> list[tuple[str, list[str]]]:
    """Return videos whose audio or length is not simply the row's own, and what became of it."""
    found = rows.where(_IS_MADE, order=f" LIMIT {most}")
    return [(str(row["row_id"]), rows.detail(row["row"]).made.words()) for row in found]


def _made_caption(rows: RowSheet, most: int) -> str:
    ((whole,),) = rows.ask(f"count(*) FROM rows WHERE {_IS_MADE}")
    caption = "What was mixed, stretched and spoken; a factor of 2 is twice as long"
    return f"{caption}; the first {most} of {whole}, results.csv has all" if whole > most else caption


def _throughput(report: RunReport) -> Markup:
    begun, made = report.run.begun, f"{DONE} AND coalesce(reused, 0) = 0 AND ended"
    ends = report.rows.column("ended", made)
    if not begun or not ends:
        return Markup()
    whole = max(1.0, max(ends) - begun)
    frames = [0.0] * _BUCKETS
    for row in report.rows.where(made):
        # A clock that was set back lets rows end before the run began.
        place = int((row["ended"] - begun) / whole * _BUCKETS)
        frames[min(_BUCKETS - 1, max(0, place))] += row["frames"] or 0
    rates = [round(count / (whole / _BUCKETS), 2) for count in frames]
    labels = [f"{whole * place / _BUCKETS / 60:.1f} min" for place in range(_BUCKETS)]
    return Markup(charts.bars(rates, labels, "Frames a second, by when videos ended"))


def _stages(rows: RowSheet) -> list[list[str]]:
    stages: Counter[str] = Counter()
    for _, seconds in rows.parts("row", "stages"):
        stages.update(seconds)
    total = sum(stages.values())
    return [[name, f"{seconds:,.1f}", f"{seconds / total:.1%}"] for name, seconds in stages.most_common() if seconds]


def line_of(row: FlatRow) -> RowLine:
    """Return the line of a row in the list of all rows."""
    is_done = row["status"] == "done"
    return (
        str(row["row_id"]),
        str(row["status"] if is_done else row["code"]),
        number(row["after_lse_c"]),
        number(row["after_lse_d"]),
        number(row["after_offset"], 0),
        percent(row["no_face_share"]),
        percent(row["undubbed_share"]),
        number(row["faces_doubtful"], 0),
        number(row["frames"], 0),
        number(row["seconds"], 1),
        str(row["attempts"]),
        str(row["output"] or "") if is_done else in_clauses(row["message"]),
    )


def in_clauses(message: str | None) -> str | list[str]:
    """Return a message; of a long one, which tells of many things, its clauses."""
    text = message or ""
    return text.replace("; ", ";\n").split("\n") if len(text) > _LONG else text


def _median(values: array[float]) -> float | None:
    return float(np.median(values)) if values else None


def _clock(seconds: float | None) -> str:
    return time.strftime("%Y-%m-%d %H:%M UTC", time.gmtime(seconds)) if seconds else "at an unknown time"
