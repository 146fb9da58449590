"""A picture's size, format or colours change at frame 25: one suite over everything that reads pictures."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest

from lipwise_ray.faces.detections import DetectedFaces
from lipwise_ray.media.frames import FrameRecipe, make_recipe, small_image
from lipwise_ray.media.index import FrameIndex, build_index
from lipwise_ray.media.pixels import plane_array
from lipwise_ray.media.probe import VideoInfo, probe_video
from lipwise_ray.media.reader import VideoReader
from lipwise_ray.media.region import box_to_shown, read_region
from lipwise_ray.pipeline.analysis.crops import read_crops, whole_tracks
from lipwise_ray.pipeline.analysis.face_detection import scan
from lipwise_ray.pipeline.inputs.records import Video
from lipwise_ray.pipeline.quality.lip_windows import Faces, frames_shown
from lipwise_ray.pipeline.quality.reference_comparison import Reference, compare_pictures
from lipwise_ray.pipeline.quality.size_fit import SizeFit
from lipwise_ray.settings.model import DetectSettings, Settings
from lipwise_ray.values import F32Array, Size, Span

CHANGE, FRAMES = 25, 50
LARGE, NARROW, SMALL = Size(160, 120), Size(68, 120), Size(80, 60)
SPOT = (0.5, 0.4, 0.12)
"""Where a bright square lies in the picture: the middle of it, and half its side as a share of the height."""


class Bright:
    """Finds the bright square that every frame shows."""

    together = False

    def detect(self, images: list[Any]) -> list[DetectedFaces]:
        """Return its box in each picture, taken as a face."""
        return [self._found(image) for image in images]

    @staticmethod
    def _found(image: Any) -> DetectedFaces:
        rows, columns = np.nonzero(image[..., 1] > 180)
        if not len(rows):
            return DetectedFaces(np.zeros((0, 4), np.float32), np.zeros((0, 5, 2), np.float32), np.zeros(0, np.float32))
        box = np.array([columns.min(), rows.min(), columns.max() + 1, rows.max() + 1], np.float32)
        x, y = (box[0] + box[2]) / 2, (box[1] + box[3]) / 2
        points = np.array([[x - 2, y - 2], [x + 2, y - 2], [x, y], [x - 1, y + 2], [x + 1, y + 2]], np.float32)
        return DetectedFaces(box[None], points[None], np.ones(1, np.float32))


def _picture(size: Size, pixel_format: str, *, full: bool = False) -> av.VideoFrame:
    frame = av.VideoFrame(size.width, size.height, pixel_format)
    unit = 4 if "10" in pixel_format else 1
    for plane in range(3):
        plane_array(frame, plane)[:] = (60 if plane == 0 else 128) * unit
    x, y, half = SPOT[0] * size.width, SPOT[1] * size.height, SPOT[2] * size.height
    plane_array(frame, 0)[round(y - half) : round(y + half), round(x - half) : round(x + half)] = 225 * unit
    frame.color_range = 2 if full else 1
    return frame


def _stretch(path: Path, codec: str, size: Size, pixel_format: str, options: dict[str, str]) -> None:
    with av.open(str(path), "w") as container:
        stream: Any = container.add_stream(codec, rate=25, options=options)
        stream.width, stream.height, stream.pix_fmt = size.width, size.height, pixel_format
        stream.codec_context.gop_size = CHANGE
        for number in range(CHANGE):
            frame = _picture(size, pixel_format)
            frame.pts, frame.time_base, frame.pict_type = number, Fraction(1, 25), 0
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))


_X264 = {"preset": "ultrafast", "crf": "10"}
_VP9 = {"deadline": "realtime", "cpu-used": "8", "crf": "10", "b": "0"}
_VP8 = {"deadline": "realtime", "b": "2M"}
_CASES: dict[str, tuple[str, str, dict[str, str], tuple[Size, Size], tuple[str, str]]] = {
    "a call grows": ("v.webm", "libvpx", _VP8, (SMALL, LARGE), ("yuv420p", "yuv420p")),
    "a phone turns": ("v.webm", "libvpx", _VP8, (NARROW, LARGE), ("yuv420p", "yuv420p")),
    "vp9 shrinks": ("v.webm", "libvpx-vp9", _VP9, (LARGE, SMALL), ("yuv420p", "yuv420p")),
    "joined h264": ("v.mkv", "libx264", _X264, (SMALL, LARGE), ("yuv420p", "yuv420p")),
    "joined h264 in mp4": ("v.mp4", "libx264", _X264, (LARGE, SMALL), ("yuv420p", "yuv420p")),
    "joined h264 in ts": ("v.ts", "libx264", _X264, (SMALL, LARGE), ("yuv420p", "yuv420p")),
    "deeper and denser": ("v.ts", "libx264", _X264, (LARGE, LARGE), ("yuv420p", "yuv422p10le")),
}


@pytest.fixture(scope="module", params=list(_CASES))
def video(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Video:
    """Make a video that changes at frame 25; packets of two encoders one after another."""
    name, codec, options, sizes, formats = _CASES[request.param]
    folder = tmp_path_factory.mktemp("changes")
    ending = {"libx264": ".h264"}.get(codec, Path(name).suffix)
    parts = [folder / f"{n}{ending}" for n in range(2)]
    for part, size, pixel_format in zip(parts, sizes, formats, strict=True):
        _stretch(part, codec, size, pixel_format, options)
    if ending == ".h264":
        whole = folder / f"whole{ending}"
        whole.write_bytes(b"".join(part.read_bytes() for part in parts))
        parts = [whole]
    _joined(parts, folder / name)
    info = probe_video(folder / name)
    return Video("v", info, build_index(info))


def _joined(parts: list[Path], target: Path) -> None:
    """Copy packets, one a 25th of a second."""
    with av.open(str(target), "w") as container:
        stream: Any = None
        number = 0
        for part in parts:
            with av.open(str(part)) as source:
                stream = stream or container.add_stream_from_template(source.streams.video[0], opaque=True)
                for packet in source.demux(video=0):
                    if packet.size:
                        packet.pts = packet.dts = number
                        packet.duration = 1
                        packet.time_base, packet.stream = Fraction(1, 25), stream
                        container.mux_one(packet)
                        number += 1


def _recipe(video: Video) -> FrameRecipe:
    return make_recipe(video.info, video.index.sizes)


def _largest(video: Video) -> Size:
    return max(video.index.sizes, key=lambda size: size.width * size.height)


def _frames(video: Video) -> Iterator[Any]:
    with VideoReader(video.info.path, video.info.stream_index, video.index, threads=1) as reader:
        yield from reader.read(0, len(video.index))


def test_all_frames_are_there_at_the_largest_size(video: Video) -> None:
    """The index knows every size, and the canvas is the largest."""
    assert len(video.index) == FRAMES
    assert _recipe(video).canvas.size == LARGE
    assert _largest(video) == LARGE


def test_frames_are_fitted_without_distortion_and_others_stay(video: Video) -> None:
    """Frames of the canvas's kind keep every sample; the others are whole, in the middle, on black."""
    recipe = _recipe(video)
    plain = 0
    for frame in _frames(video):
        made = recipe.apply(frame)
        assert (made.width, made.height, made.format.name) == (LARGE.width, LARGE.height, recipe.canvas.format.name)
        if recipe.is_plain(frame):
            plain += 1
            assert all(np.array_equal(plane_array(made, n), plane_array(frame, n)) for n in range(3))
        luma = plane_array(made, 0).astype(float) / (1 << (recipe.canvas.format.bits - 8))
        rows, columns = np.nonzero(luma > 180)
        size = Size(frame.width, frame.height)
        scale = min(LARGE.width / size.width, LARGE.height / size.height)
        side = 2 * SPOT[2] * size.height * scale
        assert abs(np.ptp(rows) + 1 - side) <= 3
        assert abs(np.ptp(columns) + 1 - side) <= 3
        assert abs(columns.mean() - SPOT[0] * LARGE.width) <= 2
        if size == NARROW:
            assert (luma[:, :40] < 20).all()
            assert (luma[:, -40:] < 20).all()
    assert plain == FRAMES - CHANGE


