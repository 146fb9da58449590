"""The delivered audio of a job: copied where that is exact, else encoded once."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, replace
from fractions import Fraction
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import av
import av.error
import numpy as np

from lipwise_ray.errors import InputError, SettingsError, StorageError
from lipwise_ray.media.audio import DecodedAudio
from lipwise_ray.media.audio_reader import BLOCK_SAMPLES, AudioReader
from lipwise_ray.media.channels import channel_names
from lipwise_ray.media.container import open_input, write_problem
from lipwise_ray.media.join import container_for
from lipwise_ray.media.probe import AudioInfo, probe_audio
from lipwise_ray.media.samples import Samples, frame_of
from lipwise_ray.values import round_half_up

if TYPE_CHECKING:
    from av.audio.codeccontext import AudioCodecContext
    from av.audio.frame import AudioFrame
    from av.audio.stream import AudioStream
    from av.container import OutputContainer
    from av.packet import Packet

_PCM = frozenset({"pcm_s16le", "pcm_s24le", "pcm_s32le", "pcm_f32le"})
LOSSLESS = frozenset({"flac", "alac"}) | _PCM
"""Codecs that give back what went in: copied where the container takes them, encoded as themselves where not."""

_COPY = {
    "mp4": {"aac", "ac3", "eac3", "mp3", "opus", "alac", "flac"},
    "mov": {"aac", "ac3", "mp3", "alac"} | _PCM,
    "matroska": {"aac", "ac3", "eac3", "mp3", "opus", "vorbis"} | LOSSLESS,
    "webm": {"opus", "vorbis"},
}
_ENCODE = {
    "mp4": ("aac", "libopus", "flac", "alac"),
    "mov": ("aac", "alac", "pcm_s16le"),
    "matroska": ("aac", "libopus", "flac", "alac", "pcm_s16le"),
    "webm": ("libopus",),
}
_PRECISE = frozenset({"pcm_s32le"})  # more than the 24 bits of float32
_AAC_RATES_HZ = (96000, 88200, 64000, 48000, 44100, 32000, 24000, 22050, 16000, 12000, 11025, 8000)
_OPUS_RATE_HZ = 48000
_PADDING_S = Fraction(30, 1000)  # encoders fill up the last packet, and few containers say how much of it
_ONE_SURROUND = frozenset({"aac", "libopus", "alac"})
_WIDE_LAYOUTS = ("5.1", "7.1")
_ODD_ORDER = (5, 7)
"""Numbers of channels that FFmpeg's libopus, left to itself, puts into another order than the stream's header says."""
_UNSTATED = {
    "matroska": (_PCM, {"mono", "stereo", "2.1", "quad", "5.0", "5.1", "6.1", "7.1"}),
    "mp4": ({"flac"}, {"mono", "stereo", "3.0", "quad", "5.0", "5.1", "6.1", "7.1"}),
}
"""Codecs of which a container states the number of channels alone, and the layouts that readers take that for."""
_FORMATS = {("flac", 16): "s16", ("flac", 24): "s32", ("alac", 16): "s16p", ("alac", 24): "s32p"}


@dataclass(frozen=True, slots=True)
class SoundtrackPlan:
    """Plan of the delivered audio.

    Attributes:
        copy: Packets are copied as they are; of a codec that is not lossless, where that turns out to be exact.
        codec: Encoder used otherwise.
        bitrate: Bits a second of the encoder, 0 for its usual value.
        duration_s: Exact length of the delivered audio; silence pads it, the end is cut.
        bits: Bits of a sample that a lossless encoder writes, 16 or 24.
    """

    copy: bool
    codec: str
    bitrate: int
    duration_s: Fraction
    bits: int = 16


def plan_soundtrack(
    info: AudioInfo, sound: DecodedAudio, container: str, codec: str, bitrate: int, duration_s: Fraction
) -> SoundtrackPlan:
    """Decide between copying and encoding.

    Args:
        info: The source stream.
        sound: Its exact length.
        container: FFmpeg name of the target container.
        codec: ``auto``, ``copy``, or an encoder's name.
        bitrate: Bits a second, 0 for the encoder's usual value.
        duration_s: Length wanted; equal to the audio's own when nothing is cut or padded.

    Raises:
        SettingsError: ``copy`` was asked for but cannot be exact.
    """
    if codec not in ("auto", "copy", *_ENCODE[container]):
        raise SettingsError(
            "audio_container",
            f"encode.audio.codec = {codec}",
            got=f"{container} cannot carry that codec",
            must=f"it can carry {', '.join(_ENCODE[container])}",
            do='Use encode.audio.codec = "auto"',
        )
    name = canonical(info.codec)
    same = name.replace("be", "le") if name.startswith("pcm_") else name
    is_told = _tells_layout(container, same, info.layout)
    fitting = name in _COPY[container] and is_told
    whole = duration_s == sound.duration_s and not info.lead_s and sound.is_even
    if codec == "copy" and not (whole and fitting):
        reason = f"it is {name}, which {container} does not carry"
        if not is_told:
            reason = f"its channels are {info.layout}, which {container} cannot say of {name}"
        elif fitting:
            reason = "its length has to be cut or padded" if sound.is_even else _unevenness(sound)
        raise copy_impossible(info, container, reason)
    is_lossless = name in LOSSLESS or name.startswith("pcm_")
    bits = info.bits if is_lossless else 16
    encoder = codec
    if codec in ("auto", "copy"):
        usual = "libopus" if container == "webm" else "aac"
        encoder = same if same in LOSSLESS & _COPY[container] else usual
        if not is_told:
            encoder = "flac" if container == "matroska" else usual
    copy = codec in ("auto", "copy") and whole and fitting
    return SoundtrackPlan(copy, encoder, 0 if encoder in LOSSLESS else bitrate, duration_s, bits)


def _tells_layout(container: str, codec: str, layout: str) -> bool:
    """Tell whether who reads a file learns which channels its audio has, and not their number alone."""
    codecs, assumed = _UNSTATED.get(container, (frozenset[str](), set[str]()))
    return codec not in codecs or layout.replace("(side)", "") in assumed


def canonical(decoder: str) -> str:
    """Return the name of a decoder's codec."""
    return {"mp3float": "mp3"}.get(decoder, decoder)


