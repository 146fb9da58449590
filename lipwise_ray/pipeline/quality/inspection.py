"""Inspection of a video or a sound, before anything is made of it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

import cv2
import numpy as np

from lipwise_ray.errors import InputError
from lipwise_ray.faces.select import parse_selection_rule, select_tracks, yaw_degrees
from lipwise_ray.faces.tracks import Tracks
from lipwise_ray.lipsync.mel import MEL_RATE_HZ, write_mel
from lipwise_ray.lipsync.voice_activity import runs, voiced
from lipwise_ray.media.audio import extract_network_audio
from lipwise_ray.media.colours import HDR_TRANSFERS
from lipwise_ray.media.container import open_input
from lipwise_ray.media.frames import make_recipe
from lipwise_ray.media.image_sequence import is_series, webp_size
from lipwise_ray.media.index import FrameIndex, build_index
from lipwise_ray.media.loudness import loudness
from lipwise_ray.media.probe import AudioInfo, VideoInfo, probe_audio, probe_video
from lipwise_ray.media.reader import VideoReader
from lipwise_ray.media.region import box_to_shown, read_region
from lipwise_ray.metrics.lse import reduce
from lipwise_ray.metrics.mfcc import mfcc
from lipwise_ray.pipeline.analysis.crops import resampled, whole_tracks
from lipwise_ray.pipeline.inputs.records import Video, heard_record
from lipwise_ray.pipeline.inputs.records import lead_s as lead_of
from lipwise_ray.pipeline.quality.lip_windows import AudioFeatures, Faces, LipWindows, compare_lips, frames_shown
from lipwise_ray.pipeline.quality.sync_scores import RATE_HZ, sync_score
from lipwise_ray.state.shapes import record_of
from lipwise_ray.values import F32Array, Json, U8Array

if TYPE_CHECKING:
    from lipwise_ray.faces.detections import FaceDetector
    from lipwise_ray.metrics.sync_scorers import SyncScorer
    from lipwise_ray.pipeline.analysis.transcription import Recogniser
    from lipwise_ray.settings.model import Settings

_PAUSE_S = 0.3
_WAVE = "wave.f32"
_MOST_TRACKS, _CROP_PX = 12, 160
_HEARD = ("mix", "lufs", "gain_db")


@dataclass(slots=True)
class Inspection:
    """Findings in a file.

    Attributes:
        record: JSON values: ``file``, ``streams``, ``picture``, ``sound``, ``speech``, ``faces``, ``sync``; each of the
            last five is absent where there is none, or where it was not asked for, and has a ``problem`` where it
            cannot be used.
        faces: Pictures (JPEG) of faces by name.
    """

    record: Json
    faces: dict[str, bytes] = field(default_factory=dict[str, bytes])


def inspect(
    path: Path,
    settings: Settings,
    detector: FaceDetector,
    scorer: SyncScorer | None,
    recogniser: Recogniser | None = None,
) -> Inspection:
    """Inspect a file.

    Args:
        path: A video, an image or an audio file.
        settings: Rules by which faces are looked for.
        detector: Finds them.
        scorer: Compares lips and audio.
        recogniser: Tells what is said.

    Raises:
        MediaError: It is no media file.
    """
    inspection = Inspection({"file": str(path)})
    inspection.record["streams"] = list(_streams(path))
    kinds = {stream["type"] for stream in inspection.record["streams"]}
    with TemporaryDirectory(prefix="lipwise-") as name:
        features: AudioFeatures | None = None
        if "audio" in kinds:
            try:
                inspection.record["sound"], features = _sound(path, Path(name), scorer)
                if recogniser is not None:
                    wave = np.memmap(Path(name) / _WAVE, np.float32, "r")
                    inspection.record["speech"] = record_of(recogniser(wave))
            except InputError as error:
                inspection.record["sound"] = {"problem": str(error)}
        if "video" in kinds:
            try:
                info = probe_video(path, settings.limits, Fraction(settings.source.still_rate))
                index = build_index(info)
                inspection.record["picture"] = _picture(info, index)
                _inspect_faces(inspection, info, index, settings, detector, scorer, features)
            except InputError as error:
                inspection.record["picture"] = {**inspection.record.get("picture", {}), "problem": str(error)}
    return inspection


def _streams(path: Path) -> Iterator[Json]:
    if is_series(path) or webp_size(path) is not None:
        yield {"type": "video", "codec": probe_video(path).codec, "seconds": None, "language": None}
        return
    with open_input(path) as container:
        for stream in container.streams:
            seconds = stream.duration * stream.time_base if stream.duration and stream.time_base else None
            yield {
                "type": stream.type,
                "codec": stream.codec_context.name if stream.codec_context else None,
                "seconds": round(float(seconds), 3) if seconds is not None else None,
                "language": stream.metadata.get("language"),
            }


def _picture(info: VideoInfo, index: FrameIndex) -> Json:
    seconds = (index.end_pts - int(index.pts[0])) * index.time_base
    keys = np.flatnonzero(index.is_key)
    gaps = np.diff(np.append(keys, len(index)))
    shown = make_recipe(info, index.sizes).canvas.shown_size
    return {
        "shown": f"{shown.width}x{shown.height}",
        "sizes": [f"{size.width}x{size.height}" for size in index.sizes],
        "rotation": info.orientation.rotation,
        "mirrored": info.orientation.is_mirrored,
        "field_order": info.field_order,
        "alpha": info.has_alpha,
        "pixel_aspect": str(info.sample_aspect_ratio),
        "pixel_format": info.pixel_format,
        "hdr": info.color.transfer in HDR_TRANSFERS,
        "still": info.is_still,
        "rate": str(index.rate) if index.rate is not None else None,
        "mean_rate": round(float(index.mean_rate), 3),
        "frames": len(index),
        "seconds": round(float(seconds), 3),
        "longest_key_gap": int(gaps.max()) if len(gaps) else 0,
        "starts_after_sound_s": round(float(info.start_s - info.sound_start_s), 4)
        if info.sound_start_s is not None
        else None,
    }


def _sound(path: Path, folder: Path, scorer: SyncScorer | None) -> tuple[Json, AudioFeatures | None]:
    info: AudioInfo = probe_audio(path)
    wave, mel_file = folder / _WAVE, folder / "mel.npy"
    sound = extract_network_audio(info, wave)
    write_mel(wave, mel_file, gain=sound.heard.gain)
    mel = np.load(mel_file, mmap_mode="r")
    said = voiced(mel, _PAUSE_S)
    info = sound.described(info)
    level = loudness(info)
    record = {
        "rate_hz": info.rate_hz,
        "channels": info.channels,
        "layout": info.layout,
        "seconds": round(float(sound.duration_s), 3),
        "loudness_lufs": level.lufs,
        "loudness_range_lu": level.range_lu,
        "true_peak": level.peak,
        **{
            f"heard_{name}" if name in _HEARD else name: value for name, value in record_of(heard_record(sound)).items()
        },
        "speech_share": round(float(said.mean()), 3),
        "speech_begins_s": round(float(np.argmax(said)) / MEL_RATE_HZ, 2) if said.any() else None,
        "pauses": len(runs(~said)),
    }
    if scorer is None:
        return record, None
    values = mel if scorer.hears == "mel" else mfcc(np.memmap(wave, np.float32, "r"))
    return record, AudioFeatures(scorer, values, int(sound.duration_s * RATE_HZ))


def _inspect_faces(
    inspection: Inspection,
    info: VideoInfo,
    index: FrameIndex,
    settings: Settings,
    detector: FaceDetector,
    scorer: SyncScorer | None,
    features: AudioFeatures | None,
) -> None:
    tracks = whole_tracks(info, index, detector, settings)
    inspection.record["faces"] = _faces(tracks, float(index.mean_rate))
    numbers = _longest(tracks)
    middles = {int(tracks.frame[(tracks.rows(n).start + tracks.rows(n).stop - 1) // 2]): n for n in numbers}
    boxes = {frame: _square(tracks, number, frame) for frame, number in middles.items()}
    for frame, crop in _crops_at(info, index, boxes):
        inspection.faces[f"face-{middles[frame]}"] = cv2.imencode(".jpg", crop)[1].tobytes()
    if scorer is None or features is None:
        inspection.record["sync"] = {"problem": "no sound, or nobody to judge"}
        return
    inspection.record["sync"] = _sync(info, index, tracks, scorer, features)


def _faces(tracks: Tracks, rate: float) -> Json:
    side = np.minimum(tracks.box[:, 2] - tracks.box[:, 0], tracks.box[:, 3] - tracks.box[:, 1])
    yaw = np.abs(yaw_degrees(tracks.landmarks)) if len(tracks.frame) else np.zeros(0)
    shots = ((tracks.frame >= start) & (tracks.frame < stop) for start, stop in tracks.shots)
    people = [len(np.unique(tracks.track[here])) for here in shots]
    return {
        "shots": len(tracks.shots),
        "share_of_frames": round(len(np.unique(tracks.frame)) / max(1, tracks.frames), 4),
        "most_in_a_shot": max(people, default=0),
        "median_side_px": round(float(np.median(side)), 1) if len(side) else None,
        "smallest_side_px": round(float(side.min()), 1) if len(side) else None,
        "median_yaw_deg": round(float(np.median(yaw)), 1) if len(yaw) else None,
        "longest": [_track(tracks, number, rate) for number in _longest(tracks)],
    }


def _longest(tracks: Tracks) -> list[int]:
    return sorted(tracks.numbers, key=lambda n: tracks.rows(n).start - tracks.rows(n).stop)[:_MOST_TRACKS]


def _track(tracks: Tracks, number: int, rate: float) -> Json:
    rows = tracks.rows(number)
    box = np.median(tracks.box[rows], axis=0)
    return {
        "face": number,
        "from_s": round(float(tracks.frame[rows.start]) / rate, 2),
        "to_s": round(float(tracks.frame[rows.stop - 1] + 1) / rate, 2),
        "box": [round(float(value)) for value in box],
    }


def _square(tracks: Tracks, number: int, frame: int) -> F32Array:
    rows = tracks.rows(number)
    x0, y0, x1, y1 = tracks.box[rows.start + int(np.searchsorted(tracks.frame[rows], frame))]
    half, x, y = max(x1 - x0, y1 - y0) * 0.8, (x0 + x1) / 2, (y0 + y1) / 2
    return np.array([x - half, y - half, x + half, y + half], np.float32)


def _crops_at(info: VideoInfo, index: FrameIndex, boxes: dict[int, F32Array]) -> Iterator[tuple[int, U8Array]]:
    recipe = make_recipe(info, index.sizes)
    with VideoReader(info.path, info.stream_index, index) as reader:
        order = sorted(boxes)
        for number, decoded in zip(order, reader.read_order(order), strict=True):
            crop = read_region(recipe.apply(decoded), recipe.canvas, box_to_shown(boxes[number], _CROP_PX), _CROP_PX)
            yield number, np.rint(crop * 255).astype(np.uint8)


def _sync(info: VideoInfo, index: FrameIndex, tracks: Tracks, scorer: SyncScorer, features: AudioFeatures) -> Json:
    """Return the sync score of the largest face."""
    here = np.isin(tracks.track, select_tracks(tracks, parse_selection_rule("largest")))
    faces, shown, recipe = (
        Faces(tracks.frame[here], tracks.track[here], tracks.box[here]),
        resampled(index),
        make_recipe(info, index.sizes),
    )
    lips = LipWindows(faces, shown, scorer)
    read = frames_shown(Video("", info, index), recipe, shown)
    begins = np.arange(len(shown))
    at, distances = compare_lips(lips, begins, read, recipe.canvas.shown_size, scorer, features, float(lead_of(info)))
    if not len(at):
        return {"problem": "no face for five frames in a row with sound"}
    whole = np.isfinite(distances).all(axis=1)
    if not whole.any():
        return {"problem": "the judge gave no numbers"}
    score = reduce(distances[whole].sum(axis=0, dtype=np.float64), int(whole.sum()))
    return record_of(sync_score(score, lse=scorer.is_lse))