def _scanned(video: Video) -> F32Array:
    recipe, detector = _recipe(video), Bright()
    settings = DetectSettings(stride=1, min_size_px=1)
    found = scan(
        video.info,
        video.index,
        recipe,
        Span(0, FRAMES),
        detector,  # type: ignore[arg-type]  # a detector of squares
        settings,
        threads=1,
        salvage=False,
        on_frame=lambda: None,
    )
    assert list(found.frame) == list(range(FRAMES))
    return found.box


def _brightness(recipe: FrameRecipe, frame: Any, box: F32Array) -> float:
    """Return how bright a box of a prepared frame is inside."""
    return float(read_region(frame, recipe.canvas, box_to_shown(box, 16), 16)[4:12, 4:12].mean())


def _scan_reads(video: Video) -> Iterator[float]:
    boxes, recipe = _scanned(video), _recipe(video)
    for box, frame in zip(boxes, _frames(video), strict=True):
        yield _brightness(recipe, recipe.apply(frame), box)


def _score_reads(video: Video) -> Iterator[float]:
    boxes, recipe = _scanned(video), _recipe(video)
    read = frames_shown(video, recipe, np.arange(FRAMES), threads=1)
    for box, (frame, shown) in zip(boxes, read(list(range(FRAMES))), strict=True):
        yield _brightness(shown, frame, box)