def copy_impossible(info: AudioInfo, container: str, reason: str) -> SettingsError:
    """Return the error for an audio stream that was to be copied, and cannot be."""
    return SettingsError(
        "copy_impossible",
        str(info.path),
        got=f"its audio cannot be copied into {container} as it is: {reason}",
        do='Use encode.audio.codec = "auto"',
    )


def _unevenness(sound: DecodedAudio) -> str:
    return "its rate or channels change" if sound.changes else f"its time stamps have {sound.holes} holes"


def add_soundtrack(
    output: OutputContainer, info: AudioInfo, plan: SoundtrackPlan, *, salvage: bool = False
) -> Iterator[Packet[Any]]:
    """Add the audio stream to an output file and return its packets, in order.

    The stream is added at once; the packets are made while they are taken.

    Args:
        output: The file that is being muxed.
        info: The source stream.
        plan: Copy or encoding by which it is delivered.
        salvage: Keep what decodes of a damaged stream.
    """
    if plan.copy:
        return _copied(output, info, plan)
    rate_hz = _encoder_rate(plan.codec, info.rate_hz)
    options = {"b": str(plan.bitrate or 64_000 * min(info.channels, 6))} if plan.codec in ("aac", "libopus") else {}
    sample_format = _FORMATS.get((plan.codec, plan.bits))
    try:
        layout = _encoder_layout(plan.codec, rate_hz, info.layout, output.format.name)
        if plan.codec == "libopus" and len(channel_names(layout)) in _ODD_ORDER:
            options["mapping_family"] = "1"
        stream: AudioStream = output.add_stream(plan.codec, rate=rate_hz, options=options)  # type: ignore[assignment]  # an audio codec gives an audio stream
        stream.codec_context.layout = layout
        if sample_format:
            stream.codec_context.format = sample_format
        stream.codec_context.open()
    except (av.error.FFmpegError, ValueError, TypeError) as error:
        raise SettingsError(
            "audio_encoder",
            f"encode.audio.codec = {plan.codec}",
            got=f"refused {info.channels} channels at {rate_hz} Hz: {error}",
            do='Use encode.audio.codec = "auto"',
        ) from error
    return _encoded(stream, info, plan, salvage=salvage)


