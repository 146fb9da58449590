"""Lips that fade into the filmed ones."""

from __future__ import annotations

import numpy as np
import pytest

from lipwise_ray.lipsync.fading import copied
from lipwise_ray.lipsync.restoration import Patch, PatchPlace
from lipwise_ray.media.overlay import write_region
from lipwise_ray.media.pixels import planar_format, plane_array
from lipwise_ray.media.region import Canvas, box_to_shown
from lipwise_ray.synth.clips import ClipSpec, draw_frame
from lipwise_ray.values import ColorTags, Size

SPEC = ClipSpec(size=Size(160, 120))
SHAPE = planar_format("yuv420p")
assert SHAPE is not None
CANVAS = Canvas(SPEC.size, SHAPE, ColorTags(matrix=6))


@pytest.mark.parametrize("turn", [0.0, 30.0])
@pytest.mark.parametrize("box", [(40, 30, 100, 90), (-20, -10, 30, 40), (130, 90, 190, 150)])
@pytest.mark.parametrize("opacity", [0.9, None])
def test_fading_mixes_all_that_was_laid_over(
    box: tuple[int, int, int, int], turn: float, opacity: float | None
) -> None:
    """Wherever the patch lies in the frame, the result is that of mixing whole frames."""
    to_shown = box_to_shown(np.array(box, np.float32), 48, turn)
    image = np.random.default_rng(0).random((48, 48, 3)).astype(np.float32)
    patch = Patch(image, None if opacity is None else np.full((48, 48), opacity, np.float32), to_shown)
    filmed, dubbed, faded = (draw_frame(SPEC, 3) for _ in range(3))
    write_region(dubbed, CANVAS, to_shown, image, patch.mask)
    parts = copied(faded, CANVAS, [patch.place])
    write_region(faded, CANVAS, to_shown, image, patch.mask)
    for part in parts:
        part.fade(0.3)
    for plane in range(3):
        old, new = (plane_array(frame, plane).astype(np.float32) for frame in (filmed, dubbed))
        assert not np.array_equal(old, new)
        # Half a level may be rounded either way; where both frames are alike nothing changes.
        assert np.abs(plane_array(faded, plane) - (old + np.float32(0.3) * (new - old))).max() < 0.501


def test_nothing_is_copied_where_a_patch_is_outside() -> None:
    """A box past the frame's edge leaves it alone."""
    to_shown = box_to_shown(np.array([300, 30, 340, 70], np.float32), 48)
    assert not copied(draw_frame(SPEC, 0), CANVAS, [PatchPlace(48, None, to_shown)])
