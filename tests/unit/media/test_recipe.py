"""Frames as they enter the pipeline."""

from __future__ import annotations

from pathlib import Path

import av
import numpy as np
import pytest

from lipwise_ray.media.frames import make_recipe
from lipwise_ray.media.pixels import bgr_from_yuv, plane_array
from lipwise_ray.media.probe import probe_video


@pytest.mark.parametrize("height", [240, 720])
@pytest.mark.parametrize("codec", ["qtrle", "png", "ffv1"])
def test_rgb_video_keeps_its_colours(height: int, codec: str, tmp_path: Path) -> None:
    """RGB sources, tagged or not, are converted with the matrix that the output will be tagged with."""
    path = tmp_path / ("v.mkv" if codec == "ffv1" else "v.mov")
    bgr = (30, 90, 220)
    image = np.full((height, 320, 3), bgr, np.uint8)
    with av.open(str(path), "w") as container:
        stream = container.add_stream(codec, rate=25)
        stream.width, stream.height = 320, height
        stream.pix_fmt = {"qtrle": "rgb24", "png": "rgb24", "ffv1": "bgr0"}[codec]
        frame = av.VideoFrame.from_ndarray(image, format="bgr24")
        for packet in [*stream.encode(frame), *stream.encode(None)]:
            container.mux(packet)
    info = probe_video(path)
    recipe = make_recipe(info)
    with av.open(str(path)) as container:
        made = recipe.apply(next(container.decode(video=0)))
    yuv = np.array([plane_array(made, n)[height // 2, 160] for n in range(3)], np.float32)
    matrix, offset = bgr_from_yuv(recipe.canvas.color, height, recipe.canvas.format.bits)
    assert recipe.canvas.color.matrix == (1 if height == 720 else 6)
    assert np.abs(matrix @ (yuv - offset) * 255 - np.array(bgr)).max() < 3
