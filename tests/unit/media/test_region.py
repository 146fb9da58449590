"""Reading and writing a region of a frame in its own format."""

from __future__ import annotations

from fractions import Fraction
from typing import Any

import av
import cv2
import numpy as np
import pytest

from lipwise_ray.media.orientation import Orientation
from lipwise_ray.media.overlay import write_region
from lipwise_ray.media.pixels import bgr_from_yuv, planar_format, plane_array, yuv_from_bgr
from lipwise_ray.media.region import Canvas, box_to_shown, read_region
from lipwise_ray.synth.clips import ClipSpec, draw_frame
from lipwise_ray.values import ColorTags, Size

FORMATS = ["yuv420p", "yuv422p", "yuv444p", "yuv420p10le", "yuv422p10le", "gray"]


SIZE = Size(160, 120)


def _frame(name: str) -> tuple[Any, Canvas]:
    spec = ClipSpec(size=SIZE, pixel_format=name, rate=Fraction(25))
    shape = planar_format(name)
    assert shape is not None
    return draw_frame(spec, 5), Canvas(SIZE, shape, ColorTags(matrix=6))


def _copy(frame: Any) -> list[Any]:
    return [plane_array(frame, n).copy() for n in range(len(frame.planes))]


@pytest.mark.parametrize("name", FORMATS)
@pytest.mark.parametrize("box", [(20, 30, 90, 110), (21.5, 33.25, 77, 97), (-15, -10, 40, 50), (120, 90, 190, 150)])
def test_only_the_region_changes(name: str, box: tuple[float, ...]) -> None:
    """Planes outside the box stay bit-equal, also where the box passes the picture's edge."""
    frame, canvas = _frame(name)
    before = _copy(frame)
    to_shown = box_to_shown(np.array(box, np.float32), 96)
    write_region(frame, canvas, to_shown, np.full((96, 96, 3), 0.9, np.float32), None)
    left, top, right, bottom = box
    for plane, old in enumerate(before):
        shift_x, shift_y = (canvas.format.shift_x, canvas.format.shift_y) if plane else (0, 0)
        rows, columns = np.indices(old.shape)
        outside = (
            (columns < left / (1 << shift_x) - 1)
            | (columns > right / (1 << shift_x) + 1)
            | (rows < top / (1 << shift_y) - 1)
            | (rows > bottom / (1 << shift_y) + 1)
        )
        new = plane_array(frame, plane)
        assert np.array_equal(new[outside], old[outside])
        assert plane != 0 or not np.array_equal(new, old)


@pytest.mark.parametrize("name", ["yuv420p", "yuv444p", "yuv420p10le"])
def test_reading_agrees_with_a_conversion_of_the_whole_frame(name: str) -> None:
    """The crop equals the same crop of a frame that FFmpeg converted to BGR, to a few levels."""
    frame, canvas = _frame(name)
    crop = read_region(frame, canvas, box_to_shown(np.array([24, 30, 120, 110], np.float32), 96), 96)
    frame.color_range, frame.colorspace = 1, 6
    whole = frame.reformat(format="bgr24", src_colorspace="ITU601", interpolation="BILINEAR").to_ndarray()
    reference = cv2.resize(whole[30:110, 24:120], (96, 96), interpolation=cv2.INTER_LINEAR) / 255
    assert np.abs(crop - reference)[4:-4, 4:-4].mean() < 0.01


@pytest.mark.parametrize("name", FORMATS)
def test_a_region_goes_out_and_back(name: str) -> None:
    """Writing back what was read, at the box's own size, changes no sample by more than one level."""
    frame, canvas = _frame(name)
    before = _copy(frame)
    to_shown = box_to_shown(np.array([32, 16, 128, 112], np.float32), 96)
    picture = read_region(frame, canvas, to_shown, 96)
    write_region(frame, canvas, to_shown, picture, None)
    step = 1 << (canvas.format.bits - 8)
    assert np.abs(plane_array(frame, 0).astype(int) - before[0].astype(int)).max() <= step


@pytest.mark.parametrize("rotation", [0, 90, 180, 270])
def test_a_turned_video_is_read_and_written_upright(rotation: Any) -> None:
    """For a rotated video the crop is upright, and what is written lands where it was read."""
    frame, flat = _frame("yuv444p")
    canvas = Canvas(flat.size, flat.format, flat.color, Orientation.clockwise(rotation))
    shown = np.rot90(plane_array(frame, 0), -rotation // 90)
    box = np.array([30, 40, 78, 88], np.float32)
    picture = read_region(frame, canvas, box_to_shown(box, 48), 48)
    matrix, offset = yuv_from_bgr(canvas.color, canvas.size.height, 8)
    luma = (picture @ matrix.T + offset)[..., 0]
    assert np.abs(luma - shown[40:88, 30:78]).max() < 1.5
    write_region(frame, canvas, box_to_shown(box, 48), np.zeros((48, 48, 3), np.float32), None)
    after = np.rot90(plane_array(frame, 0), -rotation // 90)
    assert (after[40:88, 30:78] == 16).all()
    assert (after[39, 30:78] != 16).all()


@pytest.mark.parametrize("matrix", [1, 6, 9])
@pytest.mark.parametrize("full_range", [False, True])
def test_colours_agree_with_ffmpeg(*, matrix: int, full_range: bool) -> None:
    """One-colour pictures convert as FFmpeg converts them, for each standard and range."""
    names = {1: "ITU709", 6: "ITU601", 9: "BT2020"}
    for bgr in ([250, 20, 30], [10, 240, 60], [40, 50, 230], [128, 128, 128]):
        image = np.full((16, 16, 3), bgr, np.uint8)
        converted = av.VideoFrame.from_ndarray(image, format="bgr24").reformat(
            format="yuv444p", dst_colorspace=names[matrix], dst_color_range=2 if full_range else 1
        )
        theirs = np.array([plane_array(converted, n)[8, 8] for n in range(3)])
        ours_matrix, offset = yuv_from_bgr(ColorTags(matrix=matrix, full_range=full_range), 480, 8)
        ours = ours_matrix @ (np.array(bgr, np.float32) / 255) + offset
        assert np.abs(ours - theirs).max() < 2
        back, zero = bgr_from_yuv(ColorTags(matrix=matrix, full_range=full_range), 480, 8)
        assert np.abs(back @ (ours - zero) * 255 - bgr).max() < 0.1


def test_soft_weight_fades(tmp_path: Any) -> None:
    """A weight of zero keeps the sample, a weight of one replaces it, between is between."""
    del tmp_path
    frame, canvas = _frame("yuv444p")
    before = plane_array(frame, 0).copy()
    weight = np.zeros((32, 32), np.float32)
    weight[:, 16:] = 1
    write_region(
        frame,
        canvas,
        box_to_shown(np.array([64, 64, 96, 96], np.float32), 32),
        np.ones((32, 32, 3), np.float32),
        weight,
    )
    after = plane_array(frame, 0)
    assert np.array_equal(after[64:96, 64:79], before[64:96, 64:79])
    assert (after[64:96, 82:95] == 235).all()
