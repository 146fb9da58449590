"""Probing of media files: streams, size, orientation, colour, audio."""

from __future__ import annotations

from contextlib import closing
from dataclasses import dataclass, replace
from fractions import Fraction
from itertools import islice
from numbers import Rational
from pathlib import Path
from typing import TYPE_CHECKING

import av
import av.error
from av.sidedata.sidedata import Type

from lipwise_ray.errors import AudioError, MediaError
from lipwise_ray.media.colours import tags_of
from lipwise_ray.media.container import decode_problem, open_input, reading
from lipwise_ray.media.fields import FieldOrder, field_order
from lipwise_ray.media.hdr import NO_HDR, Hdr, hdr_of
from lipwise_ray.media.image_sequence import (
    SERIES,
    USUAL_RATE,
    WEBP_ANIMATION,
    WEBP_TICK,
    is_series,
    open_webp,
    series_files,
    webp_size,
)
from lipwise_ray.media.limits import check_container, check_duration, check_frame_size, check_size
from lipwise_ray.media.orientation import UPRIGHT, Orientation, read_matrix
from lipwise_ray.media.side_data import side_data
from lipwise_ray.media.usual_streams import audio_stream, chosen_stream, refuse_unknown, video_stream
from lipwise_ray.settings.model import LimitsSettings
from lipwise_ray.storage.stream_choice import StreamChoice
from lipwise_ray.values import ColorTags, Size

if TYPE_CHECKING:
    from av.audio.codeccontext import AudioCodecContext
    from av.audio.layout import AudioLayout
    from av.audio.stream import AudioStream
    from av.container import InputContainer
    from av.video.frame import VideoFrame
    from av.video.stream import VideoStream

_STILL_FORMATS = {"png_pipe", "jpeg_pipe", "webp_pipe", "bmp_pipe", "tiff_pipe"}
_STILL_CODECS = {"png", "webp", "bmp", "tiff", "gif"}
_WEB_CODECS = {"gif", "webp", "apng"}
_OPAQUE = 255
_EXTRAS = {
    Type.DYNAMIC_HDR_PLUS: "HDR10+",
    Type.DOVI_METADATA: "Dolby Vision",
    Type.DYNAMIC_HDR_VIVID: "HDR Vivid",
    Type.STEREO3D: "stereo 3D",
    Type.SPHERICAL: "spherical projection",
    Type.A53_CC: "closed captions",
    Type.ICC_PROFILE: "ICC profile",
}
_FIRST_FRAME_PACKETS = 500
_MOST_FRAMES_CHECKED = 250  # frames of a GIF
_SHORT_FORMATS = ("u8", "s16")
_USUAL_LAYOUTS = {1: "mono", 2: "stereo", 3: "2.1", 4: "quad", 5: "5.0", 6: "5.1", 7: "6.1", 8: "7.1"}


@dataclass(frozen=True, slots=True)
class VideoInfo:
    """One video stream.

    Attributes:
        path: The file; the folder or pattern of an image sequence.
        container: FFmpeg's name of the container.
        stream_index: Number of the stream in it.
        codec: Name of its codec.
        size: Size of the stored frame; laid out by `orientation` it is what a player shows.
        pixel_format: FFmpeg's name of its format.
        time_base: Seconds a tick.
        average_rate: Frames a second, by FFmpeg's average; None where it has none.
        guessed_rate: The same by FFmpeg's guess.
        orientation: Map from the stored to the shown frame.
        sample_aspect_ratio: Width of a pixel over its height.
        color: Meaning of its samples.
        is_still: It is a still image.
        start_s: Start of the stream on the container's clock.
        sound_start_s: Start of the audio on it; None for a file without audio.
        declared_frames: Frames that the container claims; 0 where it does not say.
        container_end_s: End of the container; None where it does not say.
        declared_end_s: Time at which MP4 says that the frames end; None elsewhere.
        field_order: ``progressive``, or the field that is shown first.
        hdr: Metadata of the dynamic range.
        has_alpha: It has transparency.
        extras: Names of what the stream carries besides and no output can carry.
    """

    path: Path
    container: str
    stream_index: int
    codec: str
    size: Size
    pixel_format: str
    time_base: Fraction
    average_rate: Fraction | None
    guessed_rate: Fraction | None
    orientation: Orientation
    sample_aspect_ratio: Fraction
    color: ColorTags
    is_still: bool
    start_s: Fraction
    sound_start_s: Fraction | None
    declared_frames: int
    container_end_s: Fraction | None
    declared_end_s: Fraction | None
    field_order: FieldOrder = "progressive"
    hdr: Hdr = NO_HDR
    has_alpha: bool = False
    extras: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class AudioInfo:
    """One audio stream.

    ``lead_s`` is silence before its first sample, on the container's clock; ``bits`` what its samples decode to, at
    most 24.
    """

    path: Path
    container: str
    stream_index: int
    codec: str
    rate_hz: int
    channels: int
    layout: str
    lead_s: Fraction
    bits: int = 24


