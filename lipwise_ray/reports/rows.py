"""A run's rows as flat records, from what the state keeps."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any

from lipwise_ray.errors import StateError
from lipwise_ray.nets.terms import commercial_of, strictest
from lipwise_ray.state import layout
from lipwise_ray.state.overview import shards_of
from lipwise_ray.state.shapes import EndRecord, PlannedRow, RowRecord, RunRecord, checked, read_checked, typed
from lipwise_ray.state.shards import is_at_work
from lipwise_ray.state.store import Store, as_json, load_file
from lipwise_ray.values import Json

_MEASURES = ("source", "before", "after")
_FIGURES = ("lse_d", "lse_c", "sync_distance", "sync_confidence", "offset")
_NOTHING_REFUSED: Mapping[str, str] = MappingProxyType({})
FIDELITY = ("psnr", "ssim", "face_psnr", "face_ssim", "fid", "identity_distance")
"""Figures of a video that was compared with a reference."""


@dataclass(frozen=True, slots=True)
class RunReport:
    """A run and its rows.

    Attributes:
        run: What was recorded when it began.
        ended: What was recorded when it ended; None while it is going on, or after it was killed.
        rows: `row_of` of each row that ended, in the manifest's order.
        details: Of each row what has no place in a table: ``curve``, ``stages``, ``ways`` in which it was tried, and
            what of its source was ``left_behind``.
        left: Rows that did not end, in the manifest's order: what they are, and what to do.
    """

    run: Json
    ended: Json | None
    rows: list[Json]
    details: list[Json]
    left: list[Json] = field(default_factory=list[Json])


def collect(store: Store, run_id: str | None = None) -> RunReport:
    """Return a run, the latest without a name.

    Raises:
        StateError: There is no such run.
    """
    runs = store.folders(layout.RUNS)
    there = (one for one in reversed(runs) if store.size(layout.run_record(one)) is not None)
    chosen = run_id or next(there, "")
    run = read_checked(store, layout.run_record(chosen), RunRecord) if chosen in runs else None
    if run is None:
        wanted, known = f"the run {run_id}" if run_id else "a run", f"only {', '.join(runs[-3:])}" if runs else "none"
        raise StateError("no_runs", store.address, f"must hold {wanted}", known, "Check the path and --run")
    rows: list[Json] = []
    details: list[Json] = []
    for record in _records(store, store.names(layout.rows(chosen))):
        ways: list[Json] = record.get("attempts") or []
        jobs = dict.fromkeys([str(record.get("job_id") or ""), *(str(one.get("job_id") or "") for one in ways)])
        rows.append(row_of(record, sum(_attempts(store, job_id, chosen) for job_id in jobs)))
        details.append(
            {
                "curve": (record.get("sync") or {}).get("curve") or [],
                "stages": record.get("stages_s") or {},
                "ways": ways,
                "left_behind": record.get("left_behind") or [],
            }
        )
    left = list(_unfinished(store, chosen, {row["row"] for row in rows}))
    ended = read_checked(store, f"{layout.run(chosen)}/report.json", EndRecord)
    return RunReport(run, ended, rows, details, left)


def _unfinished(store: Store, run_id: str, ended: set[int]) -> Iterator[Json]:
    """Yield the rows that a run set out to do and that are not among those that ended."""
    opened = load_file(store, layout.planned(run_id), lambda path: path.open("rb"))
    if opened is None:
        return
    with opened as lines:
        for line in lines:
            planned = checked(as_json(line), PlannedRow)
            if planned is not None and planned["row"] not in ended:
                why = {
                    "code": "not_finished",
                    "message": "The run was over before this row: run the same command again.",
                }
                yield {**{name: planned.get(name) for name in ("row", "row_id", "output")}, "status": "left", **why}


def collect_latest(store: Store) -> RunReport:
    """Return the latest run; of a shard with the latest runs of the other shards as one.

    Raises:
        StateError: There is none.
    """
    report = collect(store)
    run = typed(report.run, RunRecord)
    assert run is not None  # `collect` looked
    shards = shards_of(store, run.run_id, run)
    if len(shards) == 1:
        return report
    reports = [report if one.run_id == run.run_id else collect(store, one.run_id) for one in shards if one.run_id]
    pairs = sorted(
        ((row, detail) for one in reports for row, detail in zip(one.rows, one.details, strict=True)),
        key=lambda pair: pair[0]["row"] or 0,
    )
    ends = [one.ended for one in reports if one.ended is not None]
    left = sorted((row for one in reports for row in one.left), key=lambda row: row["row"])
    left += [_not_begun(one.shard) for one in shards if not one.run_id and not is_at_work(store, one.shard)]
    return RunReport(
        {
            **report.run,
            "rows": run.rows_total or run.rows,
            "shard": ", ".join(str(one.run["shard"]) for one in reports),
        },
        {name: sum(end.get(name) or 0 for end in ends) for name in ("done", "failed", "left", "seconds")}
        if len(ends) == len(shards)
        else None,
        [row for row, _ in pairs],
        [detail for _, detail in pairs],
        left,
    )


def _not_begun(shard: str) -> Json:
    """Return what stands for the rows of a shard that no driver has begun: which they are, nobody has said."""
    message = f"No driver has begun this shard: run the same command with --shard {shard}."
    told = {"row": None, "row_id": f"shard {shard}", "output": None, "status": "left", "code": "not_begun"}
    return {**told, "message": message}


def joined(name: str, reports: list[RunReport], left: int, refused: Mapping[str, str] = _NOTHING_REFUSED) -> RunReport:
    """Return several runs as one.

    Args:
        name: What they are called together.
        reports: The runs, in order.
        left: Rows that did not end in any.
        refused: Manifests of which no row was begun, and why: they stand among what failed.
    """
    rows = [row for report in reports for row in report.rows]
    rows += [
        row_of({"status": "failed", "code": "manifest_refused", "row_id": manifest, "message": why}, 0)
        for manifest, why in refused.items()
    ]
    seconds = sum(float((report.ended or {}).get("seconds", 0)) for report in reports)
    names = [str(report.run.get("manifest", "")).rpartition("/")[2] for report in reports]
    run: Json = {
        "run_id": name,
        "manifest": ", ".join(names) or "nothing",
        "rows": len(rows) + left,
        "begun": min((float(report.run.get("begun", 0)) for report in reports), default=0.0),
    }
    numbered = [{**row, "row": number} for number, row in enumerate(rows, 1)]
    details = [detail for report in reports for detail in report.details]
    details += [{"curve": [], "stages": {}, "ways": []} for _ in refused]
    waiting = [row for report in reports for row in report.left]
    unfinished = [{**row, "row": number} for number, row in enumerate(waiting, len(rows) + 1)]
    return RunReport(run, {"seconds": seconds}, numbered, details, unfinished)


def _records(store: Store, keys: list[str]) -> Iterator[Json]:
    for key, data in zip(keys, store.read_all(keys), strict=True):
        line = key.rpartition("/")[2].split("-")[0]
        number = int(line) if line.isdecimal() else 0
        yield checked(as_json(data), RowRecord) or {
            "status": "failed",
            "code": "damaged_record",
            "message": f"{key}: must be whole, got a damaged record. Run submit again.",
            "row": number,
            "row_id": f"line {number}",
        }


def _attempts(store: Store, job_id: str, run_id: str) -> int:
    """Return how often tasks of a job were handed out in a run."""
    if not job_id:
        return 0
    leased = 0
    for line in store.log(layout.attempts(job_id)):
        event = as_json(line) or {}
        leased += event.get("event") == "leased" and event.get("run") == run_id
    return leased


def row_of(record: Json, attempts: int) -> Json:
    """Return a row's outcome as a flat record; what is not known is None."""
    counts: Json = record.get("counts") or {}
    sync: Json = record.get("sync") or {}
    flicker: Json = record.get("flicker") or {}
    by_role = dict(_weights(record.get("weights") or {}))
    weights = list(by_role.values())
    frames, seconds = record.get("frames"), record.get("seconds")
    rendered = (record.get("tally") or {}).get("frames_rendered")
    video_s, audio_s = record.get("video_s"), record.get("audio_s")
    on_gpu = (record.get("identity") or {}).get("device") == "cuda"
    ways: list[Json] = record.get("attempts") or []
    render_s = sum(one.get("render_s") or 0.0 for one in ways) if ways else record.get("render_s")
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
        **{f"{name}_{figure}": (sync.get(name) or {}).get(figure) for name in _MEASURES for figure in _FIGURES},
        "no_score": why.get("after"),
        "frames": frames,
        "video_s": video_s,
        "length_error_s": round(video_s - audio_s, 4) if video_s is not None and audio_s is not None else None,
        "no_face_share": _share(counts.get("frames_without_face"), counts.get("frames")),
        "flicker_dubbed": flicker.get("dubbed"),
        "flicker_filmed": flicker.get("filmed"),
        **{name: fidelity.get(name) for name in FIDELITY},
        "reused": record.get("reused"),
        "seconds": seconds,
        "frames_per_s": round(rendered / seconds, 2) if rendered and seconds else None,
        "gpu_s": (render_s if on_gpu else 0.0) if render_s is not None else None,
        "attempts": attempts,
        "renderings": len(record.get("attempts") or []) or None,
        "chunks": record.get("chunks"),
        "original_chunks": len(record.get("original_chunks") or []),
        "left_behind": "; ".join(f"{one['what']} ({one['why']})" for one in record.get("left_behind") or []) or None,
        "weights": json.dumps({role: f"{one['name']} {one['sha256']}" for role, one in by_role.items()})
        if weights
        else None,
        "licences": "; ".join(sorted({one["licence"] for one in weights if one.get("licence")})) or None,
        "commercial_use": strictest(commercial_of(one) for one in weights) if weights else None,
        "version": record.get("version"),
        "job_id": record.get("job_id"),
        "ended": record.get("ended"),
    }


def _weights(weights: Json) -> Iterator[tuple[str, Json]]:
    """Yield role and record of each checkpoint."""
    for role, value in weights.items():
        several = [one for one in (value if isinstance(value, list) else [value]) if one]
        yield from ((role if len(several) == 1 else f"{role}_{number}", one) for number, one in enumerate(several, 1))


def _protocol(record: Json) -> str | None:
    """Return how a row's figures were measured; only those of one protocol compare.

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
    return "+".join(str(one["sha256"])[:12] for one in checkpoints)


def _share(part: Any, whole: Any) -> float | None:  # noqa: ANN401  # JSON values
    return round(part / whole, 4) if part is not None and whole else None
