"""Face recognition: embeddings of every track, chunk by chunk, and of a portrait's face."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from lipwise_ray.errors import FaceError
from lipwise_ray.faces.detections import FaceDetector
from lipwise_ray.faces.embedder import SIDE_PX, TEMPLATE, FaceEmbedder
from lipwise_ray.faces.embeddings import FaceEmbeddings
from lipwise_ray.faces.people import People, find_people
from lipwise_ray.faces.select import usable_landmarks, yaw_degrees
from lipwise_ray.faces.tracks import Tracks
from lipwise_ray.lipsync.align import aligned_to_shown
from lipwise_ray.media.frames import FrameRecipe, make_recipe
from lipwise_ray.media.index import FrameIndex
from lipwise_ray.media.probe import VideoInfo
from lipwise_ray.media.reader import VideoReader
from lipwise_ray.media.region import read_region
from lipwise_ray.pipeline.analysis.face_detection import scan
from lipwise_ray.settings.model import DetectSettings, FacesSettings
from lipwise_ray.values import F32Array, Span

if TYPE_CHECKING:
    from av.video.frame import VideoFrame

_FEWEST_FACES, _MOST_FACES, _PART_FRAMES = 6, 24, 500
"""A track is embedded by one face from each of its parts, which are six, or more where they would be longer."""

_LEAST_PX, _MOST_YAW_DEG = 32.0, 50.0
"""Blurred faces of 26 px have a cosine of 0.9 with each other, whosever they are."""


def embed_tracks(
    info: VideoInfo,
    index: FrameIndex,
    recipe: FrameRecipe,
    span: Span,
    tracks: Tracks,
    embedder: FaceEmbedder,
    *,
    threads: int,
    salvage: bool,
    on_frame: Callable[[], None],
) -> FaceEmbeddings:
    """Embed the faces of source frames ``[start, stop)``: those of the few of each track that lie there.

    Which ones these are follows from the whole track, so that chunks do not show.

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
    rows = np.array([row for number in tracks.numbers for row in _clearest(tracks, number)], np.int64)
    rows = rows[(tracks.frame[rows] >= span.start) & (tracks.frame[rows] < span.stop)]
    if not len(rows):
        return FaceEmbeddings.empty()
    rows = rows[np.argsort(tracks.frame[rows], kind="stable")]
    faces: list[F32Array] = []
    with VideoReader(
        info.path, info.stream_index, index, threads=threads, salvage=salvage, deinterlace=recipe.deinterlace
    ) as reader:
        for row, decoded in zip(rows, reader.read_order(int(tracks.frame[row]) for row in rows), strict=True):
            faces.append(embedding(recipe.apply(decoded), recipe, tracks.landmarks[row], embedder))
            on_frame()
    found = np.array(faces, np.float64).reshape(-1, embedder.values)
    return FaceEmbeddings(tracks.track[rows], found, np.array([embedder.same]))


def embed_whole(
    info: VideoInfo, index: FrameIndex, recipe: FrameRecipe, tracks: Tracks, embedder: FaceEmbedder
) -> FaceEmbeddings:
    """Embed the faces of a whole video, as `embed_tracks` does those of its parts."""
    everything = Span(0, len(index))
    found = embed_tracks(
        info, index, recipe, everything, tracks, embedder, threads=1, salvage=False, on_frame=lambda: None
    )
    return FaceEmbeddings.joined([found])


def followed_people(tracks: Tracks, faces: FacesSettings, embeddings: FaceEmbeddings | None) -> People:
    """Return the people of a video, over cuts unless settings forbid that or nothing tells them apart.

    Args:
        tracks: Of the whole video.
        faces: Settings of faces.
        embeddings: Of the tracks; None without an embedder.
    """
    return find_people(tracks, faces.min_confidence, embeddings, over_cuts=faces.follow != "shot")


def embed_portrait(
    info: VideoInfo,
    index: FrameIndex,
    detector: FaceDetector,
    embedder: FaceEmbedder,
    settings: DetectSettings,
    name: str,
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
    return FaceEmbeddings(np.zeros(1, np.int64), face[None].astype(np.float64), np.array([embedder.same]))


def _clearest(tracks: Tracks, number: int) -> list[int]:
    """Return rows of a track: of each of its parts the one that was seen and is turned least.

    Faces that are small or turned far tell nobody from another, and are left out.
    """
    rows = tracks.rows(number)
    here = np.arange(rows.start, rows.stop)
    here = here[tracks.seen[here]] if tracks.seen[here].any() else here
    turned = np.abs(yaw_degrees(tracks.landmarks[here], tracks.aspect))
    is_clear = ((tracks.box[here, 2:] - tracks.box[here, :2]).min(axis=1) >= _LEAST_PX) & (turned <= _MOST_YAW_DEG)
    here, turned = here[is_clear], turned[is_clear]
    parts = min(_MOST_FACES, max(_FEWEST_FACES, -(-(rows.stop - rows.start) // _PART_FRAMES)))
    return [int(here[part[turned[part].argmin()]]) for part in np.array_split(np.arange(len(here)), parts) if len(part)]


def embedding(frame: VideoFrame, recipe: FrameRecipe, landmarks: F32Array, embedder: FaceEmbedder) -> F32Array:
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
