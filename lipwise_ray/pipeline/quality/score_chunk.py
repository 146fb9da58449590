"""Sync scores of a job, chunk by chunk: of the original, and before and after it was dubbed."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING

import cv2
import numpy as np

from lipwise_ray.media.frames import FrameRecipe
from lipwise_ray.metrics.lse import SHIFTS
from lipwise_ray.pipeline.dubbing.job_context import JobContext
from lipwise_ray.pipeline.dubbing.plan import Part, Plan
from lipwise_ray.pipeline.dubbing.task_parts import RenderedSegment
from lipwise_ray.pipeline.inputs import records
from lipwise_ray.pipeline.quality.filmed_lips import FilmedLips
from lipwise_ray.pipeline.quality.kept_lips import KeptLips
from lipwise_ray.pipeline.quality.lip_windows import (
    BLOCK,
    AudioFeatures,
    LipWindows,
    NumberedCrops,
    Window,
    frames_shown,
    numbers_in,
)
from lipwise_ray.pipeline.quality.segment_lips import (
    grid_of,
    lip_windows,
    numbers_of,
    segment_frames,
    still_frame,
    still_image,
)
from lipwise_ray.pipeline.quality.sync_scores import FRAMES, MEASURES, RATE_HZ, Distances
from lipwise_ray.state import layout
from lipwise_ray.state.markers import drop_marker, marker_of
from lipwise_ray.storage.digest import sha256_of
from lipwise_ray.values import BoolArray, F32Array, I64Array, U8Array

if TYPE_CHECKING:
    from lipwise_ray.metrics.sync_scorers import SyncScorer

_STEADY = 0.25  # frames
_HALF_FRAME_S = 0.5 / RATE_HZ
_STILL_QUALITY = 80


def score_chunk(
    job: JobContext,
    plan: Plan,
    chunk: int,
    recipe: FrameRecipe,
    scorer: SyncScorer,
    *,
    job_id: str,
    rendered: Sequence[RenderedSegment],
    kept_lips: KeptLips,
    filmed_lips: FilmedLips,
    threads: int,
    on_frame: Callable[[], None],
) -> Distances | list[int]:
    """Compare the windows that begin in a chunk of the output, those of the stride of `kept_lips`.

    Args:
        job: The job.
        plan: Its plan.
        chunk: The chunk's number.
        recipe: Steps that prepare its source frames.
        scorer: Compares.
        job_id: Job whose segments are read.
        rendered: Segments that are known; markers of others are read.
        kept_lips: Has dubbed lips that were cropped on this machine; others are read from their segments.
        filmed_lips: Knows what the scorer made of the original lips before.
        threads: Of the decoders.
        on_frame: Called for every frame.

    Returns:
        The distances; or the chunks whose segments are gone.
    """
    grid = grid_of(plan)
    begins = numbers_of(plan, grid, chunk)
    begins = begins[begins % kept_lips.stride == 0]
    lips = lip_windows(plan, grid, scorer)
    features = [AudioFeatures.of(scorer, job.store, part.sound_id, salvage=job.salvage) for part in plan.parts]
    said = {
        (first, track): place
        for place, part in enumerate(plan.parts)
        for first in begins[is_said(part, begins) & (begins < features[place].windows(len(grid)))].tolist()
        for track in part.tracks
    }
    windows = [
        Window(first, track, said[first, track])
        for first in begins.tolist()
        for track in lips.throughout(first)
        if (first, track) in said
    ]
    needed = sorted({chunk_of(plan, int(grid[window.first + step])) for window in windows for step in range(FRAMES)})
    segments = {number: _segment(job, job_id, number, rendered) for number in needed}
    gone = [number for number, found in segments.items() if found is None]
    if gone:
        return gone
    files = {number: found for number, found in segments.items() if found is not None}
    video_id, salvage = job.video.id, job.salvage
    is_filmed = job.video.info.sound_start_s is not None
    has_sound = is_filmed and records.sound_of(job.store, video_id, salvage=salvage) is not None
    own = AudioFeatures.of(scorer, job.store, video_id, salvage=salvage) if has_sound else None
    shown, source = recipe.canvas.shown_size, plan.source[grid]

    def embed(crops: NumberedCrops) -> F32Array:
        return np.concatenate([scorer.lips(block) for _, block in lips.blocks(windows, crops)])

    def embed_filmed() -> F32Array:
        read = frames_shown(job.video, recipe, source, threads=threads, salvage=salvage, on_frame=on_frame)
        places = numbers_in(windows)
        return embed(lips.cropped(windows, places, read(places), shown))

    parts: list[Distances] = []
    if windows:
        crops = _dubbed(plan, grid, lips, windows, files, kept_lips, scorer.side_px, recipe, threads, on_frame)
        after = embed(crops)
        before = filmed_lips.of(job, *lips.seen(windows), after.shape[1], embed_filmed)
        for start in range(0, len(windows), BLOCK):
            block = slice(start, start + BLOCK)
            parts.append(_compare(windows[block], after[block], before[block], features, own, job, plan, grid))
    none = np.zeros((0, SHIFTS), np.float32)
    return Distances(
        at=np.array([window.first for window in windows], np.int64),
        after=np.concatenate([none, *(part.after for part in parts)]),
        before=np.concatenate([none, *(part.before for part in parts)]),
        source=np.concatenate([none, *(part.source for part in parts)]),
        segments={number: file.sha256 for number, file in files.items()},
    )


def _dubbed(
    plan: Plan,
    grid: I64Array,
    lips: LipWindows,
    windows: list[Window],
    segments: Mapping[int, _Segment],
    kept_lips: KeptLips,
    side: int,
    recipe: FrameRecipe,
    threads: int,
    on_frame: Callable[[], None],
) -> NumberedCrops:
    """Yield the dubbed lips of windows: those that are kept, and others of segments, each open while it is read."""
    for chunk, of_chunk in groupby(numbers_in(windows), lambda one: chunk_of(plan, int(grid[one]))):
        numbers, segment = list(of_chunk), segments[chunk]
        pairs = lips.within(numbers_of(plan, grid, chunk), kept_lips.stride)
        kept = kept_lips.crops(chunk, segment.sha256, pairs, side)
        if kept is None:
            places = [int(grid[number]) - plan.chunks[chunk].start for number in numbers]
            frames = segment_frames(segment.path, places, recipe, threads, on_frame)
            yield from lips.cropped(windows, numbers, frames, recipe.canvas.shown_size)
            continue
        for number, faces in kept:
            if numbers[0] <= number <= numbers[-1]:
                on_frame()
                yield number, faces


def _compare(
    block: list[Window],
    after: F32Array,
    before: F32Array,
    features: list[AudioFeatures],
    own: AudioFeatures | None,
    job: JobContext,
    plan: Plan,
    grid: I64Array,
) -> Distances:
    at = np.array([window.first for window in block], np.int64)
    said = np.array([window.part for window in block])
    unknown = np.full((len(MEASURES), len(block), SHIFTS), np.nan, np.float32)
    distances = Distances(at, *unknown, segments={})
    for number in np.unique(said):
        here = said == number
        for values, lips in ((distances.after, after), (distances.before, before)):
            values[here] = features[int(number)].distances(lips[here], at[here] / RATE_HZ, len(grid))
    if own is not None:
        index = job.video.index
        frames = grid[at[:, None] + np.arange(FRAMES)]
        filmed_s = (index.pts[plan.source[frames]] - int(index.pts[0])) * float(index.time_base)
        shift_s = filmed_s - plan.timeline.pts[frames] * float(plan.timeline.time_base)
        begins_s = at / RATE_HZ + shift_s[:, 0] + float(records.lead_s(job.video.info))
        as_filmed = np.ptp(shift_s, axis=1) < _STEADY / float(index.mean_rate)
        as_filmed &= (begins_s > -_HALF_FRAME_S) & (np.rint(begins_s * RATE_HZ) < own.windows(own.frames))
        if as_filmed.any():
            distances.source[as_filmed] = own.distances(before[as_filmed], begins_s[as_filmed], own.frames)
    return distances


def is_said(part: Part, begins: I64Array) -> BoolArray:
    """Return a mask of the windows in whose middle a face speaks, shape (W,): all for one that says everything.

    Lips that are closed while others speak would be compared with those, or with silence.

    Args:
        part: All that the face says.
        begins: First frames of the windows, of 1/25 s, shape (W,).
    """
    if not part.times_s:
        return np.ones(len(begins), np.bool_)
    middles_s = (begins + FRAMES / 2) / RATE_HZ
    times_s = np.array(part.times_s, np.float64)
    before = np.searchsorted(times_s[:, 0], middles_s, side="right")
    stops_s = np.maximum.accumulate(np.concatenate([[-np.inf], times_s[:, 1]]))
    return np.asarray(middles_s < stops_s[before], np.bool_)


def stills(
    job: JobContext,
    plan: Plan,
    chunk: int,
    recipe: FrameRecipe,
    *,
    job_id: str,
    threads: int,
    kept_lips: KeptLips | None = None,
    rendered: Sequence[RenderedSegment] = (),
) -> tuple[bytes, bytes] | None:
    """Return images (JPEG) of the face in the middle of the dubbed frames, original and dubbed.

    None where that frame is in another chunk, or no frame is dubbed.

    Args:
        job: The job.
        plan: Its plan.
        chunk: Number of the chunk that is scored.
        recipe: Steps that prepare its source frames.
        job_id: Job whose segments are read.
        threads: Of the decoders.
        kept_lips: May have the image; it is read from the segment otherwise.
        rendered: Segments that are known; markers of others are read.
    """
    number = still_frame(plan)
    if number is None or chunk_of(plan, number) != chunk:
        return None
    with job.reader(recipe, threads) as reader:
        filmed = recipe.apply(next(reader.read_order(iter([int(plan.source[number])]))))
    segment = _segment(job, job_id, chunk, rendered)
    if segment is None:
        return None
    before = still_image(plan, number, filmed, recipe, recipe)
    after = kept_lips.still(chunk, segment.sha256) if kept_lips else None
    if after is None:
        place = number - plan.chunks[chunk].start
        frame, made = next(segment_frames(segment.path, [place], recipe, threads, lambda: None))
        after = still_image(plan, number, frame, made, recipe)
    return as_jpeg(before), as_jpeg(after)


def as_jpeg(image: U8Array) -> bytes:
    """Return a BGR image, shape (H, W, 3), as JPEG."""
    return cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, _STILL_QUALITY])[1].tobytes()


def chunk_of(plan: Plan, number: int) -> int:
    """Return the chunk in which an output frame is."""
    return int(np.searchsorted([chunk.stop for chunk in plan.chunks], number, side="right"))


@dataclass(frozen=True, slots=True)
class _Segment:
    path: Path
    sha256: str


def _segment(job: JobContext, job_id: str, chunk: int, rendered: Sequence[RenderedSegment]) -> _Segment | None:
    """Return a chunk's segment; a damaged one is given up, to be rendered again."""
    for one in rendered:
        path = job.store.fetch(layout.segment(job_id, chunk, one.attempt)) if one.chunk == chunk else None
        if path is not None and sha256_of(path) == one.sha256:
            return _Segment(path, one.sha256)
    marker = marker_of(job.store, job_id, chunk)
    path = job.store.fetch(marker.segment) if marker else None
    if marker is None or path is None:
        return None
    if sha256_of(path) != marker.sha256:
        drop_marker(job.store, job_id, chunk)
        return None
    return _Segment(path, marker.sha256)