def _exact(rational: Rational | None) -> Fraction | None:
    """A number of FFmpeg's, None where it is unset: PyAV 19 has a class of its own for them, whose sums are rounded."""
    return Fraction(rational) if rational else None


def _start_s(stream: VideoStream | AudioStream) -> Fraction:
    if stream.start_time is None or not stream.time_base:
        return Fraction(0)
    return stream.start_time * stream.time_base


def _first_frame(container: InputContainer, stream: VideoStream, path: Path) -> VideoFrame:
    failure: Exception | None = None
    for count, packet in enumerate(container.demux(stream)):
        try:
            for frame in packet.decode():
                return frame
        except av.error.FFmpegError as error:
            failure = error
        if count > _FIRST_FRAME_PACKETS:
            break
    raise decode_problem(path, failure or ValueError("no frame"), "before the first frame")


def probe_video(
    path: Path,
    limits: LimitsSettings | None = None,
    rate: Fraction = USUAL_RATE,
    choice: StreamChoice | None = None,
) -> VideoInfo:
    """Describe the video stream of a file, or a series of images; decodes its first frame only.

    Args:
        path: A file; a folder of numbered images, or their pattern.
        limits: Limits on its size.
        rate: Frames a second of a series.
        choice: The stream; None for the one a player would show.

    Raises:
        MediaError: The file cannot be opened, is too large, has no video stream, or its first frame is damaged.
    """
    limits = limits or LimitsSettings()
    with reading(path):
        if is_series(path):
            return _series_info(path, limits, rate)
        if (canvas := webp_size(path)) is not None:
            return _webp_info(path, Size(*canvas), limits)
    with reading(path), open_input(path) as container:
        check_container(container, path, limits)
        stream = chosen_stream(container.streams.video, path, choice) if choice else video_stream(container)
        if stream is None:
            refuse_unknown(container.streams.video, path)
        if stream is None or not stream.codec_context.width:
            got = "has no video stream"
            if stream is not None:
                got = "has frames whose size cannot be read"
            elif container.streams.video:
                got = "has no video stream, only audio with a cover image"
            elif container.streams.audio:
                got = "has no video stream, only audio"
            raise MediaError("no_video", str(path), got=got, do='Set "video" to a file with a video stream')
        check_frame_size(stream, path, limits)
        sound = audio_stream(container)
        stream.thread_type = "SLICE"  # type: ignore[assignment]  # the stub wants the enum, the setter takes names
        frame = _first_frame(container, stream, path)
        is_still = container.format.name in _STILL_FORMATS or (
            stream.codec_context.name in _STILL_CODECS and stream.frames == 1
        )
        return VideoInfo(
            path=path,
            container=container.format.name,
            stream_index=stream.index,
            codec=stream.codec_context.name,
            size=Size(frame.width, frame.height),
            pixel_format=frame.format.name,
            time_base=Fraction(stream.time_base or 0),
            average_rate=_exact(stream.average_rate),
            guessed_rate=_exact(stream.guessed_rate),
            orientation=_orientation(frame),
            sample_aspect_ratio=_exact(stream.sample_aspect_ratio) or Fraction(1),
            color=tags_of(frame),
            is_still=is_still,
            start_s=_start_s(stream),
            sound_start_s=_start_s(sound) if sound is not None else None,
            declared_frames=stream.frames,
            container_end_s=_container_end_s(container),
            declared_end_s=_start_s(stream) + stream.duration * stream.time_base
            if stream.duration and stream.time_base and container.format.name.startswith("mov")
            else None,
            field_order=field_order(frame, stream.codec_context.field_order),
            hdr=hdr_of(frame),
            has_alpha=_has_alpha(frame, stream, is_still=is_still)
            or (not is_still and stream.codec_context.name == "gif" and _turns_transparent(container, stream)),
            extras=extras_of(frame),
        )


def _series_info(path: Path, limits: LimitsSettings, rate: Fraction) -> VideoInfo:
    """Describe a series by its first frame."""
    files = [file for _, file in series_files(path)]
    check_duration(len(files) / rate, path, limits)
    first = probe_video(files[0], limits)
    if webp_size(files[0]) is not None or not first.is_still:
        raise MediaError(
            "no_series", str(path), got=f"{files[0].name} is an animation", must="a series holds single images"
        )
    return replace(
        first, path=path, container=SERIES, time_base=1 / rate, average_rate=rate, guessed_rate=None, is_still=False
    )


