"""Finished chunks of a video's jobs by what they show: a job takes over those that another one has rendered already."""

from __future__ import annotations

import uuid
from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from pathlib import PurePosixPath
from typing import Annotated, ClassVar

from pydantic import ConfigDict, Field

from lipwise_ray.errors import StorageError
from lipwise_ray.state import layout
from lipwise_ray.state.markers import ChunkMarker, commit, markers_of
from lipwise_ray.state.shapes import STRICT, Id, read_typed, record_of, typed
from lipwise_ray.state.store import Store, as_json, to_json

_MOST_JOBS, _AT_A_TIME = 256, 16
"""Of jobs that are looked at, the latest first."""


@dataclass(frozen=True, slots=True)
class ChunkIdsRecord:
    """Ids of what the chunks of a job show: see `pipeline.dubbing.chunk_frames`."""

    __pydantic_config__: ClassVar[ConfigDict] = STRICT

    chunks: Annotated[list[Id], Field(min_length=1)]


class FinishedChunks:
    """Chunks of the jobs of a video that are rendered alike: by the same settings, networks and device.

    What is known of a job says only where to look: a chunk is finished where its marker and its segment are there.

    Args:
        store: The state.
        video_id: Id of the video.
        rendering_id: Id of all that the jobs have in common.
        made_by: Version of the encoding library: segments of another are not taken over.
    """

    def __init__(self, store: Store, video_id: str, rendering_id: str, made_by: str) -> None:
        self._store = store
        self._folder = layout.rendered(video_id, rendering_id)
        self._made_by = made_by

    def ids(self, job_id: str) -> list[str] | None:
        """Return the ids of what the chunks of a job show; None where they are not known."""
        record = read_typed(self._store, self._key(job_id), ChunkIdsRecord)
        return None if record is None else record.chunks

    def keep(self, job_id: str, ids: list[str]) -> None:
        """Keep the ids of what the chunks of a job show, rendered or to be rendered, for later jobs."""
        self._store.write(self._key(job_id), to_json(record_of(ChunkIdsRecord(ids))))

    def _key(self, job_id: str) -> str:
        return f"{self._folder}/{job_id}.json"

    def take_over(self, job_id: str, ids: Sequence[str], done: Collection[int]) -> list[int]:
        """Copy segments of other jobs that show what chunks of a job do, and commit them.

        Args:
            job_id: The job.
            ids: Ids of what its chunks show.
            done: Numbers of its chunks that it has already.

        Returns:
            The numbers of the chunks that it has now besides.
        """
        missing = {shown: number for number, shown in enumerate(ids) if number not in done}
        latest = sorted(self._store.listing(self._folder), key=lambda one: one.changed_s, reverse=True)
        keys = [one.key for one in latest if one.key != self._key(job_id)][:_MOST_JOBS]
        taken: list[int] = []
        for start in range(0, len(keys), _AT_A_TIME):
            some = keys[start : start + _AT_A_TIME]
            for key, data in zip(some, self._store.read_all(some), strict=True):
                record = typed(as_json(data), ChunkIdsRecord)
                if record is None or missing.keys().isdisjoint(record.chunks):
                    continue
                shared = {number: shown for number, shown in enumerate(record.chunks) if shown in missing}
                for number, marker in self._finished(PurePosixPath(key).stem, list(shared)):
                    if self._copied(marker, job_id, missing[shared[number]]):
                        taken.append(missing.pop(shared[number]))
            if not missing:
                break
        return taken

    def _finished(self, job_id: str, chunks: list[int]) -> list[tuple[int, ChunkMarker]]:
        """Return those of a job's chunks whose segments are there and show dubbed faces, with their markers."""
        sizes = {one.key: one.bytes_total for one in self._store.listing(layout.segments(job_id))}
        if not sizes:
            return []
        return [
            (chunk, marker)
            for chunk, marker in zip(chunks, markers_of(self._store, job_id, chunks), strict=True)
            if marker is not None
            and sizes.get(marker.segment) == marker.bytes_total
            and marker.made_by == self._made_by
            and not marker.original
        ]

    def _copied(self, marker: ChunkMarker, job_id: str, chunk: int) -> bool:
        """Copy a segment to a chunk of a job and commit it; tell whether that could be done."""
        attempt = uuid.uuid4().hex[:12]
        segment = layout.segment(job_id, chunk, attempt)
        try:
            if not self._store.copy(marker.segment, segment):
                return False
        except StorageError:  # some stores let us write what they do not let us copy: then it is rendered
            return False
        commit(self._store, job_id, chunk, replace(marker, segment=segment, attempt=attempt))
        return True
