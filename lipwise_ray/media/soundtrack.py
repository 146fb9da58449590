"""The delivered sound of a job: copied where that is exact, else encoded once."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Any

import av
import av.error
import numpy as np

from lipwise_ray.errors import SettingsError
from lipwise_ray.media.audio import Sound, decode_audio
from lipwise_ray.media.container import open_input, write_problem
from lipwise_ray.media.join import container_for
from lipwise_ray.media.probe import AudioInfo
from lipwise_ray.media.samples import frame_of, samples_of

if TYPE_CHECKING:
    from av.audio.stream import AudioStream
    from av.container import OutputContainer
    from av.packet import Packet

# Codec and source container pairs whose packets keep their timing when they are copied, by the
# target container. MP3 is missing on purpose: its encoder delay is not carried over.
_COPY = {
    "mp4": {"aac", "ac3", "eac3", "alac", "flac"},
    "mov": {"aac", "ac3", "alac", "pcm_s16le", "pcm_s24le", "pcm_s32le", "pcm_f32le"},
    "matroska": {"ac3", "eac3", "flac", "pcm_s16le", "pcm_s24le", "pcm_s32le", "pcm_f32le"},
    "webm": set[str](),
}
_ENCODE = {
    "mp4": ("aac", "libopus", "flac", "alac"),
    "mov": ("aac", "alac", "pcm_s16le"),
    "matroska": ("aac", "libopus", "flac", "alac", "pcm_s16le"),
    "webm": ("libopus",),
}
_COPY_FROM = ("mov,mp4,m4a,3gp,3g2,mj2", "wav", "flac")
_AAC_RATES_HZ = (96000, 88200, 64000, 48000, 44100, 32000, 24000, 22050, 16000, 12000, 11025, 8000)
_OPUS_RATE_HZ = 48000
_BLOCK_SAMPLES = 1 << 14


@dataclass(frozen=True, slots=True)
class SoundtrackPlan:
    """How the sound is delivered.

    Attributes:
        copy: Packets are copied as they are.
        codec: Encoder used otherwise.
        bitrate: Bits a second of the encoder, 0 for its usual value.
        duration_s: Exact length of the delivered sound; silence pads it, the end is cut.
    """

    copy: bool
    codec: str
    bitrate: int
    duration_s: Fraction


def plan_soundtrack(
    info: AudioInfo, sound: Sound, container: str, codec: str, bitrate: int, duration_s: Fraction
) -> SoundtrackPlan:
    """Decide between copying and encoding.

    Args:
        info: The source stream.
        sound: Its exact length.
        container: FFmpeg name of the target container.
        codec: ``auto``, ``copy``, or an encoder's name.
        bitrate: Bits a second, 0 for the encoder's usual value.
        duration_s: Length wanted; equal to the sound's own when nothing is cut or padded.

    Raises:
        SettingsError: ``copy`` was asked for but cannot be exact.
    """
    if codec not in ("auto", "copy", *_ENCODE[container]):
        raise SettingsError(
            "audio_container",
            f"encode.audio.codec = {codec}",
            f"must be one that {container} can carry ({', '.join(_ENCODE[container])})",
            "",
            'Use encode.audio.codec = "auto"',
        )
    whole = duration_s == sound.duration_s and not info.lead_s
    possible = whole and info.codec in _COPY.get(container, set()) and info.container in _COPY_FROM
    if codec == "copy" and not possible:
        reason = f"{info.codec} in {info.container.split(',')[0]}" if whole else "a length that must be cut or padded"
        raise SettingsError(
            "copy_impossible",
            str(info.path),
            f"needs sound that {container} can take as it is for encode.audio.codec = copy",
            reason,
            'Use encode.audio.codec = "auto"',
        )
    if codec in ("auto", "copy") and possible:
        return SoundtrackPlan(copy=True, codec=info.codec, bitrate=0, duration_s=duration_s)
    if codec == "auto":
        codec = "libopus" if container == "webm" else "aac"
    return SoundtrackPlan(copy=False, codec=codec, bitrate=bitrate, duration_s=duration_s)


def add_soundtrack(
    output: OutputContainer, info: AudioInfo, plan: SoundtrackPlan, *, salvage: bool = False
) -> Iterator[Packet[Any]]:
    """Add the audio stream to an output file and return its packets, in order.

    The stream is added at once; the packets are made while they are taken.
    """
    if plan.copy:
        return _copied(output, info)
    rate_hz = _encoder_rate(plan.codec, info.rate_hz)
    options = {"b": str(plan.bitrate or 64_000 * min(info.channels, 6))} if plan.codec in ("aac", "libopus") else {}
    try:
        stream: AudioStream = output.add_stream(plan.codec, rate=rate_hz, options=options)  # type: ignore[assignment]  # an audio codec gives an audio stream
        stream.codec_context.layout = _encoder_layout(plan.codec, info.layout)
        stream.codec_context.open()
    except (av.error.FFmpegError, ValueError, TypeError) as error:
        raise SettingsError(
            "audio_encoder",
            f"encode.audio.codec = {plan.codec}",
            f"must encode {info.channels} channels at {rate_hz} Hz into this container",
            str(error),
            'Use encode.audio.codec = "auto"',
        ) from error
    return _encoded(stream, info, plan, salvage=salvage)


def write_soundtrack(target: Path, info: AudioInfo, plan: SoundtrackPlan, *, salvage: bool = False) -> None:
    """Encode a sound to a file of its own, whose packets can be copied into a file of the same container.

    Args:
        target: The file; its ending chooses the container.
        info: The source stream.
        plan: How it is delivered; must not be a copy.
        salvage: Keep what decodes of a damaged stream.

    Raises:
        SettingsError: The encoder does not open.
        MediaError: The source is damaged.
        StorageError: The disk is full.
    """
    try:
        with av.open(str(target), "w", format=container_for(target)) as output:
            for packet in add_soundtrack(output, info, plan, salvage=salvage):
                output.mux_one(packet)
    except OSError as error:
        raise write_problem(target, error) from error


def _copied(output: OutputContainer, info: AudioInfo) -> Iterator[Packet[Any]]:
    container = open_input(info.path)
    source = next(s for s in container.streams.audio if s.index == info.stream_index)
    stream = output.add_stream_from_template(source, opaque=True)

    def packets() -> Iterator[Packet[Any]]:
        with container:
            for packet in container.demux(source):
                if packet.size:
                    packet.stream = stream
                    yield packet

    return packets()


def _encoder_rate(codec: str, rate_hz: int) -> int:
    if codec == "libopus":
        return _OPUS_RATE_HZ
    if codec == "aac":
        return min(_AAC_RATES_HZ, key=lambda candidate: (candidate < rate_hz, abs(candidate - rate_hz)))
    return rate_hz


def _encoder_layout(codec: str, layout: str) -> str:
    if codec == "libopus" and layout.startswith("5.1"):
        return "5.1"
    return layout


def _encoded(stream: AudioStream, info: AudioInfo, plan: SoundtrackPlan, *, salvage: bool) -> Iterator[Packet[Any]]:
    context = stream.codec_context
    rate_hz = context.sample_rate
    wanted = -(-plan.duration_s.numerator * rate_hz // plan.duration_s.denominator)
    to_encoder = av.AudioResampler(
        format=context.format, layout=context.layout, rate=rate_hz, frame_size=context.frame_size or None
    )

    def pieces() -> Iterator[av.AudioFrame]:
        for frame in _source_frames(info, plan, salvage=salvage):
            frame.pts = None
            yield from to_encoder.resample(frame)
        yield from to_encoder.resample(None)

    sent = 0
    for piece in pieces():
        left = wanted - sent
        if left <= 0:
            break
        fitted = piece if piece.samples <= left else _head(piece, left)
        fitted.pts, fitted.time_base = sent, Fraction(1, rate_hz)
        sent += fitted.samples
        yield from stream.encode(fitted)
    yield from stream.encode(None)


def _source_frames(info: AudioInfo, plan: SoundtrackPlan, *, salvage: bool) -> Iterator[av.AudioFrame]:
    """Yield the sound with silence before and after, at least `duration_s` long."""
    planned = -(-plan.duration_s.numerator * info.rate_hz // plan.duration_s.denominator)
    done = 0
    lead = round(info.lead_s * info.rate_hz)
    for frame in _silence(info, lead):
        done += frame.samples
        yield frame
    to_float = av.AudioResampler(format="flt", layout=info.layout, rate=info.rate_hz)
    for frame in decode_audio(info, salvage=salvage):
        for piece in to_float.resample(frame):
            done += piece.samples
            yield piece
        if done >= planned:
            return
    # A resampler holds back a little: give it more than it needs, the end is cut exactly.
    yield from _silence(info, planned - done + info.rate_hz // 10 if planned > done else 0)


def _silence(info: AudioInfo, samples: int) -> Iterator[av.AudioFrame]:
    while samples > 0:
        count = min(samples, _BLOCK_SAMPLES)
        samples -= count
        yield frame_of(np.zeros((info.channels, count), np.float32), "flt", info.layout, info.rate_hz)


def _head(frame: av.AudioFrame, samples: int) -> av.AudioFrame:
    layout, rate_hz = frame.layout, frame.sample_rate
    packed, *_ = av.AudioResampler(format=frame.format.packed, layout=layout, rate=rate_hz).resample(frame)
    cut = frame_of(samples_of(packed)[:, :samples], packed.format.name, layout.name, rate_hz)
    short, *_ = av.AudioResampler(format=frame.format, layout=layout, rate=rate_hz).resample(cut)
    return short
