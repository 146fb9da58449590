"""One self-contained page about a run: no script, no network; light and dark; wide and narrow; read aloud in order."""

from __future__ import annotations

import base64
import time
from array import array
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import islice

import numpy as np
from markupsafe import Markup

from lipwise_ray.printable import printable
from lipwise_ray.reports import charts
from lipwise_ray.reports.row_sheet import FlatRow, RowDetail, RowSheet
from lipwise_ray.reports.rows import RunReport
from lipwise_ray.state.job_result import FailedAttempt, MeasuredAttempt
from lipwise_ray.state.run_records import EvaluationEnd

Stills = Callable[[str], tuple[bytes, bytes] | None]
"""Images (JPEG) of a job's face in the original and in the dubbed video, None where there are none."""

Costs = Callable[[float, float], list[str]]
"""Returns the costs of GPU seconds, at best and at worst, on each kind of machine."""

_MOST_WITH_DETAILS, _MOST_LISTED, _MOST_ALIKE, _FEW = 24, 1000, 8, 3
_LONG = 300
_BUCKETS = 24
_DONE = "status = 'done'"
"""Of rows, in SQL: there is a video."""
_IS_MADE = (
    f"{_DONE} AND (coalesce(mix_gain_db, stretch_most, spoken_by, further_languages) IS NOT NULL OR stretch_video <> 1)"
)
"""Of rows, in SQL: `MadeAudio.words` has something to say."""
_FAR_OFF = 3
"""Offsets from this on, in frames, are called wrong; SyncNet itself may be off by one. None of other scorers is: they
may know nothing of such faces."""

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
_ROW_HEADS = (
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


def page(report: RunReport, stills: Stills, costs: Costs | None = None) -> str:
    """Return the page.

    Args:
        report: The run.
        stills: Gives images of a job.
        costs: What GPU seconds cost; left out without it.
    """
    rows = report.rows
    gpu_s = sum(rows.column("gpu_s", _DONE))
    whole = len(rows)
    is_cut = whole > _MOST_LISTED
    from jinja2 import Environment, PackageLoader, StrictUndefined

    environment = Environment(
        loader=PackageLoader("lipwise_ray.reports", ""),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        finalize=_plain,
    )
    return environment.get_template("report.html.jinja").render(
        title=f"lipwise-ray {report.run.run_id}",
        subtitle=f"{report.run.manifest}, begun {_clock(report.run.begun)}; {_ending(report)}",
        summary=_summary(report, gpu_s),
        judges=", ".join(_judges(rows)),
        notes=_notes(report),
        failures=_failures(rows),
        in_clauses=_in_clauses,
        unfinished=[[str(row["row_id"]), str(row["output"] or "")] for row in islice(report.left, _MOST_LISTED)],
        unfinished_caption="Run the same command again to go on with them"
        + (f"; the first {_MOST_LISTED} of {len(report.left)}" if len(report.left) > _MOST_LISTED else ""),
        worst=[_card(row, rows.detail(row["row"]), stills) for row in worst_first(rows)],
        softest=_softest(rows),
        made=_made(rows),
        made_caption=_made_caption(rows),
        language_heads=["language", "videos", *(f"{n}, {word}" for n in ("LSE-C", "LSE-D") for word in _MEASURES)],
        languages=_languages(rows),
        distributions=[
            (name, Markup(drawing))
            for key, name in _DISTRIBUTIONS
            if (drawing := charts.histogram(rows.column(key, _DONE), name))
        ],
        left_behind=_left_behind(rows),
        costs=costs(gpu_s, gpu_s) if costs else [],
        throughput=_throughput(report),
        stages=_stages(rows),
        row_heads=_ROW_HEADS,
        rows=[_line(row) for row in islice(rows, _MOST_LISTED)],
        rows_caption=f"The first {_MOST_LISTED} of {whole} rows; results.csv has all"
        if is_cut
        else "In the manifest's order",
    )


def _plain(value: object) -> object:
    """Return a text without marks of direction, which would turn it around; markup of our own stays as it is."""
    return printable(value) if isinstance(value, str) and not isinstance(value, Markup) else value


def _ending(report: RunReport) -> str:
    if report.ended is None:
        return "not ended yet, or stopped: these are the rows that ended so far"
    return f"{report.ended.seconds / 60:.1f} minutes"


def _judges(rows: RowSheet) -> list[str]:
    """Return the judges of the rows that have a score."""
    certain = "after_sync_confidence IS NOT NULL OR after_lse_c IS NOT NULL"
    found = rows.ask(f"DISTINCT judge, judge_sha256 FROM rows WHERE {_DONE} AND ({certain})")
    return sorted({_scorer({"judge": judge, "judge_sha256": sha256}) for judge, sha256 in found})


def _summary(report: RunReport, gpu_s: float) -> list[tuple[str, str]]:
    total, rows = report.run.rows, report.rows
    fid = report.ended.fid if isinstance(report.ended, EvaluationEnd) else None
    ((done, to_check, frames, not_free, unclear),) = rows.ask(
        "count(*), total(verdict = 'check'), total(frames), total(commercial_use = 'no'), "
        f"total(commercial_use = 'unclear') FROM rows WHERE {_DONE}"
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
        ("LSE-C, median", _number(_median(rows.column("after_lse_c", _DONE)))),
        ("LSE-D, median", _number(_median(rows.column("after_lse_d", _DONE)))),
        *([("FID, all faces", _number(fid))] if fid is not None else []),
        ("not for commerce", f"{not_free:.0f}"),
        ("commerce unclear", f"{unclear:.0f}"),
    ]


def _failures(rows: RowSheet) -> list[tuple[str, list[FlatRow], int]]:
    """Return code, rows to show and number of further ones, the most frequent first."""
    found = rows.ask(f"code, count(*) FROM rows WHERE NOT {_DONE} GROUP BY code")
    return [
        (
            str(code),
            list(rows.where(f"NOT {_DONE} AND code IS ?", (code,), order=f" LIMIT {_MOST_ALIKE}")),
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


def worst_first(rows: RowSheet) -> list[FlatRow]:
    """Return the rows that need eyes most, a few: to be checked, without a score, far off, the least certain."""
    order = (
        f"verdict IS NOT 'check', {_CERTAINTY} IS NOT NULL, NOT ({_IS_FAR_OFF}), coalesce({_CERTAINTY}, 0), "
        f"-coalesce(no_face_share, 0) - coalesce(undubbed_share, 0) LIMIT {_MOST_WITH_DETAILS}"
    )
    return list(rows.where(_DONE, order=order))


@dataclass(frozen=True, slots=True)
class _Card:
    """A video that needs eyes, as the page shows it."""

    name: str
    verdict: str
    is_bad: bool
    images: list[tuple[str, str]]
    ways: list[str]
    made: list[str]
    curve: Markup
    output: str | None


def _card(row: FlatRow, detail: RowDetail, stills: Stills) -> _Card:
    name = str(row["row_id"])
    verdict, is_bad = _verdict(row)
    images = stills(str(row["job_id"])) if row["job_id"] else None
    return _Card(
        name=name,
        verdict=verdict,
        is_bad=is_bad,
        images=[
            (word, base64.b64encode(data).decode())
            for word, data in zip(("filmed", "dubbed"), images or (), strict=False)
        ],
        ways=[_way(attempt, str(row["job_id"])) for attempt in detail.attempts],
        made=detail.made.words(),
        curve=Markup(charts.line(list(detail.curve), f"{_FIGURE_NAMES[_kind(row)][0]} of {name} by second")),
        output=row["output"],
    )


def _way(attempt: FailedAttempt | MeasuredAttempt, delivered: str) -> str:
    """Return the result of an attempt with other settings."""
    changed = [(section, key, value) for section, values in attempt.settings.items() for key, value in values.items()]
    settings = ", ".join(f"{section}.{key} = {value}" for section, key, value in changed)
    if isinstance(attempt, FailedAttempt):
        end = attempt.message
    else:
        end = "no LSE-C" if attempt.lse_c is None else f"LSE-C {_number(attempt.lse_c)}"
    mark = " (delivered)" if attempt.job_id == delivered else ""
    return f"{settings or 'as set'}: {attempt.verdict}, {end}{mark}"


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


def _scorer(row: FlatRow) -> str:
    """Return a judge by its weights: any file of a user's own goes by the same name."""
    return f"{row['judge']} ({str(row['judge_sha256'] or '')[:8]})" if row["judge_sha256"] else str(row["judge"])


def _notes(report: RunReport) -> list[str]:
    """Return notes on the run and its rows, each line once, the most frequent first."""
    counted = report.rows.ask(
        f"note, count(*), min(_place) FROM rows WHERE {_DONE} AND note != '' GROUP BY note ORDER BY 2 DESC, 3"
    )
    ran = [*report.run.notes, *(report.run.fallbacks or ())]
    return [*ran, *(f"{count} rows: {text}" for text, count, _ in counted)]


def _verdict(row: FlatRow) -> tuple[str, bool]:
    """Return the verdict of the figures, and whether it is bad."""
    is_bad = row["verdict"] == "check"
    check = f"to check: {row['to_check']}. " if is_bad else ""
    if _certainty(row) is None:
        return f"{check}no score: {row['no_score'] or 'not measured'}", True
    certainty, distance = _kind(row)
    names = _FIGURE_NAMES[certainty, distance]
    before = f"{_number(row[f'before_{certainty}'])} → " if row[f"before_{certainty}"] is not None else ""
    figures = f"{names[0]} {before}{_number(row[f'after_{certainty}'])}, {names[1]} {_number(row[f'after_{distance}'])}"
    bare = "".join(
        f", {_percent(row[key])} {what}"
        for key, what in (("no_face_share", "without a face"), ("undubbed_share", "seen and not dubbed"))
        if row[key]
    )
    offset = int(row["after_offset"])
    alike = "".join(
        f", {name} {_number(row[key], digits)}"
        for key, name, digits in (("psnr", "PSNR", 1), ("ssim", "SSIM", 3), ("fid", "FID", 1))
        if row[key] is not None
    )
    return f"{check}{figures}, offset {f'{offset:+d}' if offset else 0} frames{bare}{alike}", is_bad or _is_far_off(row)


def _languages(rows: RowSheet) -> list[list[str]]:
    keys = [f"{measure}_{figure}" for figure in ("lse_c", "lse_d") for measure in _MEASURES]
    language = "coalesce(nullif(language, ''), 'not given')"
    means = ", ".join(f"avg({key})" for key in keys)
    found = rows.ask(f"{language}, count(*), {means} FROM rows WHERE {_DONE} GROUP BY 1 ORDER BY 1")
    return [[name, str(count), *map(_number, figures)] for name, count, *figures in found]


def _softest(rows: RowSheet) -> list[list[str]]:
    """Return videos with those first whose mouths are the softest beside the original ones."""
    order = f"sharpness LIMIT {_MOST_WITH_DETAILS}"
    return [
        [str(row["row_id"]), _number(row["sharpness"]), _number(row["texture"]), str(row["output"] or "")]
        for row in rows.where(f"{_DONE} AND sharpness IS NOT NULL", order=order)
    ]


def _made(rows: RowSheet) -> list[tuple[str, list[str]]]:
    """Return videos whose audio or length is not simply the row's own, and what became of it."""
    found = rows.where(_IS_MADE, order=f" LIMIT {_MOST_LISTED}")
    return [(str(row["row_id"]), rows.detail(row["row"]).made.words()) for row in found]


def _made_caption(rows: RowSheet) -> str:
    ((whole,),) = rows.ask(f"count(*) FROM rows WHERE {_IS_MADE}")
    caption = "What was mixed, stretched and spoken; a factor of 2 is twice as long"
    return f"{caption}; the first {_MOST_LISTED} of {whole}, results.csv has all" if whole > _MOST_LISTED else caption


def _throughput(report: RunReport) -> Markup:
    begun, made = report.run.begun, f"{_DONE} AND coalesce(reused, 0) = 0 AND ended"
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


def _line(row: FlatRow) -> Sequence[str | list[str]]:
    is_done = row["status"] == "done"
    return (
        str(row["row_id"]),
        str(row["status"] if is_done else row["code"]),
        _number(row["after_lse_c"]),
        _number(row["after_lse_d"]),
        _number(row["after_offset"], 0),
        _percent(row["no_face_share"]),
        _percent(row["undubbed_share"]),
        _number(row["faces_doubtful"], 0),
        _number(row["frames"], 0),
        _number(row["seconds"], 1),
        str(row["attempts"]),
        str(row["output"] or "") if is_done else _in_clauses(row["message"]),
    )


def _in_clauses(message: str | None) -> str | list[str]:
    """Return a message; of a long one, which tells of many things, its clauses."""
    text = message or ""
    return text.replace("; ", ";\n").split("\n") if len(text) > _LONG else text


def _median(values: array[float]) -> float | None:
    return float(np.median(values)) if values else None


def _number(value: float | None, digits: int = 2) -> str:
    return "-" if value is None else f"{value:.{digits}f}"


def _percent(share: float | None) -> str:
    return "-" if share is None else f"{share:.0%}"


def _clock(seconds: float | None) -> str:
    return time.strftime("%Y-%m-%d %H:%M UTC", time.gmtime(seconds)) if seconds else "at an unknown time"
