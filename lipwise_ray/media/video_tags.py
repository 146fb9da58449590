"""Tags of a video stream: what a file says of it besides size and format."""

from __future__ import annotations

from dataclasses import dataclass, field
from fractions import Fraction
from typing import TYPE_CHECKING

from lipwise_ray.media.fields import FieldOrder
from lipwise_ray.media.hdr import NO_HDR, Hdr
from lipwise_ray.media.orientation import UPRIGHT, Orientation
from lipwise_ray.values import ColorTags

if TYPE_CHECKING:
    from lipwise_ray.media.probe import VideoInfo


@dataclass(frozen=True, slots=True)
class VideoTags:
    """Tags of a finished file's video; a player needs them to show frames right.

    Attributes:
        orientation: Orientation of the stored frame.
        sample_aspect_ratio: Width of a pixel over its height.
        field_order: Order of its fields; ``progressive`` where it is not interlaced.
        color: Meaning of samples.
        hdr: Mastering display and light levels.
        has_alpha: True where there is transparency.
    """

    orientation: Orientation = UPRIGHT
    sample_aspect_ratio: Fraction = Fraction(1)
    field_order: FieldOrder = "progressive"
    color: ColorTags = field(default_factory=ColorTags)
    hdr: Hdr = NO_HDR
    has_alpha: bool = False

    def differences(self, info: VideoInfo) -> list[str]:
        """Return the tags that differ in a finished file; what was never specified may be anything there."""
        pairs = {
            "orientation": (self.orientation, info.orientation, self.orientation.is_like(info.orientation)),
            "sample aspect ratio": (
                self.sample_aspect_ratio,
                info.sample_aspect_ratio,
                abs(info.sample_aspect_ratio / self.sample_aspect_ratio - 1) < Fraction(1, 200),
            ),
            "field order": (self.field_order, info.field_order, self.field_order == info.field_order),
            "colours": (self.color, info.color, _same_color(self.color, info.color)),
            "HDR metadata": (self.hdr, info.hdr, self.hdr.is_like(info.hdr)),
            "alpha": (self.has_alpha, info.has_alpha, self.has_alpha == info.has_alpha),
        }
        return [f"{name} {got} in place of {wanted}" for name, (wanted, got, is_same) in pairs.items() if not is_same]


PLAIN = VideoTags()


def _same_color(wanted: ColorTags, stated: ColorTags) -> bool:
    """Compare colour descriptions; BT.601 has two numbers, and what is unspecified cannot be broken."""
    pairs = ((wanted.matrix, stated.matrix), (wanted.primaries, stated.primaries), (wanted.transfer, stated.transfer))
    return wanted.full_range == stated.full_range and all(a in (b, 2) or {a, b} == {5, 6} for a, b in pairs)
