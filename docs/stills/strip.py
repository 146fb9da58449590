"""A strip of frames: the clip as it was above, dubbed below, at the same moments."""

from __future__ import annotations

from pathlib import Path

import av
import numpy as np
from PIL import Image

_MOMENTS = 5
_HEIGHT_PX = 200
_GAP_PX = 6


def before_and_after(original: Path, dubbed: Path) -> Image.Image:
    """Return the strip.

    Args:
        original: The clip.
        dubbed: The delivered video, frame by frame the same film.
    """
    above, below = _frames(original), _frames(dubbed)
    shared = min(len(above), len(below))
    moments = np.linspace(0, shared - 1, _MOMENTS + 2, dtype=int)[1:-1]
    tiles = [[frames[moment] for moment in moments] for frames in (above, below)]
    width = max(tile.width for row in tiles for tile in row) + _GAP_PX
    strip = Image.new("RGB", (width * _MOMENTS - _GAP_PX, 2 * _HEIGHT_PX + _GAP_PX), (127, 127, 127))
    for line, row in enumerate(tiles):
        for place, tile in enumerate(row):
            strip.paste(tile, (place * width, line * (_HEIGHT_PX + _GAP_PX)))
    return strip


def _frames(path: Path) -> list[Image.Image]:
    """Return all frames of a short clip, small."""
    with av.open(str(path)) as container:
        frames = (frame.to_image() for frame in container.decode(video=0))
        return [one.resize((round(one.width * _HEIGHT_PX / one.height), _HEIGHT_PX)) for one in frames]
