"""What a container carries beside its picture and first sound: subtitles, other sounds, chapters, tags, attached files.

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
from lipwise_ray.media.container import open_input, reading
from lipwise_ray.media.edits import Edit, in_output
from lipwise_ray.media.language import container_language
from lipwise_ray.media.pictures import SERIES, WEBP_ANIMATION
from lipwise_ray.media.probe import VideoInfo, audio_stream
from lipwise_ray.media.timecode import timecode_after

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
"""What other text subtitles become, by container."""

_CAPTIONS = "eia_608"  # their decoder cannot tell when a caption goes
_STYLED = "ass"
SidePart = int | str
"""What can stay behind by itself: a stream (by its number), ``attachments``, ``chapters``, a tag of the picture."""
_COVERS = {
    "mjpeg": ("cover.jpg", "image/jpeg"),
    "png": ("cover.png", "image/png"),
    "bmp": ("cover.bmp", "image/bmp"),
}
_MOST_ATTACHED_BYTES = 1 << 28
# True of the source's file and not of what it shows; FFmpeg's own stream copy leaves most of them out too.
_FALSE_TAGS = {
    *("encoder", "encoded_by", "software", "creation_time", "modification_date", "duration", "timecode"),
    *("major_brand", "minor_version", "compatible_brands", "handler_name", "vendor_id"),
    *("company_name", "product_name", "product_version", "product_uid", "application_platform", "toolkit_version"),
    *("uid", "generation_uid", "operational_pattern_ul", "material_package_umid"),
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
        disposition: What it is for.
    """

    number: int
    kind: str
    codec: str
    is_converted: bool
    tags: dict[str, str]
    disposition: Disposition


@dataclass(frozen=True, slots=True)
class Attached:
    """A file in the container; ``cover_codec`` is the picture's codec where it is a cover."""

    name: str
    mimetype: str
    data: bytes
    cover_codec: str = ""
    size: tuple[int, int] = (0, 0)


