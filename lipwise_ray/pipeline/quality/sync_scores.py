"""Sync scores of a job: what its chunks leave, and what is made of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from fractions import Fraction
from pathlib import Path
from typing import Any, Literal

import numpy as np

from lipwise_ray.lipsync.windows import CROP_RATE_HZ
from lipwise_ray.metrics.lse import SHIFTS, SYNCNET, Curve, Score, reduce
from lipwise_ray.models.checkpoints import Checkpoint
from lipwise_ray.nets.runtimes import TORCH, Runtime
from lipwise_ray.pipeline.dubbing.capabilities import Choice
from lipwise_ray.pipeline.dubbing.job_context import JobContext
from lipwise_ray.pipeline.dubbing.plan import Plan
from lipwise_ray.pipeline.dubbing.task_parts import RowPart
from lipwise_ray.pipeline.inputs import records
from lipwise_ray.roles.judge import JUDGE
from lipwise_ray.state import layout
from lipwise_ray.state.ids import sync_scorer_id
from lipwise_ray.state.job_result import ScoredBy, SyncScore, SyncScores
from lipwise_ray.state.markers import ChunkMarker
from lipwise_ray.state.store import Store, load_file
from lipwise_ray.storage.arrays import ArraySpec, read_npz
from lipwise_ray.values import F32Array, F64Array, I64Array

RATE_HZ, FRAMES = CROP_RATE_HZ, 5
_DIGITS = 4
Measure = Literal["source", "before", "after"]
MEASURES: tuple[Measure, ...] = ("source", "before", "after")
_ARRAYS = {
    "at": ArraySpec("int64", ("W",)),
    **{name: ArraySpec("float32", ("W", SHIFTS)) for name in MEASURES},
    "numbers": ArraySpec("int64", ("C",)),
    "hashes": ArraySpec("U", ("C",)),
}


@dataclass(frozen=True, slots=True)
class Distances:
    """Distances of lips and audio at 31 shifts of the audio, a row a window.

    Attributes:
        at: The window's first frame of 1/25 s in the output, shape (W,).
        after: Of the dubbed lips and what they say, shape (W, 31).
        before: Of the original lips and the same audio.
        source: Of the original lips and the original audio; NaN where there is none, or where frames are not shown at
            their original rate.
        segments: The hashes of the segments that were looked at, by chunk.
    """

    at: I64Array
    after: F32Array
    before: F32Array
    source: F32Array
    segments: dict[int, str] = field(default_factory=dict[int, str])

    def is_of(self, markers: Mapping[int, ChunkMarker | None]) -> bool:
        """Tell whether these are the distances of the segments that are there now."""
        found = {number: marker.sha256 if marker else "" for number, marker in markers.items()}
        return all(found.get(number) == sha256 for number, sha256 in self.segments.items())

    def save(self, path: Path) -> None:
        """Write as .npz."""
        numbers, hashes = np.array(list(self.segments), np.int64), np.array(list(self.segments.values()), "U64")
        arrays: dict[str, Any] = {"at": self.at, "after": self.after, "before": self.before, "source": self.source}
        np.savez_compressed(path, **arrays, numbers=numbers, hashes=hashes)

    @staticmethod
    def load(path: Path) -> Distances:
        """Read the distances that `save` wrote.

        Raises:
            ValueError: The file is damaged.
        """
        data = read_npz(path, _ARRAYS)
        numbers, hashes = data.pop("numbers"), data.pop("hashes")
        return Distances(**data, segments={int(n): str(text) for n, text in zip(numbers, hashes, strict=True)})


@dataclass(slots=True)
class _Sum:
    total: F64Array
    windows: int = 0


@dataclass(slots=True)
class Sums:
    """A job's distances, summed over its chunks."""

    of: dict[Measure, _Sum] = field(default_factory=lambda: {name: _Sum(np.zeros(SHIFTS)) for name in MEASURES})
    curve: Curve = field(default_factory=Curve)
    broken: int = 0
    """Windows whose figures are no numbers."""

    def add(self, part: Distances) -> None:
        """Take in a chunk."""
        for name, one in self.of.items():
            values: F32Array = getattr(part, name)
            whole = np.isfinite(values).all(axis=1)
            one.total += values[whole].sum(axis=0, dtype=np.float64)
            one.windows += int(whole.sum())
        whole = np.isfinite(part.after).all(axis=1)
        self.broken += int((~whole).sum())
        self.curve.add(part.at[whole], part.after[whole])


def scorer_runtime(row: RowPart, choice: Choice | None) -> Runtime:
    """Return the runtime of a row's sync scorer: that of its job, where it computes the scorer's network.

    Args:
        row: The row; it has a sync scorer.
        choice: Way in which its job is done.
    """
    return JUDGE.runtime(row.weights.needed(JUDGE.name).network, choice.runtime if choice else TORCH)


def score_records_id(row: RowPart, choice: Choice | None) -> str:
    """Return the name of a row's score records, by all that decides their figures beside the job.

    Args:
        row: The row; it has a sync scorer.
        choice: Way in which its job is done.
    """
    runtime = scorer_runtime(row, choice)
    sha256, stride = row.weights.needed(JUDGE.name).sha256, row.job.settings.score.stride
    return sync_scorer_id(sha256, stride, "" if runtime == TORCH else runtime)


