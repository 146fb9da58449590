"""How well lips and sound of a job go together, chunk by chunk: as filmed, before, and after it was dubbed."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass, replace
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import cv2
import numpy as np

from lipwise_ray.dubbing import inputs
from lipwise_ray.dubbing.context import JobContext
from lipwise_ray.dubbing.plan import Plan
from lipwise_ray.media.frames import FrameRecipe, make_recipe
from lipwise_ray.media.probe import probe_video
from lipwise_ray.media.reader import VideoReader, read_through
from lipwise_ray.media.region import box_to_shown, read_region
from lipwise_ray.metrics.lse import MOST_SHIFT, SHIFTS, Score, curve, distances, reduce
from lipwise_ray.state import layout
from lipwise_ray.state.markers import read_marker
from lipwise_ray.state.store import Store, load_file
from lipwise_ray.values import F32Array, F64Array, I64Array, Json, Size, U8Array

if TYPE_CHECKING:
    from av.video.frame import VideoFrame

    from lipwise_ray.metrics.judges import Judge

RATE_HZ = 25
_FRAMES = 5
_LEAST_OF_A_SECOND = 640  # samples of 16 kHz a frame
_BLOCK = 100
_DIGITS = 4
_STILL_PX, _STILL_SHARE, _STILL_QUALITY = 224, 0.9, 80
Measure = Literal["source", "before", "after"]
MEASURES: tuple[Measure, ...] = ("source", "before", "after")


@dataclass(frozen=True, slots=True)
class Distances:
    """How far lips are from their sound at 31 shifts of it, a row a window.

    Attributes:
        at: The window's first frame of 1/25 s in the output, shape (W,).
        after: Of the dubbed lips and what they say, shape (W, 31).
        before: Of the filmed lips and the same sound.
        source: Of the filmed lips and the sound filmed with them; NaN where there is none, or the film runs backwards.
    """

    at: I64Array
    after: F32Array
    before: F32Array
    source: F32Array

    def save(self, path: Path) -> None:
        """Write as .npz."""
        np.savez_compressed(path, at=self.at, after=self.after, before=self.before, source=self.source)

    @staticmethod
    def load(path: Path) -> Distances:
        """Read what `save` wrote."""
        with np.load(path, allow_pickle=False) as data:
            return Distances(data["at"], data["after"], data["before"], data["source"])


class Heard:
    """A sound as a judge hears it.

    Args:
        judge: The judge.
        store: The state.
        sound_id: Of the sound's record.
        salvage: The sound was opened so.
    """

    def __init__(self, judge: Judge, store: Store, sound_id: str, *, salvage: bool) -> None:
        known = inputs.sound_of(store, sound_id, salvage=salvage)
        self.frames = int(known.duration_s * RATE_HZ) if known else 0
        self._judge = judge
        key_of, opened = (
            (layout.cepstra, inputs.open_cepstra) if judge.hears == "mfcc" else (layout.mel, inputs.open_mel)
        )
        self._values = opened(store, key_of(sound_id, salvage=salvage))

    def windows(self, frames: int) -> int:
        """Return how many windows there are beside so many frames of 1/25 s."""
        return min(frames, self.frames) - _FRAMES

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
    heard = [Heard(judge, job.store, part.sound_id, salvage=job.salvage) for part in plan.parts]
    windows = [
        _Window(int(first), track, part)
        for first in begins
        if first + _FRAMES <= len(grid)
        for track, part in boxes.throughout(int(first))
        if first < heard[part].windows(len(grid))
    ]
    frames = sorted({window.first + step for window in windows for step in range(_FRAMES)})
    needed = {chunk_of(plan, int(grid[number])) for number in frames}
    gone = [number for number in sorted(needed) if _segment(job, job_id, number) is None]
    if gone:
        return gone
    video_id, salvage = job.video.id, job.salvage
    has_sound = inputs.sound_of(job.store, video_id, salvage=salvage) is not None
    filmed_sound = Heard(judge, job.store, video_id, salvage=salvage) if has_sound else None
    parts: list[Distances] = []
    info = job.video.info
    with VideoReader(info.path, info.stream_index, job.video.index, threads=threads, salvage=job.salvage) as reader:

        def filmed(numbers: list[int]) -> Iterator[tuple[VideoFrame, FrameRecipe]]:
            sources = (int(plan.source[grid[number]]) for number in numbers)
            return ((recipe.apply(frame), recipe) for frame in reader.read_order(sources))

        def dubbed(numbers: list[int]) -> Iterator[tuple[VideoFrame, FrameRecipe]]:
            return _segment_frames(job, plan, job_id, [int(grid[number]) for number in numbers], recipe, threads)

        for start in range(0, len(windows), _BLOCK):
            block = windows[start : start + _BLOCK]
            after = judge.lips(boxes.crops(block, dubbed, recipe.canvas.shown_size, on_frame))
            before = judge.lips(boxes.crops(block, filmed, recipe.canvas.shown_size, on_frame))
            parts.append(_compare(block, after, before, heard, filmed_sound, job, plan, grid))
    return Distances(
        np.array([window.first for window in windows], np.int64),
        *(
            np.concatenate([getattr(part, name) for part in parts]) if parts else np.zeros((0, SHIFTS), np.float32)
            for name in ("after", "before", "source")
        ),
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
    found = Distances(at, *(np.full((len(block), SHIFTS), np.nan, np.float32) for _ in MEASURES))
    for number in np.unique(said):
        here = said == number
        for values, lips in ((found.after, after), (found.before, before)):
            values[here] = heard[int(number)].distances(lips[here], at[here] / RATE_HZ, len(grid))
    if own is not None:
        index = job.video.index
        shown = plan.source[grid[at[:, None] + np.arange(_FRAMES)]]
        seconds = ((index.pts[shown] - int(index.pts[0])) * float(index.time_base)).astype(np.float64)
        # As fast and as straight as it was filmed, to half a frame.
        runs = np.abs(np.diff(seconds, axis=1) - 1 / RATE_HZ).max(axis=1) < 1 / float(index.mean_rate) + 1e-6
        begins: F64Array = seconds[:, 0] + float(inputs.lead_s(job.video.info))
        runs &= np.rint(begins * RATE_HZ) < own.windows(own.frames)
        if runs.any():
            found.source[runs] = own.distances(before[runs], begins[runs], own.frames)
    return found


class _Boxes:
    """Where the judged faces are, by frame of 1/25 s."""

    def __init__(self, plan: Plan, grid: I64Array, judge: Judge) -> None:
        self._plan = plan
        self._grid = grid
        self._judge = judge

    def throughout(self, first: int) -> list[tuple[int, int]]:
        """Return track and part of each face that is dubbed in all five frames of a window."""
        rows = [self._at(first + step) for step in range(_FRAMES)]
        tracks = set(rows[0]).intersection(*rows[1:])
        return [(track, self._said(track, first)) for track in sorted(tracks)]

    def _said(self, track: int, first: int) -> int:
        """Return the part that a face says: of several the one whose lips are to be seen."""
        parts = [place for place, part in enumerate(self._plan.parts) if track in part.tracks]
        return max(parts, key=lambda place: self._plan.parts[place].opacity[self._grid[first]])

    def _at(self, number: int) -> dict[int, int]:
        """Return the rows of the chosen faces in a frame, by track."""
        source, chosen = int(self._plan.source[self._grid[number]]), self._plan.chosen
        start, stop = np.searchsorted(chosen.frame, [source, source + 1])
        return {int(chosen.track[row]): row for row in range(int(start), int(stop))}

    def crops(
        self,
        block: list[_Window],
        read: Callable[[list[int]], Iterator[tuple[VideoFrame, FrameRecipe]]],
        shown: Size,
        on_frame: Callable[[], None],
    ) -> U8Array:
        """Return the crops of windows, shape (W, 5, side, side, 3); boxes are in pixels of a picture of that size."""
        side = self._judge.side_px
        numbers = sorted({window.first + step for window in block for step in range(_FRAMES)})
        tracks = {window.track for window in block}
        crops: dict[tuple[int, int], U8Array] = {}
        for number, (frame, recipe) in zip(numbers, read(numbers), strict=True):
            larger = recipe.canvas.shown_size.width // shown.width or 1
            for track, row in self._at(number).items():
                if track in tracks:
                    box = self._judge.region(self._plan.chosen.face[row]) * larger
                    crop = read_region(frame, recipe.canvas, box_to_shown(box, side), side)
                    crops[number, track] = np.rint(crop * 255).astype(np.uint8)
            on_frame()
        return np.stack(
            [np.stack([crops[window.first + step, window.track] for step in range(_FRAMES)]) for window in block]
        )


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
    dubbed, made = next(_segment_frames(job, plan, job_id, [number], recipe, threads))
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


def _segment(job: JobContext, job_id: str, chunk: int) -> Path | None:
    marker = read_marker(job.store, job_id, chunk)
    return job.store.fetch(marker.segment) if marker else None


def _segment_frames(
    job: JobContext, plan: Plan, job_id: str, numbers: list[int], source: FrameRecipe, threads: int
) -> Iterator[tuple[VideoFrame, FrameRecipe]]:
    """Yield finished frames, in rising order; a segment is open while its frames are read."""
    by_chunk: dict[int, list[int]] = {}
    for number in numbers:
        by_chunk.setdefault(chunk_of(plan, number), []).append(number - plan.chunks[chunk_of(plan, number)].start)
    for chunk, wanted in by_chunk.items():
        path = _segment(job, job_id, chunk)
        assert path is not None  # looked for before
        info = probe_video(path)
        made = make_recipe(info)
        # How it is shown turned is written when segments are joined.
        recipe = replace(made, canvas=replace(made.canvas, rotation=source.canvas.rotation))
        with closing(read_through(path, threads=threads)) as frames:
            for number, frame in enumerate(frames):
                for _ in range(wanted.count(number)):
                    yield recipe.apply(frame), recipe
                if number >= wanted[-1]:
                    break


@dataclass(slots=True)
class _Sum:
    total: F64Array
    windows: int = 0


def reduce_scores(job: JobContext, job_id: str, judge: Json, plan: Plan) -> Json:
    """Return a job's sync scores from those of its chunks.

    Args:
        job: The job.
        job_id: Its name.
        judge: The judge's weights.
        plan: The job's plan.

    Returns:
        JSON values: the judge; ``source``, ``before`` and ``after`` with lse_d, lse_c, offset (frames of 1/25 s) and
        windows, or None, for which ``why`` has the reason; ``curve`` with the seconds' LSE-C of ``after``.
    """
    store = job.store
    has_own_sound = inputs.sound_of(store, job.video.id, salvage=job.salvage) is not None
    sums = {name: _Sum(np.zeros(SHIFTS)) for name in MEASURES}
    seconds: list[float | None] = []
    lost: list[int] = []
    near: list[tuple[I64Array, F32Array]] = []
    for chunk in range(len(plan.chunks)):
        part = load_file(store, layout.score(job_id, judge_id(judge), chunk), Distances.load)
        if part is None:
            lost.append(chunk)
            continue
        for name, one in sums.items():
            values: F32Array = getattr(part, name)
            whole = np.isfinite(values).all(axis=1)
            one.total += values[whole].sum(axis=0, dtype=np.float64)
            one.windows += int(whole.sum())
        near.append((part.at, part.after))
    if near:
        seconds = curve(np.concatenate([at for at, _ in near]), np.concatenate([after for _, after in near]))
    found: Json = {"judge": judge["name"], "judge_sha256": judge["sha256"], "why": {}}
    for name in MEASURES:
        one = sums[name]
        if lost or not one.windows:
            found[name] = None
            found["why"][name] = _why_not(name, plan, lost, has_own_sound=has_own_sound)
        else:
            found[name] = _record(reduce(one.total, one.windows))
    found["curve"] = [None if value is None else round(value, _DIGITS) for value in seconds]
    return found


def judge_id(judge: Json) -> str:
    """Return the judge's part of a score's key."""
    return str(judge["sha256"])[:12]


def _record(score: Score) -> Json:
    return {
        "lse_d": round(score.lse_d, _DIGITS),
        "lse_c": round(score.lse_c, _DIGITS),
        "offset": score.offset,
        "windows": score.windows,
    }


def _why_not(name: Measure, plan: Plan, lost: list[int], *, has_own_sound: bool) -> str:
    if lost:
        return f"scoring failed in chunks {lost[:5]}; the job's attempts.jsonl says why"
    if not plan.counts["frames_with_face"]:
        return "no face is dubbed"
    if name == "source" and not has_own_sound:
        return "the video has no sound of its own"
    least = Fraction(_FRAMES + 1, RATE_HZ)
    if min(plan.timeline.duration_s, plan.audio_s) < least:
        return f"too short: a score needs {float(least):.2f} s"
    if name == "source":
        return "the film is never shown as it was filmed for long enough"
    return "no face is dubbed for five frames in a row"
