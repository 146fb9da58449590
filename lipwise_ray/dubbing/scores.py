"""Sync scores of a job: what its chunks leave, and what is made of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path
from typing import Any, Literal

import numpy as np

from lipwise_ray.arrays import ArraySpec, read_npz
from lipwise_ray.dubbing import inputs
from lipwise_ray.dubbing.context import JobContext
from lipwise_ray.dubbing.ids import judge_id
from lipwise_ray.dubbing.plan import Plan
from lipwise_ray.lipsync.windows import CROP_RATE_HZ
from lipwise_ray.metrics.lse import SHIFTS, SYNCNET, Curve, Score, reduce
from lipwise_ray.state import layout
from lipwise_ray.state.markers import Marker
from lipwise_ray.state.store import Store, load_file
from lipwise_ray.values import F32Array, F64Array, I64Array, Json

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
    """How far lips are from their sound at 31 shifts of it, a row a window.

    Attributes:
        at: The window's first frame of 1/25 s in the output, shape (W,).
        after: Of the dubbed lips and what they say, shape (W, 31).
        before: Of the filmed lips and the same sound.
        source: Of the filmed lips and the sound filmed with them; NaN where there is none, or where the film is not
            shown as it was filmed.
        segments: The hashes of the segments that were looked at, by chunk.
    """

    at: I64Array
    after: F32Array
    before: F32Array
    source: F32Array
    segments: dict[int, str] = field(default_factory=dict[int, str])

    def is_of(self, markers: Mapping[int, Marker | None]) -> bool:
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
        """Read what `save` wrote.

        Raises:
            ValueError: It is damaged.
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


def collect_scores(
    store: Store, job_id: str, judge: Json, markers: list[Marker], unscored: list[int]
) -> Sums | list[int]:
    """Return the sums of a job's distances; or the chunks whose records are missing, damaged, or of other segments.

    Args:
        store: The state.
        job_id: The job.
        judge: The judge's weights.
        markers: Of its chunks.
        unscored: Chunks that are known to have none.
    """
    sums, by_number = Sums(), dict(enumerate(markers))
    lost: list[int] = []
    for number in range(len(markers)):
        if number in unscored:
            continue
        key = layout.score(job_id, judge_id(judge), number)
        part = load_file(store, key, Distances.load)
        if part is not None and not part.is_of(by_number):  # those of others, or of before its segments were made again
            store.forget(key)
            part = load_file(store, key, Distances.load)
        if part is None or not part.is_of(by_number):
            lost.append(number)
        else:
            sums.add(part)
    return lost or sums


def reduce_scores(job: JobContext, judge: Json, plan: Plan, sums: Sums, unscored: list[int]) -> Json:
    """Return a job's sync scores.

    Args:
        job: The job.
        judge: The judge's weights.
        plan: The job's plan.
        sums: Of its chunks.
        unscored: Chunks whose scoring was given up.

    Returns:
        JSON values: `scorer_record`; ``source``, ``before`` and ``after`` as `score_record`, or None, for which
        ``why`` has the reason; ``curve`` with the seconds' certainty of ``after``.
    """
    found: Json = {**scorer_record(judge), "why": {}}
    for name, one in sums.of.items():
        if unscored or not one.windows:
            found[name] = None
            found["why"][name] = _why_not(name, job, plan, sums, unscored)
        else:
            found[name] = score_record(reduce(one.total, one.windows), lse=is_lse(judge))
    found["curve"] = sums.curve.rounded()
    return found


def is_lse(scorer: Json) -> bool:
    """Tell whether a network's figures are LSE-D and LSE-C: those of SyncNet are, by definition."""
    return str(scorer.get("network", "")) == SYNCNET


def scorer_record(scorer: Json | None) -> Json:
    """Return what a result says of the network that scored it: its name and hash, and a ``note`` on what it is not."""
    found: Json = {"judge": scorer["name"] if scorer else None, "judge_sha256": scorer["sha256"] if scorer else None}
    if scorer is None or is_lse(scorer):
        return found
    made_for = f"made for {scorer['made_for']}; " if scorer.get("made_for") else ""
    text = f"scored by {scorer['name']} ({made_for}not SyncNet): its figures are no LSE, and no gate goes by them"
    return {**found, "note": text}


def score_record(score: Score, *, lse: bool) -> Json:
    """Return a score as JSON values: distance and certainty, offset (frames of 1/25 s), and the number of windows.

    The two are called ``lse_d`` and ``lse_c`` where SyncNet gave them, else ``sync_distance`` and ``sync_confidence``.
    """
    distance, certainty = ("lse_d", "lse_c") if lse else ("sync_distance", "sync_confidence")
    return {
        distance: round(score.lse_d, _DIGITS),
        certainty: round(score.lse_c, _DIGITS),
        "offset": score.offset,
        "windows": score.windows,
    }


def _why_not(name: Measure, job: JobContext, plan: Plan, sums: Sums, unscored: list[int]) -> str:
    own = inputs.sound_of(job.store, job.video.id, salvage=job.salvage)
    sounds = [inputs.sound_of(job.store, part.sound_id, salvage=job.salvage) for part in plan.parts]
    shortest = min([plan.timeline.duration_s, *(sound.duration_s for sound in sounds if sound)])
    least = Fraction(FRAMES + 1, RATE_HZ)
    reasons = (
        (bool(unscored), f"scoring failed in chunks {unscored[:5]}; the job's attempts.jsonl says why"),
        (not plan.counts["frames_with_face"], "no face is dubbed"),
        (name == "source" and own is None, "the video has no sound of its own that can be used"),
        (shortest < least, f"too short: a score needs {float(least):.2f} s"),
        (bool(sums.broken), f"the judge gave no numbers for {sums.broken} windows"),
        (name == "source", "the film is never shown as it was filmed for long enough"),
    )
    return next((why for holds, why in reasons if holds), "no face is dubbed for five frames in a row")
