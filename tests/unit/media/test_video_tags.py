"""What a picture carries besides its samples: orientation, pixel aspect, fields, dynamic range, alpha."""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest

from lipwise_ray.errors import SegmentError
from lipwise_ray.media.encode import EncodeSpec, encoded_size
from lipwise_ray.media.fields import AV_FIELD_ORDER, FieldOrder, deinterlaced
from lipwise_ray.media.frames import make_recipe, small_image
from lipwise_ray.media.hdr import Hdr, LightLevels, MasteringDisplay
from lipwise_ray.media.index import build_index
from lipwise_ray.media.join import SegmentFile, join
from lipwise_ray.media.orientation import UPRIGHT, Orientation
from lipwise_ray.media.overlay import write_region
from lipwise_ray.media.pixels import planar_format, plane_array
from lipwise_ray.media.probe import VideoInfo, probe_video
from lipwise_ray.media.promise import promised
from lipwise_ray.media.reader import VideoReader
from lipwise_ray.media.region import Canvas, box_to_shown, read_region
from lipwise_ray.media.segment_writer import SegmentWriter
from lipwise_ray.media.timeline import Timeline
from lipwise_ray.media.verify import check_segment, verify
from lipwise_ray.media.video_tags import VideoTags
from lipwise_ray.synth.clips import ClipSpec, draw_frame, write_clip
from lipwise_ray.values import ColorTags, Size

SIZE = Size(96, 64)
MIRROR = Orientation(-1, 0, 0, 1)
TRANSPOSED = Orientation(0, 1, 1, 0)
TILTED = Orientation(0.866, -0.5, 0.5, 0.866)
HDR = Hdr(
    MasteringDisplay((34000, 16000, 13250, 34500, 7500, 3000, 15635, 16450), 10_000_000, 50), LightLevels(1000, 400)
)


def _spec(codec: str, pixel_format: str = "yuv420p", **changes: Any) -> EncodeSpec:
    shape = planar_format(pixel_format)
    assert shape is not None
    order = changes.get("field_order", "progressive")
    spec = EncodeSpec(
        codec=codec,
        quality=None,
        preset="ultrafast",
        keyframe_frames=12,
        pixel_format=pixel_format,
        size=encoded_size(SIZE, codec, shape, is_interlaced=order != "progressive"),
        rate=Fraction(25),
        time_base=Fraction(1, 25),
        color=ColorTags(1, 1, 1),
        sample_aspect_ratio=Fraction(1),
        threads=1,
    )
    return replace(spec, **changes)


def _finished(folder: Path, name: str, spec: EncodeSpec, tags: VideoTags, frames: int = 3) -> VideoInfo:
    """Encode, join, verify, and return what the file says."""
    with SegmentWriter(folder / "s.mkv", spec) as writer:
        for number in range(frames):
            writer.write(draw_frame(ClipSpec(size=SIZE, pixel_format=_opaque(spec)), number), number)
        segment = writer.finish()
    file = SegmentFile(folder / "s.mkv", frames, segment.reorder, check_segment(folder / "s.mkv", frames).crc)
    timeline = Timeline(np.arange(frames, dtype=np.int64), frames, Fraction(1, 25))
    join([file], timeline, folder / name, tags=tags, metadata={})
    verify(folder / name, [file], timeline, None, tags=tags)
    if tags.sample_aspect_ratio != 2:  # what is not so is found out
        with pytest.raises(SegmentError, match="sample aspect ratio"):
            verify(folder / name, [file], timeline, None, tags=replace(tags, sample_aspect_ratio=Fraction(2)))
    return probe_video(folder / name)


def _opaque(spec: EncodeSpec) -> str:
    return spec.pixel_format.replace("yuva", "yuv")


@pytest.mark.parametrize("name", ["o.mp4", "o.mov", "o.mkv"])
@pytest.mark.parametrize("orientation", [MIRROR, TRANSPOSED, Orientation(1, 0, 0, -1), TILTED])
def test_a_mirrored_or_tilted_picture_stays_so(orientation: Orientation, name: str, tmp_path: Path) -> None:
    """Players lay the output out as the source: turned, mirrored, or by any angle."""
    tags = VideoTags(orientation, color=ColorTags(1, 1, 1))
    assert _finished(tmp_path, name, _spec("libx264"), tags).orientation.is_like(orientation)


