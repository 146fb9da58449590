"""A run's rows as flat records, from what the state keeps."""

from __future__ import annotations

import heapq
import json
from collections.abc import Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from functools import cache, partial
from itertools import count, islice
from types import MappingProxyType

from lipwise_ray.errors import StateError
from lipwise_ray.models.terms import commercial_of, strictest
from lipwise_ray.reports.made_audio import MadeAudio
from lipwise_ray.reports.outcomes import outcomes_of
from lipwise_ray.reports.row_sheet import FlatRow, RowDetail, RowSheet
from lipwise_ray.state import layout
from lipwise_ray.state.job_result import (
    Counts,
    EvaluationResult,
    RowFailure,
)
from lipwise_ray.state.overview import shards_of
from lipwise_ray.state.row_outcome import RowResult
from lipwise_ray.state.run_records import EvaluationEnd, PlannedRow, RunEnd, RunRecord
from lipwise_ray.state.shapes import read_typed, typed, typed_in
from lipwise_ray.state.shards import is_at_work
from lipwise_ray.state.store import Store, as_json, load_file
from lipwise_ray.values import Json

_MEASURES = ("source", "before", "after")
_FIGURES = ("lse_d", "lse_c", "sync_distance", "sync_confidence", "offset")
_SCORES = tuple((f"{name}_{figure}", name, figure) for name in _MEASURES for figure in _FIGURES)
_NO_SCORES = dict.fromkeys(column for column, _, _ in _SCORES)
_NOTHING_REFUSED: Mapping[str, str] = MappingProxyType({})
FIDELITY = ("psnr", "ssim", "face_psnr", "face_ssim", "fid", "identity_distance", "mouth_distance")
"""Figures of a video that was compared with a reference."""
PAIRING = ("lag_s", "compared_s", "reference_s")
"""Its pairing with that: see `state.job_result.Fidelity`."""
LEFT = ("row", "row_id", "output", "status", "code", "message")
"""Columns of a row that did not end."""

_HANDS, _AT_A_TIME = 16, 256


@dataclass(frozen=True, slots=True)
class RunReport:
    """A run and its rows.

    Attributes:
        run: What was recorded when it was started.
        ended: What was recorded when it ended; None while it is going on, or after it was killed.
        rows: `row_of` of each row that ended and its details, in the manifest's order.
        left: Rows that did not end, in the manifest's order: what they are, and what to do.
    """

    run: RunRecord
    ended: RunEnd | None
    rows: RowSheet
    left: RowSheet = field(default_factory=lambda: RowSheet(LEFT))


def collect(store: Store, run_id: str | None = None) -> RunReport:
    """Return a run, the latest without a name.

    Args:
        store: The state.
        run_id: Id of the run; None for the latest.

    Raises:
        StateError: There is no such run.
    """
    runs = store.folders(layout.RUNS)
    there = (run for run in reversed(runs) if store.size(layout.run_record(run)) is not None)
    chosen = run_id or next(there, "")
    run = read_typed(store, layout.run_record(chosen), RunRecord) if chosen in runs else None
    if run is None:
        happened = (
            f"holds no run {run_id}" if run_id else "holds no run whose record can be read" if runs else "holds no run"
        )
        if run_id and runs:
            happened += f", only {', '.join(runs[-3:])}"
        raise StateError("no_runs", store.address, got=happened, do="Check the path and --run")
    rows = RowSheet(columns())
    with ThreadPoolExecutor(_HANDS) as hands:
        found = outcomes_of(store, chosen)
        while some := list(islice(found, _AT_A_TIME)):
            outcomes = [outcome for outcome, _ in some]
            details = [_detail(outcome.result) for outcome in outcomes]
            jobs = [
                dict.fromkeys(
                    [outcome.job_id or "", *(one.job_id or "" for one in detail.attempts)] if was_tried else []
                )
                for (outcome, was_tried), detail in zip(some, details, strict=True)
            ]
            counts = hands.map(partial(_attempts_at, store, chosen), jobs) if any(jobs) else [0] * len(jobs)
            for outcome, detail, attempts in zip(outcomes, details, counts, strict=True):
                rows.add(row_of(outcome.record, attempts), detail)
    left = RowSheet.of(_unfinished(store, chosen, rows), LEFT)
    key = f"{layout.run(chosen)}/report.json"
    ended = read_typed(store, key, EvaluationEnd) or read_typed(store, key, RunEnd)
    return RunReport(run, ended, rows, left)


