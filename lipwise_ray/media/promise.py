"""Metadata of a source's frames that an output keeps or leaves behind."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import replace
from typing import TYPE_CHECKING

from lipwise_ray.media.colours import UNSPECIFIED
from lipwise_ray.media.encode import ALPHA_CODECS, HDR_CODECS, INTERLACED_CODECS, EncodeSpec
from lipwise_ray.media.fields import FieldOrder
from lipwise_ray.media.hdr import NO_HDR, Hdr
from lipwise_ray.media.orientation import UPRIGHT, Orientation
from lipwise_ray.media.pixels import planar_format
from lipwise_ray.media.side_streams import LeftBehind
from lipwise_ray.media.video_tags import VideoTags

if TYPE_CHECKING:
    from lipwise_ray.media.probe import VideoInfo

_MATROSKA = ("matroska", "webm")
PIXEL_ASPECT = "pixel aspect"
"""Named among what frames carry where it is not the first frame's."""
_FIELDS, _MASTERING, _LIGHT = "field order", "mastering display", "content light levels"


def carried(extras: Iterable[str], hdr: Hdr, *, is_interlaced: bool) -> set[str]:
    """Return names of what a stream, or one frame of it, carries besides samples.

    Args:
        extras: Names of what it carries besides and no output can carry.
        hdr: Its dynamic range.
        is_interlaced: Its frames are two fields.
    """
    said = {_FIELDS: is_interlaced, _MASTERING: hdr.mastering is not None, _LIGHT: hdr.light is not None}
    return {*extras, *(name for name, is_there in said.items() if is_there)}


def promised(
    info: VideoInfo, orientation: Orientation, spec: EncodeSpec, container: str, in_frames: Collection[str] = ()
) -> tuple[VideoTags, list[LeftBehind]]:
    """Return the video tags of a finished file, and the metadata of the source that it leaves behind.

    Args:
        info: The source.
        orientation: As the output is to be shown.
        spec: Parameters with which it is encoded.
        container: FFmpeg's name of the output's container.
        in_frames: Names of what its frames carry, as `carried` has them; the source is described by its first one.
    """
    shape, source = planar_format(spec.pixel_format), planar_format(info.pixel_format.replace("yuvj", "yuv"))
    keeps_orientation = container not in _MATROSKA or orientation.is_orthogonal
    has_alpha = info.has_alpha and shape is not None and shape.has_alpha and spec.codec in ALPHA_CODECS
    by_codec, by_container = f"{spec.codec} cannot carry it", f"{container} cannot carry it"
    left = {
        "tilt": by_container if not keeps_orientation else "",
        _FIELDS: _why_progressive(info, spec),
        _MASTERING: by_codec if info.hdr.mastering is not None and spec.hdr.mastering is None else "",
        _LIGHT: by_codec if info.hdr.light is not None and spec.hdr.light is None else "",
        "alpha": f"{spec.codec} as {spec.pixel_format} has none" if info.has_alpha and not has_alpha else "",
        **dict.fromkeys(info.extras, "only encoders that make it anew could carry it"),
    }
    said = carried(info.extras, info.hdr, is_interlaced=info.field_order != "progressive")
    why = "the first frame, by which the stream is described, has none, or another"
    left |= dict.fromkeys(sorted({*in_frames} - said), why)
    if shape is not None and source is not None and not info.is_still and source.bits > shape.bits:
        left[f"{source.bits} bit samples"] = f"{spec.codec} takes {shape.bits} bit"
    is_gray = shape is not None and shape.planes == 1
    tags = VideoTags(
        orientation=orientation if keeps_orientation else UPRIGHT,
        sample_aspect_ratio=spec.sample_aspect_ratio,
        field_order=spec.field_order,
        # A matrix says nothing of gray, and x264 leaves it out.
        color=replace(spec.color, matrix=UNSPECIFIED) if is_gray else spec.color,
        hdr=spec.hdr,
        has_alpha=has_alpha,
    )
    return tags, [LeftBehind("picture", name, why) for name, why in left.items() if why]


def _why_progressive(info: VideoInfo, spec: EncodeSpec) -> str:
    """Return the reason why fields are not kept, empty where they are or where the job made whole frames of them."""
    if info.field_order == "progressive" or spec.is_interlaced or spec.was_deinterlaced:
        return ""
    return "it was scaled" if spec.codec in INTERLACED_CODECS else f"{spec.codec} cannot carry it"


def kept_field_order(order: FieldOrder, codec: str) -> FieldOrder:
    """Return the field order that an encoder can keep."""
    return order if codec in INTERLACED_CODECS else "progressive"


def kept_hdr(hdr: Hdr, codec: str) -> Hdr:
    """Return the description of dynamic range that an encoder can keep."""
    return hdr if codec in HDR_CODECS else NO_HDR
