"""Inspection of a video or a sound, before anything is made of it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

import numpy as np

from lipwise_ray.errors import InputError
from lipwise_ray.faces.people import People
from lipwise_ray.faces.select import parse_selection_rule, select_tracks
from lipwise_ray.faces.tracks import Tracks
from lipwise_ray.lipsync.mel import MEL_RATE_HZ, write_mel
from lipwise_ray.lipsync.voice_activity import BY_LEVEL, SpeechDetector, runs, spoken, voiced
from lipwise_ray.media.audio import extract_network_audio
from lipwise_ray.media.colours import HDR_TRANSFERS
from lipwise_ray.media.container import open_input, texts_of
from lipwise_ray.media.frames import make_recipe
from lipwise_ray.media.image_sequence import is_series, webp_size
from lipwise_ray.media.index import FrameIndex, build_index
from lipwise_ray.media.loudness import loudness
from lipwise_ray.media.probe import AudioInfo, VideoInfo, probe_audio, probe_video
from lipwise_ray.media.watermark import marked_wave
from lipwise_ray.metrics.lse import reduce
from lipwise_ray.metrics.mfcc import mfcc
from lipwise_ray.pipeline.analysis.crops import resampled, whole_tracks
from lipwise_ray.pipeline.analysis.face_recognition import embed_whole, followed_people
from lipwise_ray.pipeline.dubbing.watermarked import MarkReader
from lipwise_ray.pipeline.inputs.records import Video, heard_record
from lipwise_ray.pipeline.inputs.records import lead_s as lead_of
from lipwise_ray.pipeline.quality.inspected_faces import inspect_faces
from lipwise_ray.pipeline.quality.lip_windows import AudioFeatures, Faces, LipWindows, compare_lips, frames_shown
from lipwise_ray.pipeline.quality.sync_scores import RATE_HZ, sync_score
from lipwise_ray.state.shapes import record_of
from lipwise_ray.values import Json

if TYPE_CHECKING:
    from lipwise_ray.faces.detections import FaceDetector
    from lipwise_ray.faces.embedder import FaceEmbedder
    from lipwise_ray.metrics.sync_scorers import SyncScorer
    from lipwise_ray.pipeline.analysis.transcription import Recogniser
    from lipwise_ray.settings.model import Settings

_PAUSE_S = 0.3
_WAVE = "wave.f32"
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
    embedder: FaceEmbedder | None = None,
    speech: SpeechDetector | None = None,
    marks: MarkReader | None = None,
) -> Inspection:
    """Inspect a file.

    Args:
        path: A video, an image or an audio file.
        settings: Rules by which faces are looked for.
        detector: Finds them.
        scorer: Compares lips and audio.
        recogniser: Tells what is said.
        embedder: Tells people apart.
        speech: Tells speech from pauses, by its name; without it they go by the audio's level.
        marks: Reads the mark of audio that is not heard.

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
                inspection.record["sound"], features = _sound(path, Path(name), scorer, speech)
                if marks is not None:
                    inspection.record["sound"] |= _mark(path, marks)
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
                _inspect_faces(inspection, info, index, settings, detector, embedder, scorer, features)
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
                "language": texts_of(stream.metadata).get("language"),
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


def _sound(
    path: Path, folder: Path, scorer: SyncScorer | None, speech: SpeechDetector | None
) -> tuple[Json, AudioFeatures | None]:
    info: AudioInfo = probe_audio(path)
    wave, mel_file = folder / _WAVE, folder / "mel.npy"
    sound = extract_network_audio(info, wave)
    write_mel(wave, mel_file, gain=sound.heard.gain)
    mel = np.load(mel_file, mmap_mode="r")
    samples = np.memmap(wave, np.float32, "r")
    said = voiced(mel, _PAUSE_S) if speech is None else spoken(speech.detect(samples, lambda: None), len(mel), _PAUSE_S)
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
        "speech_by": BY_LEVEL if speech is None else speech.id,
        "speech_share": round(float(said.mean()), 3),
        "speech_begins_s": round(float(np.argmax(said)) / MEL_RATE_HZ, 2) if said.any() else None,
        "pauses": len(runs(~said)),
    }
    if scorer is None:
        return record, None
    values = mel if scorer.hears == "mel" else mfcc(samples)
    return record, AudioFeatures(scorer, values, int(sound.duration_s * RATE_HZ))


def _mark(path: Path, marks: MarkReader) -> Json:
    found = marks.detect(marked_wave(probe_audio(path)), lambda: None)
    return {"watermark_share": round(found.share, 3), "watermark_message": found.message}


def _inspect_faces(
    inspection: Inspection,
    info: VideoInfo,
    index: FrameIndex,
    settings: Settings,
    detector: FaceDetector,
    embedder: FaceEmbedder | None,
    scorer: SyncScorer | None,
    features: AudioFeatures | None,
) -> None:
    tracks = whole_tracks(info, index, detector, settings)
    recipe = make_recipe(info, index.sizes)
    embeddings = embed_whole(info, index, recipe, tracks, embedder) if embedder else None
    people = followed_people(tracks, settings.faces, embeddings)
    facts, inspection.faces = inspect_faces(info, index, recipe, tracks, people)
    inspection.record["faces"] = record_of(facts)
    if scorer is None or features is None:
        inspection.record["sync"] = {"problem": "no sound, or nobody to judge"}
        return
    inspection.record["sync"] = _sync(info, index, tracks, people, scorer, features)


def _sync(
    info: VideoInfo, index: FrameIndex, tracks: Tracks, people: People, scorer: SyncScorer, features: AudioFeatures
) -> Json:
    """Return the sync score of the largest face."""
    here = np.isin(tracks.track, select_tracks(people, parse_selection_rule("largest"), tracks))
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
