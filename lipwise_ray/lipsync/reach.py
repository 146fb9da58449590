"""Reach of rendering: how far around a frame others decide what it looks like."""

from __future__ import annotations

from dataclasses import dataclass

from lipwise_ray.lipsync.drafts import LIGHT_RADIUS
from lipwise_ray.lipsync.frame_job import Blend
from lipwise_ray.lipsync.jaw import JAW_RADIUS
from lipwise_ray.lipsync.occlusion import OCCLUSION_RADIUS


@dataclass(frozen=True, slots=True)
class Reach:
    """Frames before and after those that are shown which decide what these look like.

    Attributes:
        restored: So near new faces are restored.
        dubbed: So near faces are dubbed: what they say, and their opacity, count.
        seen: So near frames are read, and the places of their original faces count.
    """

    restored: int
    dubbed: int
    seen: int


NO_REACH = Reach(0, 0, 0)
"""Of frames that stay as they are."""


def reach_of(blend: Blend, *, restored: int, compares: bool) -> Reach:
    """Return the reach of a renderer.

    Args:
        blend: Rules by which new faces are laid over the old ones.
        restored: Frames around a face that its restoration looks at; 0 without a restorer.
        compares: Faces are compared with those around, for things in front of them.
    """
    is_masked = blend.mask != "box"
    lit = LIGHT_RADIUS if blend.match_light and is_masked else 0
    dubbed = restored + lit + (JAW_RADIUS if blend.mask == "face" else 0)
    return Reach(restored, dubbed, dubbed + (OCCLUSION_RADIUS if compares and is_masked else 0))
