"""Side streams of a container, beside video and first audio: subtitles, more audio, chapters, tags, attached files.

All that the target container can hold goes along on the output's clock; what stays behind is listed with its reason.
"""

from __future__ import annotations

import contextlib
import io
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field, replace
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import av
import av.error
from av.stream import Disposition

from lipwise_ray.errors import MediaError
from lipwise_ray.media.chapters import Chapter, held_chapters
from lipwise_ray.media.container import open_input, reading, texts_of
from lipwise_ray.media.edits import Edit, in_output
from lipwise_ray.media.image_sequence import SERIES, WEBP_ANIMATION
from lipwise_ray.media.language import container_language
from lipwise_ray.media.probe import VideoInfo
from lipwise_ray.media.timecode import timecode_after
from lipwise_ray.media.usual_streams import audio_stream

if TYPE_CHECKING:
    from av.container import InputContainer
    from av.stream import Stream

_COPIED_SUBTITLES = {
    "mp4": {"mov_text"},
    "mov": {"mov_text", "eia_608"},
    "matroska": {"subrip", "ass", "webvtt", "dvd_subtitle", "hdmv_pgs_subtitle", "dvb_subtitle"},
    "webm": {"webvtt"},
}
WRITTEN_SUBTITLES = {"mp4": "mov_text", "mov": "mov_text", "matroska": "subrip", "webm": "webvtt"}
"""Codec that other text subtitles become, by container."""
_CAPTIONS, _STYLED = "eia_608", "ass"  # the decoder of captions cannot tell when one goes
SidePart = int | str
"""Part that can stay behind by itself: a stream (by its number), ``attachments``, ``chapters``, a tag of the video."""
_COVERS = {
    name: (f"cover.{ending}", f"image/{kind}")
    for name, ending, kind in (("mjpeg", "jpg", "jpeg"), ("png", "png", "png"), ("bmp", "bmp", "bmp"))
}
_MOST_ATTACHED_BYTES = 1 << 28
# True of the source's file and not of what it shows; FFmpeg's own stream copy leaves most of them out too.
_FALSE_TAGS = {
    *("encoder", "encoded_by", "software", "creation_time", "modification_date", "duration", "timecode", "uid"),
    *("major_brand", "minor_version", "compatible_brands", "handler_name", "vendor_id", "material_package_umid"),
    *("company_name", "product_name", "product_version", "product_version_num", "product_uid", "toolkit_version"),
    *("application_platform", "toolkit_version_num", "generation_uid", "operational_pattern_ul"),
    *("wm/encodingtime", "wmfsdkversion", "wmfsdkneeded", "isvbr", "devicemanufacturer", "deviceconformancetemplate"),
}
_OWN_TAGS = ("comment", "description")
# What MP4 can hold as iTunes does, which is the only way that knows covers; QuickTime's keys hold every name.
_ITUNES_TAGS = {
    *("title", "artist", "album_artist", "composer", "album", "date", "comment", "genre", "copyright", "grouping"),
    *("lyrics", "description", "synopsis", "show", "episode_id", "network", "keywords", "track", "disc"),
}


@dataclass(frozen=True, slots=True)
class LeftBehind:
    """Something of the source that the output lacks: its kind, what it is, and why it stayed behind."""

    kind: str
    what: str
    why: str


@dataclass(frozen=True, slots=True)
class SideStream:
    """A stream whose packets go along.

    Attributes:
        number: In the source.
        kind: ``subtitles`` or ``other_audio``.
        codec: Of the output.
        is_converted: Text is written anew in that codec, instead of being copied.
        tags: Title and language.
        disposition: Flags of its purpose.
    """

    number: int
    kind: str
    codec: str
    is_converted: bool
    tags: dict[str, str]
    disposition: Disposition


@dataclass(frozen=True, slots=True)
class Attached:
    """A file in the container; ``cover_codec`` is the image's codec where it is a cover, and ``size`` the image's."""

    name: str
    mimetype: str
    data: bytes
    cover_codec: str = ""
    size: tuple[int, int] = (0, 0)


