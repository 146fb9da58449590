"""How well lips and sound of a job go together, chunk by chunk: as filmed, before, and after it was dubbed."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass, replace
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING

import cv2
import numpy as np

from lipwise_ray.dubbing import inputs
from lipwise_ray.dubbing.context import JobContext
from lipwise_ray.dubbing.plan import Plan
from lipwise_ray.dubbing.scores import FRAMES, MEASURES, RATE_HZ, Distances
from lipwise_ray.media.frames import FrameRecipe, make_recipe
from lipwise_ray.media.probe import probe_video
from lipwise_ray.media.reader import VideoReader, read_through
from lipwise_ray.media.region import box_to_shown, read_region
from lipwise_ray.metrics.lse import MOST_SHIFT, SHIFTS, distances
from lipwise_ray.nets.checkpoint import sha256_of
from lipwise_ray.state import layout
from lipwise_ray.state.markers import drop_marker, read_marker
from lipwise_ray.state.store import Store
from lipwise_ray.values import F32Array, F64Array, I64Array, Size, U8Array

if TYPE_CHECKING:
    from av.video.frame import VideoFrame

    from lipwise_ray.metrics.judges import Judge

_STEADY = 0.25  # frames
_HALF_FRAME_S = 0.5 / RATE_HZ
_BLOCK = 100
_STILL_PX, _STILL_SHARE, _STILL_QUALITY = 224, 0.9, 80


class Heard:
    """A sound as a judge hears it.

    Args:
        judge: The judge.
        values: The cepstra or the mel that it hears.
        frames: How many of 1/25 s the sound has.
    """

    def __init__(self, judge: Judge, values: F32Array, frames: int) -> None:
        self.frames = frames
        self._judge = judge
        self._values = values

    @staticmethod
    def of(judge: Judge, store: Store, sound_id: str, *, salvage: bool) -> Heard:
        """Return a sound of the state.

        Raises:
            StorageError: What is heard of it is gone.
        """
        known = inputs.sound_of(store, sound_id, salvage=salvage)
        key_of = layout.cepstra if judge.hears == "mfcc" else layout.mel
        values = inputs.open_columns(store, key_of(sound_id, salvage=salvage))
        return Heard(judge, values, int(known.duration_s * RATE_HZ) if known else 0)

    def windows(self, frames: int) -> int:
        """Return how many windows there are beside so many frames of 1/25 s."""
        return min(frames, self.frames) - FRAMES

    def distances(self, lips: F32Array, seconds: F64Array, frames: int) -> F32Array:
        """Return distances at all shifts, shape (W, 31).

        Args:
            lips: Embeddings, shape (W, D).
            seconds: When each window begins in this sound, shape (W,).
            frames: Of 1/25 s that the picture has.
        """
        shifted = seconds[:, None] + np.arange(-MOST_SHIFT, MOST_SHIFT + 1) / RATE_HZ
        place = np.rint(shifted * RATE_HZ)
        inside = (place >= 0) & (place < self.windows(frames))
        columns = self._judge.column(shifted)
        wanted, found = np.unique(columns[inside], return_inverse=True)
        heard = np.full(columns.shape, -1, np.int64)
        heard[inside] = found
        sound = self._judge.sound(self._values, wanted) if len(wanted) else np.zeros((0, lips.shape[1]), np.float32)
        return distances(lips, sound, heard)


def grid_of(plan: Plan) -> I64Array:
    """Return the output frame that is shown at each 25th of a second, shape (G,)."""
    times = plan.timeline.pts * float(plan.timeline.time_base)
    count = max(1, int(plan.timeline.duration_s * RATE_HZ))
    return np.searchsorted(times, np.arange(count) / RATE_HZ + 1e-6, side="right") - 1


@dataclass(frozen=True, slots=True)
class _Window:
    """A face in five frames of 1/25 s; ``part`` is what it says."""

    first: int
    track: int
    part: int


def score_chunk(
    job: JobContext,
    plan: Plan,
    chunk: int,
    recipe: FrameRecipe,
    judge: Judge,
    *,
    job_id: str,
    threads: int,
    on_frame: Callable[[], None],
) -> Distances | list[int]:
    """Compare the windows that begin in a chunk of the output.

    Args:
        job: The job.
        plan: Its plan.
        chunk: The chunk's number.
        recipe: What is done to its source frames.
        judge: Compares.
        job_id: Whose segments are read.
        threads: Of the decoders.
        on_frame: Called for every frame.

    Returns:
        The distances; or the chunks whose segments are gone.
    """
    grid, span = grid_of(plan), plan.chunks[chunk]
    begins = np.flatnonzero((grid >= span.start) & (grid < span.stop))
    boxes = _Boxes(plan, grid, judge)
    heard = [Heard.of(judge, job.store, part.sound_id, salvage=job.salvage) for part in plan.parts]
    windows = [
        _Window(int(first), track, part)
        for first in begins
        if first + FRAMES <= len(grid)
        for track, part in boxes.throughout(int(first))
        if first < heard[part].windows(len(grid))
    ]
    needed = sorted({chunk_of(plan, int(grid[window.first + step])) for window in windows for step in range(FRAMES)})
    segments = {number: _segment(job, job_id, number) for number in needed}
    gone = [number for number, found in segments.items() if found is None]
    if gone:
        return gone
    files = {number: found for number, found in segments.items() if found is not None}
    video_id, salvage = job.video.id, job.salvage
    has_sound = inputs.sound_of(job.store, video_id, salvage=salvage) is not None
    own = Heard.of(judge, job.store, video_id, salvage=salvage) if has_sound else None
    parts: list[Distances] = []
    info = job.video.info
    with VideoReader(info.path, info.stream_index, job.video.index, threads=threads, salvage=salvage) as reader:

        def filmed(numbers: list[int]) -> Iterator[tuple[VideoFrame, FrameRecipe]]:
            sources = (int(plan.source[grid[number]]) for number in numbers)
            for frame in reader.read_order(sources):
                on_frame()
                yield recipe.apply(frame), recipe

        def dubbed(numbers: list[int]) -> Iterator[tuple[VideoFrame, FrameRecipe]]:
            return _segment_frames(plan, files, [int(grid[number]) for number in numbers], recipe, threads, on_frame)

        shown = recipe.canvas.shown_size
        both = zip(boxes.blocks(windows, dubbed, shown), boxes.blocks(windows, filmed, shown), strict=True)
        for (block, new), (_, old) in both:
            parts.append(_compare(block, judge.lips(new), judge.lips(old), heard, own, job, plan, grid))
    none = np.zeros((0, SHIFTS), np.float32)
    return Distances(
        at=np.array([window.first for window in windows], np.int64),
        after=np.concatenate([none, *(part.after for part in parts)]),
        before=np.concatenate([none, *(part.before for part in parts)]),
        source=np.concatenate([none, *(part.source for part in parts)]),
        segments={number: file.sha256 for number, file in files.items()},
    )


def _compare(
    block: list[_Window],
    after: F32Array,
    before: F32Array,
    heard: list[Heard],
    own: Heard | None,
    job: JobContext,
    plan: Plan,
    grid: I64Array,
) -> Distances:
    at = np.array([window.first for window in block], np.int64)
    said = np.array([window.part for window in block])
    unknown = np.full((len(MEASURES), len(block), SHIFTS), np.nan, np.float32)
    found = Distances(at, *unknown, segments={})
    for number in np.unique(said):
        here = said == number
        for values, lips in ((found.after, after), (found.before, before)):
            values[here] = heard[int(number)].distances(lips[here], at[here] / RATE_HZ, len(grid))
    if own is not None:
        index = job.video.index
        frames = grid[at[:, None] + np.arange(FRAMES)]
        filmed_s = (index.pts[plan.source[frames]] - int(index.pts[0])) * float(index.time_base)
        shift_s = filmed_s - plan.timeline.pts[frames] * float(plan.timeline.time_base)
        begins_s = at / RATE_HZ + shift_s[:, 0] + float(inputs.lead_s(job.video.info))
        as_filmed = np.ptp(shift_s, axis=1) < _STEADY / float(index.mean_rate)
        as_filmed &= (begins_s > -_HALF_FRAME_S) & (np.rint(begins_s * RATE_HZ) < own.windows(own.frames))
        if as_filmed.any():
            found.source[as_filmed] = own.distances(before[as_filmed], begins_s[as_filmed], own.frames)
    return found


class _Boxes:
    """Where the judged faces are, by frame of 1/25 s."""

    def __init__(self, plan: Plan, grid: I64Array, judge: Judge) -> None:
        self._plan = plan
        self._grid = grid
        self._judge = judge

    def throughout(self, first: int) -> list[tuple[int, int]]:
        """Return track and part of each face that is dubbed in all five frames of a window."""
        rows = [self._at(first + step) for step in range(FRAMES)]
        tracks = set(rows[0]).intersection(*rows[1:])
        return [(track, self._said(track, first)) for track in sorted(tracks)]

    def _said(self, track: int, first: int) -> int:
        """Return the part that a face says in a window: of several the one whose turn is nearest."""
        parts = [place for place, part in enumerate(self._plan.parts) if track in part.tracks]
        now = Fraction(first, RATE_HZ)

        def away(place: int) -> Fraction:
            return min(max(start - now, now - stop, Fraction(0)) for start, stop in self._plan.parts[place].times_s)

        return min(parts, key=away) if len(parts) > 1 else parts[0]

    def _at(self, number: int) -> dict[int, int]:
        """Return the rows of the chosen faces in a frame, by track."""
        source, chosen = int(self._plan.source[self._grid[number]]), self._plan.chosen
        start, stop = np.searchsorted(chosen.frame, [source, source + 1])
        return {int(chosen.track[row]): row for row in range(int(start), int(stop))}

    def blocks(
        self,
        windows: list[_Window],
        read: Callable[[list[int]], Iterator[tuple[VideoFrame, FrameRecipe]]],
        shown: Size,
    ) -> Iterator[tuple[list[_Window], U8Array]]:
        """Yield windows and their crops, shape (W, 5, side, side, 3); every frame is read once.

        Args:
            windows: In the order of their first frames.
            read: Gives frames of 1/25 s by number.
            shown: The picture that boxes are in; a larger one is that picture enlarged.
        """
        numbers = sorted({window.first + step for window in windows for step in range(FRAMES)})
        frames = zip(numbers, read(numbers), strict=True)
        tracks = {window.track for window in windows}
        crops: dict[tuple[int, int], U8Array] = {}
        seen = -1
        for start in range(0, len(windows), _BLOCK):
            block = windows[start : start + _BLOCK]
            while seen < block[-1].first + FRAMES - 1:
                seen, (frame, recipe) = next(frames)
                larger = recipe.canvas.shown_size.width // shown.width or 1
                for track, row in self._at(seen).items():
                    if track in tracks:
                        box = self._judge.region(self._plan.chosen.face[row]) * larger
                        crops[seen, track] = self._crop(frame, recipe, box)
            steps = [[crops[window.first + step, window.track] for step in range(FRAMES)] for window in block]
            yield block, np.array(steps, np.uint8)
            crops = {key: crop for key, crop in crops.items() if key[0] >= block[-1].first}

    def _crop(self, frame: VideoFrame, recipe: FrameRecipe, box: F64Array) -> U8Array:
        side, size = self._judge.side_px, recipe.canvas.shown_size
        crop = np.rint(read_region(frame, recipe.canvas, box_to_shown(box, side), side) * 255).astype(np.uint8)
        if self._judge.outside is not None:
            share = (np.arange(side) + 0.5) / side
            across, down = box[0] + share * (box[2] - box[0]), box[1] + share * (box[3] - box[1])
            crop[:, (across < 0) | (across > size.width)] = self._judge.outside
            crop[(down < 0) | (down > size.height)] = self._judge.outside
        return crop


def stills(
    job: JobContext, plan: Plan, chunk: int, recipe: FrameRecipe, *, job_id: str, threads: int
) -> tuple[bytes, bytes] | None:
    """Return pictures (JPEG) of the face in the middle of the dubbed frames, as filmed and as dubbed.

    None where that frame is in another chunk, or no frame is dubbed.
    """
    shown = np.isin(plan.source, plan.chosen.frame) & (np.max([part.opacity for part in plan.parts], axis=0) > 0)
    frames = np.flatnonzero(shown)
    if not len(frames) or chunk_of(plan, int(frames[len(frames) // 2])) != chunk:
        return None
    number = int(frames[len(frames) // 2])
    row = int(np.searchsorted(plan.chosen.frame, plan.source[number]))
    x0, y0, x1, y1 = (float(value) for value in plan.chosen.face[row])
    half = max(x1 - x0, y1 - y0) * _STILL_SHARE
    box = np.array([(x0 + x1) / 2 - half, (y0 + y1) / 2 - half, (x0 + x1) / 2 + half, (y0 + y1) / 2 + half])
    info = job.video.info
    with VideoReader(info.path, info.stream_index, job.video.index, threads=threads, salvage=job.salvage) as reader:
        filmed = recipe.apply(next(reader.read_order(iter([int(plan.source[number])]))))
    segment = _segment(job, job_id, chunk)
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


def _segment(job: JobContext, job_id: str, chunk: int) -> _Segment | None:
    """Return a chunk's segment; a damaged one is given up, to be rendered again."""
    marker = read_marker(job.store, job_id, chunk)
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
        # How it is shown turned is written when segments are joined.
        recipe = replace(made, canvas=replace(made.canvas, rotation=source.canvas.rotation))
        with closing(read_through(segments[chunk].path, threads=threads)) as frames:
            for number, frame in enumerate(frames):
                on_frame()
                for _ in range(wanted[number]):
                    yield recipe.apply(frame), recipe
                if number >= max(wanted):
                    break
