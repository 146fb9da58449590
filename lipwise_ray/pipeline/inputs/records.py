"""Records of a job's inputs, kept in the state: the frame index of a video, the mel of a sound."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import numpy as np

from lipwise_ray.errors import InputError, StorageError
from lipwise_ray.lipsync.audio_features import AudioEncoder
from lipwise_ray.lipsync.mel import write_mel
from lipwise_ray.lipsync.voice_activity import SpeechDetector, spoken, voiced
from lipwise_ray.media.audio import DecodedAudio, extract_network_audio
from lipwise_ray.media.container import write_problem
from lipwise_ray.media.image_sequence import USUAL_RATE
from lipwise_ray.media.index import FrameIndex, build_index
from lipwise_ray.media.limits import check_duration, check_size
from lipwise_ray.media.network_mix import NetworkMix
from lipwise_ray.media.probe import AudioInfo, VideoInfo, probe_audio, probe_video
from lipwise_ray.metrics.mfcc import mfcc
from lipwise_ray.pipeline.inputs.encoded_audio import has_states, keep_states
from lipwise_ray.settings.model import LimitsSettings
from lipwise_ray.state import layout
from lipwise_ray.state.delivered_records import HeardRecord
from lipwise_ray.state.ids import PIPELINE_VERSION
from lipwise_ray.state.input_records import MixRecord, SoundRecord
from lipwise_ray.state.shapes import read_typed, record_of
from lipwise_ray.state.store import Store, load_file, to_json
from lipwise_ray.storage.arrays import ArraySpec, map_npy, read_npz
from lipwise_ray.storage.digest import sha256_of
from lipwise_ray.storage.scratch import scratch_file
from lipwise_ray.storage.stream_choice import StreamChoice
from lipwise_ray.values import BoolArray, FloatArray

_COLUMNS = ArraySpec("float32", ("C", "B"), kinds="f")
_SPEECH = {"probability": ArraySpec("float32", ("W",), kinds="f", is_finite=True)}


def keep_record(store: Store, scratch: Path, key: str, save: Callable[[Path], None]) -> None:
    """Write a record's file and put it into the state.

    Args:
        store: The state.
        scratch: Folder for temporary files.
        key: Key of the record.
        save: Writes the record to the path that it is given.
    """
    with scratch_file(scratch, "record.npz") as temporary:
        save(temporary)
        store.put_file(key, temporary)


@dataclass(frozen=True, slots=True)
class Video:
    """A source video that has been indexed."""

    id: str
    info: VideoInfo
    index: FrameIndex

    @property
    def is_still(self) -> bool:
        """True for a still image, whose length is no number of frames; also for one in a container for many."""
        return self.info.is_still or len(self.index) == 1


@dataclass(frozen=True, slots=True)
class Audio:
    """A sound that has been decoded. ``mel_key`` names its mel in the state."""

    id: str
    info: AudioInfo
    sound: DecodedAudio
    mel_columns: int
    mel_key: str


def open_video(
    store: Store,
    scratch: Path,
    path: Path,
    video_id: str,
    *,
    salvage: bool,
    limits: LimitsSettings | None = None,
    rate: Fraction = USUAL_RATE,
    choice: StreamChoice | None = None,
) -> Video:
    """Return a video's record; its index is built once for its content. An image sequence has that `rate`.

    Args:
        store: The state.
        scratch: Folder for temporary files.
        path: A local file, or a series of images.
        video_id: Names its content.
        salvage: Index the frames that decode, also of a damaged file.
        limits: Limits on its size; None for the default ones.
        rate: Frames a second of an image sequence.
        choice: The stream; None for the file's usual one.

    Raises:
        MediaError: The video cannot be used, or is too large.
    """
    limits = limits or LimitsSettings()
    info = probe_video(path, limits, rate, choice)
    key = layout.index(video_id, salvage=salvage)
    saved = load_file(store, key, FrameIndex.load)
    index = saved if saved is not None else build_index(info, salvage=salvage)
    check_duration((index.end_pts - int(index.pts[0])) * index.time_base, path, limits)
    for size in index.sizes:  # the canvas is as large as the largest
        check_size(size, path, limits)
    if saved is not None:
        return Video(video_id, info, saved)
    with scratch_file(scratch, "index.npz") as temporary:
        index.save(temporary)
        store.put_file(key, temporary)
    return Video(video_id, info, index)


def open_audio(
    store: Store,
    scratch: Path,
    path: Path,
    audio_id: str,
    *,
    salvage: bool,
    limits: LimitsSettings | None = None,
    choice: StreamChoice | None = None,
    speech: SpeechDetector | None = None,
    encoder: AudioEncoder | None = None,
    on_block: Callable[[], None] = lambda: None,
) -> Audio:
    """Return a sound's record; it is decoded and its mel and cepstra computed once for its content.

    Args:
        store: The state.
        scratch: Folder for temporary files.
        path: A local file.
        audio_id: Names its content.
        salvage: Keep what decodes of a damaged stream.
        limits: Limits on its size and length; None for the default ones, by the header alone.
        choice: The stream; None for the file's usual one.
        speech: Tells speech from pauses, once for its content too.
        encoder: Its states are computed and kept, once for its content too, or None.
        on_block: Called now and then while it does.

    Raises:
        MediaError: The file cannot be opened, is damaged or too large.
        AudioError: It has no sound that can be used.
    """
    info, mel_key = probe_audio(path, limits, choice), layout.mel(audio_id, salvage=salvage)
    saved = known_sound(store, audio_id, salvage=salvage, speech=speech)
    is_encoded = encoder is None or has_states(store, audio_id, encoder, salvage=salvage)
    if saved is not None and is_encoded:
        return Audio(audio_id, saved[0].described(info), *saved, mel_key)
    with scratch_file(scratch, "wave.f32") as wave:
        sound = extract_network_audio(info, wave, salvage=salvage, limits=limits)
        if encoder is not None and not is_encoded:
            gain = sound.heard.gain
            keep_states(store, scratch, audio_id, wave, encoder, gain=gain, salvage=salvage, on_block=on_block)
        if saved is not None:
            return Audio(audio_id, saved[0].described(info), *saved, mel_key)
        if speech is not None:
            probability = speech.detect(np.memmap(wave, np.float32, "r"), on_block).astype(np.float16)
            key = layout.speech(audio_id, speech.id, salvage=salvage)
            keep_record(store, scratch, key, lambda file: np.savez_compressed(file, probability=probability))
        columns = keep_sound(store, scratch, audio_id, sound, wave, wave, salvage=salvage, gain=sound.heard.gain)
    return Audio(audio_id, sound.described(info), sound, columns, mel_key)


def keep_sound(
    store: Store,
    scratch: Path,
    audio_id: str,
    sound: DecodedAudio,
    own: Path,
    heard: Path,
    *,
    salvage: bool,
    gain: float = 1.0,
) -> int:
    """Keep a sound's mel, cepstra and record, and return the columns of its mel.

    Args:
        store: The state.
        scratch: Folder for temporary files.
        audio_id: Names the sound.
        sound: Findings of decoding it.
        own: Its raw float32 samples as loud as they are, mono at 16 kHz, of which the cepstra are made.
        heard: Those of which the mel is made.
        salvage: What decodes of a damaged stream was kept.
        gain: Factor by which these are made louder first.

    Raises:
        AudioError: It holds NaN.
        StorageError: The disk is full.
    """
    with scratch_file(scratch, "mel.npy") as mel, scratch_file(scratch, "mfcc.npy") as cepstra:
        try:
            columns = write_mel(heard, mel, gain=gain)
            np.save(cepstra, mfcc(np.memmap(own, np.float32, "r")))
        except OSError as error:
            raise write_problem(mel, error) from error
        hashes = {"mel_sha256": sha256_of(mel), "mfcc_sha256": sha256_of(cepstra)}
        store.put_file(layout.mel(audio_id, salvage=salvage), mel)
        store.put_file(layout.cepstra(audio_id, salvage=salvage), cepstra)
    record = SoundRecord(
        pipeline=PIPELINE_VERSION,
        layout=sound.layout,
        heard=MixRecord(dict(sound.heard.mixes), sound.heard.lufs),
        holes=sound.holes,
        hole_s=sound.hole_s,
        changes=sound.changes,
        samples=sound.samples,
        rate_hz=sound.rate_hz,
        mel_columns=columns,
        **hashes,
    )
    store.write(layout.sound(audio_id, salvage=salvage), to_json(record_of(record)))
    return columns


def known_sound(
    store: Store, audio_id: str, *, salvage: bool, speech: SpeechDetector | None = None
) -> tuple[DecodedAudio, int] | None:
    """Return a sound's length and the columns of its mel, when its record, mel, cepstra and pauses are whole.

    Args:
        store: The state.
        audio_id: Names the sound's content.
        salvage: It was opened as one that may be damaged.
        speech: Tells speech from pauses; its record has to be whole, too.
    """
    record = read_typed(store, layout.sound(audio_id, salvage=salvage), SoundRecord)
    if record is None:
        return None
    for sha256, key_of in ((record.mel_sha256, layout.mel), (record.mfcc_sha256, layout.cepstra)):
        file = store.fetch(key_of(audio_id, salvage=salvage))
        if file is None or sha256 != sha256_of(file):
            return None
    if speech is not None and _probability(store, audio_id, speech, salvage=salvage) is None:
        return None
    sound = _sound(record)
    columns = open_columns(store, layout.mel(audio_id, salvage=salvage))
    return (sound, record.mel_columns) if sound and len(columns) == record.mel_columns else None


def lead_s(info: VideoInfo) -> Fraction:
    """Return the seconds by which a video's first frame comes later than its own audio.

    Audio that starts later than the first frame is decoded with silence before it, so this is never negative.
    """
    if info.sound_start_s is None:
        return Fraction(0)
    return max(Fraction(0), info.start_s - info.sound_start_s)


def own_audio(
    store: Store,
    scratch: Path,
    video: Video,
    *,
    salvage: bool,
    limits: LimitsSettings,
    speech: SpeechDetector | None = None,
) -> Audio | None:
    """Return the original audio of a video, or None where it cannot be used.

    Args:
        store: The state.
        scratch: Folder for temporary files.
        video: The video.
        salvage: Keep what decodes of a damaged stream.
        limits: Limits on its size and length.
        speech: Tells speech from pauses, once for its content too.
    """
    try:
        return open_audio(store, scratch, video.info.path, video.id, salvage=salvage, limits=limits, speech=speech)
    except InputError:
        return None


def voices(
    store: Store, audio_id: str, min_pause_s: float, *, salvage: bool, speech: SpeechDetector | None
) -> BoolArray:
    """Return a mask of the columns of a sound's mel that hold speech.

    Args:
        store: The state.
        audio_id: Names the sound.
        min_pause_s: Shorter pauses count as speech.
        salvage: Whether what decodes of it was kept.
        speech: Detector that told speech from pauses; None goes by the level.

    Raises:
        StorageError: A record of it is gone.
    """
    mel = open_columns(store, layout.mel(audio_id, salvage=salvage))
    if speech is not None:
        probability = _probability(store, audio_id, speech, salvage=salvage)
        if probability is None:
            key = layout.speech(audio_id, speech.id, salvage=salvage)
            raise StorageError("no_speech", key, got="missing or damaged in the state", do="Run the same command again")
        return spoken(probability, len(mel), min_pause_s)
    return voiced(mel, min_pause_s)


def _probability(store: Store, audio_id: str, speech: SpeechDetector, *, salvage: bool) -> FloatArray | None:
    key = layout.speech(audio_id, speech.id, salvage=salvage)
    found = load_file(store, key, lambda path: read_npz(path, _SPEECH))
    return None if found is None else found["probability"]


def sound_of(store: Store, audio_id: str, *, salvage: bool) -> DecodedAudio | None:
    """Return a sound's length when it was opened before; its mel and cepstra are not looked at.

    Args:
        store: The state.
        audio_id: Names the sound's content.
        salvage: It was opened as one that may be damaged.
    """
    known = read_typed(store, layout.sound(audio_id, salvage=salvage), SoundRecord)
    return _sound(known) if known else None


def _sound(record: SoundRecord) -> DecodedAudio | None:
    """Return the sound of a record; None where another version of the pipeline made it, which heard otherwise."""
    if record.pipeline != PIPELINE_VERSION:
        return None
    return DecodedAudio(
        record.samples,
        record.rate_hz,
        record.layout,
        NetworkMix(record.heard.mixes, record.heard.lufs),
        record.holes,
        record.hole_s,
        record.changes,
    )


def heard_record(sound: DecodedAudio) -> HeardRecord:
    """Return the network mix of an audio stream for results: layout, loudness and gain, and repaired gaps."""
    mixes = sorted(sound.heard.mixes.items())
    return HeardRecord(
        mix=mixes[0][1] if len(mixes) == 1 else "; ".join(f"{channels}: {mix}" for channels, mix in mixes),
        lufs=sound.heard.lufs,
        gain_db=round(20 * math.log10(sound.heard.gain), 2),
        holes=sound.holes,
        hole_s=round(sound.hole_s, 4),
        changes=sound.changes,
    )


def open_columns(store: Store, key: str) -> FloatArray:
    """Return a mel, shape (columns, 80), or cepstra, shape (columns, 13), as a memory map.

    Raises:
        StorageError: They are gone, or damaged: then they are removed, to be made again.
    """
    found = load_file(store, key, lambda path: map_npy(path, _COLUMNS))
    if found is None:
        raise StorageError("no_mel", key, got="missing or damaged in the state", do="Run the same command again")
    return found
