"""Embeddings of the faces of tracks, by which people are told apart."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from lipwise_ray.storage.arrays import ArraySpec, read_npz
from lipwise_ray.values import F64Array, I64Array

_DENIED = 0.5
"""Share of the cosine from which on two faces are one person's, below which they are two's."""

_ARRAYS = {
    "track": ArraySpec("int64", ("T",)),
    "total": ArraySpec("float64", ("T", "V")),
    "same": ArraySpec("float64", (1,)),
}


@dataclass(frozen=True, slots=True)
class FaceEmbeddings:
    """Embeddings of faces: of a stretch one row a face, by frame; of a whole video one row a track.

    Attributes:
        track: Whose they are, shape (T,).
        total: Embeddings of length 1, or the sums of a track's, shape (T, values).
        same: The cosine from which on they are one person's, shape (1,).
    """

    track: I64Array
    total: F64Array
    same: F64Array

    def save(self, path: Path) -> None:
        """Write as .npz."""
        np.savez_compressed(path, track=self.track, total=self.total, same=self.same)

    @staticmethod
    def load(path: Path) -> FaceEmbeddings:
        """Read the embeddings that `save` wrote.

        Raises:
            ValueError: The file is damaged.
        """
        return FaceEmbeddings(**read_npz(path, _ARRAYS))

    @staticmethod
    def empty() -> FaceEmbeddings:
        """Return those of nobody."""
        return FaceEmbeddings(np.zeros(0, np.int64), np.zeros((0, 1), np.float64), np.ones(1))

    @staticmethod
    def joined(parts: Sequence[FaceEmbeddings]) -> FaceEmbeddings:
        """Return the sums of each track's faces over consecutive stretches.

        Faces are added in their order, so that the sums are the same to the last bit however a video was cut.
        """
        parts = [part for part in parts if len(part.track)]
        if not parts:
            return FaceEmbeddings.empty()
        faces = np.concatenate([part.total for part in parts])
        track, place = np.unique(np.concatenate([part.track for part in parts]), return_inverse=True)
        total = np.zeros((len(track), faces.shape[1]))
        np.add.at(total, place, faces)
        return FaceEmbeddings(track, total, parts[0].same)

    @property
    def denied(self) -> float:
        """The cosine below which faces are those of two people."""
        return _DENIED * float(self.same[0])

    def sums_of(self, people: Sequence[Iterable[int]]) -> F64Array:
        """Return the sums of the embeddings of people's tracks, shape (people, values); zeros where none has any."""
        owner = {track: place for place, tracks in enumerate(people) for track in tracks}
        here = np.flatnonzero(np.isin(self.track, list(owner)))
        found = np.zeros((len(people), self.total.shape[1]))
        np.add.at(found, [owner[int(track)] for track in self.track[here]], self.total[here])
        return found

    def of(self, tracks: Iterable[int]) -> F64Array | None:
        """Return the embedding of some tracks, of one person, of length 1; None where none was embedded."""
        total = self.total[np.isin(self.track, list(tracks))].sum(axis=0)
        length = float(np.linalg.norm(total))
        return total / length if length else None

    def same_face(self, one: Sequence[int], other: Sequence[int]) -> bool | None:
        """Tell whether tracks show one face; None where that cannot be told."""
        first, second = self.of(one), self.of(other)
        if first is None or second is None:
            return None
        cosine = float(first @ second)
        return True if cosine >= self.same[0] else False if cosine < self.denied else None

    def likeness(self, portrait: FaceEmbeddings, least: float) -> Callable[[Sequence[int]], float]:
        """Return a function that compares a person's tracks with a portrait.

        Args:
            portrait: Of one face, as track 0.
            least: Smaller cosines are no likeness.
        """
        wanted = portrait.of([0])

        def cosine(tracks: Sequence[int]) -> float:
            seen = self.of(tracks)
            found = float(seen @ wanted) if seen is not None and wanted is not None else -np.inf
            return found if found >= least else -np.inf

        return cosine