@dataclass(frozen=True, slots=True)
class SideStreams:
    """What goes along with a picture and its new sound, and what does not.

    Attributes:
        path: The source.
        container: FFmpeg name of the target container.
        edits: Where the source's clock goes in the output.
        streams: Those with packets.
        attached: Files and covers.
        chapters: In the order of time.
        tags: Of the container.
        picture_tags: Of the picture's stream: its title, language, time code.
        left_behind: The rest.
    """

    path: Path
    container: str
    edits: tuple[Edit, ...]
    streams: tuple[SideStream, ...] = ()
    attached: tuple[Attached, ...] = ()
    chapters: tuple[Chapter, ...] = ()
    tags: dict[str, str] = field(default_factory=dict[str, str])
    picture_tags: dict[str, str] = field(default_factory=dict[str, str])
    left_behind: tuple[LeftBehind, ...] = ()

    @property
    def has_cover(self) -> bool:
        """Whether there is a cover."""
        return any(one.cover_codec for one in self.attached)

    @property
    def parts(self) -> set[SidePart]:
        """What of this can stay behind by itself; tags of the container go along in any case."""
        named = [("attachments", self.attached), ("chapters", self.chapters)]
        return {one.number for one in self.streams} | {name for name, there in named if there} | {*self.picture_tags}

    def without(self, broken: Mapping[SidePart, str]) -> SideStreams:
        """Return the same without some of its parts.

        Args:
            broken: The parts, and why each stays behind.
        """
        left = [
            *((one.kind, f"stream {one.number} ({one.codec})", one.number) for one in self.streams),
            *(("cover_art" if one.cover_codec else "attachments", one.name, "attachments") for one in self.attached),
            *([("chapters", f"{len(self.chapters)} chapters", "chapters")] if self.chapters else []),
            *(("metadata", f"the picture's {name}", name) for name in self.picture_tags),
        ]
        gone = [LeftBehind(kind, what, broken[part]) for kind, what, part in left if part in broken]
        return replace(
            self,
            streams=tuple(one for one in self.streams if one.number not in broken),
            attached=() if "attachments" in broken else self.attached,
            chapters=() if "chapters" in broken else self.chapters,
            picture_tags={name: text for name, text in self.picture_tags.items() if name not in broken},
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
        edits: Where the source's clock goes in the output.
        rate: Of the pictures, None where it varies.
    """
    if info.container in (SERIES, WEBP_ANIMATION):
        return SideStreams(info.path, container, edits)
    try:
        with reading(info.path), open_input(info.path) as source:
            return _Chooser(info, container, keep, edits, rate, source).choose()
    except MediaError as error:  # the picture was rendered all the same
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
        self._picture = source.streams[info.stream_index]
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
            tags=self._tags(has_cover=any(one.cover_codec for one in attached)),
            picture_tags=self._picture_tags(),
            left_behind=tuple(self._left),
        )

    def _leave(self, kind: str, what: Stream | str, why: str) -> None:
        self._left.append(LeftBehind(kind, what if isinstance(what, str) else _name_of(what), why))

    def _take(self, stream: Stream) -> bool:
        """Sort a stream in; True for a cover, which is read later."""
        if stream is self._picture or stream is self._replaced:
            return False
        if stream.type == "video":
            if stream.disposition & Disposition.attached_pic:
                return "cover_art" in self._keep
            self._leave("video", stream, "an output has one picture")
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
        """Return why nothing goes along that goes with the source's time, empty where it can."""
        if not self._edits:
            return "the output's picture stands still"
        if len(self._edits) > 1 and not with_gaps:
            return "pictures were left out of the middle (faces.on_no_face = skip)"
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
        size_bytes = sum(len(one.data) for one in self._attached)
        data: bytes = cast("Any", stream).data
        if self._container != "matroska":
            self._leave("attachments", stream, f"{self._container} holds no files")
        elif size_bytes + len(data) > _MOST_ATTACHED_BYTES:
            self._leave("attachments", stream, f"more than {_MOST_ATTACHED_BYTES >> 20} MiB of files")
        else:
            name = stream.metadata.get("filename") or f"file-{stream.index}"
            self._attached.append(Attached(name, stream.metadata.get("mimetype") or "application/octet-stream", data))

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
        name = stream.metadata.get("filename") or usual
        context = cast("Any", stream.codec_context)
        self._attached.append(Attached(name, mimetype, bytes(packet), codec, (context.width, context.height)))

    def _refusal(self, stream: Stream) -> str:
        """Return why the container does not take a stream as it is, empty where it does: its header is tried."""
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
        told = self._source.chapters() if "chapters" in self._keep else []
        if told and (why := self._timeless(with_gaps=True)):
            self._leave("chapters", f"{len(told)} chapters", why)
            return ()
        found: list[Chapter] = []
        for one in told:
            base = Fraction(one["time_base"] or 1)
            place = in_output(self._edits, one["start"] * base, max(one["end"], one["start"] + 1) * base)
            if place is not None:
                found.append(Chapter(*place, str(one["metadata"].get("title", ""))))
        return held_chapters(found, self._container)

    def _tags(self, *, has_cover: bool) -> dict[str, str]:
        if "metadata" not in self._keep:
            return {}
        found: dict[str, str] = {}
        for name, value in self._source.metadata.items():
            plain = name.lower()
            if plain in _FALSE_TAGS:
                continue
            if plain in _OWN_TAGS:
                self._leave("metadata", plain, "there the output says how it was made")
            elif has_cover and self._container == "mp4" and plain not in _ITUNES_TAGS:
                self._leave("metadata", name, "mp4 holds either a cover or tags of one's own")
            else:
                found[plain if plain in _ITUNES_TAGS else name] = value
        return found

    def _picture_tags(self) -> dict[str, str]:
        found = _tags_of(self._picture, self._container) if "metadata" in self._keep else {}
        told = [self._picture.metadata, self._source.metadata, *(s.metadata for s in self._source.streams)]
        texts = (value for tags in told for name, value in tags.items() if name.lower() == "timecode")
        text = next(texts, None)
        if text is None or "timecode" not in self._keep:
            return found
        if why := self._timeless(with_gaps=False):
            self._leave("timecode", text, why)
            return found
        skipped_s = self._edits[0].start_s - self._info.start_s
        if self._rate is None and skipped_s:
            self._leave("timecode", text, "frames have no numbers at a rate that varies")
            return found
        rate = self._rate or self._info.average_rate or Fraction(25)
        begins = timecode_after(text, round(skipped_s * rate), rate)
        if begins is None:
            self._leave("timecode", text, f"no time code at {float(rate):g} pictures a second")
            return found
        return {**found, "timecode": begins}


def _tags_of(stream: Stream, container: str) -> dict[str, str]:
    """Return a stream's title and language."""
    told = {name.lower(): value for name, value in stream.metadata.items()}
    title, language = told.get("title") or told.get("name"), told.get("language")
    found = {"title": title} if title else {}
    if language and language != "und":
        found["language"] = container_language(language, container) or language
    return found


def _name_of(stream: Stream) -> str:
    """Return how people know a stream: its number, codec, language and title."""
    context = cast("Any", stream.codec_context)
    codec = context.codec.canonical_name if context is not None else getattr(stream, "name", None)
    told = {name.lower(): value for name, value in stream.metadata.items()}
    facts = [codec, told.get("language"), told.get("title") or told.get("name")]
    return f"stream {stream.index}: " + ", ".join(fact for fact in facts if fact and fact != "und")
