"""Frames of a chunk as they are given to the renderer, and the chunk's id, which follows from them."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from lipwise_ray.lipsync.frame_job import FaceTarget
from lipwise_ray.lipsync.reach import Reach
from lipwise_ray.lipsync.windows import window
from lipwise_ray.pipeline.dubbing.job_context import JobContext
from lipwise_ray.pipeline.dubbing.plan import Plan, PlannedFace
from lipwise_ray.pipeline.inputs import records
from lipwise_ray.state import layout
from lipwise_ray.state.ids import ID_CHARACTERS
from lipwise_ray.values import F32Array, Span


@dataclass(frozen=True, slots=True)
class PlannedFrame:
    """An output frame before it is rendered.

    Attributes:
        number: Number of the output frame.
        source: Number of the source frame.
        outside: Frames between it and those that are to be shown, itself counted.
        targets: Faces to dub.
    """

    number: int
    source: int
    outside: int
    targets: tuple[FaceTarget, ...]


class ChunkFrames:
    """Frames of a job's chunks, with all that decides what becomes of them but the source's samples.

    Args:
        job: The job.
        plan: Its plan.
        reach: Frames around a chunk's that count.
        dubs: Faces are dubbed; else frames stay as they are.

    Raises:
        StorageError: A sound's record is gone.
    """

    def __init__(self, job: JobContext, plan: Plan, reach: Reach, *, dubs: bool) -> None:
        self._plan = plan
        self._reach = reach
        self._dubs = dubs
        self._mels = [
            records.open_columns(job.store, layout.mel(part.sound_id, salvage=job.salvage)) for part in plan.parts
        ]

    def around(self, chunk: Span) -> Span:
        """Return the frames that are read for a chunk."""
        return Span(max(0, chunk.start - self._reach.seen), min(len(self._plan.source), chunk.stop + self._reach.seen))

    def of(self, chunk: Span) -> Iterator[PlannedFrame]:
        """Yield the frames that are read for a chunk, in order."""
        span = self.around(chunk)
        for number in range(span.start, span.stop):
            outside = max(chunk.start - number, number - chunk.stop + 1, 0)
            faces = self._plan.faces(number) if self._dubs else ()
            targets = tuple(self._target(number, face) for face in faces)
            yield PlannedFrame(number, int(self._plan.source[number]), outside, targets)

    def _target(self, number: int, face: PlannedFace) -> FaceTarget:
        start = int(self._plan.mel_start[number])
        # All but one of the things that a face says are silent: the loudest is what it says now.
        said = [window(self._mels[part], start, self._plan.parts[part].pauses) for part in face.parts]
        return FaceTarget(face.track, face.crop_box, face.landmarks, np.max(said, axis=0), face.opacity)

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
                if frame.outside <= self._reach.dubbed:  # beyond, only places count
                    digest.update(np.float64(target.opacity).tobytes() + _packed(target.mel))
        return digest.hexdigest()[:ID_CHARACTERS]


def _packed(*arrays: F32Array) -> bytes:
    return b"".join(np.ascontiguousarray(array, "<f4").tobytes() for array in arrays)