def _webp_info(path: Path, size: Size, limits: LimitsSettings) -> VideoInfo:
    check_size(size, path, limits)
    with closing(open_webp(path)):
        return VideoInfo(
            path=path,
            container=WEBP_ANIMATION,
            stream_index=0,
            codec="webp",
            size=size,
            pixel_format="rgb24",
            time_base=WEBP_TICK,
            average_rate=None,
            guessed_rate=None,
            orientation=UPRIGHT,
            sample_aspect_ratio=Fraction(1),
            color=ColorTags(),
            is_still=False,
            start_s=Fraction(0),
            sound_start_s=None,
            declared_frames=0,
            container_end_s=None,
            declared_end_s=None,
        )


def _orientation(frame: VideoFrame) -> Orientation:
    return Orientation.of(read_matrix(side_data(frame, Type.DISPLAYMATRIX)))


def _has_alpha(frame: VideoFrame, stream: VideoStream, *, is_still: bool) -> bool:
    """Tell whether a stream has transparency; GIF, WebP and APNG frames have room for it, used or not."""
    if stream.metadata.get("alpha_mode") == "1":
        return True  # of VP8 and VP9, whose decoders leave it out
    if not any(component.is_alpha for component in frame.format.components):
        return False
    if not is_still and stream.codec_context.name not in _WEB_CODECS:
        return True
    return _is_transparent(frame)


def _is_transparent(frame: VideoFrame) -> bool:
    return bool(frame.reformat(format="rgba").to_ndarray()[..., 3].min() < _OPAQUE)


def _turns_transparent(container: InputContainer, stream: VideoStream) -> bool:
    """Tell whether a GIF clears its canvas after the first frame, as far as it is looked at."""
    try:
        return any(map(_is_transparent, islice(container.decode(stream), _MOST_FRAMES_CHECKED)))
    except av.error.FFmpegError:  # whoever reads on meets it
        return False


def extras_of(frame: VideoFrame) -> tuple[str, ...]:
    """Return names of what a frame carries besides its samples and no output can carry."""
    return tuple(name for kind, name in _EXTRAS.items() if side_data(frame, kind))


def _container_end_s(container: InputContainer) -> Fraction | None:
    """Return the declared end of all streams on the container's clock."""
    if not container.duration:
        return None
    # Matroska counts its duration from zero, whenever its first frame is.
    start = 0 if container.format.name.startswith("matroska") else container.start_time or 0
    return Fraction(start + container.duration, av.time_base)


def _is_described(context: AudioCodecContext) -> bool:
    """Tell whether a stream says of its samples what decoders need; of absurdly many channels FFmpeg 9 has none."""
    return bool(context.sample_rate and context.layout.nb_channels and context.format)


def probe_audio(path: Path, limits: LimitsSettings | None = None, choice: StreamChoice | None = None) -> AudioInfo:
    """Describe the audio stream of a file without decoding it.

    Args:
        path: The file.
        limits: Limits on its streams and on the length that it states; None for the default ones.
        choice: The stream; None for the one a player would play.

    Raises:
        MediaError: The file cannot be opened, or is too large.
        AudioError: It has no audio stream.
    """
    with reading(path), open_input(path) as container:
        check_container(container, path, limits or LimitsSettings())
        stream = chosen_stream(container.streams.audio, path, choice) if choice else audio_stream(container)
        if stream is None:
            refuse_unknown(container.streams.audio, path)
        if stream is None or not _is_described(stream.codec_context):
            got = "has an audio stream without rate, channels or a format of its samples"
            if stream is None:
                got = "has no audio stream" + (", only video" if container.streams.video else "")
            raise AudioError("no_audio", str(path), got=got, do='Set "audio" to a file with an audio stream')
        video = video_stream(container)
        lead_s = Fraction(0)
        if video is not None and container.format.name not in _STILL_FORMATS:
            lead_s = max(Fraction(0), _start_s(stream) - min(_start_s(stream), _start_s(video)))
        return AudioInfo(
            path=path,
            container=container.format.name,
            stream_index=stream.index,
            codec=stream.codec_context.name,
            rate_hz=stream.codec_context.sample_rate,
            channels=stream.codec_context.layout.nb_channels,
            layout=layout_name(stream.codec_context.layout),
            lead_s=lead_s,
            bits=16 if stream.codec_context.format.name.startswith(_SHORT_FORMATS) else 24,
        )


def layout_name(layout: AudioLayout) -> str:
    """Return a name that filters and encoders take; files often state a bare number of channels."""
    if layout.name.endswith("channels"):
        return _USUAL_LAYOUTS.get(layout.nb_channels, layout.name)
    return layout.name