def _training_reads(video: Video) -> Iterator[float]:
    tracks = whole_tracks(video.info, video.index, Bright(), Settings(detect=DetectSettings(stride=1, min_size_px=1)))  # type: ignore[arg-type]  # a detector of squares
    boxes = {int(number): box for number, box in zip(tracks.frame, tracks.box, strict=True)}
    for _, crop in read_crops(video.info, video.index, boxes, 16):
        yield float(crop[4:12, 4:12].mean()) / 255


_READERS: dict[str, Callable[[Video], Iterator[float]]] = {
    "scan and render": _scan_reads,
    "score and inspect": _score_reads,
    "training": _training_reads,
}


@pytest.mark.parametrize("reader", list(_READERS))
def test_boxes_and_pixels_agree_for_every_reader(reader: str, video: Video) -> None:
    """Where one reader finds the face, every other one reads it, before and after the change."""
    values = list(_READERS[reader](video))
    assert len(values) == FRAMES
    assert min(values) > 0.75


def test_evaluation_compares_equal_pictures(video: Video) -> None:
    """A video that changes is equal to itself, frame by frame."""
    recipe = _recipe(video)
    boxes = np.tile(np.array([60, 30, 100, 70], np.float32), (FRAMES, 1))
    faces = Faces(np.arange(FRAMES), np.zeros(FRAMES, np.int64), boxes)
    alike = SizeFit(0, 0, recipe.canvas.shown_size, 1.0, 1.0)
    nothing: Any = None
    reference = Reference(video, recipe, alike, 0.0, 0, nothing, nothing, nothing)
    landmarks = np.tile(np.array([[70, 40], [90, 40], [80, 50], [72, 60], [88, 60]], np.float32), (FRAMES, 1, 1))
    span = Span(0, FRAMES)
    found = compare_pictures(
        video, recipe, faces, landmarks, span, reference, threads=1, salvage=False, on_frame=lambda: None
    )
    assert found.sums["square_count"] == FRAMES
    assert found.sums["square"] == 0


def test_an_index_remembers_sizes(video: Video, tmp_path: Path) -> None:
    """What was found is kept with the index."""
    video.index.save(tmp_path / "i.npz")
    assert FrameIndex.load(tmp_path / "i.npz").sizes == video.index.sizes


@pytest.mark.parametrize("tags", [(5, False, "matrix"), (1, True, "range")])
def test_colours_that_change_are_converted(tags: tuple[int, bool, str], tmp_path: Path) -> None:
    """Frames that state another matrix or range are given the canvas's, so that they look the same."""
    matrix, full, _ = tags
    with av.open(str(tmp_path / "v.mkv"), "w") as container:
        stream: Any = container.add_stream("ffv1", rate=25)
        stream.width, stream.height, stream.pix_fmt = LARGE.width, LARGE.height, "yuv444p"
        stream.codec_context.colorspace, stream.codec_context.color_range = 1, 1
        frame = _picture(LARGE, "yuv444p")
        frame.colorspace = 1
        container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    info: VideoInfo = probe_video(tmp_path / "v.mkv")
    recipe = make_recipe(info)
    changed = _picture(LARGE, "yuv444p", full=full)
    plane_array(changed, 1)[:], plane_array(changed, 2)[:] = 90, 200
    changed.colorspace = matrix
    assert not recipe.is_plain(changed)
    rgb = changed.reformat(format="rgb24", src_color_range=2 if full else 1).to_ndarray().astype(int)
    made = recipe.apply(changed)
    made.colorspace, made.color_range = 1, 1
    again = made.reformat(format="rgb24", src_color_range=1).to_ndarray().astype(int)
    assert np.abs(rgb - again).max() <= 4
    assert small_image(changed, recipe, 64).image_bgr.shape[1] == 64
