"""Likeness to a portrait: embeddings of every track, chunk by chunk, and of the portrait's face."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from lipwise_ray.errors import FaceError
from lipwise_ray.faces.detections import FaceDetector
from lipwise_ray.faces.select import usable_landmarks, yaw_degrees
from lipwise_ray.faces.sface import SIDE_PX, TEMPLATE, SFace
from lipwise_ray.faces.tracks import Tracks
from lipwise_ray.lipsync.align import aligned_to_shown
from lipwise_ray.media.frames import FrameRecipe, make_recipe
from lipwise_ray.media.index import FrameIndex
from lipwise_ray.media.probe import VideoInfo
from lipwise_ray.media.reader import VideoReader
from lipwise_ray.media.region import read_region
from lipwise_ray.pipeline.analysis.face_detection import scan
from lipwise_ray.settings.model import DetectSettings
from lipwise_ray.storage.arrays import ArraySpec, read_npz
from lipwise_ray.values import F32Array, F64Array, I64Array, Span

if TYPE_CHECKING:
    from av.video.frame import VideoFrame

_FACES_A_TRACK = 6
"""Faces of a track that are embedded in a stretch, one from each of its parts."""

_ARRAYS = {"track": ArraySpec("int64", ("T",)), "total": ArraySpec("float64", ("T", "V"))}


@dataclass(frozen=True, slots=True)
class FaceEmbeddings:
    """Embeddings of faces, summed over the frames that were looked at.

    Attributes:
        track: Shape (T,).
        total: Sums of embeddings of length 1, shape (T, values).
    """

    track: I64Array
    total: F64Array

    def save(self, path: Path) -> None:
        """Write as .npz."""
        np.savez_compressed(path, track=self.track, total=self.total)

    @staticmethod
    def load(path: Path) -> FaceEmbeddings:
        """Read the embeddings that `save` wrote.

        Raises:
            ValueError: The file is damaged.
        """
        return FaceEmbeddings(**read_npz(path, _ARRAYS))

    @staticmethod
    def joined(parts: Sequence[FaceEmbeddings]) -> FaceEmbeddings:
        """Return several chunks' embeddings as one; tracks may occur more than once."""
        return FaceEmbeddings(
            np.concatenate([part.track for part in parts]), np.concatenate([part.total for part in parts])
        )

    def of(self, tracks: Iterable[int]) -> F64Array | None:
        """Return the embedding of some tracks, of one person, of length 1; None where none was embedded."""
        total = self.total[np.isin(self.track, list(tracks))].sum(axis=0)
        length = float(np.linalg.norm(total))
        return total / length if length else None

    def likeness(self, portrait: FaceEmbeddings, least: float) -> Callable[[list[int]], float]:
        """Return a function that compares a person's tracks with a portrait.

        Args:
            portrait: Of `embed_portrait`.
            least: Smaller cosines are no likeness.
        """
        wanted = portrait.of([0])

        def cosine(tracks: list[int]) -> float:
            seen = self.of(tracks)
            found = float(seen @ wanted) if seen is not None and wanted is not None else -np.inf
            return found if found >= least else -np.inf

        return cosine


def embed_tracks(
    info: VideoInfo,
    index: FrameIndex,
    recipe: FrameRecipe,
    span: Span,
    tracks: Tracks,
    embedder: SFace,
    *,
    threads: int,
    salvage: bool,
    on_frame: Callable[[], None],
) -> FaceEmbeddings:
    """Embed the faces of source frames ``[start, stop)``: a few of each track, those that are turned least.

    Args:
        info: The video.
        index: Its frames.
        recipe: Steps that prepare them.
        span: Part of the video.
        tracks: Its smoothed tracks.
        embedder: Tells people apart.
        threads: Of the decoder.
        salvage: Work with what decodes.
        on_frame: Called for every face.
    """
    # A user's tracks may have boxes alone.
    tracks = replace(tracks, landmarks=usable_landmarks(tracks.landmarks, tracks.box))
    rows = np.array([row for number in tracks.numbers for row in _best(tracks, number, span)], np.int64)
    rows = rows[np.argsort(tracks.frame[rows], kind="stable")]
    total: dict[int, F64Array] = {}
    with VideoReader(
        info.path, info.stream_index, index, threads=threads, salvage=salvage, deinterlace=recipe.deinterlace
    ) as reader:
        for row, decoded in zip(rows, reader.read_order(int(tracks.frame[row]) for row in rows), strict=True):
            face = embedding(recipe.apply(decoded), recipe, tracks.landmarks[row], embedder)
            number = int(tracks.track[row])
            total[number] = total.get(number, 0) + face.astype(np.float64)
            on_frame()
    values = np.array(list(total.values()), np.float64).reshape(-1, embedder.values)
    return FaceEmbeddings(np.array(list(total), np.int64), values)


def embed_portrait(
    info: VideoInfo, index: FrameIndex, detector: FaceDetector, embedder: SFace, settings: DetectSettings, name: str
) -> FaceEmbeddings:
    """Embed the one face of a portrait.

    Args:
        info: The image.
        index: Its only frame; of a video the first counts.
        detector: Finds faces.
        embedder: Tells people apart.
        settings: Rules by which faces are looked for.
        name: Name of the image in messages.

    Raises:
        FaceError: It shows no face, or several.
    """
    recipe = make_recipe(info, index.sizes)
    detections = scan(
        info, index, recipe, Span(0, 1), detector, settings, threads=1, salvage=False, on_frame=lambda: None
    )
    faces = np.flatnonzero(detections.frame == 0)
    if len(faces) != 1:
        raise FaceError(
            "portrait",
            name,
            got=f"shows {len(faces)} faces" if len(faces) else "shows no face",
            must="a portrait for `faces = like:IMAGE` shows exactly one",
            do="Cut the picture so that only that person is in it" if len(faces) else "Leave some room around the face",
        )
    with VideoReader(info.path, info.stream_index, index) as reader:
        frame = recipe.apply(next(reader.read_order(iter([0]))))
        face = embedding(frame, recipe, detections.landmarks[faces[0]], embedder)
    return FaceEmbeddings(np.zeros(1, np.int64), face[None].astype(np.float64))


def _best(tracks: Tracks, number: int, span: Span) -> list[int]:
    """Return rows of a track in a stretch: of each part the one that was seen and is turned least."""
    first = tracks.rows(number).start
    here = first + np.flatnonzero(
        (tracks.frame[tracks.rows(number)] >= span.start) & (tracks.frame[tracks.rows(number)] < span.stop)
    )
    seen = here[tracks.seen[here]]
    here = seen if len(seen) else here
    turned = np.abs(yaw_degrees(tracks.landmarks[here]))
    return [
        int(part[np.argmin(turned[np.isin(here, part)])]) for part in np.array_split(here, _FACES_A_TRACK) if len(part)
    ]


def embedding(frame: VideoFrame, recipe: FrameRecipe, landmarks: F32Array, embedder: SFace) -> F32Array:
    """Return the embedding of a face, of length 1.

    Args:
        frame: A frame of the canvas.
        recipe: Layout in which it is stored.
        landmarks: Of the face, shape (5, 2).
        embedder: Tells people apart.
    """
    to_shown = aligned_to_shown(landmarks, SIDE_PX, recipe.canvas.aspect, TEMPLATE / SIDE_PX)
    crop = read_region(frame, recipe.canvas, to_shown, SIDE_PX)
    return embedder(np.rint(crop * 255).astype(np.uint8))
