"""Whole frames, enlarged in tiles."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from lipwise_ray.lipsync.restore import ModelFaces
from lipwise_ray.lipsync.upscale import FrameUpscaler
from lipwise_ray.media.pixels import planar_format, plane_array
from lipwise_ray.media.region import Canvas
from lipwise_ray.nets.image_models import ImageModel, load_image_model
from lipwise_ray.synth.clips import ClipSpec, draw_frame
from lipwise_ray.values import ColorTags, Size


def _canvas(size: Size, name: str = "yuv420p") -> Canvas:
    shape = planar_format(name)
    assert shape is not None
    return Canvas(size, shape, ColorTags(matrix=6))


def _nearest(tile_px: int, batch: int = 3) -> ModelFaces:
    """Return a network that repeats every pixel."""
    call = torch.nn.Upsample(scale_factor=2, mode="nearest")
    model = ImageModel("Nearest", "upscaler", 2, call, call, supports_float16=True)
    return ModelFaces(model, device="cpu", precision="float32", batch_faces=batch, size_px=tile_px)


@pytest.mark.parametrize("size", [Size(160, 120), Size(33, 40), Size(250, 96), Size(17, 16)])
@pytest.mark.parametrize("tile_px", [64, 96])
def test_tiles_do_not_show(size: Size, tile_px: int) -> None:
    """A picture enlarged in tiles is the picture enlarged as a whole, to the rounding of its samples."""
    frame = draw_frame(ClipSpec(size=size), 7)
    for plane in (1, 2):
        plane_array(frame, plane)[:] = 128  # grey, so that no colour lies outside the cube and is clipped
    upscaler = FrameUpscaler(_nearest(tile_px), _canvas(size))
    large = upscaler(frame)
    assert (large.width, large.height) == (2 * size.width, 2 * size.height)
    assert upscaler.canvas.size == Size(2 * size.width, 2 * size.height)
    whole = np.repeat(np.repeat(plane_array(frame, 0), 2, axis=0), 2, axis=1)
    found = plane_array(large, 0)
    assert np.abs(found.astype(int) - np.clip(whole, 16, 235)).max() <= 1


def test_the_grid_does_not_matter() -> None:
    """Other tiles and batches give the same pixels with a network that looks no further than its tiles' overlap."""
    frame = draw_frame(ClipSpec(size=Size(200, 150)), 3)
    one = FrameUpscaler(_nearest(64, 1), _canvas(Size(200, 150)))(frame)
    other = FrameUpscaler(_nearest(112, 5), _canvas(Size(200, 150)))(frame)
    for plane in range(3):
        assert np.abs(plane_array(one, plane).astype(int) - plane_array(other, plane)).max() <= 1


@pytest.mark.parametrize("name", ["yuva420p", "yuva444p10le"])
def test_what_is_transparent_stays_so(name: str) -> None:
    """The transparency of a frame is enlarged with it, whatever was in the memory before."""
    size = Size(64, 48)
    frame = draw_frame(ClipSpec(size=size, pixel_format=name), 3)
    alpha = plane_array(frame, 3)
    alpha[:] = np.linspace(0, 255 << (_canvas(size, name).format.bits - 8), size.width)
    large = plane_array(FrameUpscaler(_nearest(64), _canvas(size, name))(frame), 3).astype(int)
    assert large.shape == (96, 128)
    step = int(alpha[0, 1]) - int(alpha[0, 0]) + 1
    assert np.abs(large - np.repeat(np.repeat(alpha, 2, axis=0), 2, axis=1)).max() <= step


@pytest.mark.slow
def test_a_real_upscaler_keeps_the_picture(shared: Path) -> None:
    """realesr-animevideov3 enlarges a frame four times: made small again it is the same picture, without seams."""
    real = shared / "weights" / "realesr-animevideov3.pth"
    if not real.is_file():
        pytest.skip(f"no real upscaler: {real} is not there")
    size = Size(160, 120)
    model = ModelFaces(load_image_model(real), device="cpu", precision="float32", batch_faces=2, size_px=96)
    frame = draw_frame(ClipSpec(size=size), 5)
    large = FrameUpscaler(model, _canvas(size))(frame)
    small = plane_array(large, 0).reshape(120, 4, 160, 4).mean(axis=(1, 3))
    assert np.abs(small - plane_array(frame, 0)).mean() < 4
