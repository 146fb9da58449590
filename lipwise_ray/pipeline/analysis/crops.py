"""Face crops of a whole video at 25 frames a second, as training and the sync measures take them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np

from lipwise_ray.faces.detections import FaceDetector
from lipwise_ray.faces.smoothing import smooth
from lipwise_ray.faces.tracks import Tracks
from lipwise_ray.lipsync.mel import mel_spectrogram
from lipwise_ray.lipsync.windows import CROP_RATE_HZ
from lipwise_ray.media.audio import extract_network_audio
from lipwise_ray.media.frames import make_recipe
from lipwise_ray.media.index import FrameIndex
from lipwise_ray.media.probe import VideoInfo, probe_audio
from lipwise_ray.media.reader import VideoReader
from lipwise_ray.media.region import box_to_shown, read_region
from lipwise_ray.pipeline.analysis.face_detection import linked, scan
from lipwise_ray.settings.model import Settings
from lipwise_ray.values import F32Array, FloatArray, I64Array, Span, U8Array

_TIME_SLACK_S = 1e-6
"""A frame whose time is off by rounding alone counts as begun."""


def whole_tracks(info: VideoInfo, index: FrameIndex, detector: FaceDetector, settings: Settings) -> Tracks:
    """Return the smoothed face tracks of a whole video.

    Raises:
        MediaError: The video is damaged.
    """
    detect, rate = settings.detect, float(index.mean_rate)
    recipe = make_recipe(info, index.sizes)
    everything = Span(0, len(index))
    found = scan(info, index, recipe, everything, detector, detect, threads=1, salvage=False, on_frame=lambda: None)
    tracks = linked(found, recipe.canvas.shown_size, rate, settings)
    return smooth(replace(tracks, aspect=recipe.canvas.aspect), round(settings.faces.smooth_s * rate / 2))


def resampled(index: FrameIndex) -> I64Array:
    """Return the source frame that is shown at each 25th of a second, shape (N,)."""
    start = int(index.pts[0])
    times = np.array([float((int(pts) - start) * index.time_base) for pts in index.pts])
    return frames_at_25_hz(times, Fraction(int(index.end_pts) - start) * index.time_base)


def frames_at_25_hz(times_s: FloatArray, end_s: Fraction) -> I64Array:
    """Return the frame that is shown at each 25th of a second, shape (N,), by when frames begin and end.

    Args:
        times_s: Times at which the frames begin, from 0, shape (F,).
        end_s: Time at which the last one ends.
    """
    grid = np.arange(max(1, int(end_s * CROP_RATE_HZ))) / CROP_RATE_HZ
    return np.searchsorted(times_s, grid + _TIME_SLACK_S, side="right") - 1


def read_crops(
    info: VideoInfo, index: FrameIndex, boxes: dict[int, F32Array], size_px: int
) -> Iterator[tuple[int, U8Array]]:
    """Yield the face of each 25th of a second that has one: its number, and BGR of (size_px, size_px, 3).

    Args:
        info: The video.
        index: Its frames.
        boxes: left, top, right, bottom by source frame.
        size_px: Side of the crops.
    """
    recipe = make_recipe(info, index.sizes)
    wanted = [(number, int(source)) for number, source in enumerate(resampled(index)) if int(source) in boxes]
    with VideoReader(info.path, info.stream_index, index) as reader:
        for (number, source), frame in zip(wanted, reader.read_order(source for _, source in wanted), strict=True):
            to_shown = box_to_shown(boxes[source], size_px)
            crop = read_region(recipe.apply(frame), recipe.canvas, to_shown, size_px)
            yield number, np.rint(crop * 255).astype(np.uint8)


def read_wave(path: Path) -> F32Array:
    """Return a file's sound as the lip-sync network hears it: mono at 16 kHz and at its loudness, shape (N,).

    Raises:
        MediaError: The file holds no sound.
        AudioError: The sound is empty or not finite.
    """
    with TemporaryDirectory() as folder:
        raw = Path(folder) / "sound.f32"
        sound = extract_network_audio(probe_audio(path), raw)
        return np.fromfile(raw, np.float32) * np.float32(sound.heard.gain)


def read_mel(path: Path) -> F32Array:
    """Return the mel of a file's sound, shape (columns, 80)."""
    return np.ascontiguousarray(mel_spectrogram(read_wave(path)).T)