@dataclass(frozen=True, slots=True)
class SideStreams:
    """Side streams that go along with a video and its new audio, and those left behind.

    Attributes:
        path: The source.
        container: FFmpeg name of the target container.
        edits: Stretches of the source that the output shows, with their times there.
        streams: Those with packets.
        attached: Files and covers.
        chapters: In the order of time.
        tags: Of the container.
        video_tags: Of the video stream: its title, language, time code.
        left_behind: The rest.
    """

    path: Path
    container: str
    edits: tuple[Edit, ...]
    streams: tuple[SideStream, ...] = ()
    attached: tuple[Attached, ...] = ()
    chapters: tuple[Chapter, ...] = ()
    tags: dict[str, str] = field(default_factory=dict[str, str])
    video_tags: dict[str, str] = field(default_factory=dict[str, str])
    left_behind: tuple[LeftBehind, ...] = ()

    @property
    def has_cover(self) -> bool:
        """True where there is a cover."""
        return any(file.cover_codec for file in self.attached)

    @property
    def parts(self) -> set[SidePart]:
        """Parts that can stay behind by themselves; tags of the container go along in any case."""
        named = [("attachments", self.attached), ("chapters", self.chapters)]
        return (
            {stream.number for stream in self.streams} | {name for name, there in named if there} | {*self.video_tags}
        )

    def without(self, broken: Mapping[SidePart, str]) -> SideStreams:
        """Return the same without some of its parts.

        Args:
            broken: The parts, and why each stays behind.
        """
        left = [
            *((stream.kind, f"stream {stream.number} ({stream.codec})", stream.number) for stream in self.streams),
            *(("cover_art" if file.cover_codec else "attachments", file.name, "attachments") for file in self.attached),
            *([("chapters", f"{len(self.chapters)} chapters", "chapters")] if self.chapters else []),
            *(("metadata", f"the video's {name}", name) for name in self.video_tags),
        ]
        gone = [LeftBehind(kind, what, broken[part]) for kind, what, part in left if part in broken]
        return replace(
            self,
            streams=tuple(stream for stream in self.streams if stream.number not in broken),
            attached=() if "attachments" in broken else self.attached,
            chapters=() if "chapters" in broken else self.chapters,
            video_tags={name: text for name, text in self.video_tags.items() if name not in broken},
            left_behind=(*self.left_behind, *gone),
        )


def side_streams(
    info: VideoInfo, container: str, keep: Collection[str], edits: tuple[Edit, ...], rate: Fraction | None
) -> SideStreams:
    """Choose what of a source goes along.

    Args:
        info: The source.
        container: FFmpeg name of the target container.
        keep: Kinds that may, as `encode.keep` has them.
        edits: Stretches of the source that the output shows, with their times there.
        rate: Of the frames, None where it varies.
    """
    if info.container in (SERIES, WEBP_ANIMATION):
        return SideStreams(info.path, container, edits)
    try:
        with reading(info.path), open_input(info.path) as source:
            return _Chooser(info, container, keep, edits, rate, source).choose()
    except MediaError as error:  # the video was rendered all the same
        return SideStreams(info.path, container, edits, left_behind=(LeftBehind("streams", "all", str(error)),))


