"""From a video to prepared clips: faces are found, measured, sorted, and those that are fit are cut out."""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

import cv2
import numpy as np

from lipwise_ray.errors import FaceError, InputError, MediaError, os_reason
from lipwise_ray.faces.tracks import Tracks
from lipwise_ray.lipsync.voice_activity import BY_LEVEL, SpeechDetector, spoken, voiced
from lipwise_ray.media.container import write_problem
from lipwise_ray.metrics.mfcc import mfcc
from lipwise_ray.nets.expert import FRAMES
from lipwise_ray.pipeline.analysis.crops import read_crops
from lipwise_ray.pipeline.inputs.records import Video
from lipwise_ray.pipeline.quality.lip_windows import Faces, LipWindows, frames_shown
from lipwise_ray.settings.model import Settings
from lipwise_ray.storage.digest import ID_CHARACTERS, sha256_of
from lipwise_ray.training.clip_record import (
    ClipNote,
    ClipOrigin,
    FaceMeasures,
    FacesKey,
    MeasuredSource,
    SyncMeasures,
    read_record,
    write_record,
)
from lipwise_ray.training.curation import CurationRules, refusal, shift_of
from lipwise_ray.training.dataset import AUDIO, CURATION, NOTE, face_ending
from lipwise_ray.training.face_measures import frames_with, largest, measure_face
from lipwise_ray.training.pack import write_wave
from lipwise_ray.training.source_video import SourceVideo
from lipwise_ray.training.sync_offset import ClipAudio, audio_frames, measure_sync
from lipwise_ray.values import BoolArray, F32Array, Size, U8Array

if TYPE_CHECKING:
    from lipwise_ray.faces.detections import FaceDetector
    from lipwise_ray.metrics.sync_scorers import SyncScorer

_QUALITY = 95
_SMALLEST_PX, _LARGEST_PX = 96, 384
_MIN_PAUSE_S = 0.3
_TRACKS, _FOUND, _MEASURED = "tracks.npz", "found.json", "measured.json"


@dataclass(frozen=True, slots=True)
class PrepareSpec:
    """Rules by which clips are prepared.

    Attributes:
        size_px: Side of the square crops; 0 keeps the face's own size, 96 to 384.
        pads: Pixels added to the box at top, bottom, left, right.
        pads_share: The same as shares of the box's height and width; both are added.
        settings: Rules by which faces are looked for and followed.
        rules: Rules by which they are sorted.
        most_faces: Faces of a video that are measured at most: those with the most pixels.
        truth: Take boxes from the truth beside a drawn clip.
    """

    size_px: int
    pads: tuple[int, int, int, int]
    pads_share: tuple[float, float, float, float]
    settings: Settings
    rules: CurationRules
    most_faces: int
    truth: bool


@dataclass(frozen=True, slots=True)
class CurationNetworks:
    """Networks that find and measure faces.

    Attributes:
        detector: Finds faces; None where boxes come from the truth.
        detectors: SHA-256 of its weights.
        expert: Measures sync; None for no measure.
        expert_sha256: SHA-256 of its weights.
        speech: Tells speech from pauses; None goes by the audio's level.
    """

    detector: FaceDetector | None = None
    detectors: tuple[str, ...] = ()
    expert: SyncScorer | None = None
    expert_sha256: str = ""
    speech: SpeechDetector | None = None


@dataclass(frozen=True, slots=True)
class SortedFace:
    """A face of a video, measured and sorted.

    Attributes:
        clip: Name of its clip, ``<folder>/<id>``.
        face: Its measures.
        sync: Agreement of lips and audio; None where it was not measured.
        shift_frames: Frames of 1/25 s by which its audio was moved earlier.
        refused: The reason why it is not taken; None for one that is.
    """

    clip: str
    face: FaceMeasures
    sync: SyncMeasures | None
    shift_frames: int
    refused: InputError | None


