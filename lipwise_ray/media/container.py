"""Opening media files: only local paths, only known formats, errors in plain words."""

from __future__ import annotations

import errno
import stat
from collections.abc import Generator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import av
import av.error

from lipwise_ray.errors import MediaError, OutputError, StorageError, blamed_on_file, is_of_the_disk, os_reason

if TYPE_CHECKING:
    from av.codec.hwaccel import HWAccel
    from av.container import InputContainer
    from av.stream import Stream

# Playlist and network formats (hls, concat, dash, sdp, image2 patterns) stay out: a file that is
# named .mp4 but holds a playlist must not make the demuxer open other files.
_FORMATS = (
    "mov,mp4,m4a,3gp,3g2,mj2,matroska,webm,avi,mpeg,mpegts,mpegvideo,m4v,h264,hevc,mxf,flv,asf,"
    "ogg,wav,w64,flac,mp3,aac,ac3,eac3,aiff,caf,au,amr,nut,dv,ivf,wv,"
    "gif,png_pipe,jpeg_pipe,webp_pipe,bmp_pipe,tiff_pipe"
)
_STILL_MAGIC = {
    b"\x89PNG": "png_pipe",
    b"\xff\xd8\xff": "jpeg_pipe",
    b"BM": "bmp_pipe",
    b"II*\0": "tiff_pipe",
    b"MM\0*": "tiff_pipe",
}
_TEXT_BYTES = frozenset(range(9, 14)) | frozenset(range(32, 256))
# PyAV 18 refuses texts that are no UTF-8 unless it is told otherwise; 19 has no such option, see `texts_of`.
_TEXTS: dict[str, Any] = {"metadata_errors": "replace"} if int(av.__version__.split(".")[0]) < 19 else {}  # noqa: PLR2004
_MOST_PIXELS = 1 << 27  # no decoder makes a larger image, whatever a stream says in its middle


def open_input(path: Path, *, keep_corrupt: bool = True, accelerator: HWAccel | None = None) -> InputContainer:
    """Open a local media file for reading.

    Args:
        path: The file.
        keep_corrupt: Let damaged packets through to the decoder, which reports them.
        accelerator: Hardware that decodes its video; None for software.

    Raises:
        MediaError: The file is missing, empty, a directory, or in no known format.
    """
    where = str(path)
    try:
        status = path.stat()
    except (OSError, ValueError) as error:  # the latter of names that the system cannot hold
        got = "file not found" if isinstance(error, FileNotFoundError) else getattr(error, "strerror", None)
        happened = (got or "a name that cannot be").lower()
        raise MediaError("missing_file", where, got=happened, do="Check the path") from error
    if not stat.S_ISREG(status.st_mode):  # a pipe would be waited for, a device has no end
        got = "a directory" if stat.S_ISDIR(status.st_mode) else "a pipe, a socket or a device"
        raise MediaError("not_a_file", where, got=f"{got}, not a media file", do="Check the path")
    size_bytes = status.st_size
    if size_bytes == 0:
        raise MediaError("empty_file", where, got="an empty file", do="Copy or export it again")
    options = {"protocol_whitelist": "file", "format_whitelist": _FORMATS, "fflags": "+genpts"}
    options["max_pixels"] = str(_MOST_PIXELS)  # for looking at the streams
    if not keep_corrupt:
        options["fflags"] += "+discardcorrupt"
    try:
        # An absolute path cannot be taken for a protocol ("a:b.mp4").
        container = av.open(
            str(path.resolve()),
            "r",
            format=_still_format(path),
            options=options,
            hwaccel=accelerator,
            **_TEXTS,
        )
    except PermissionError as error:
        raise MediaError("no_permission", where, got="permission denied", do="Change its permissions") from error
    except (av.error.FFmpegError, ValueError, RuntimeError) as error:  # a link in a circle, a codec's own rules
        raise MediaError(
            "not_media", where, got=_what_it_is(path, size_bytes, error), do="Check that it plays, or export it again"
        ) from error
    for stream in container.streams.video:
        if is_known(stream):
            stream.codec_context.options = {"max_pixels": str(_MOST_PIXELS)}
    return container