def write_soundtrack(target: Path, info: AudioInfo, plan: SoundtrackPlan, *, salvage: bool = False) -> SoundtrackPlan:
    """Write an audio stream to a file of its own, whose packets can be copied into a file of the same container.

    Args:
        target: The file; its ending chooses the container.
        info: The source stream.
        plan: Copy or encoding by which it is delivered.
        salvage: Keep what decodes of a damaged stream.

    Returns:
        The plan, without `copy` where a copy turned out not to be exact and the audio was encoded.

    Raises:
        SettingsError: The encoder does not open.
        MediaError: The source is damaged.
        StorageError: The disk is full.
    """
    if plan.copy:
        try:
            _write(target, info, plan, salvage=salvage)
            if _is_exact(info, target):
                return plan
        except (av.error.FFmpegError, ValueError) as error:  # the container refuses packets like these
            if isinstance(error, OSError) and isinstance(problem := write_problem(target, error), StorageError):
                raise problem from error
        plan = replace(plan, copy=False)
    _write(target, info, plan, salvage=salvage)
    return plan


def _write(target: Path, info: AudioInfo, plan: SoundtrackPlan, *, salvage: bool) -> None:
    try:
        with av.open(str(target), "w", format=container_for(target)) as output:
            for packet in add_soundtrack(output, info, plan, salvage=salvage):
                output.mux_one(packet)
    except OSError as error:
        if plan.copy:
            raise
        raise write_problem(target, error) from error


def _is_exact(info: AudioInfo, copy: Path) -> bool:
    """Tell whether a copied audio stream decodes to the same samples at the same times as its source.

    Encoders' delays and the end of the last packet are kept by some containers and lost by others, which no table can
    tell for every file; so both are decoded.
    """
    try:
        copied = probe_audio(copy)
        if copied.lead_s:
            return False
        wanted, copied_reader = AudioReader(info), AudioReader(copied)
        pairs = _pairs(wanted.blocks(info.rate_hz, info.layout), copied_reader.blocks(info.rate_hz, info.layout))
        is_equal = all(np.array_equal(block, other_block) for block, other_block in pairs)
    except InputError:
        return False
    off_s = abs(wanted.findings.length_s - copied_reader.findings.length_s)
    return is_equal and off_s <= _PADDING_S and not copied_reader.findings.holes


def _pairs(ones: Iterator[Samples], others: Iterator[Samples]) -> Iterator[tuple[Samples, Samples]]:
    """Yield two audio streams side by side, in blocks of equal length, until one ends and to the end of both."""
    block = other_block = None
    while True:
        block = next(ones, None) if block is None or not block.shape[1] else block
        other_block = next(others, None) if other_block is None or not other_block.shape[1] else other_block
        if block is None or other_block is None:
            deque(ones, maxlen=0)
            deque(others, maxlen=0)
            return
        count = min(block.shape[1], other_block.shape[1])
        yield block[:, :count], other_block[:, :count]
        block, other_block = block[:, count:], other_block[:, count:]


def _copied(output: OutputContainer, info: AudioInfo, plan: SoundtrackPlan) -> Iterator[Packet[Any]]:
    container = open_input(info.path)
    source = next(s for s in container.streams.audio if s.index == info.stream_index)
    stream = output.add_stream_from_template(source, opaque=True)
    tick_s, start = source.time_base or Fraction(1), source.start_time or 0
    is_coarse = tick_s * source.codec_context.sample_rate > 1 and output.format.name in ("mp4", "mov")

    def packets() -> Iterator[Packet[Any]]:
        with container:
            sized: Iterator[Packet[Any]] = (packet for packet in container.demux(source) if packet.size)
            if is_coarse:
                yield from _counted(sized, stream)
                return
            following = next(sized, None)
            while following is not None:
                packet, following = following, next(sized, None)
                if packet.pts is not None:
                    packet.pts -= start
                    left = round_half_up(plan.duration_s / tick_s) - packet.pts
                    if following is None and 0 < left < (packet.duration or 0):
                        packet.duration = left  # the rest of the last packet fills it up
                if packet.dts is not None:
                    packet.dts -= start
                packet.stream = stream
                yield packet

    return packets()