def prepare_source(
    path: Path, name: str, out: Path, spec: PrepareSpec, networks: CurationNetworks
) -> tuple[SortedFace, ...]:
    """Prepare a video; what was found, measured and cut before stays, if it was made of the same in the same way.

    Args:
        path: Footage with audio and faces.
        name: Name of its clip, ``<folder>/<id>``; further faces have numbers after it.
        out: The data set. Clips appear in it whole or not at all.
        spec: Rules by which it is prepared.
        networks: Find and measure faces.

    Returns:
        Its faces, those that are taken and those that are not; largest first.

    Raises:
        InputError: The video cannot be used: damaged, no face, no audio.
        StorageError: The disk is full.
    """
    source, kept_in = SourceVideo(path), out / CURATION / name
    try:
        sha256 = sha256_of(path) if path.is_file() else ""
    except OSError as error:
        got = f"cannot be read: {os_reason(error)}"
        raise MediaError("missing_file", str(path), got=got, do="Check its permissions and its disk") from error
    key = FacesKey(sha256, networks.detectors, "" if spec.truth else _search_digest(spec.settings))
    try:
        record = _measured(source, key, kept_in, spec, networks)
        sync = record.sync.get(networks.expert_sha256) if networks.expert else (None,) * len(record.faces)
        faces: list[SortedFace] = []
        for place, (face, agreement) in enumerate(zip(record.faces, sync or (), strict=True)):
            clip = name if place == 0 else f"{name}{face_ending(place + 1)}"
            refused = refusal(clip, face, agreement, spec.rules, is_judged=networks.expert is not None)
            shift = 0 if refused else shift_of(agreement, spec.rules)
            if refused is None:
                origin = ClipOrigin(sha256, key, face.track, spec.size_px, spec.pads, spec.pads_share, shift)
                if not _is_cut(origin, out / clip):
                    _cut(source, _found(source, key, kept_in, spec, networks), origin, out / clip)
            faces.append(SortedFace(clip, face, agreement, shift, refused))
    except OSError as error:
        raise write_problem(out / name, error) from error
    return tuple(faces)


def stills_of(out: Path, name: str, track: int) -> Path:
    """Return the path of the stills of a face.

    Args:
        out: The data set.
        name: Name of the video's clip.
        track: Number of the face.
    """
    return out / CURATION / name / f"face-{track}.jpg"


def _search_digest(settings: Settings) -> str:
    """Return a digest of all settings that decide which faces are found and followed."""
    detect, faces = settings.detect, settings.faces
    chosen = (detect.model_dump(mode="json", exclude={"checkpoint"}), faces.smooth_s, faces.max_gap_s)
    return hashlib.sha256(json.dumps(chosen, sort_keys=True).encode()).hexdigest()[:ID_CHARACTERS]


def _measured(
    source: SourceVideo, key: FacesKey, kept_in: Path, spec: PrepareSpec, networks: CurationNetworks
) -> MeasuredSource:
    speech_by = networks.speech.id if networks.speech else BY_LEVEL
    record = read_record(kept_in / _MEASURED, MeasuredSource)
    is_known = record is not None and (record.found, record.speech_by, record.most_faces) == (
        key, speech_by, spec.most_faces
    )  # fmt: skip
    expert = networks.expert_sha256
    if record is not None and is_known and (networks.expert is None or expert in record.sync):
        return record
    mel = source.mel  # a video without audio is told before its faces are looked for
    tracks = _found(source, key, kept_in, spec, networks)
    if record is None or not is_known:
        numbers = [n for n in largest(tracks, spec.most_faces) if len(frames_with(source, tracks, n)) > FRAMES]
        if not numbers:
            frames = max(len(frames_with(source, tracks, number)) for number in tracks.numbers)
            raise FaceError(
                "short_clip",
                str(source.path),
                got=f"shows a face in {frames} frames",
                must=f"more than {FRAMES} are needed",
                do="Leave it out, or give longer footage",
            )
        speech = _speech(source, networks.speech)
        faces: list[FaceMeasures] = []
        for number in numbers:
            face, strip = measure_face(source, tracks, number, speech)
            (kept_in / f"face-{number}.jpg").write_bytes(strip)
            faces.append(face)
        record = MeasuredSource("lipwise.curation/1", key, speech_by, spec.most_faces, tuple(faces), {})
    if networks.expert is not None and expert not in record.sync:
        features = mel if networks.expert.hears == "mel" else mfcc(source.own_wave)
        audio = ClipAudio(features, audio_frames(len(mel)), float(source.lead_s))
        agreement = tuple(_sync(source, tracks, face.track, networks.expert, audio) for face in record.faces)
        sync = dict(sorted({**record.sync, expert: agreement}.items()))
        record = replace(record, sync=sync)
    write_record(kept_in / _MEASURED, record)
    return record