def score_needs(row: RowPart, choice: Choice | None) -> frozenset[str]:
    """Return the capabilities that a worker must have to score a row's chunks."""
    return frozenset({scorer_runtime(row, choice)} - {TORCH})


def collect_scores(
    store: Store, job_id: str, records_id: str, markers: list[ChunkMarker], unscored: list[int]
) -> Sums | list[int]:
    """Return the sums of a job's distances; or the chunks whose records are missing, damaged, or of other segments.

    Args:
        store: The state.
        job_id: The job.
        records_id: Name of the sync scorer's records.
        markers: Of its chunks.
        unscored: Chunks that are known to have none.
    """
    sums, by_number = Sums(), dict(enumerate(markers))
    lost: list[int] = []
    for number in range(len(markers)):
        if number in unscored:
            continue
        key = layout.score(job_id, records_id, number)
        part = load_file(store, key, Distances.load)
        if part is not None and not part.is_of(by_number):  # those of others, or of before its segments were made again
            store.forget(key)
            part = load_file(store, key, Distances.load)
        if part is None or not part.is_of(by_number):
            lost.append(number)
        else:
            sums.add(part)
    return lost or sums


def reduce_scores(
    job: JobContext, scorer: Checkpoint | None, plan: Plan, sums: Sums, unscored: list[int]
) -> SyncScores:
    """Return a job's sync scores.

    Args:
        job: The job.
        scorer: The sync scorer's checkpoint.
        plan: The job's plan.
        sums: Of its chunks.
        unscored: Chunks whose scoring was given up.
    """
    scores: dict[Measure, SyncScore] = {}
    why: dict[str, str] = {}
    for name, one in sums.of.items():
        if unscored or not one.windows:
            why[name] = _why_not(name, job, plan, sums, unscored)
        else:
            scores[name] = sync_score(reduce(one.total, one.windows), lse=is_lse(scorer))
    stride = job.spec.settings.score.stride
    return replace(sync_scores(scorer_of(scorer), scores, why, sums.curve), stride=stride if scorer else None)


def sync_scores(scorer: ScoredBy, scores: Mapping[Measure, SyncScore], why: dict[str, str], curve: Curve) -> SyncScores:
    """Return a video's scores with the network that gave them.

    Args:
        scorer: Record of the network.
        scores: Scores by what was compared with the audio.
        why: Reasons for scores that are missing, by the same.
        curve: LSE-C by second.
    """
    return SyncScores(
        judge=scorer.judge,
        judge_sha256=scorer.judge_sha256,
        note=scorer.note,
        source=scores.get("source"),
        before=scores.get("before"),
        after=scores.get("after"),
        why=why,
        curve=tuple(curve.rounded()),
    )


def is_lse(scorer: Checkpoint | None) -> bool:
    """Tell whether a network's figures are LSE-D and LSE-C: those of SyncNet are, by definition."""
    return scorer is not None and scorer.network == SYNCNET


def scorer_of(scorer: Checkpoint | None) -> ScoredBy:
    """Return a result's record of the network that scored it."""
    if scorer is None:
        return ScoredBy()
    if is_lse(scorer):
        return ScoredBy(judge=scorer.name, judge_sha256=scorer.sha256)
    made_for = f"made for {scorer.made_for}; " if scorer.made_for else ""
    text = f"scored by {scorer.name} ({made_for}not SyncNet): its figures are no LSE, and no gate goes by them"
    return ScoredBy(judge=scorer.name, judge_sha256=scorer.sha256, note=text)


def sync_score(score: Score, *, lse: bool) -> SyncScore:
    """Return a score as results hold it; ``lse`` where SyncNet gave it.

    Args:
        score: The score.
        lse: SyncNet gave it, so that its figures are LSE-D and LSE-C.
    """
    distance, certainty = round(score.lse_d, _DIGITS), round(score.lse_c, _DIGITS)
    if lse:
        return SyncScore(lse_d=distance, lse_c=certainty, offset=score.offset, windows=score.windows)
    return SyncScore(sync_distance=distance, sync_confidence=certainty, offset=score.offset, windows=score.windows)


def _why_not(name: Measure, job: JobContext, plan: Plan, sums: Sums, unscored: list[int]) -> str:
    own = records.sound_of(job.store, job.video.id, salvage=job.salvage)
    sounds = [records.sound_of(job.store, part.sound_id, salvage=job.salvage) for part in plan.parts]
    shortest = min([plan.timeline.duration_s, *(sound.duration_s for sound in sounds if sound)])
    least = Fraction(FRAMES + 1, RATE_HZ)
    reasons = (
        (bool(unscored), f"scoring failed in chunks {unscored[:5]}; the job's attempts.jsonl says why"),
        (not plan.counts.frames_with_face, "no face is dubbed"),
        (name == "source" and own is None, "the video has no sound of its own that can be used"),
        (shortest < least, f"too short: a score needs {float(least):.2f} s"),
        (bool(sums.broken), f"the judge gave no numbers for {sums.broken} windows"),
        (name == "source", "the film is never shown as it was filmed for long enough"),
    )
    otherwise = "no face is dubbed for five frames in a row"
    if job.spec.settings.score.stride > 1:
        otherwise += ", as far as score.stride looks"
    return next((why for holds, why in reasons if holds), otherwise)
