"""Sync scores of a job, chunk by chunk: of the original, and before and after it was dubbed."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING

import cv2
import numpy as np

from lipwise_ray.media.frames import FrameRecipe, make_recipe
from lipwise_ray.media.probe import probe_video
from lipwise_ray.media.reader import read_through
from lipwise_ray.media.region import box_to_shown, read_region
from lipwise_ray.metrics.lse import SHIFTS
from lipwise_ray.pipeline.analysis.crops import frames_at_25_hz
from lipwise_ray.pipeline.dubbing.job_context import JobContext
from lipwise_ray.pipeline.dubbing.plan import Plan
from lipwise_ray.pipeline.dubbing.task_parts import RenderedSegment
from lipwise_ray.pipeline.inputs import records
from lipwise_ray.pipeline.quality.filmed_lips import FilmedLips
from lipwise_ray.pipeline.quality.lip_windows import BLOCK, AudioFeatures, Faces, LipWindows, Window, frames_shown
from lipwise_ray.pipeline.quality.sync_scores import FRAMES, MEASURES, RATE_HZ, Distances
from lipwise_ray.state import layout
from lipwise_ray.state.markers import drop_marker, marker_of
from lipwise_ray.storage.digest import sha256_of
from lipwise_ray.values import F32Array, I64Array

if TYPE_CHECKING:
    from av.video.frame import VideoFrame

    from lipwise_ray.metrics.sync_scorers import SyncScorer

_STEADY = 0.25  # frames
_HALF_FRAME_S = 0.5 / RATE_HZ
_STILL_PX, _STILL_SHARE, _STILL_QUALITY = 224, 0.9, 80


def grid_of(plan: Plan) -> I64Array:
    """Return the output frame that is shown at each 25th of a second, shape (G,)."""
    times = plan.timeline.pts * float(plan.timeline.time_base)
    return frames_at_25_hz(times, plan.timeline.duration_s)


def score_chunk(
    job: JobContext,
    plan: Plan,
    chunk: int,
    recipe: FrameRecipe,
    scorer: SyncScorer,
    *,
    job_id: str,
    rendered: Sequence[RenderedSegment],
    filmed_lips: FilmedLips,
    threads: int,
    on_frame: Callable[[], None],
) -> Distances | list[int]:
    """Compare the windows that begin in a chunk of the output, those of `score.stride`.

    Args:
        job: The job.
        plan: Its plan.
        chunk: The chunk's number.
        recipe: Steps that prepare its source frames.
        scorer: Compares.
        job_id: Job whose segments are read.
        rendered: Segments that are known; markers of others are read.
        filmed_lips: Knows what the scorer made of the original lips before.
        threads: Of the decoders.
        on_frame: Called for every frame.

    Returns:
        The distances; or the chunks whose segments are gone.
    """
    grid, span = grid_of(plan), plan.chunks[chunk]
    begins = np.flatnonzero((grid >= span.start) & (grid < span.stop))
    begins = begins[begins % job.spec.settings.score.stride == 0]
    lips = LipWindows(Faces(plan.chosen.frame, plan.chosen.track, plan.chosen.face_box), plan.source[grid], scorer)
    features = [AudioFeatures.of(scorer, job.store, part.sound_id, salvage=job.salvage) for part in plan.parts]
    windows = [
        Window(int(first), track, part)
        for first in begins
        for track in lips.throughout(int(first))
        if first < features[part := _said(plan, track, int(first))].windows(len(grid))
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

    def dubbed(numbers: list[int]) -> Iterator[tuple[VideoFrame, FrameRecipe]]:
        return _segment_frames(plan, files, [int(grid[number]) for number in numbers], recipe, threads, on_frame)

    def embed_filmed() -> F32Array:
        read = frames_shown(job.video, recipe, source, threads=threads, salvage=salvage, on_frame=on_frame)
        return lips.embeddings(windows, read, shown)

    parts: list[Distances] = []
    if windows:
        after = lips.embeddings(windows, dubbed, shown)
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


def _said(plan: Plan, track: int, first: int) -> int:
    """Return the part that a face says in a window: of several the one whose turn is nearest."""
    parts = [place for place, part in enumerate(plan.parts) if track in part.tracks]
    now = Fraction(first, RATE_HZ)

    def away(place: int) -> Fraction:
        return min(max(start - now, now - stop, Fraction(0)) for start, stop in plan.parts[place].times_s)

    return min(parts, key=away) if len(parts) > 1 else parts[0]


def stills(
    job: JobContext,
    plan: Plan,
    chunk: int,
    recipe: FrameRecipe,
    *,
    job_id: str,
    threads: int,
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
        rendered: Segments that are known; markers of others are read.
    """
    shown = np.isin(plan.source, plan.chosen.frame) & (np.max([part.opacity for part in plan.parts], axis=0) > 0)
    frames = np.flatnonzero(shown)
    if not len(frames) or chunk_of(plan, int(frames[len(frames) // 2])) != chunk:
        return None
    number = int(frames[len(frames) // 2])
    row = int(np.searchsorted(plan.chosen.frame, plan.source[number]))
    x0, y0, x1, y1 = (float(value) for value in plan.chosen.face_box[row])
    half = max(x1 - x0, y1 - y0) * _STILL_SHARE
    box = np.array([(x0 + x1) / 2 - half, (y0 + y1) / 2 - half, (x0 + x1) / 2 + half, (y0 + y1) / 2 + half])
    with job.reader(recipe, threads) as reader:
        filmed = recipe.apply(next(reader.read_order(iter([int(plan.source[number])]))))
    segment = _segment(job, job_id, chunk, rendered)
    if segment is None:
        return None
    dubbed, made = next(_segment_frames(plan, {chunk: segment}, [number], recipe, threads, lambda: None))
    larger = made.canvas.shown_size.width // recipe.canvas.shown_size.width or 1
    crops = (
        read_region(filmed, recipe.canvas, box_to_shown(box, _STILL_PX), _STILL_PX),
        read_region(dubbed, made.canvas, box_to_shown(box * larger, _STILL_PX), _STILL_PX),
    )
    before, after = (
        cv2.imencode(".jpg", np.rint(crop * 255).astype(np.uint8), [cv2.IMWRITE_JPEG_QUALITY, _STILL_QUALITY])[1]
        for crop in crops
    )
    return before.tobytes(), after.tobytes()


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


def _segment_frames(
    plan: Plan,
    segments: Mapping[int, _Segment],
    numbers: list[int],
    source: FrameRecipe,
    threads: int,
    on_frame: Callable[[], None],
) -> Iterator[tuple[VideoFrame, FrameRecipe]]:
    """Yield finished frames, in rising order; a segment is open while its frames are read."""
    by_chunk: dict[int, Counter[int]] = {}
    for number in numbers:
        chunk = chunk_of(plan, number)
        by_chunk.setdefault(chunk, Counter())[number - plan.chunks[chunk].start] += 1
    for chunk, wanted in by_chunk.items():
        info = probe_video(segments[chunk].path)
        made = make_recipe(info)
        # How it is laid out and how wide pixels are is written when segments are joined.
        shown = source.canvas
        canvas = replace(made.canvas, orientation=shown.orientation, sample_aspect=shown.sample_aspect)
        recipe = replace(made, canvas=canvas)
        with closing(read_through(segments[chunk].path, threads=threads)) as frames:
            for number, frame in enumerate(frames):
                on_frame()
                for _ in range(wanted[number]):
                    yield recipe.apply(frame), recipe
                if number >= max(wanted):
                    break