def _found(source: SourceVideo, key: FacesKey, kept_in: Path, spec: PrepareSpec, networks: CurationNetworks) -> Tracks:
    """Return the faces of a video; those that were found by the same search before are read."""
    if read_record(kept_in / _FOUND, FacesKey) == key:
        try:
            tracks = Tracks.load(kept_in / _TRACKS)
        except (OSError, ValueError):
            tracks = None
        if tracks is not None:
            if not tracks.numbers:
                raise source.no_face()
            return replace(tracks, aspect=source.recipe.canvas.aspect)
    if spec.truth:
        tracks = source.drawn()
    else:
        assert networks.detector is not None  # the caller's choice of spec
        tracks = source.detected(networks.detector, spec.settings)
    kept_in.mkdir(parents=True, exist_ok=True)
    for earlier in (_FOUND, _MEASURED):
        (kept_in / earlier).unlink(missing_ok=True)
    tracks.save(kept_in / _TRACKS)
    write_record(kept_in / _FOUND, key)
    if not tracks.numbers:
        raise source.no_face()
    return tracks


def _speech(source: SourceVideo, detector: SpeechDetector | None) -> BoolArray:
    """Return the mask of the mel's columns in which somebody speaks."""
    if detector is None:
        return voiced(source.mel, _MIN_PAUSE_S)
    return spoken(detector.detect(source.own_wave, lambda: None), len(source.mel), _MIN_PAUSE_S)


def _sync(
    source: SourceVideo, tracks: Tracks, number: int, expert: SyncScorer, audio: ClipAudio
) -> SyncMeasures | None:
    rows = tracks.rows(number)
    lips = LipWindows(Faces(tracks.frame[rows], tracks.track[rows], tracks.box[rows]), source.grid, expert)
    read = frames_shown(Video("", source.info, source.index), source.recipe, source.grid)
    return measure_sync(lips, number, read, source.shown_size, expert, audio)


def _is_cut(origin: ClipOrigin, target: Path) -> bool:
    noted = read_record(target / NOTE, ClipNote)
    return noted is not None and noted.asked == origin


def _cut(source: SourceVideo, tracks: Tracks, origin: ClipOrigin, target: Path) -> None:
    """Cut a face out into its folder, which appears whole or not at all."""
    target.parent.mkdir(parents=True, exist_ok=True)
    with TemporaryDirectory(prefix=".partial-", dir=target.parent) as folder:
        work = Path(folder) / "clip"
        work.mkdir()
        write_wave(work / AUDIO, source.wave_from(origin.shift_frames))
        rows = tracks.rows(origin.track)
        own = {int(n): box for n, box in zip(tracks.frame[rows], tracks.box[rows], strict=True)}
        boxes = {number: _padded(box, origin, source.shown_size) for number, box in own.items()}
        frames = _write_crops(
            read_crops(source.info, source.index, boxes, origin.size_px or _own_size(boxes)), work
        )  # fmt: skip
        name = source.path.name.encode("utf-8", "backslashreplace").decode()  # the system's names are bytes
        write_record(work / NOTE, ClipNote(frames, name, origin))
        if target.exists():
            shutil.rmtree(target)
        work.replace(target)


def _padded(box: F32Array, origin: ClipOrigin, shown: Size) -> F32Array:
    height, width = float(box[3] - box[1]), float(box[2] - box[0])
    sides = (height, height, width, width)
    top, bottom, left, right = (
        pixels + share * side for pixels, share, side in zip(origin.pads, origin.pads_share, sides, strict=True)
    )
    limit = np.array([shown.width, shown.height] * 2)
    return np.clip(box + np.array([-left, -top, right, bottom]), 0, limit).astype(np.float32)


def _write_crops(crops: Iterator[tuple[int, U8Array]], folder: Path) -> int:
    """Write crops as JPEG; return how many."""
    encode = partial(cv2.imencode, ".jpg", params=[cv2.IMWRITE_JPEG_QUALITY, _QUALITY])
    frames = 0
    for number, pixels in crops:
        (folder / f"{number}.jpg").write_bytes(encode(pixels)[1].tobytes())
        frames += 1
    return frames


def _own_size(boxes: dict[int, F32Array]) -> int:
    sides = [float(max(box[2] - box[0], box[3] - box[1])) for box in boxes.values()]
    return int(np.clip(round(float(np.median(sides))), _SMALLEST_PX, _LARGEST_PX))
