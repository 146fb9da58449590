"""What a file says of its picture besides size and format."""

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
class PictureTags:
    """What a finished file says of its picture; a player needs it to show the picture right.

    Attributes:
        orientation: How the stored picture is laid out.
        sample_aspect_ratio: Width of a pixel over its height.
        field_order: Whether it is interlaced, and how.
        color: What samples mean.
        hdr: Mastering display and light levels.
        has_alpha: Whether there is transparency.
    """

    orientation: Orientation = UPRIGHT
    sample_aspect_ratio: Fraction = Fraction(1)
    field_order: FieldOrder = "progressive"
    color: ColorTags = field(default_factory=ColorTags)
    hdr: Hdr = NO_HDR
    has_alpha: bool = False

    def differences(self, found: VideoInfo) -> list[str]:
        """Return what a finished file says otherwise; what was never specified may be anything there."""
        pairs = {
            "orientation": (self.orientation, found.orientation, self.orientation.is_like(found.orientation)),
            "sample aspect ratio": (
                self.sample_aspect_ratio,
                found.sample_aspect_ratio,
                abs(found.sample_aspect_ratio / self.sample_aspect_ratio - 1) < Fraction(1, 200),
            ),
            "field order": (self.field_order, found.field_order, self.field_order == found.field_order),
            "colours": (self.color, found.color, _same_color(self.color, found.color)),
            "HDR metadata": (self.hdr, found.hdr, self.hdr.is_like(found.hdr)),
            "alpha": (self.has_alpha, found.has_alpha, self.has_alpha == found.has_alpha),
        }
        return [f"{name} {got} in place of {wanted}" for name, (wanted, got, is_same) in pairs.items() if not is_same]


PLAIN = PictureTags()


def _same_color(wanted: ColorTags, found: ColorTags) -> bool:
    """Compare colour descriptions; BT.601 has two numbers, and what is unspecified cannot be broken."""
    pairs = ((wanted.matrix, found.matrix), (wanted.primaries, found.primaries), (wanted.transfer, found.transfer))
    return wanted.full_range == found.full_range and all(a in (b, 2) or {a, b} == {5, 6} for a, b in pairs)
