"""Measures of faces that were followed through a video: size, yaw, score, sharpness, speech, mouth, and stills."""

from __future__ import annotations

import cv2
import numpy as np

from lipwise_ray.faces.select import usable_landmarks, yaw_degrees
from lipwise_ray.faces.shape import plausibility
from lipwise_ray.faces.tracks import Tracks
from lipwise_ray.lipsync.align import roll_degrees
from lipwise_ray.lipsync.mel import MEL_RATE_HZ
from lipwise_ray.lipsync.sharpness import detail_of, luma_of
from lipwise_ray.media.reader import VideoReader
from lipwise_ray.media.region import box_to_shown, read_region
from lipwise_ray.pipeline.quality.sync_scores import RATE_HZ
from lipwise_ray.training.clip_record import FaceMeasures
from lipwise_ray.training.mouth_change import face_view, mouth_change
from lipwise_ray.training.source_video import SourceVideo
from lipwise_ray.values import BoolArray, F32Array, U8Array

_OFTEN_TURNED = 0.9
_LOOKS, _SHOWN = 8, 4
"""Frames of a face in which its sharpness and its mouth are measured, and how many of them a contact sheet shows."""

_LEAST_PX, _MOST_PX = 32, 256
_EDGE = 0.15
_VIEW, _VIEW_PX, _QUALITY = 1.5, 96, 80


def frames_with(source: SourceVideo, tracks: Tracks, number: int) -> list[int]:
    """Return the frames of 1/25 s in which a face is there, rising."""
    rows = tracks.rows(number)
    return [int(place) for place in np.flatnonzero(np.isin(source.grid, tracks.frame[rows]))]


def largest(tracks: Tracks, most: int) -> list[int]:
    """Return the numbers of the faces that cover the most pixels, those first.

    Args:
        tracks: Faces of the video.
        most: How many, at most.
    """

    def area(number: int) -> float:
        box = tracks.box[tracks.rows(number)].astype(np.float64)
        return float(((box[:, 2] - box[:, 0]) * (box[:, 3] - box[:, 1])).sum())

    return sorted(tracks.numbers, key=lambda number: (-area(number), number))[:most]


def measure_face(source: SourceVideo, tracks: Tracks, number: int, speech: BoolArray) -> tuple[FaceMeasures, bytes]:
    """Measure a face.

    Args:
        source: The video.
        tracks: Its faces.
        number: The face.
        speech: Mask of the mel columns of the audio in which somebody speaks, shape (columns,).

    Returns:
        The measures, and a strip of stills (JPEG).
    """
    rows, here = tracks.rows(number), frames_with(source, tracks, number)
    side = (tracks.box[rows, 2:] - tracks.box[rows, :2]).min(axis=1)
    seen = tracks.seen[rows] if tracks.seen[rows].any() else np.ones(rows.stop - rows.start, np.bool_)
    sure = (plausibility(tracks.landmarks[rows], tracks.aspect) * tracks.score[rows])[seen]
    from_s, to_s = here[0] / RATE_HZ, (here[-1] + 1) / RATE_HZ
    lead = float(source.lead_s)
    spoken = speech[round((from_s + lead) * MEL_RATE_HZ) : round((to_s + lead) * MEL_RATE_HZ)]
    # Audio that ends before the face goes is no speech.
    speech_share = float(spoken.sum()) / max(1.0, (to_s - from_s) * MEL_RATE_HZ)
    sharpness, change, strip = _looked_at(source, tracks, rows, float(np.median(side)))
    measures = FaceMeasures(
        track=number,
        from_s=round(from_s, 2),
        to_s=round(to_s, 2),
        frames=len(here),
        size_px=round(float(np.median(side)), 1),
        yaw_deg=round(float(np.quantile(np.abs(yaw_degrees(tracks.landmarks[rows], tracks.aspect)), _OFTEN_TURNED)), 1),
        score=round(float(sure.mean()), 3),
        sharpness=round(sharpness, 2),
        speech_share=round(min(1.0, speech_share), 3),
        mouth_change=round(change, 3),
    )
    return measures, cv2.imencode(".jpg", strip, [cv2.IMWRITE_JPEG_QUALITY, _QUALITY])[1].tobytes()


def _looked_at(source: SourceVideo, tracks: Tracks, rows: slice, side: float) -> tuple[float, float, U8Array]:
    """Return the median sharpness of a face, the change of its mouth, and some stills side by side (BGR)."""
    picked = np.unique(np.linspace(rows.start, rows.stop - 1, _LOOKS + 2).round().astype(int)[1:-1])
    px = int(np.clip(side, _LEAST_PX, _MOST_PX))
    edge = round(_EDGE * px)
    inside = np.zeros((px, px), np.bool_)
    inside[edge : px - edge, edge : px - edge] = True
    lumas: list[F32Array] = []
    mouths: list[F32Array] = []
    stills: list[U8Array] = []
    aspect = source.recipe.canvas.aspect
    landmarks = usable_landmarks(tracks.landmarks[picked], tracks.box[picked])
    roll = float(np.median([roll_degrees(one, aspect) for one in landmarks]))
    with VideoReader(source.info.path, source.info.stream_index, source.index) as reader:
        decoded_frames = reader.read_order(int(n) for n in tracks.frame[picked])
        for row, points, decoded in zip(picked, landmarks, decoded_frames, strict=True):
            frame = source.recipe.apply(decoded)
            crop = read_region(frame, source.recipe.canvas, box_to_shown(tracks.box[row], px), px)
            lumas.append(luma_of(crop))
            level = face_view(tracks.box[row], points, px, roll, aspect)
            mouths.append(luma_of(read_region(frame, source.recipe.canvas, level, px)))
            view = box_to_shown(_around(tracks.box[row]), _VIEW_PX)
            still = np.rint(read_region(frame, source.recipe.canvas, view, _VIEW_PX) * 255)
            stills.append(np.asarray(still, np.uint8))
    shown = stills[:: max(1, len(stills) // _SHOWN)][:_SHOWN]
    sharpness = float(np.median([detail_of(luma, inside).edges for luma in lumas]))
    return sharpness, mouth_change(mouths), np.concatenate(shown, axis=1)


def _around(box: F32Array) -> F32Array:
    x0, y0, x1, y1 = (float(value) for value in box)
    half, x, y = max(x1 - x0, y1 - y0) * _VIEW / 2, (x0 + x1) / 2, (y0 + y1) / 2
    return np.array([x - half, y - half, x + half, y + half], np.float32)
