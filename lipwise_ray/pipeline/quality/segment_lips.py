"""Lips of a finished segment: cropped while it is decoded, by whoever decodes it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Generator, Iterator
from contextlib import closing, contextmanager
from dataclasses import replace
from pathlib import Path
from typing import IO, TYPE_CHECKING

import av.error
import cv2
import numpy as np

from lipwise_ray.errors import LipwiseError
from lipwise_ray.media.frames import FrameRecipe, make_recipe
from lipwise_ray.media.probe import probe_video
from lipwise_ray.media.reader import read_through
from lipwise_ray.media.region import box_to_shown, read_region
from lipwise_ray.pipeline.analysis.crops import frames_at_25_hz
from lipwise_ray.pipeline.dubbing.plan import Plan
from lipwise_ray.pipeline.quality.kept_lips import STILL_PX, KeptLips, crop_bytes
from lipwise_ray.pipeline.quality.lip_windows import Faces, LipWindows
from lipwise_ray.storage.scratch import scratch_file
from lipwise_ray.values import F64Array, I64Array, U8Array

if TYPE_CHECKING:
    from av.video.frame import VideoFrame

    from lipwise_ray.metrics.sync_scorers import LipCrops

_STILL_SHARE = 0.9


def grid_of(plan: Plan) -> I64Array:
    """Return the output frame that is shown at each 25th of a second, shape (G,)."""
    times = plan.timeline.pts * float(plan.timeline.time_base)
    return frames_at_25_hz(times, plan.timeline.duration_s)


def numbers_of(plan: Plan, grid: I64Array, chunk: int) -> I64Array:
    """Return the frames of 1/25 s that a chunk shows, shape (N,).

    Args:
        plan: The plan.
        grid: The output frame that each of them shows, shape (G,).
        chunk: The chunk's number.
    """
    span = plan.chunks[chunk]
    return np.flatnonzero((grid >= span.start) & (grid < span.stop))


def lip_windows(plan: Plan, grid: I64Array, crops: LipCrops) -> LipWindows:
    """Return the windows of a plan's faces.

    Args:
        plan: The plan.
        grid: The output frame that is shown at each 25th of a second, shape (G,).
        crops: Crops that the scorer takes.
    """
    chosen = plan.chosen
    return LipWindows(Faces(chosen.frame, chosen.track, chosen.face_box), plan.source[grid], crops)


def segment_recipe(path: Path, source: FrameRecipe) -> FrameRecipe:
    """Return the recipe by which a segment's frames are prepared.

    Args:
        path: The segment.
        source: Steps that prepare the frames of the video that it was made of.
    """
    made = make_recipe(probe_video(path))
    # How it is laid out and how wide pixels are is written when segments are joined.
    shown = source.canvas
    return replace(made, canvas=replace(made.canvas, orientation=shown.orientation, sample_aspect=shown.sample_aspect))


def segment_frames(
    path: Path, places: list[int], source: FrameRecipe, threads: int, on_frame: Callable[[], None]
) -> Iterator[tuple[VideoFrame, FrameRecipe]]:
    """Yield frames of a segment, and the steps that prepared them.

    Args:
        path: The segment.
        places: Their places in it, in rising order; those that are named twice are given twice.
        source: Steps that prepare the frames of the video that it was made of.
        threads: Of the decoder.
        on_frame: Called for every frame.
    """
    recipe, wanted = segment_recipe(path, source), Counter(places)
    with closing(read_through(path, threads=threads)) as frames:
        for place, frame in enumerate(frames):
            on_frame()
            for _ in range(wanted[place]):
                yield recipe.apply(frame), recipe
            if place >= max(wanted):
                break


def still_frame(plan: Plan) -> int | None:
    """Return the output frame whose face a report shows: the middle one of those that are dubbed; None without one."""
    shown = np.isin(plan.source, plan.chosen.frame) & (np.max([part.opacity for part in plan.parts], axis=0) > 0)
    frames = np.flatnonzero(shown)
    return int(frames[len(frames) // 2]) if len(frames) else None


def still_image(plan: Plan, number: int, frame: VideoFrame, recipe: FrameRecipe, source: FrameRecipe) -> U8Array:
    """Return the image of a face for the report, shape (224, 224, 3).

    Args:
        plan: The plan.
        number: The output frame.
        frame: That frame, or the one that was filmed, prepared.
        recipe: Steps that prepared it.
        source: Steps that prepare the frames of the source.
    """
    larger = recipe.canvas.shown_size.width // source.canvas.shown_size.width or 1
    crop = read_region(frame, recipe.canvas, box_to_shown(_still_box(plan, number) * larger, STILL_PX), STILL_PX)
    return np.rint(crop * 255).astype(np.uint8)


def _still_box(plan: Plan, number: int) -> F64Array:
    row = int(np.searchsorted(plan.chosen.frame, plan.source[number]))
    x0, y0, x1, y1 = (float(value) for value in plan.chosen.face_box[row])
    half = max(x1 - x0, y1 - y0) * _STILL_SHARE
    return np.array([(x0 + x1) / 2 - half, (y0 + y1) / 2 - half, (x0 + x1) / 2 + half, (y0 + y1) / 2 + half])


class SegmentLips:
    """Writes the lips that a score will look at to a file, while somebody decodes the segment that they are in.

    Whatever goes wrong costs the crops alone: whoever scores makes them of the segment, and meets it there.

    Args:
        plan: The job's plan.
        chunk: The segment's chunk.
        segment: The segment; it is there before its first frame is decoded.
        source: Steps that prepare the frames of the video that it was made of.
        crops: Crops that the scorer takes.
        kept: Keeps what is made.
        target: Takes the crops meanwhile.
    """

    def __init__(
        self,
        plan: Plan,
        chunk: int,
        segment: Path,
        source: FrameRecipe,
        crops: LipCrops,
        kept: KeptLips,
        target: IO[bytes],
    ) -> None:
        grid = grid_of(plan)
        self._plan, self._chunk, self._segment, self._source = plan, chunk, segment, source
        self._kept, self._target = kept, target
        self._windows = lip_windows(plan, grid, crops)
        pairs = self._windows.within(numbers_of(plan, grid, chunk), kept.stride)
        self._wanted: dict[int, list[tuple[int, int]]] = {}
        for number, track in pairs:
            self._wanted.setdefault(int(grid[number]), []).append((number, track))
        self._still_number = still_frame(plan)
        self._still: U8Array | None = None
        self._recipe: FrameRecipe | None = None
        self._next = plan.chunks[chunk].start
        self._is_whole = bool(pairs) and kept.make_room(len(pairs) * crop_bytes(crops.side_px))

    def see(self, frame: VideoFrame) -> None:
        """Take the next frame of the segment."""
        number, self._next = self._next, self._next + 1
        pairs, is_still = self._wanted.get(number, []), number == self._still_number
        if not self._is_whole or not (pairs or is_still):
            return
        try:
            self._recipe = recipe = self._recipe or segment_recipe(self._segment, self._source)
            prepared, shown = recipe.apply(frame), self._source.canvas.shown_size
            for place, track in pairs:
                self._target.write(self._windows.crop(place, track, prepared, recipe, shown).tobytes())
            if is_still:
                self._still = still_image(self._plan, number, prepared, recipe, self._source)
        except (LipwiseError, OSError, ValueError, MemoryError, av.error.FFmpegError, cv2.error):
            self._is_whole = False

    def keep(self, sha256: str) -> None:
        """Keep what was seen for the score, once all was.

        Args:
            sha256: Hash of the segment.
        """
        if self._is_whole and self._next == self._plan.chunks[self._chunk].stop:
            self._kept.keep(self._chunk, sha256, self._target, self._still)


@contextmanager
def lips_of_segment(
    plan: Plan, chunk: int, segment: Path, source: FrameRecipe, crops: LipCrops, kept: KeptLips
) -> Generator[SegmentLips]:
    """Yield the taker of a segment's frames, whose arguments these are.

    Raises:
        StorageError: The scratch folder cannot be written.
    """
    # Without a buffer nothing is left to write at the end, where a full disk would cost the segment.
    with scratch_file(kept.scratch, "crops.raw") as part, part.open("wb", buffering=0) as target:
        yield SegmentLips(plan, chunk, segment, source, crops, kept, target)