class _Chooser:
    def __init__(
        self,
        info: VideoInfo,
        container: str,
        keep: Collection[str],
        edits: tuple[Edit, ...],
        rate: Fraction | None,
        source: InputContainer,
    ) -> None:
        self._info = info
        self._container = container
        self._keep = keep
        self._edits = edits
        self._rate = rate
        self._source = source
        self._video = source.streams[info.stream_index]
        self._replaced = audio_stream(source)
        self._left: list[LeftBehind] = []
        self._streams: list[SideStream] = []
        self._attached: list[Attached] = []

    def choose(self) -> SideStreams:
        covers = [stream for stream in self._source.streams if self._take(stream)]
        for cover in covers:
            self._take_cover(cover)
        attached = tuple(self._attached)
        return SideStreams(
            path=self._info.path,
            container=self._container,
            edits=self._edits,
            streams=tuple(self._streams),
            attached=attached,
            chapters=self._chapters(),
            tags=self._tags(has_cover=any(file.cover_codec for file in attached)),
            video_tags=self._video_tags(),
            left_behind=tuple(self._left),
        )

    def _leave(self, kind: str, what: Stream | str, why: str) -> None:
        self._left.append(LeftBehind(kind, what if isinstance(what, str) else _name_of(what), why))

    def _take(self, stream: Stream) -> bool:
        """Sort a stream in; True for a cover, which is read later."""
        if stream is self._video or stream is self._replaced:
            return False
        if stream.type == "video":
            if stream.disposition & Disposition.attached_pic:
                return "cover_art" in self._keep
            self._leave("video", stream, "an output has one video stream")
        elif stream.type == "audio" and "other_audio" in self._keep:
            self._take_packets(stream, "other_audio", self._timeless(with_gaps=False) or self._refusal(stream))
        elif stream.type == "subtitle" and "subtitles" in self._keep:
            self._take_subtitles(stream)
        elif stream.type == "attachment" and "attachments" in self._keep:
            self._take_attachment(stream)
        elif stream.type == "data" and not self._is_known(stream):
            self._leave("data", stream, "no container here takes it over")
        return False

    def _is_known(self, stream: Stream) -> bool:
        """Tell whether a data stream is a container's way to hold chapters or a time code."""
        if "timecode" in stream.metadata:
            return True
        return cast("Any", stream).name == "bin_data" and bool(self._source.chapters())

    def _timeless(self, *, with_gaps: bool) -> str:
        """Return the reason why nothing with times of the source goes along, empty where it can."""
        if not self._edits:
            return "the output is a still image"
        if len(self._edits) > 1 and not with_gaps:
            return "frames were left out or shown twice in the middle (faces.on_no_face, timing.length)"
        return ""

    def _take_packets(self, stream: Stream, kind: str, why: str, codec: str = "") -> None:
        if why:
            self._leave(kind, stream, why)
            return
        name = codec or stream.codec_context.codec.canonical_name
        tags = _tags_of(stream, self._container)
        disposition = stream.disposition & ~(Disposition.default | Disposition.dub)
        if kind == "subtitles":
            disposition |= stream.disposition & Disposition.default
        self._streams.append(SideStream(stream.index, kind, name, bool(codec), tags, disposition))

    def _take_subtitles(self, stream: Stream) -> None:
        why = self._timeless(with_gaps=True)
        if why or cast("Any", stream.codec_context) is None:
            self._leave("subtitles", stream, why or "nothing here can read them")
            return
        codec = stream.codec_context.codec
        if codec.canonical_name in _COPIED_SUBTITLES[self._container]:
            self._take_packets(stream, "subtitles", self._refusal(stream))
        elif codec.canonical_name == _CAPTIONS or not cast("Any", codec).text_sub:
            self._leave("subtitles", stream, f"{self._container} cannot hold this kind")
        else:
            written = WRITTEN_SUBTITLES[self._container]
            self._take_packets(stream, "subtitles", "", written)
            if codec.canonical_name == _STYLED:
                self._leave("subtitles", stream, f"styles and places: the text goes along as {written}")

    def _take_attachment(self, stream: Stream) -> None:
        size_bytes = sum(len(file.data) for file in self._attached)
        data: bytes = cast("Any", stream).data
        if self._container != "matroska":
            self._leave("attachments", stream, f"{self._container} holds no files")
        elif size_bytes + len(data) > _MOST_ATTACHED_BYTES:
            self._leave("attachments", stream, f"more than {_MOST_ATTACHED_BYTES >> 20} MiB of files")
        else:
            name, kind = map(texts_of(stream.metadata).get, ("filename", "mimetype"))
            self._attached.append(Attached(name or f"file-{stream.index}", kind or "application/octet-stream", data))

    def _take_cover(self, stream: Stream) -> None:
        codec = stream.codec_context.name if cast("Any", stream.codec_context) is not None else ""
        if self._container not in ("mp4", "matroska") or codec not in _COVERS:
            self._leave("cover_art", stream, f"{self._container} cannot hold it")
            return
        self._source.seek(0)
        packet = next((p for p in self._source.demux(cast("Any", stream)) if p.size), None)
        if packet is None:
            self._leave("cover_art", stream, "it is empty")
            return
        usual, mimetype = _COVERS[codec]
        name = texts_of(stream.metadata).get("filename") or usual
        context = cast("Any", stream.codec_context)
        self._attached.append(Attached(name, mimetype, bytes(packet), codec, (context.width, context.height)))

    def _refusal(self, stream: Stream) -> str:
        """Return the reason why the container refuses a stream as it is, empty where it takes it, by a trial header."""
        try:
            trial = av.open(io.BytesIO(), "w", format=self._container)
        except (av.error.FFmpegError, ValueError) as error:
            return str(error)
        try:
            trial.add_stream_from_template(cast("Any", stream), opaque=True)
            trial.start_encoding()
        except (av.error.FFmpegError, ValueError) as error:
            return f"{self._container} does not take it as it is ({getattr(error, 'strerror', None) or error})"
        finally:
            with contextlib.suppress(av.error.FFmpegError):
                trial.close()
        return ""

    def _chapters(self) -> tuple[Chapter, ...]:
        stated = self._source.chapters() if "chapters" in self._keep else []
        if stated and (why := self._timeless(with_gaps=True)):
            self._leave("chapters", f"{len(stated)} chapters", why)
            return ()
        chapters: list[Chapter] = []
        for entry in stated:
            base = Fraction(entry["time_base"] or 1)
            place = in_output(self._edits, entry["start"] * base, max(entry["end"], entry["start"] + 1) * base)
            if place is not None:
                chapters.append(Chapter(*place, texts_of(entry["metadata"]).get("title", "")))
        return held_chapters(chapters, self._container)

    def _tags(self, *, has_cover: bool) -> dict[str, str]:
        if "metadata" not in self._keep:
            return {}
        tags: dict[str, str] = {}
        for name, value in texts_of(self._source.metadata).items():
            plain = name.lower()
            if plain in _FALSE_TAGS:
                continue
            if plain in _OWN_TAGS:
                self._leave("metadata", plain, "there the output says how it was made")
            elif has_cover and self._container == "mp4" and plain not in _ITUNES_TAGS:
                self._leave("metadata", name, "mp4 holds either a cover or tags of one's own")
            else:
                tags[plain if plain in _ITUNES_TAGS else name] = value
        return tags

    def _video_tags(self) -> dict[str, str]:
        kept = _tags_of(self._video, self._container) if "metadata" in self._keep else {}
        stated = [self._video.metadata, self._source.metadata, *(s.metadata for s in self._source.streams)]
        texts = (value for tags in stated for name, value in texts_of(tags).items() if name.lower() == "timecode")
        text = next(texts, None)
        if text is None or "timecode" not in self._keep:
            return kept
        if why := self._timeless(with_gaps=False):
            self._leave("timecode", text, why)
            return kept
        skipped_s = self._edits[0].start_s - self._info.start_s
        if self._rate is None and skipped_s:
            self._leave("timecode", text, "frames have no numbers at a rate that varies")
            return kept
        rate = self._rate or self._info.average_rate or Fraction(25)
        begins = timecode_after(text, round(skipped_s * rate), rate)
        if begins is None:
            self._leave("timecode", text, f"no time code at {float(rate):g} frames a second")
            return kept
        return {**kept, "timecode": begins}


def _tags_of(stream: Stream, container: str) -> dict[str, str]:
    """Return a stream's title and language."""
    metadata = {name.lower(): value for name, value in texts_of(stream.metadata).items()}
    title, language = metadata.get("title") or metadata.get("name"), metadata.get("language")
    tags = {"title": title} if title else {}
    if language and language != "und":
        tags["language"] = container_language(language, container) or language
    return tags


def _name_of(stream: Stream) -> str:
    """Return a stream's name for people: its number, codec, language and title."""
    context = cast("Any", stream.codec_context)
    codec = context.codec.canonical_name if context is not None else getattr(stream, "name", None)
    metadata = {name.lower(): value for name, value in texts_of(stream.metadata).items()}
    facts = [codec, metadata.get("language"), metadata.get("title") or metadata.get("name")]
    return f"stream {stream.index}: " + ", ".join(fact for fact in facts if fact and fact != "und")
