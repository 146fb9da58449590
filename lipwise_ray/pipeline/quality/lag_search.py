"""Search for the lag of a finished video behind its reference, in stretches of a few seconds."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import cv2
import numpy as np

from lipwise_ray.media.frames import FrameRecipe
from lipwise_ray.metrics.lag import TimedImages, find_lag
from lipwise_ray.pipeline.inputs.records import Video
from lipwise_ray.pipeline.quality.reference_comparison import luma_of, read_frames
from lipwise_ray.pipeline.quality.size_fit import SizeFit
from lipwise_ray.values import F64Array

_STRETCH_S = 6.0
_WIDTH, _HEIGHT = 48, 48
"""Of the small images: a movement by a hundredth of the frame is still seen."""
_MOST_IMAGES = 2000
"""Of a stretch: more frames a second than that gives are passed over."""


@dataclass(frozen=True, slots=True)
class PairedVideo:
    """One of two videos that are compared.

    Attributes:
        video: The video.
        recipe: Steps that prepare its frames.
        start_s: Where the part of it begins that is compared.
    """

    video: Video
    recipe: FrameRecipe
    start_s: float = 0.0

    @property
    def length_s(self) -> float:
        """Length of the part in seconds; 0 where the video ends before it."""
        index = self.video.index
        return max(0.0, float((index.end_pts - int(index.pts[0])) * index.time_base) - self.start_s)

    @property
    def starts_s(self) -> F64Array:
        """Time at which each frame is first shown, in seconds after the part's start, shape (N,)."""
        index = self.video.index
        return np.asarray((index.pts - int(index.pts[0])) * float(index.time_base), np.float64) - self.start_s


def search_lag(
    video: PairedVideo,
    reference: PairedVideo,
    fit: SizeFit,
    max_lag_s: float,
    *,
    threads: int,
    salvage: bool,
    on_frame: Callable[[], None],
) -> float:
    """Return by how many seconds a video comes later than its reference, 0 where nothing tells.

    The beginning is looked at, and the middle where nothing moves there.

    Args:
        video: The video.
        reference: What it is compared with.
        fit: The video's frames on the reference's.
        max_lag_s: The largest lag; 0 for no search.
        threads: Of the decoders.
        salvage: Work with what decodes.
        on_frame: Called for every frame.
    """
    if not max_lag_s or video.video.is_still or reference.video.is_still:
        return 0.0
    whole = SizeFit(0, 0, video.recipe.canvas.shown_size, 1.0, 1.0)
    step_s = 1 / float(max(video.video.index.mean_rate, reference.video.index.mean_rate))
    middle_s = (video.length_s - _STRETCH_S) / 2
    for start_s in (0.0, *([middle_s] if middle_s > _STRETCH_S / 2 else [])):
        end_s = start_s + _STRETCH_S
        ours = _images(video, whole, start_s, end_s, threads, salvage=salvage, on_frame=on_frame)
        begin_s, stop_s = start_s - max_lag_s, end_s + max_lag_s
        theirs = _images(reference, fit, begin_s, stop_s, threads, salvage=salvage, on_frame=on_frame)
        found = find_lag(ours, theirs, max_lag_s, step_s) if len(ours.start_s) and len(theirs.start_s) else None
        if found is not None:
            return found
    return 0.0


def _images(
    one: PairedVideo,
    part: SizeFit,
    start_s: float,
    end_s: float,
    threads: int,
    *,
    salvage: bool,
    on_frame: Callable[[], None],
) -> TimedImages:
    """Return small images of a stretch, of the part of the frames that both videos show."""
    starts = one.starts_s
    first, stop = np.searchsorted(starts, [start_s, end_s])
    numbers = np.arange(first, stop, max(1, -(-(stop - first) // _MOST_IMAGES)))
    small = np.zeros((len(numbers), _WIDTH * _HEIGHT), np.float32)
    order = iter(int(number) for number in numbers)
    for place, frame in enumerate(read_frames(one.video, one.recipe, order, threads, salvage=salvage)):
        luma = part.part(luma_of(frame, one.recipe))
        small[place] = cv2.resize(luma, (_WIDTH, _HEIGHT), interpolation=cv2.INTER_AREA).reshape(-1)
        on_frame()
    end = float(starts[stop]) if stop < len(starts) else one.length_s
    return TimedImages(starts[numbers], end, small)
