"""Crops of dubbed lips on their way from the decode that proves a segment to the score of its chunk."""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from itertools import groupby
from operator import itemgetter
from pathlib import Path
from typing import IO, Literal

import numpy as np

from lipwise_ray.state.ids import sync_scorer_id
from lipwise_ray.values import U8Array

MOST_BYTES = 2 << 30
"""Bound of a state's crops on a machine: a score has them from the segment where there is no room."""

_LEAST_FREE_BYTES = 4 << 30  # segments need the disk more

STILL_PX = 224
"""Side of the image for the report."""

_LONGEST_S = 86_400.0
"""Crops of chunks that were scored on another machine are of no use."""

_ENDING = "-lips.u8"
_CHANNELS = 3


def crop_bytes(side: int) -> int:
    """Return the size of a crop of that side."""
    return side * side * _CHANNELS


@dataclass(frozen=True, slots=True)
class KeptLips:
    """Files of crops among this machine's temporary files, of one job as one sync scorer looks at it.

    They are named after the segment that they were made of, so they are never taken for another one's. Nobody needs
    them: the oldest make room, and so do those of a day ago; a driver that starts removes all on its machine. Whatever
    computes the scorer looks at the same.

    Attributes:
        scratch: Folder for temporary files.
        job_id: The job.
        judge_sha256: Hash of the sync scorer's checkpoint.
        stride: Windows begin at its multiples.
    """

    scratch: Path
    job_id: str
    judge_sha256: str
    stride: int

    def _name(self, chunk: int) -> str:
        return f"{self.job_id}-{sync_scorer_id(self.judge_sha256, self.stride, '')}-{chunk}"

    def _path(self, chunk: int, sha256: str, what: Literal["all", "still"]) -> Path:
        return self.scratch / f"{self._name(chunk)}-{sha256}-{what}{_ENDING}"

    def crops(
        self, chunk: int, sha256: str, pairs: Sequence[tuple[int, int]], side: int
    ) -> Iterator[tuple[int, Mapping[int, U8Array]]] | None:
        """Return an iterator over a chunk's frames of 1/25 s and the crops of faces by track; None where none are kept.

        Args:
            chunk: The chunk.
            sha256: Hash of its segment.
            pairs: Numbers and tracks of all crops, in order.
            side: Side of the crops.
        """
        try:
            file = self._path(chunk, sha256, "all").open("rb")
        except OSError:
            return None
        if file.seek(0, os.SEEK_END) != len(pairs) * crop_bytes(side):
            file.close()
            return None

        def read() -> Iterator[tuple[int, Mapping[int, U8Array]]]:
            with file:
                file.seek(0)
                for number, of_number in groupby(pairs, itemgetter(0)):
                    tracks = [track for _, track in of_number]
                    faces = np.frombuffer(file.read(len(tracks) * crop_bytes(side)), np.uint8)
                    yield number, dict(zip(tracks, faces.reshape(-1, side, side, _CHANNELS), strict=True))

        return read()

    def still(self, chunk: int, sha256: str) -> U8Array | None:
        """Return the image of a chunk's face for the report, shape (224, 224, 3); None where none is kept.

        Args:
            chunk: The chunk.
            sha256: Hash of its segment.
        """
        try:
            image = np.frombuffer(self._path(chunk, sha256, "still").read_bytes(), np.uint8)
        except OSError:
            return None
        return image.reshape(STILL_PX, STILL_PX, _CHANNELS) if image.size == crop_bytes(STILL_PX) else None

    def keep(self, chunk: int, sha256: str, crops: IO[bytes], still: U8Array | None) -> None:
        """Keep what was made of a segment, under its hash.

        Args:
            chunk: The chunk.
            sha256: Hash of its segment.
            crops: Open file of its crops, without a buffer, which moves to its place.
            still: Image of its face for the report, if it has that.
        """
        with suppress(OSError):  # a score does without
            if still is not None:
                part = Path(f"{crops.name}-still")
                part.write_bytes(still.tobytes())
                part.replace(self._path(chunk, sha256, "still"))
            Path(crops.name).replace(self._path(chunk, sha256, "all"))

    def make_room(self, more_bytes: int) -> bool:
        """Make room for further crops; return whether there is any."""
        try:
            free_bytes = shutil.disk_usage(self.scratch).free
        except OSError:
            return False
        if more_bytes > MOST_BYTES or free_bytes < _LEAST_FREE_BYTES + more_bytes:
            return False
        files: list[tuple[float, int, Path]] = []
        for path in self.scratch.glob(f"*{_ENDING}"):
            with suppress(OSError):  # another process removed it
                facts = path.stat()
                files.append((facts.st_mtime, facts.st_size, path))
        total = sum(size for _, size, _ in files)
        for changed_s, size, path in sorted(files):
            if total + more_bytes <= MOST_BYTES and time.time() - changed_s < _LONGEST_S:
                break
            with suppress(OSError):
                path.unlink(missing_ok=True)
            total -= size
        return True

    def remove(self, chunk: int) -> None:
        """Remove the crops of a chunk that has been scored, whichever segment they are of."""
        for path in self.scratch.glob(f"{self._name(chunk)}-*{_ENDING}"):
            with suppress(OSError):  # the next driver removes what is left
                path.unlink(missing_ok=True)
