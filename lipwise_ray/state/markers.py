"""Commit markers: a chunk is done when its marker names a segment that is there, whole."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Annotated, ClassVar

from pydantic import ConfigDict, Field

from lipwise_ray.state import layout
from lipwise_ray.state.shapes import STRICT, Count, Figure, Id, Label, NonNegative, Sha256, record_of, typed
from lipwise_ray.state.store import Store, as_json, to_json


@dataclass(frozen=True, slots=True)
class ChunkMarker:
    """Commit marker of a finished chunk, with the facts about its segment.

    ``crc``, ``header`` and ``made_by`` tell what decoding it gave, see `media.verify.Proof`; ``stages`` holds busy
    seconds by stage, ``flicker`` the sums of `lipsync.flicker` (dubbed, filmed, faces), ``sharpness`` those of
    `lipsync.sharpness` (edges dubbed and filmed, texture dubbed and filmed, faces); ``original`` says that faces
    were left as they are, because the chunk is in quarantine; ``fitted`` counts source frames whose size, format or
    colours were not the video's; ``smoothness`` holds the sums of `lipsync.texture` (total, faces), ``occlusion``
    those of `lipsync.occlusion` (seen, occluded, share); ``carries`` names what source frames carry besides samples,
    see `media.promise.carried`.
    """

    __pydantic_config__: ClassVar[ConfigDict] = STRICT

    segment: str
    frames: Annotated[int, Field(ge=1, le=1 << 40)]
    reorder: Annotated[int, Field(ge=0, le=1000)]
    bytes_total: Count
    sha256: Sha256
    crc: Count
    header: Count
    made_by: str
    attempt: Id
    seconds: NonNegative
    stages: dict[str, NonNegative]
    flicker: Annotated[list[Count | NonNegative], Field(max_length=3)] = field(default_factory=list[float])
    sharpness: Annotated[list[Count | Figure], Field(max_length=5)] = field(default_factory=list[float])
    original: bool = False
    fitted: int = 0
    smoothness: Annotated[list[Count | NonNegative], Field(max_length=2)] = field(default_factory=list[float])
    occlusion: Annotated[list[Count | NonNegative], Field(max_length=3)] = field(default_factory=list[float])
    carries: Annotated[list[Label], Field(max_length=32)] = field(default_factory=list[str])


def marker_of(store: Store, job_id: str, chunk: int) -> ChunkMarker | None:
    """Return a chunk's marker, for whoever is about to look at its segment."""
    return _marker(store.read(layout.marker(job_id, chunk)), job_id, chunk)


def markers_of(store: Store, job_id: str, chunks: Sequence[int]) -> list[ChunkMarker | None]:
    """Return the markers of many chunks, asked for side by side."""
    records = store.read_all([layout.marker(job_id, chunk) for chunk in chunks])
    return [_marker(data, job_id, chunk) for data, chunk in zip(records, chunks, strict=True)]


def _marker(data: bytes | None, job_id: str, chunk: int) -> ChunkMarker | None:
    marker = typed(as_json(data), ChunkMarker)
    if marker is None or marker.segment != layout.segment(job_id, chunk, marker.attempt):
        return None
    return marker


def read_marker(store: Store, job_id: str, chunk: int) -> ChunkMarker | None:
    """Return a chunk's marker when its segment is there with the right size, else None."""
    marker = marker_of(store, job_id, chunk)
    return marker if marker and store.size(marker.segment) == marker.bytes_total else None


def done_chunks(store: Store, job_id: str, count: int) -> list[int]:
    """Return the numbers of a job's chunks whose marker is there, and its segment with the right size.

    Two listings tell which are worth a look, so that those of a new job cost nothing more.

    Args:
        store: The state.
        job_id: Id of the job.
        count: Number of chunks that the job has.
    """
    there = set(store.names(layout.markers(job_id)))
    chunks = [chunk for chunk in range(count) if layout.marker(job_id, chunk) in there]
    if not chunks:
        return []
    sizes = {one.key: one.bytes_total for one in store.listing(layout.segments(job_id))}
    found = zip(chunks, markers_of(store, job_id, chunks), strict=True)
    return [chunk for chunk, marker in found if marker and sizes.get(marker.segment) == marker.bytes_total]


def commit(store: Store, job_id: str, chunk: int, marker: ChunkMarker) -> ChunkMarker:
    """Publish a segment by its marker; when another attempt was first, its marker is returned.

    The loser's segment is removed. A marker whose segment is gone is replaced.
    """
    key = layout.marker(job_id, chunk)
    if store.create(key, to_json(record_of(marker))):
        return marker
    winner = read_marker(store, job_id, chunk)
    if winner is None:
        store.write(key, to_json(record_of(marker)))
        return marker
    if winner.segment != marker.segment:
        store.remove(marker.segment)
    return winner


def drop_marker(store: Store, job_id: str, chunk: int) -> None:
    """Take back a marker whose segment proved damaged."""
    store.remove(layout.marker(job_id, chunk))