def _counted(packets: Iterator[Packet[Any]], stream: AudioStream) -> Iterator[Packet[Any]]:
    """Yield packets stamped by the samples that they decode to, for stamps of milliseconds in a container of samples.

    The first one's decoder delay comes before 0; all are taken to be as long as the longest so far.
    """
    held: list[tuple[Packet[Any], int]] = []  # the first packet waits for the second to know how long it is
    done = 0
    for packet in packets:
        frames = cast("list[AudioFrame]", packet.decode())
        held.append((packet, sum(frame.samples for frame in frames)))
        rate_hz = frames[0].sample_rate if frames else stream.codec_context.sample_rate
        if len(held) == 1 and not done:
            continue
        longest = max(samples for _, samples in held)
        for waiting, samples in held:
            is_first = not done
            waiting.time_base = Fraction(1, rate_hz)
            waiting.pts = waiting.dts = samples - longest if is_first else done
            waiting.duration = longest if is_first else samples
            done += samples
            waiting.stream = stream
            yield waiting
        held = []
    for waiting, samples in held:  # the only packet
        waiting.pts = waiting.dts = 0
        waiting.time_base, waiting.duration = Fraction(1, stream.codec_context.sample_rate), samples
        waiting.stream = stream
        yield waiting


def _encoder_rate(codec: str, rate_hz: int) -> int:
    if codec == "libopus":
        return _OPUS_RATE_HZ
    if codec == "aac":
        return min(_AAC_RATES_HZ, key=lambda candidate: (candidate < rate_hz, abs(candidate - rate_hz)))
    return rate_hz


def _encoder_layout(codec: str, rate_hz: int, layout: str, container: str) -> str:
    """Return the layout that is closest to an audio stream's, that an encoder writes and a container tells.

    Raises:
        FFmpegError: It writes none.
    """
    count = len(channel_names(layout))
    unsided = layout.replace("(side)", "")  # loudspeakers beside or behind: AAC and Opus know one such pair
    wider = [name for name in _WIDE_LAYOUTS if len(channel_names(name)) >= count]
    candidates = [*([] if codec in _ONE_SURROUND else [layout]), unsided, *wider, "stereo"]
    refused: Exception | None = None
    for candidate in (name for name in candidates if _tells_layout(container, codec, name)):
        context = cast("AudioCodecContext", av.CodecContext.create(codec, "w"))
        context.sample_rate, context.layout = rate_hz, candidate
        context.format = (context.codec.audio_formats or ["s16"])[0]
        try:
            context.open()
        except (av.error.FFmpegError, ValueError) as error:
            refused = refused or error
        else:
            return candidate
    assert refused is not None
    raise refused


def _encoded(stream: AudioStream, info: AudioInfo, plan: SoundtrackPlan, *, salvage: bool) -> Iterator[Packet[Any]]:
    context = stream.codec_context
    rate_hz, layout = context.sample_rate, context.layout.name
    wanted = -(-plan.duration_s.numerator * rate_hz // plan.duration_s.denominator)
    precise = plan.codec in _PRECISE
    kind = "dbl" if precise else "flt"
    to_encoder = av.AudioResampler(
        format=context.format, layout=context.layout, rate=rate_hz, frame_size=context.frame_size or None
    )

    def pieces() -> Iterator[av.AudioFrame]:
        left = wanted
        blocks = AudioReader(info, salvage=salvage, precise=precise).blocks(rate_hz, layout)
        for block in chain(blocks, _silence(context.channels, precise=precise)):
            fitted = block[:, :left]
            left -= fitted.shape[1]
            yield from to_encoder.resample(frame_of(fitted, kind, layout, rate_hz))
            if left <= 0:
                break
        yield from to_encoder.resample(None)

    sent = 0
    for piece in pieces():
        piece.pts, piece.time_base = sent, Fraction(1, rate_hz)
        sent += piece.samples
        yield from stream.encode(piece)
    yield from stream.encode(None)


def _silence(channels: int, *, precise: bool) -> Iterator[Samples]:
    """Yield silence without end."""
    while True:
        yield np.zeros((channels, BLOCK_SAMPLES), np.float64 if precise else np.float32)
