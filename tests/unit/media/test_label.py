"""A sign in a corner of frames: read by whoever watches, and nothing else of the frame changes."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, cast

import cv2
import numpy as np
import pytest
from PIL import ImageFont

from lipwise_ray.errors import SettingsError
from lipwise_ray.media.label import FrameLabel, Sign
from lipwise_ray.media.orientation import Orientation
from lipwise_ray.media.pixels import planar_format, plane_array, yuv_from_bgr
from lipwise_ray.media.region import Canvas, read_luma
from lipwise_ray.synth.clips import ClipSpec, draw_frame
from lipwise_ray.values import ColorTags, F32Array, F64Array, Size

if TYPE_CHECKING:
    from io import BytesIO

    from av.video.frame import VideoFrame

CORNERS = ("top-left", "top-right", "bottom-left", "bottom-right")
BT709, PQ, HLG = 1, 16, 18
SMALL, LIMITED, FULL = Size(426, 240), ColorTags(BT709), ColorTags(BT709, full_range=True)


def _canvas(name: str = "yuv420p", size: Size = SMALL, tags: ColorTags = LIMITED) -> Canvas:
    shape = planar_format(name)
    assert shape is not None
    return Canvas(size, shape, tags)


def _frame(canvas: Canvas, level: float | None = None) -> VideoFrame:
    """Return a drawn frame, or one of one grey, from 0 for black to 1 for white."""
    frame = draw_frame(ClipSpec(size=canvas.size, pixel_format=canvas.format.name), 3)
    if level is not None:
        matrix, offset = yuv_from_bgr(canvas.color, canvas.size.height, canvas.format.bits)
        for plane, value in enumerate(matrix @ np.full(3, level) + offset):
            if plane < canvas.format.planes:
                plane_array(frame, plane)[:] = round(float(value))
    return frame


def _signal(frame: VideoFrame, canvas: Canvas) -> F64Array:
    """Return a frame's luma from 0 for black to 1 for white."""
    matrix, offset = yuv_from_bgr(canvas.color, canvas.size.height, canvas.format.bits)
    return (plane_array(frame, 0) - float(offset[0])) / float(matrix[0].sum())


def _shown(frame: VideoFrame, canvas: Canvas, box: tuple[float, ...], side: int = 96) -> F32Array:
    """Return the luma of a rectangle of the shown frame, as a square."""
    left, top, right, bottom = box
    affine = np.array([[(right - left) / side, 0, left], [0, (bottom - top) / side, top]], np.float64)
    return read_luma(frame, canvas, affine, side)


