"""The chunks of a source that a row looks at: all of them, or those around what its start and end leave of it."""

from __future__ import annotations

from dataclasses import dataclass

from lipwise_ray.lipsync.latentsync import LATENTSYNC_FRAMES
from lipwise_ray.pipeline.dubbing.job_context import JobContext
from lipwise_ray.pipeline.dubbing.plan import chunk_frames
from lipwise_ray.pipeline.dubbing.trim import used_frames
from lipwise_ray.values import Span, spans

_MARGIN_S = 1.0
"""Looked at beside what is used, and beside what bridging gaps and smoothing look at, so that tracks do not begin in
what is used because looking does."""


@dataclass(frozen=True, slots=True)
class Stretch:
    """Consecutive chunks of a source, numbered from its beginning, so that rows with other starts share some of them.

    Attributes:
        first: Number of the first one.
        chunks: Their frames.
        frames: Of the whole source.
    """

    first: int
    chunks: tuple[Span, ...]
    frames: int

    @property
    def numbered(self) -> list[tuple[int, Span]]:
        """The chunks with their numbers."""
        return list(enumerate(self.chunks, self.first))

    @property
    def span(self) -> Span:
        """All of their frames."""
        return Span(self.chunks[0].start, self.chunks[-1].stop)

    @property
    def part(self) -> str:
        """A name for what is found in them; empty where they are the whole source."""
        if len(self.span) == self.frames:
            return ""
        return f"{self.first:05d}-{self.first + len(self.chunks) - 1:05d}"


def stretch_of(job: JobContext) -> Stretch:
    """Return the chunks that a job looks at.

    Raises:
        InputError: Its start and end leave nothing of the source.
    """
    settings, index = job.spec.settings, job.video.index
    rate = float(index.mean_rate)
    if job.spec.window is not None and job.spec.window.looked is not None:
        first, stop = job.spec.window.looked
    else:
        used = used_frames(index, job.spec.start_s, job.spec.end_s)
        first, stop = int(used[0]), int(used[-1]) + 1
    margin = settings.detect.stride + round((_MARGIN_S + settings.faces.max_gap_s + settings.faces.smooth_s) * rate)
    if job.spec.window is not None and settings.lipsync.drawn_px() is not None:
        # Frames of a preview are drawn with those around them, and these have to have the faces that a dub has there.
        margin += LATENTSYNC_FRAMES.at(index.mean_rate).group_frames
    low, high = first - margin, stop + margin
    pieces = spans(len(index), chunk_frames(settings, index.mean_rate, len(index)))
    near = [number for number, piece in enumerate(pieces) if piece.stop > low and piece.start < high]
    return Stretch(near[0], tuple(pieces[near[0] : near[-1] + 1]), len(index))
