"""Offset of lips and audio of a face, by any sync scorer, as far as footage for training may be off."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from lipwise_ray.lipsync.mel import MEL_RATE_HZ
from lipwise_ray.pipeline.quality.lip_windows import LipWindows, Read, Window, numbers_in
from lipwise_ray.pipeline.quality.sync_scores import FRAMES, RATE_HZ
from lipwise_ray.training.clip_record import SyncMeasures
from lipwise_ray.values import F32Array, F64Array, FloatArray, I64Array, Size

if TYPE_CHECKING:
    from lipwise_ray.metrics.sync_scorers import SyncScorer

MOST_SHIFT_FRAMES = 30
"""Offsets beyond this are not looked for. A clip that is further off has its best one anywhere, which is seldom near
none."""

_BESIDE_FROM, _BESIDE_TO = 3, 8
"""Shifts around an offset that its own mean distance is compared with: lips and audio that belong together make a
narrow dip, on slopes that loud and quiet moments make of any two signals."""

_REACH_FRAMES = MOST_SHIFT_FRAMES + _BESIDE_TO
_STRETCHES, _STRETCH_WINDOWS = 8, 25
"""So much of a long clip is looked at: stretches that are spread evenly over it."""

_LEAST_SHARE = 0.5
"""Of the windows that must have audio at an offset."""


@dataclass(frozen=True, slots=True)
class ClipAudio:
    """Audio of a clip as a sync scorer hears it.

    Attributes:
        values: Mel or cepstra, shape (columns, bands).
        frames: Frames of 1/25 s that it lasts.
        lead_s: Time in it at which the first frame is shown.
    """

    values: FloatArray
    frames: int
    lead_s: float


def measure_sync(
    lips: LipWindows, track: int, read: Read, shown: Size, scorer: SyncScorer, audio: ClipAudio
) -> SyncMeasures | None:
    """Measure the offset of a face's lips and the audio.

    Args:
        lips: The windows of the video.
        track: The face.
        read: Gives frames of 1/25 s by number.
        shown: Size of the frames that the faces' boxes are in.
        scorer: The expert.
        audio: Audio of the video.

    Returns:
        None where no window has audio at any offset.
    """
    firsts = _spread([first for first in range(len(lips)) if track in lips.throughout(first)])
    if not firsts:
        return None
    windows = [Window(first, track) for first in firsts]
    crops = lips.cropped(windows, (numbers := numbers_in(windows)), read(numbers), shown)
    embedded = np.concatenate([scorer.lips(block) for _, block in lips.blocks(windows, crops)])
    distances = _distances(embedded, np.array(firsts, np.int64), scorer, audio)
    whole = _means(distances)
    offset = _best(whole)
    if offset is None:
        return None
    middle = len(firsts) // 2
    halves = [_best(_means(part)) for part in (distances[:middle], distances[middle:])]
    steady = all(half is not None and abs(half - offset) <= 1 for half in halves)
    least = float(whole[offset + _REACH_FRAMES])
    return SyncMeasures(offset, round(least, 4), round(float(np.nanmedian(whole)) - least, 4), steady)


def _spread(firsts: list[int]) -> list[int]:
    """Return the first frames of windows in stretches over all of them; their audio is embedded once for all shifts."""
    if len(firsts) <= _STRETCHES * _STRETCH_WINDOWS:
        return firsts
    starts = np.linspace(0, len(firsts) - _STRETCH_WINDOWS, _STRETCHES).astype(int)
    return sorted({first for start in starts for first in firsts[start : start + _STRETCH_WINDOWS]})


def _distances(lips: F32Array, firsts: I64Array, scorer: SyncScorer, audio: ClipAudio) -> F32Array:
    """Return the distances of windows at all shifts, NaN where there is no audio, shape (W, 77)."""
    places = firsts[:, None] + np.arange(-_REACH_FRAMES, _REACH_FRAMES + 1) + round(audio.lead_s * RATE_HZ)
    inside = (places >= 0) & (places < audio.frames - FRAMES)
    out = np.full(places.shape, np.nan, np.float32)
    if not inside.any():
        return out
    wanted, found = np.unique(places[inside], return_inverse=True)
    seconds = wanted / RATE_HZ + (audio.lead_s - round(audio.lead_s * RATE_HZ) / RATE_HZ)
    columns = np.maximum(scorer.column(np.asarray(seconds, np.float64)), 0)
    sound = scorer.sound(audio.values, columns)
    rows = np.broadcast_to(np.arange(len(firsts))[:, None], places.shape)[inside]
    out[inside] = np.linalg.norm(lips[rows] - sound[found], axis=1)
    return out


def _means(distances: F32Array) -> F64Array:
    """Return the mean distance at each shift, NaN where too few windows have audio, shape (77,)."""
    there = ~np.isnan(distances)
    enough = there.sum(axis=0) >= max(1.0, _LEAST_SHARE * len(distances))
    sums = np.where(there, distances, 0).sum(axis=0, dtype=np.float64)
    return np.where(enough, sums / np.maximum(there.sum(axis=0), 1), np.nan)


def _best(means: F64Array) -> int | None:
    """Return the offset whose mean distance is furthest below those around it; None where nothing can be compared."""
    depths = np.full(len(means), -np.inf)
    for place in range(_BESIDE_TO, len(means) - _BESIDE_TO):
        before = means[place - _BESIDE_TO : place - _BESIDE_FROM + 1]
        after = means[place + _BESIDE_FROM : place + _BESIDE_TO + 1]
        beside = np.concatenate([before, after])
        beside = beside[~np.isnan(beside)]
        if len(beside) and not np.isnan(means[place]):
            depths[place] = beside.mean() - means[place]
    return int(depths.argmax()) - _REACH_FRAMES if np.isfinite(depths).any() else None


def audio_frames(columns: int) -> int:
    """Return the frames of 1/25 s that a mel of so many columns lasts."""
    return int(columns / MEL_RATE_HZ * RATE_HZ)