@pytest.mark.parametrize("corner", CORNERS)
@pytest.mark.parametrize("name", ["yuv420p", "yuv422p", "yuv444p", "yuv420p10le", "yuv422p10le", "yuv440p", "gray"])
@pytest.mark.parametrize("tags", [LIMITED, FULL], ids=["limited", "full"])
def test_only_samples_under_the_sign_change(name: str, corner: str, tags: ColorTags) -> None:
    """All other samples of every plane are as they were, at odd sizes too; those under it have no colour."""
    canvas = _canvas(name, Size(427, 241), tags)
    frame = _frame(canvas)
    before = [plane_array(frame, plane).astype(np.float64) for plane in range(canvas.format.planes)]
    label = FrameLabel(Sign("AI", cast("object", corner)), canvas)  # type: ignore[arg-type]  # one of the corners
    label.draw(frame)
    neutral = 1 << (canvas.format.bits - 1)
    for plane, old in enumerate(before):
        x, y = canvas.format.shifts(plane)
        left, top, right, bottom = label.box
        near = np.zeros(old.shape, np.bool_)
        near[int(top) // (1 << y) - 1 : -(-int(bottom) // (1 << y)) + 2, int(left) // (1 << x) - 1 :][
            :, : -(-int(right - left) // (1 << x)) + 4
        ] = True
        new = plane_array(frame, plane).astype(np.float64)
        assert np.array_equal(new[~near], old[~near])
        assert (new != old).sum() > 0.5 * (right - left) * (bottom - top) / (1 << (x + y))
        if plane:
            assert (abs(new - neutral) <= abs(old - neutral) + 1).all()


@pytest.mark.parametrize("height", [240, 1080, 2160])
@pytest.mark.parametrize("level", [0.0, 0.5, 1.0])
@pytest.mark.parametrize("tags", [LIMITED, FULL], ids=["limited", "full"])
def test_it_can_be_read_in_light_and_dark_footage(height: int, level: float, tags: ColorTags) -> None:
    """Letters have seven times the light of what is behind them (WCAG 2.2, level AAA), and the plate can be seen."""
    canvas = _canvas(size=Size(height * 16 // 9 // 2 * 2, height), tags=tags)
    frame = _frame(canvas, level)
    label = FrameLabel(Sign("I", "top-right"), canvas)
    label.draw(frame)
    left, top, right, bottom = label.box
    light = np.clip(_signal(frame, canvas), 0, 1)[round(top) : round(bottom), round(left) : round(right)] ** 2.2
    middle = light[light.shape[0] // 2]
    inner = middle[len(middle) // 5 : -len(middle) // 5]
    assert (inner.max() + 0.05) / (inner.min() + 0.05) > 7
    assert middle[: len(middle) // 8].max() > 0.25  # the rim


def test_letters_are_as_high_as_labels_must_be() -> None:
    """A capital letter is a twentieth of the frame's shorter side, whatever its size and however it is held."""
    for size in (Size(426, 240), Size(720, 1280), Size(3840, 2160)):
        canvas = _canvas(size=size)
        frame = _frame(canvas, 0.0)
        label = FrameLabel(Sign("I", "bottom-left"), canvas)
        label.draw(frame)
        left, top, right, bottom = (round(edge) for edge in label.box)
        across = right - left
        letter = _signal(frame, canvas)[top:bottom, left:right][:, across // 3 : -across // 3]
        rows = np.flatnonzero(letter[len(letter) // 8 : -len(letter) // 8].max(axis=1) > 0.5)
        shorter = min(size.width, size.height)
        assert len(rows) == pytest.approx(shorter * 0.05, abs=max(1.5, shorter * 0.002))


@pytest.mark.parametrize("corner", CORNERS)
@pytest.mark.parametrize("degrees", [0, 90, 180, 270])
@pytest.mark.parametrize("aspect", [1.0, 64 / 45])
def test_it_stands_upright_for_who_watches(corner: str, degrees: int, aspect: float) -> None:
    """In rotated, mirrored and anamorphic videos it looks the same, in the corner that was asked for."""
    plain = replace(_canvas(size=Size(512, 360)))
    sign = Sign("AI 7", cast("object", corner))  # type: ignore[arg-type]  # one of the corners
    one = FrameLabel(sign, plain)
    expected = _frame(plain, 0.3)
    one.draw(expected)
    for mirrored in (False, True):
        linear = Orientation.clockwise(cast("object", degrees)).linear  # type: ignore[arg-type]  # one of the four
        linear = linear @ np.diag([-1.0 if mirrored else 1.0, 1.0]) + 0.0
        orientation = Orientation(*(float(value) for value in linear.ravel()))
        canvas = replace(plain, orientation=orientation, sample_aspect=aspect)
        frame = _frame(canvas, 0.3)
        label = FrameLabel(sign, canvas)
        label.draw(frame)
        shown = canvas.shown_size
        left, top, right, bottom = label.box
        assert ((left + right) / 2 < shown.width / 2) == corner.endswith("left")
        assert ((top + bottom) / 2 < shown.height / 2) == corner.startswith("top")
        assert (right - left) * canvas.aspect / (bottom - top) == pytest.approx(
            (one.box[2] - one.box[0]) / (one.box[3] - one.box[1])
        )
        difference = cv2.absdiff(_shown(frame, canvas, label.box), _shown(expected, plain, one.box))
        assert float(difference.mean()) < 8
        wrong = cv2.absdiff(_shown(frame, canvas, label.box)[:, ::-1], _shown(expected, plain, one.box))
        assert float(wrong.mean()) > 15


def test_a_tilted_frame_shows_all_of_it() -> None:
    """Where players show a frame tilted its corners are black, so the sign is further in."""
    cos, sin = np.cos(np.radians(20)), np.sin(np.radians(20))
    canvas = replace(_canvas(), orientation=Orientation(cos, -sin, sin, cos))
    for corner in CORNERS:
        left, top, right, bottom = FrameLabel(Sign("AI", cast("object", corner)), canvas).box  # type: ignore[arg-type]  # one of the corners
        corners = canvas.to_stored() @ np.array([[left, right] * 2, [top, top, bottom, bottom], [1, 1, 1, 1]])
        assert (corners >= 0).all()
        assert (corners.max(axis=1) <= np.array([canvas.size.width, canvas.size.height])).all()


@pytest.mark.parametrize(("transfer", "white"), [(PQ, 0.58), (HLG, 0.75), (BT709, 1.0)])
def test_its_white_does_not_glare(transfer: int, white: float) -> None:
    """In a high dynamic range letters are as light as white paper, not as the brightest that there is."""
    canvas = _canvas("yuv420p10le", Size(854, 480), ColorTags(9, 9, transfer))
    frame = _frame(canvas, 0.0)
    FrameLabel(Sign("AI", "top-left"), canvas).draw(frame)
    assert float(_signal(frame, canvas).max()) == pytest.approx(white, abs=0.01)


def test_it_shows_where_the_frame_is_transparent() -> None:
    """The opacity of a frame is raised under it, and only there."""
    canvas = _canvas("yuva420p")
    frame = _frame(canvas)
    plane_array(frame, 3)[:] = 0
    label = FrameLabel(Sign("AI", "top-left"), canvas)
    label.draw(frame)
    opacity = plane_array(frame, 3)
    left, top, right, bottom = (round(edge) for edge in label.box)
    assert opacity[top + 2 : bottom - 2, left + 2 : right - 2].min() > 150
    assert not opacity[bottom + 2 :].any()
    assert not opacity[:, right + 2 :].any()


@pytest.mark.parametrize("size", [Size(2, 2), Size(16, 9), Size(64, 2), Size(426, 240), Size(135, 240)])
def test_a_long_text_fits_into_any_frame(size: Size) -> None:
    """It is made smaller, and the smallest frames are no errors."""
    canvas = _canvas(size=size)
    label = FrameLabel(Sign("W" * 40, "bottom-right"), canvas)
    label.draw(_frame(canvas, 0.5))
    left, top, right, bottom = label.box
    assert 0 < left < right < size.width
    assert 0 < top < bottom < size.height


def test_a_font_of_ones_own(tmp_path: Path) -> None:
    """It is read from its file; a letter that it lacks, and a file that is none, are errors that say so."""
    built_in = cast("ImageFont.FreeTypeFont", ImageFont.load_default(10)).path
    (tmp_path / "own.otf").write_bytes(cast("BytesIO", built_in).getvalue())
    (tmp_path / "no.otf").write_text("no font")
    canvas = _canvas()
    frames = [_frame(canvas), _frame(canvas)]
    for frame, font in zip(frames, (None, tmp_path / "own.otf"), strict=True):
        FrameLabel(Sign("I", "top-left", font), canvas).draw(frame)
    assert float(cv2.absdiff(*(plane_array(frame, 0) for frame in frames)).max()) < 64  # letters are spaced otherwise
    with pytest.raises(SettingsError, match=r"own\.otf has no 'é'"):
        FrameLabel(Sign("Créé", "top-left", tmp_path / "own.otf"), canvas)
    for name in ("no.otf", "none.otf"):
        with pytest.raises(SettingsError, match=rf"{name} cannot be read as a font"):
            FrameLabel(Sign("AI", "top-left", tmp_path / name), canvas)