def texts_of(metadata: Mapping[str, str]) -> dict[str, str]:
    """Metadata that UTF-8 can hold: PyAV 19 hands on bytes that are no text as lone surrogates.

    Args:
        metadata: Tags of a container, a stream or a chapter.

    Returns:
        The same tags, with replacement characters for what is no text.
    """
    return {_text(name): _text(value) for name, value in metadata.items()}


def _text(value: str) -> str:
    return value.encode("utf-8", "surrogateescape").decode("utf-8", "replace")


def is_known(stream: Stream) -> bool:
    """Tell whether there is a decoder for a stream."""
    return bool(stream.codec_context)  # None where there is none, which the stub leaves out


@contextmanager
def reading(path: Path) -> Generator[None]:
    """Blame a file for whatever FFmpeg's libraries raise while it is looked at.

    Raises:
        MediaError: They raised.
    """
    with blamed_on_file(lambda got: _unreadable(path, got)):
        try:
            yield
        except av.error.FFmpegError as error:  # some are errors of the system by their kind too
            raise decode_problem(path, error, "while it was looked at") from error


def _unreadable(path: Path, got: str) -> MediaError:
    return MediaError(
        "unreadable_media",
        str(path),
        got=f"the decoders cannot read it: {got}",
        do="Check that it plays, or export it again",
    )


def _still_format(path: Path) -> str | None:
    """Return the demuxer of a single image; by its name alone FFmpeg would look for a numbered series."""
    with path.open("rb") as file:
        head = file.read(12)
    if head[:4] == b"RIFF" and head[8:] == b"WEBP":
        return "webp_pipe"
    return next((name for magic, name in _STILL_MAGIC.items() if head.startswith(magic)), None)


def _what_it_is(path: Path, size_bytes: int, error: Exception) -> str:
    with path.open("rb") as file:
        head = file.read(512)
    reason = getattr(error, "strerror", "") or str(error)
    if head.lstrip()[:1] == b"<":
        return "a web page or XML, not a video or audio file"
    if head[4:8] == b"ftyp":
        return f"an MP4 without a readable index, probably cut off ({size_bytes} bytes; {reason})"
    if all(byte in _TEXT_BYTES for byte in head):
        return "a text file, not a video or audio file"
    return f"a file of {size_bytes} bytes that no demuxer knows ({reason})"


def decode_problem(path: Path, error: Exception, at: str) -> MediaError:
    """Return the error for a file that opens but does not decode.

    Args:
        path: The file.
        error: Error of the decoder.
        at: Position in the file, for the message.
    """
    return MediaError(
        "damaged",
        str(path),
        got=f"cannot be decoded to its end: {getattr(error, 'strerror', '') or error} {at}",
        do='Export it again, or set on_error = "salvage" to dub what decodes',
    )


def damaged(path: Path, what: str) -> MediaError:
    """Return the error for an image that decodes with damage.

    Args:
        path: The file.
        what: Damage, for the message.
    """
    return MediaError(
        "damaged", str(path), got=what, do='Export it again, or set on_error = "salvage" to dub what decodes'
    )


def write_problem(path: Path, error: OSError) -> OutputError | StorageError:
    """Return the error for a file that could not be written."""
    if is_of_the_disk(error):
        is_full = error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
        return StorageError(
            "disk_full" if is_full else "disk_refused",
            str(path),
            got=f"{'no room to write it' if is_full else 'cannot be written'}: {os_reason(error)}",
            do="Free some space and run the same command again" if is_full else "Check the disk and how it is mounted",
        )
    return OutputError("not_writable", str(path), got=f"cannot be written: {os_reason(error)}", do="Check its folder")
