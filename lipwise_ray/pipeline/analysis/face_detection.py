"""Scanning a stretch of video: small images, faces, how much the image changes."""

from __future__ import annotations

from collections.abc import Callable
from fractions import Fraction

import numpy as np

from lipwise_ray.faces.colour import COLOURS
from lipwise_ray.faces.detections import LANDMARKS, Detections, FaceDetector
from lipwise_ray.faces.select import CropRules
from lipwise_ray.faces.shots import shots
from lipwise_ray.faces.tracks import Tracks, link
from lipwise_ray.lipsync.background import Background
from lipwise_ray.media.frames import FrameRecipe
from lipwise_ray.media.index import FrameIndex
from lipwise_ray.media.probe import VideoInfo
from lipwise_ray.media.reader import VideoReader
from lipwise_ray.pipeline.analysis.looks import FaceFinder, Look
from lipwise_ray.pipeline.analysis.stretch import LookedAt, SearchedVideo
from lipwise_ray.settings.model import DetectSettings, Settings
from lipwise_ray.values import BoolArray, F32Array, Size, Span

_QUEUE = 16
_FADE_S = 0.12


def scan(
    info: VideoInfo,
    index: FrameIndex,
    recipe: FrameRecipe,
    span: Span,
    detector: FaceDetector,
    settings: DetectSettings,
    *,
    threads: int,
    salvage: bool,
    on_frame: Callable[[], None],
) -> Detections:
    """Look for faces in frames ``[start, stop)``.

    Looks at every `stride`-th frame of the video and at the first and last frames of shots, from near at faces that the
    detector is not sure of; and at the frames between two such where faces come, go, or may have jumped. What is found
    does not depend on where the stretch begins and ends: frames next to it are read too, as far as they matter.

    Args:
        info: The video.
        index: Its frames.
        recipe: Steps that prepare them.
        span: Part of the video.
        detector: Finds faces.
        settings: Stride, size of the searched image, and threshold of cuts.
        threads: Of the decoder.
        salvage: Work with what decodes.
        on_frame: Called for every frame of the stretch.
    """

    def open_reader() -> VideoReader:
        return VideoReader(
            info.path, info.stream_index, index, threads=threads, salvage=salvage, deinterlace=recipe.deinterlace
        )

    footage = SearchedVideo(open_reader, recipe, settings, len(index))
    stretch = LookedAt(footage, FaceFinder(detector, recipe, settings), span)
    with Background(lambda: footage.read(stretch.reads), _QUEUE) as stream:
        for scanned in stream:
            stretch.add(scanned)
            if scanned.number in span:
                on_frame()
    looks = stretch.finished()
    return _table(looks, stretch.changes(span), stretch.is_blend)


def linked(found: Detections, size: Size, rate: float, settings: Settings) -> Tracks:
    """Return the raw face tracks of a whole video.

    Args:
        found: Detections of all its frames.
        size: Of the frame as it is shown.
        rate: Frames a second.
        settings: Rules for the ends of shots and for the gaps that are bridged.
    """
    detect = settings.detect
    return link(
        found,
        shots(found.change, found.is_blend, detect.cut_threshold),
        size,
        max_gap_frames=max(detect.stride, round(settings.faces.max_gap_s * rate)),
        stride=detect.stride,
    )


def crop_rules(settings: Settings, rate: Fraction) -> CropRules:
    """Return the rules by which a video's faces become crops, or are left alone.

    Args:
        settings: The job's.
        rate: Frames a second, by which times become numbers of frames.
    """
    faces = settings.faces
    is_reference = faces.smoothing == "reference"
    return CropRules(
        pads=faces.pads,
        pads_share=faces.pads_share,
        min_face_px=faces.min_face_px,
        max_yaw_deg=faces.max_yaw_deg,
        fade_frames=max(1, round(_FADE_S * float(rate))),
        whole_pixels=is_reference,
        reference=is_reference and faces.smooth_s > 0,
    )


def _table(looks: list[Look], change: F32Array, is_blend: BoolArray) -> Detections:
    found = [look.faces for look in looks]
    return Detections(
        looked=np.array([look.number for look in looks], np.int64),
        frame=np.repeat(
            np.array([look.number for look in looks], np.int64), np.array([len(f.score) for f in found], np.int64)
        ),
        box=np.concatenate([np.zeros((0, 4), np.float32), *(f.box for f in found)]),
        landmarks=np.concatenate([np.zeros((0, LANDMARKS, 2), np.float32), *(f.landmarks for f in found)]),
        score=np.concatenate([np.zeros(0, np.float32), *(f.score for f in found)]),
        colour=np.concatenate([np.zeros((0, COLOURS), np.float32), *(look.colour for look in looks)]),
        change=change,
        is_blend=is_blend,
    )