def _detail(result: RowResult) -> RowDetail:
    if isinstance(result, RowFailure):
        return RowDetail()
    curve = result.sync.curve if result.sync else ()
    if isinstance(result, EvaluationResult):
        return RowDetail(curve)
    made = MadeAudio.of(result)
    return RowDetail(curve, result.stages_s or {}, result.attempts or (), result.left_behind or (), made)


def _unfinished(store: Store, run_id: str, ended: RowSheet) -> Iterator[FlatRow]:
    """Yield the rows that a run set out to do and that are not among those that ended."""
    opened = load_file(store, layout.planned(run_id), lambda path: path.open("rb"))
    if opened is None:
        return
    why = {"code": "not_finished", "message": "The run was over before this row: run the same command again."}
    with opened as lines:
        while some := list(islice(lines, _AT_A_TIME)):
            planned = [row for line in some if (row := typed_in(line, PlannedRow)) is not None]
            has_ended = ended.rows_among([row.row for row in planned])
            for row in planned:
                if row.row not in has_ended:
                    yield {"row": row.row, "row_id": row.row_id, "output": row.output, "status": "left", **why}


def collect_latest(store: Store) -> RunReport:
    """Return the latest run; of a shard with the latest runs of the other shards as one.

    Raises:
        StateError: There is none.
    """
    report = collect(store)
    run = report.run
    shards = shards_of(store, run.run_id, run)
    if len(shards) == 1:
        return report
    reports = [
        report if shard.run_id == run.run_id else collect(store, shard.run_id) for shard in shards if shard.run_id
    ]
    rows = RowSheet(columns())
    parts = (part.rows.with_details() for part in reports)
    for row, detail in heapq.merge(*parts, key=lambda pair: pair[0]["row"] or 0):
        rows.add(row, detail)
    ends = [one.ended for one in reports if one.ended is not None]
    left = RowSheet.of(heapq.merge(*(one.left for one in reports), key=lambda row: row["row"]), LEFT)
    for one in shards:
        if not one.run_id and not is_at_work(store, one.shard):
            left.add(_not_begun(one.shard))
    total = RunEnd(
        done=sum(end.done for end in ends),
        failed=sum(end.failed for end in ends),
        left=sum(end.left for end in ends),
        seconds=sum(end.seconds for end in ends),
    )
    return RunReport(
        replace(
            run,
            rows=run.rows_total or run.rows,
            shard=", ".join(str(one.run.shard) for one in reports),
            fallbacks=_fallbacks(reports),
        ),
        total if len(ends) == len(shards) else None,
        rows,
        left,
    )


def _not_begun(shard: str) -> FlatRow:
    """Return the row that stands for those of a shard that no driver has started: which they are, nobody has said."""
    message = f"No driver has started this shard: run the same command with --shard {shard}."
    row = {"row": None, "row_id": f"shard {shard}", "output": None, "status": "left", "code": "not_begun"}
    return {**row, "message": message}


def joined(name: str, reports: list[RunReport], left: int, refused: Mapping[str, str] = _NOTHING_REFUSED) -> RunReport:
    """Return several runs as one.

    Args:
        name: What they are called together.
        reports: The runs, in order.
        left: Rows that did not end in any.
        refused: Manifests of which no row was started, and why: they stand among what failed.
    """
    rows, unfinished = RowSheet(columns()), RowSheet(LEFT)
    numbers = count(1)
    for report in reports:
        for row, detail in report.rows.with_details():
            rows.add({**row, "row": next(numbers)}, detail)
    for manifest, why in refused.items():
        failed = {"status": "failed", "code": "manifest_refused", "row_id": manifest, "message": why}
        rows.add({**row_of(failed, 0), "row": next(numbers)})
    for report in reports:
        for row in report.left:
            unfinished.add({**row, "row": next(numbers)})
    seconds = sum(report.ended.seconds if report.ended else 0.0 for report in reports)
    names = [report.run.manifest.rpartition("/")[2] for report in reports]
    run = RunRecord(
        run_id=name,
        manifest=", ".join(names) or "nothing",
        rows=len(rows) + left,
        begun=min((report.run.begun for report in reports), default=0.0),
        fallbacks=_fallbacks(reports),
    )
    return RunReport(run, RunEnd(seconds=seconds), rows, unfinished)


