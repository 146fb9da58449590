"""Frames of a chunk as they are given to the renderer, and the chunk's id, which follows from them."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from lipwise_ray.lipsync.audio_features import AudioFeature
from lipwise_ray.lipsync.frame_job import FaceTarget
from lipwise_ray.lipsync.frame_windows import FRAME_BY_FRAME, FrameWindow
from lipwise_ray.lipsync.reach import Reach
from lipwise_ray.pipeline.dubbing.heard_windows import HeardWindows
from lipwise_ray.pipeline.dubbing.job_context import JobContext
from lipwise_ray.pipeline.dubbing.plan import Plan, PlannedFace
from lipwise_ray.state.ids import ID_CHARACTERS
from lipwise_ray.values import F32Array, Span


@dataclass(frozen=True, slots=True)
class PlannedFrame:
    """An output frame before it is rendered.

    Attributes:
        number: Number of the output frame.
        source: Number of the source frame.
        outside: Frames between it and those that are to be shown, itself counted.
        fills_window: However far outside, it is of a window of frames that the network takes together.
        targets: Faces to dub.
    """

    number: int
    source: int
    outside: int
    fills_window: bool
    targets: tuple[FaceTarget, ...]


class ChunkFrames:
    """Frames of a job's chunks, with all that decides what becomes of them but the source's samples.

    Args:
        job: The job.
        plan: Its plan.
        reach: Frames around a chunk's that count.
        feature: What the lip-sync network hears; None where frames stay as they are.
        frames: Frames that it takes together.

    Raises:
        StorageError: A sound's record is gone.
    """

    def __init__(
        self,
        job: JobContext,
        plan: Plan,
        reach: Reach,
        feature: AudioFeature | None,
        frames: FrameWindow = FRAME_BY_FRAME,
    ) -> None:
        self._plan = plan
        self._reach = reach
        self._windows = frames.at(plan.rate)
        self._heard = HeardWindows(job, plan, feature) if feature else None

    def around(self, chunk: Span) -> Span:
        """Return the frames that are read for a chunk."""
        seen, windows = self._near(chunk, self._reach.seen), self._in_windows(chunk)
        return Span(min(seen.start, windows.start), max(seen.stop, windows.stop))

    def _near(self, chunk: Span, frames: int) -> Span:
        return Span(max(0, chunk.start - frames), min(len(self._plan.source), chunk.stop + frames))

    def _in_windows(self, chunk: Span) -> Span:
        """Return the frames that windows take which show the dubbed frames of a chunk."""
        windows = self._windows.around(self._near(chunk, self._reach.dubbed))
        return Span(max(0, windows.start), min(len(self._plan.source), windows.stop))

    def of(self, chunk: Span) -> Iterator[PlannedFrame]:
        """Yield the frames that are read for a chunk, in order."""
        span, windows = self.around(chunk), self._in_windows(chunk)
        for number in range(span.start, span.stop):
            outside = max(chunk.start - number, number - chunk.stop + 1, 0)
            heard = self._heard
            faces = self._plan.faces(number) if heard else ()
            targets = tuple(_target(face, heard.of(number, face.parts)) for face in faces if heard)
            fills_window = outside > self._reach.dubbed and windows.start <= number < windows.stop
            yield PlannedFrame(number, int(self._plan.source[number]), outside, fills_window, targets)

    def id_of(self, chunk: Span, job_part: str) -> str:
        """Return the id of what a chunk shows: chunks of one id have the same segment, whatever jobs they are of.

        Numbers and times of frames count as they are, not from the chunk's start; tracks only by which faces are of
        the same one.

        Args:
            chunk: The chunk.
            job_part: Id of all else that decides it, the same for all chunks of a job.
        """
        span, timeline = self.around(chunk), self._plan.timeline
        clock = f"{job_part} {self._plan.rate} {timeline.time_base}"
        digest = hashlib.sha256(f"{clock} {chunk.start} {chunk.stop} {span.start} {span.stop}".encode())
        digest.update(timeline.pts[chunk.start : chunk.stop].tobytes())
        tracks: dict[int, int] = {}
        for frame in self.of(chunk):
            digest.update(np.array([frame.source, len(frame.targets)], np.int64).tobytes())
            for target in frame.targets:
                track = tracks.setdefault(target.track, len(tracks))
                digest.update(track.to_bytes(8, "little"))
                digest.update(_packed(target.crop_box, target.landmarks))
                if frame.outside <= self._reach.dubbed or frame.fills_window:  # beyond, only places count
                    digest.update(np.float64(target.opacity).tobytes() + _packed(target.sound))
        return digest.hexdigest()[:ID_CHARACTERS]


def _target(face: PlannedFace, sound: F32Array) -> FaceTarget:
    return FaceTarget(face.track, face.crop_box, face.landmarks, sound, face.opacity)


def _packed(*arrays: F32Array) -> bytes:
    return b"".join(np.ascontiguousarray(array, "<f4").tobytes() for array in arrays)
