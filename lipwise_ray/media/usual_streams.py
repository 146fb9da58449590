"""The stream of a container that is meant: the one a player would take, or one that was chosen by its number."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from av.stream import Disposition

from lipwise_ray.errors import MediaError
from lipwise_ray.media.container import is_known
from lipwise_ray.storage.stream_choice import StreamChoice

if TYPE_CHECKING:
    from av.audio.stream import AudioStream
    from av.container import InputContainer
    from av.video.stream import VideoStream

Stream = TypeVar("Stream", "VideoStream", "AudioStream")


def video_stream(container: InputContainer) -> VideoStream | None:
    """Return the video stream a player would show; cover art and what no decoder knows do not count."""
    streams = [s for s in container.streams.video if is_known(s) and not s.disposition & Disposition.attached_pic]
    return next((s for s in streams if s.disposition & Disposition.default), next(iter(streams), None))


def audio_stream(container: InputContainer) -> AudioStream | None:
    """Return the audio stream a player would play; what no decoder knows does not count."""
    streams = [s for s in container.streams.audio if is_known(s)]
    return next((s for s in streams if s.disposition & Disposition.default), next(iter(streams), None))


def chosen_stream(streams: Sequence[Stream], path: Path, choice: StreamChoice) -> Stream:
    """Return the stream of a kind that was asked for by its number.

    Args:
        streams: Those of its kind.
        path: The file, for messages.
        choice: The choice.

    Raises:
        MediaError: There is none of that number, or no decoder knows its codec.
    """
    if choice.number >= len(streams):
        raise MediaError(
            "no_stream",
            f"{path}#{choice.name}",
            got=f"the file has {len(streams)} {choice.kind} stream{'' if len(streams) == 1 else 's'}",
            must="streams are counted from 0",
            do=f"Choose one of them, or leave #{choice.name} out for the one that players take",
        )
    refuse_unknown(streams[choice.number : choice.number + 1], path)
    return streams[choice.number]


def refuse_unknown(streams: Iterable[VideoStream | AudioStream], path: Path) -> None:
    """Refuse a file that has streams of a kind, and no decoder for any of them.

    Args:
        streams: Those of a kind.
        path: The file, for messages.

    Raises:
        MediaError: There are.
    """
    unknown = next((stream for stream in streams if not is_known(stream)), None)
    if unknown is not None:
        raise MediaError(
            "unknown_codec",
            str(path),
            got=f"FFmpeg has no decoder for the codec of its {unknown.type} stream",
            do="Export it again, for example as H.264 and AAC",
        )