def _fallbacks(reports: list[RunReport]) -> tuple[str, ...]:
    """Return the fallbacks of workers in any of several runs, each once."""
    return tuple(dict.fromkeys(text for report in reports for text in report.run.fallbacks or ()))


def _attempts_at(store: Store, run_id: str, job_ids: Iterable[str]) -> int:
    return sum(_attempts(store, job_id, run_id) for job_id in job_ids)


def _attempts(store: Store, job_id: str, run_id: str) -> int:
    """Return the number of attempts at tasks of a job in a run."""
    if not job_id:
        return 0
    leased = 0
    for line in store.log(layout.attempts(job_id)):
        event = as_json(line) or {}
        leased += event.get("event") == "leased" and event.get("run") == run_id
    return leased


@cache
def columns() -> tuple[str, ...]:
    """Return the names of a report's columns, in their order."""
    return tuple(row_of({}, 0))


def row_of(record: Json, attempts: int) -> FlatRow:
    """Return a row's outcome as a flat record; what is not known is None.

    Args:
        record: Record of the row's outcome (`RowOutcome.record`).
        attempts: Number of attempts at its tasks in this run.
    """
    counts: Json = record.get("counts") or {}
    sync: Json = record.get("sync") or {}
    flicker: Json = record.get("flicker") or {}
    sharpness: Json = record.get("sharpness") or {}
    by_role = dict(_weights(record.get("weights") or {}))
    weights = list(by_role.values())
    frames, seconds = record.get("frames"), record.get("seconds")
    rendered = (record.get("tally") or {}).get("frames_rendered")
    video_s, audio_s = record.get("video_s"), record.get("audio_s")
    on_gpu = (record.get("identity") or {}).get("device") == "cuda"
    ways: list[Json] = record.get("attempts") or []
    render_s = sum(way.get("render_s") or 0.0 for way in ways) if ways else record.get("render_s")
    why: Json = sync.get("why") or {}
    gate: Json = record.get("gate") or {}
    fidelity: Json = record.get("fidelity") or {}
    return {
        "row": record.get("row"),
        "row_id": record.get("row_id"),
        "status": record.get("status"),
        "verdict": "failed" if record.get("status") == "failed" else gate.get("verdict") or "not checked",
        "to_check": "; ".join(gate.get("reasons") or []) or None,
        "code": record.get("code"),
        "message": record.get("message"),
        "output": record.get("output"),
        "language": record.get("language"),
        "tags": ",".join(record.get("tags") or []),
        "extra": json.dumps(extra, ensure_ascii=False) if (extra := record.get("extra")) else None,
        "judge": sync.get("judge"),
        "judge_sha256": sync.get("judge_sha256"),
        "protocol": _protocol(record),
        "note": "; ".join(filter(None, [sync.get("note"), *(record.get("notes") or [])])) or None,
        **({column: (sync.get(name) or {}).get(figure) for column, name, figure in _SCORES} if sync else _NO_SCORES),
        "no_score": why.get("after"),
        "frames": frames,
        "video_s": video_s,
        "length_error_s": round(video_s - audio_s, 4) if video_s is not None and audio_s is not None else None,
        "no_face_share": _share(counts.get("frames_without_face"), counts.get("frames")),
        "undubbed_share": round(undubbed, 4) if (undubbed := _undubbed(counts)) is not None else None,
        "faces_doubtful": counts.get("faces_doubtful"),
        "flicker_dubbed": flicker.get("dubbed"),
        "flicker_filmed": flicker.get("filmed"),
        "sharpness": sharpness.get("sharpness"),
        "texture": sharpness.get("texture"),
        "occluded_share": (record.get("occluded") or {}).get("frames"),
        "speaker_certainty": (record.get("speaking") or {}).get("certainty"),
        **{name: fidelity.get(name) for name in (*FIDELITY, *PAIRING)},
        "fitted_size": fidelity.get("fitted"),
        "faces_compared": fidelity.get("faces"),
        "reused": record.get("reused"),
        "seconds": seconds,
        "frames_per_s": round(rendered / seconds, 2) if rendered and seconds else None,
        "gpu_s": (render_s if on_gpu else 0.0) if render_s is not None else None,
        "attempts": attempts,
        "renderings": len(record.get("attempts") or []) or None,
        "chunks": record.get("chunks"),
        "original_chunks": len(record.get("original_chunks") or []),
        "left_behind": "; ".join(f"{entry['what']} ({entry['why']})" for entry in record.get("left_behind") or [])
        or None,
        "weights": json.dumps(
            {role: f"{checkpoint['name']} {checkpoint['sha256']}" for role, checkpoint in by_role.items()}
        )
        if weights
        else None,
        "licences": "; ".join(sorted({one["licence"] for one in weights if one.get("licence")})) or None,
        "commercial_use": strictest(commercial_of(one.get("commercial")) for one in weights) if weights else None,
        "version": record.get("version"),
        "job_id": record.get("job_id"),
        "ended": record.get("ended"),
        **_delivered(record),
    }