@pytest.mark.parametrize(
    ("codec", "name", "pixel_format"),
    [
        ("libx264", "o.mp4", "yuv420p"),
        ("libx264", "o.mkv", "yuv420p"),
        ("ffv1", "o.mkv", "yuv420p"),
        ("libvpx-vp9", "o.webm", "yuv420p"),
        ("prores_ks", "o.mov", "yuv422p10le"),
    ],
)
@pytest.mark.parametrize("aspect", [Fraction(16, 11), Fraction(8, 9)])
def test_the_pixel_aspect_stays(codec: str, name: str, pixel_format: str, aspect: Fraction, tmp_path: Path) -> None:
    """Every container says how wide pixels are, whether its codec says so too or not."""
    spec = _spec(codec, pixel_format, sample_aspect_ratio=aspect)
    info = _finished(tmp_path, name, spec, VideoTags(sample_aspect_ratio=aspect, color=ColorTags(1, 1, 1)))
    assert abs(info.sample_aspect_ratio / aspect - 1) < Fraction(1, 100)


@pytest.mark.parametrize("order", ["tff", "bff"])
@pytest.mark.parametrize(("codec", "name"), [("libx264", "o.mp4"), ("ffv1", "o.mkv"), ("prores_ks", "o.mov")])
def test_fields_stay_fields(order: FieldOrder, codec: str, name: str, tmp_path: Path) -> None:
    """An interlaced picture is encoded as one, with its fields in their order."""
    spec = _spec(codec, "yuv422p10le" if codec == "prores_ks" else "yuv420p", field_order=order)
    tags = VideoTags(field_order=order, color=ColorTags(1, 1, 1))
    assert _finished(tmp_path, name, spec, tags).field_order == order
    with av.open(str(tmp_path / name)) as container:  # what H.264 says beside each picture too, from the first on
        stated = container.streams.video[0].codec_context.field_order
        assert codec != "libx264" or stated == AV_FIELD_ORDER[order]


@pytest.mark.parametrize(
    ("codec", "name"), [("libx264", "o.mkv"), ("libx265", "o.mp4"), ("libsvtav1", "o.webm"), ("libx265", "o.mov")]
)
def test_the_mastering_display_and_light_levels_stay(codec: str, name: str, tmp_path: Path) -> None:
    """HDR10's descriptions reach the output, and HEVC in MP4 and MOV has the tag that Apple's players want."""
    color = ColorTags(9, 9, 16)
    spec = _spec(codec, "yuv420p10le", hdr=HDR, color=color)
    info = _finished(tmp_path, name, spec, VideoTags(color=color, hdr=HDR))
    assert info.hdr.is_like(HDR)
    with av.open(str(tmp_path / name)) as container:
        assert codec != "libx265" or container.streams.video[0].codec_context.codec_tag == "hvc1"


@pytest.mark.parametrize(
    ("codec", "name", "pixel_format"),
    [
        ("ffv1", "o.mkv", "yuva420p"),
        ("prores_ks", "o.mov", "yuva444p10le"),
        ("libvpx-vp9", "o.webm", "yuva420p"),
    ],
)
def test_alpha_stays(codec: str, name: str, pixel_format: str, tmp_path: Path) -> None:
    """Codecs that have room for transparency keep it."""
    tags = VideoTags(color=ColorTags(1, 1, 1), has_alpha=True)
    info = _finished(tmp_path, name, _spec(codec, pixel_format), tags)
    assert info.has_alpha
    if codec == "prores_ks":
        with av.open(str(tmp_path / name)) as container:
            assert container.streams.video[0].codec_context.codec_tag == "ap4h"


def test_a_recipe_carries_alpha_through(tmp_path: Path) -> None:
    """The plane of opacity of a source reaches the encoder as it was."""
    with av.open(str(tmp_path / "a.mkv"), "w") as container:
        stream: Any = container.add_stream("ffv1", rate=25)
        stream.width, stream.height, stream.pix_fmt = SIZE.width, SIZE.height, "yuva420p"
        frame = av.VideoFrame(SIZE.width, SIZE.height, "yuva420p")
        for plane in range(4):
            plane_array(frame, plane)[:] = 100 + plane
        plane_array(frame, 3)[:, :40] = 7
        container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    info = probe_video(tmp_path / "a.mkv")
    recipe = make_recipe(info)
    with av.open(str(tmp_path / "a.mkv")) as container:
        made = recipe.apply(next(container.decode(video=0)))
    assert recipe.canvas.format.name == "yuva420p"
    assert (plane_array(made, 3)[:, :40] == 7).all()
    assert (plane_array(made, 3)[:, 40:] == 103).all()
    write_region(
        made, recipe.canvas, box_to_shown(np.array([0, 0, 90, 60]), 16), np.ones((16, 16, 3), np.float32), None
    )
    assert (plane_array(made, 3)[:, 40:] == 103).all()


