"""Scanning a stretch of video: small images, faces, how much the image changes."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from fractions import Fraction

import numpy as np

from lipwise_ray.faces.detections import LANDMARKS, DetectedFaces, Detections, FaceDetector
from lipwise_ray.faces.select import CropRules
from lipwise_ray.faces.shots import ChangeMeter, shots
from lipwise_ray.faces.tracks import Tracks, link
from lipwise_ray.lipsync.background import Background
from lipwise_ray.media.frames import FrameRecipe, SmallImage, small_image
from lipwise_ray.media.index import FrameIndex
from lipwise_ray.media.probe import VideoInfo
from lipwise_ray.media.reader import VideoReader
from lipwise_ray.settings.model import DetectSettings, Settings
from lipwise_ray.values import Size, Span

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

    Looks at every `stride`-th frame of the video and at the first frame after a cut, so what is
    found does not depend on where the stretch begins: the frame before it is read too, for the
    change measure.

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
    first = max(0, span.start - 1)
    meter = ChangeMeter()
    looked: list[int] = []
    found: list[tuple[int, DetectedFaces]] = []
    change: list[float] = []
    batch: list[tuple[int, SmallImage]] = []

    def pictures() -> list[tuple[int, DetectedFaces]]:
        images = [picture.image_bgr for _, picture in batch]
        if detector.together:  # a batch that a chunk's end cuts short is filled up, so that chunks do not show
            images += images[-1:] * (settings.batch_frames - len(images))
        results = detector.detect(images)[: len(batch)]
        return [
            (number, faces.keep(settings.min_size_px).scaled(picture.scale_x, picture.scale_y))
            for (number, picture), faces in zip(batch, results, strict=True)
        ]

    with VideoReader(
        info.path, info.stream_index, index, threads=threads, salvage=salvage, deinterlace=recipe.deinterlace
    ) as reader:

        def small() -> Iterator[tuple[int, SmallImage]]:
            for number, frame in enumerate(reader.read(first, span.stop), first):
                yield number, small_image(frame, recipe, settings.size_px)

        with Background(small, _QUEUE) as stream:
            for number, picture in stream:
                score = meter.measure(picture.image_bgr)
                if number < span.start:
                    continue
                change.append(score)
                on_frame()
                if number % settings.stride == 0 or score >= settings.cut_threshold:
                    looked.append(number)
                    batch.append((number, picture))
                if len(batch) >= settings.batch_frames:
                    found += pictures()
                    batch.clear()
    if batch:
        found += pictures()
    return _table(looked, found, change)


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
        shots(found.change, detect.cut_threshold),
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


def _table(looked: list[int], found: list[tuple[int, DetectedFaces]], change: list[float]) -> Detections:
    return Detections(
        looked=np.array(looked, np.int64),
        frame=np.array([number for number, faces in found for _ in faces.score], np.int64),
        box=np.concatenate([f.box for _, f in found]) if found else np.zeros((0, 4), np.float32),
        landmarks=np.concatenate([f.landmarks for _, f in found]) if found else np.zeros((0, LANDMARKS, 2), np.float32),
        score=np.concatenate([f.score for _, f in found]) if found else np.zeros(0, np.float32),
        change=np.array(change, np.float32),
    )