def _delivered(record: Json) -> FlatRow:
    """Return loudness, background and speakers of the delivered audio, and factors by which things were stretched."""
    mixed: Json = record.get("mixed") or {}
    loudness: Json = mixed.get("after") or {}
    fitted: Json = record.get("fitted") or {}
    return {
        "background": mixed.get("background"),
        "mix_gain_db": mixed.get("gain_db"),
        "loudness_lufs": loudness.get("lufs"),
        "true_peak_dbtp": loudness.get("true_peak_dbtp"),
        "stretch_least": fitted.get("least"),
        "stretch_most": fitted.get("most"),
        "stretch_video": fitted.get("video"),
        "spoken_by": "; ".join(
            ", ".join(filter(None, [one["engine"], one.get("voice"), one.get("licence")]))
            for one in record.get("spoken_by") or []
        )
        or None,
        "further_languages": ",".join(record.get("further_languages") or []) or None,
    }


def _weights(weights: Json) -> Iterator[tuple[str, Json]]:
    """Yield role and record of each checkpoint."""
    for role, value in weights.items():
        several = [checkpoint for checkpoint in (value if isinstance(value, list) else [value]) if checkpoint]
        yield from (
            (role if len(several) == 1 else f"{role}_{number}", checkpoint)
            for number, checkpoint in enumerate(several, 1)
        )


def _protocol(record: Json) -> str | None:
    """Return the protocol by which a row's figures were measured; only those of one compare.

    `submit` knows which face it dubbed and measures it as it was planned; `evaluate` looks for faces in the finished
    file. Both score the crops that their faces give, so where these were found counts, and nothing else: not how a
    video was cut into chunks. Records of earlier versions tell the detector alone.
    """
    identity: Json = record.get("identity") or {}
    if record.get("status") != "done" or not identity:
        return None
    evaluation = identity.get("evaluation")
    how = "submit" if evaluation is None else f"evaluate {evaluation}"
    if record.get("protocol"):
        return f"{how}, faces {str(record['protocol'])[:12]}"
    return f"{how}, detector {identity.get('detector') or _detector(record) or 'none'}"


def _detector(record: Json) -> str:
    """Return the checkpoints of the detector that `submit` found faces with; empty where none was asked."""
    if not (record["identity"].get("weights") or {}).get("detector"):
        return ""
    checkpoints = (record.get("weights") or {}).get("detector") or []
    return "+".join(str(checkpoint["sha256"])[:12] for checkpoint in checkpoints)


def _undubbed(counts: Json) -> float | None:
    """Return the share of the frames in which the person is seen that were left as they were."""
    found = typed(counts, Counts) if counts else None
    return found.undubbed_share if found else None


def _share(part: float | None, whole: float | None) -> float | None:
    return round(part / whole, 4) if part is not None and whole else None