def test_what_cannot_be_kept_is_named(tmp_path: Path) -> None:
    """What an encoder or a container has no room for is listed with the reason."""
    write_clip(tmp_path / "v.mp4", ClipSpec(size=SIZE, frames=2))
    info = replace(
        probe_video(tmp_path / "v.mp4"),
        has_alpha=True,
        field_order="tff",
        hdr=HDR,
        pixel_format="yuv420p12le",
        extras=("Dolby Vision",),
    )
    skewed = Orientation(1, 0.5, 0, 1)
    tags, left = promised(info, skewed, _spec("libvpx-vp9", "yuv420p"), "webm")
    names = {"tilt", "field order", "mastering display", "content light levels", "alpha", "12 bit samples"}
    assert {one.what for one in left} == names | {"Dolby Vision"}
    assert tags.orientation == UPRIGHT
    assert not promised(probe_video(tmp_path / "v.mp4"), MIRROR, _spec("libx264"), "matroska")[1]


@pytest.mark.parametrize("orientation", [MIRROR, TRANSPOSED, TILTED, TILTED.turned(90), Orientation(0, -1, -1, 0)])
@pytest.mark.parametrize("sample_aspect", [1.0, 1.5])
def test_a_region_of_the_shown_picture_is_read_where_it_is_written(
    orientation: Orientation, sample_aspect: float
) -> None:
    """What is laid over a box of the shown picture is found there again, and nowhere else."""
    shape = planar_format("yuv444p")
    assert shape is not None
    canvas = Canvas(Size(120, 90), shape, ColorTags(6), orientation, sample_aspect)
    frame = av.VideoFrame(120, 90, "yuv444p")
    for plane, value in enumerate((40, 128, 128)):
        plane_array(frame, plane)[:] = value
    shown = canvas.shown_size
    middle, half = np.array([shown.width, shown.height]) / 2, 14
    box = np.array([*(middle - half), *(middle + half)])
    picture = np.zeros((32, 32, 3), np.float32)
    picture[:, :16] = 1  # white on the shown picture's left
    write_region(frame, canvas, box_to_shown(box, 32), picture, None)
    upright = orientation.upright(plane_array(frame, 0)) if sample_aspect == 1.0 else None
    if upright is not None and orientation.is_straight:
        y, x = (int(value) for value in middle[::-1])
        assert upright.shape == (shown.height, shown.width)
        assert upright[y, x - 8] > 200
        assert upright[y, x + 8] < 30
    read = read_region(frame, canvas, box_to_shown(box, 32), 32)
    assert np.abs(read - picture)[4:-4, [4, 8, 24, 28]].max() < 0.05


def test_detection_sees_a_mirrored_picture_as_it_is_shown(tmp_path: Path) -> None:
    """The small picture that detectors get is laid out as players lay out the frame."""
    write_clip(tmp_path / "v.mp4", ClipSpec(size=SIZE, frames=1))
    info = probe_video(tmp_path / "v.mp4")
    with av.open(str(tmp_path / "v.mp4")) as container:
        frame = next(container.decode(video=0))
        plain = small_image(frame, make_recipe(info), 64).image_bgr
        mirrored = small_image(frame, make_recipe(replace(info, orientation=MIRROR)), 64).image_bgr
    assert np.array_equal(plain[:, ::-1], mirrored)


def test_whole_frames_are_made_of_fields_wherever_reading_begins(tmp_path: Path) -> None:
    """Deinterlacing gives one frame a frame, at its time, equal for any way of reading; combs are gone."""
    with SegmentWriter(tmp_path / "v.mkv", _spec("ffv1", field_order="tff")) as writer:
        for number in range(12):
            frame = av.VideoFrame(SIZE.width, SIZE.height, "yuv420p")
            for plane in range(3):
                plane_array(frame, plane)[:] = 128
            luma = plane_array(frame, 0)
            for row in range(SIZE.height):  # a bar that moves by four pixels a field
                at = 8 * number + (row % 2) * 4
                luma[row] = 40
                luma[row, at % 80 : at % 80 + 16] = 220
            writer.write(frame, number)
        writer.finish()
    info = probe_video(tmp_path / "v.mkv")
    assert info.field_order == "tff"
    index = build_index(info)

    def read(numbers: list[int]) -> list[bytes]:
        with VideoReader(info.path, info.stream_index, index, deinterlace=True) as reader:
            return [plane_array(frame, 0).tobytes() for frame in reader.read_order(numbers)]

    whole = read(list(range(12)))
    assert len(whole) == 12
    assert read([5]) + read([11, 10, 3]) == [whole[n] for n in (5, 11, 10, 3)]
    luma = np.frombuffer(whole[5], np.uint8).reshape(SIZE.height, SIZE.width).astype(int)
    assert np.abs(luma[20:40:2] - luma[21:41:2]).mean() < 6  # 20 with both fields side by side
    with VideoReader(info.path, info.stream_index, index) as reader:
        times = [(number, frame.pts) for number, frame in enumerate(reader.read(0, 12))]
        frames = deinterlaced(enumerate(reader.read(0, 12)), to_end=True)
        assert [(number, frame.pts) for number, frame in frames] == times
