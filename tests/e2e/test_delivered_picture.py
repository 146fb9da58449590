"""The picture that a run delivers: what stays as it was, and what every player shows."""

from __future__ import annotations

import json
import struct
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest

from lipwise_ray.media.colours import UNSPECIFIED
from lipwise_ray.media.fields import FieldMarker
from lipwise_ray.media.orientation import Orientation
from lipwise_ray.media.pixels import plane_array
from lipwise_ray.media.probe import probe_video
from lipwise_ray.synth.clips import ClipSpec, ToneSpec, draw_frame, write_clip, write_sound
from lipwise_ray.values import Json, Size
from tests.conftest import ROOT
from tests.support.dub import LOSSLESS, PASSTHROUGH, QUICK, UNJUDGED, dub

SIZE = Size(96, 64)
BOX = "box:10,50,20,60"
QUIET_X265 = {"x265-params": "log-level=none"}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Make a clip of ten frames and a sound as long."""
    write_clip(tmp_path / "v.mkv", ClipSpec(size=SIZE, frames=10, codec="ffv1", pixel_format="yuv422p"))
    write_sound(tmp_path / "s.wav", ToneSpec(0.4, codec="pcm_s16le", rate_hz=16000))
    return tmp_path


def _row(name: str, video: str, output: str) -> Json:
    return {"id": name, "video": video, "audio": "s.wav", "output": output, "faces": BOX}


def _result(folder: Path, row: str) -> Json:
    files = folder.glob("**/jobs/*/result.json")
    return next(record for file in files if (record := json.loads(file.read_text()))["row_id"] == row)


def test_passthrough_leaves_every_sample_alone(folder: Path) -> None:
    """Without new lips no box, mask or light is laid over a frame, in a mirrored picture neither."""
    report = dub(folder, [_row("a", "v.mkv", "a.mkv")], PASSTHROUGH, LOSSLESS, UNJUDGED, "composite.mask='box'")
    assert report.done == 1
    with av.open(str(folder / "v.mkv")) as before, av.open(str(folder / "out" / "a.mkv")) as after:
        for old, new in zip(before.decode(video=0), after.decode(video=0), strict=True):
            assert all(np.array_equal(plane_array(old, n), plane_array(new, n)) for n in range(3))
    assert _result(folder, "a")["left_behind"] == []


def test_what_is_shown_and_what_stays_behind(folder: Path) -> None:
    """A mirrored clip stays mirrored, fields stay fields, and alpha that MP4 cannot carry is named."""
    write_clip(folder / "m.mp4", ClipSpec(size=SIZE, frames=10, options={"preset": "ultrafast"}))
    data = bytearray((folder / "m.mp4").read_bytes())
    at = data.find(b"tkhd") + 8 + 20 + 16
    data[at : at + 36] = struct.pack(">9i", -0x10000, 0, 0, 0, 0x10000, 0, SIZE.width << 16, 0, 0x40000000)
    (folder / "m.mp4").write_bytes(data)
    _write(folder / "i.mkv", "yuv420p", "tff")
    _write(folder / "a.mkv", "yuva420p")
    rows = [
        _row("mirrored", "m.mp4", "m.mp4"),
        _row("fields", "i.mkv", "i.mp4"),
        _row("alpha", "a.mkv", "a.mp4"),
        _row("kept", "a.mkv", "a.mov"),
    ]
    assert dub(folder, rows, PASSTHROUGH, QUICK, UNJUDGED).done == len(rows)
    out = folder / "out"
    assert probe_video(out / "m.mp4").orientation == Orientation(-1, 0, 0, 1)
    assert probe_video(out / "i.mp4").field_order == "tff"
    assert probe_video(out / "a.mov").has_alpha
    assert [one["what"] for one in _result(folder, "alpha")["left_behind"]] == ["alpha"]
    assert [_result(folder, row)["left_behind"] for row in ("mirrored", "fields", "kept")] == [[], [], []]


def test_what_begins_later_is_named(folder: Path) -> None:
    """A film whose second half has fields, HDR10 and other pixels goes on as it began, and says so."""
    params = "mastering-display=G(13250,34500)B(7500,3000)R(34000,16000)WP(15635,16450)L(10000000,50):cll=1000,400"
    plain = ClipSpec(size=SIZE, frames=5, options={"preset": "ultrafast"})
    write_clip(folder / "1.h264", plain)
    options = {**plain.options, "x264-params": f"{params}:tff=1", "flags": "+ildct+ilme"}
    write_clip(folder / "2.h264", replace(plain, options=options, sample_aspect_ratio=Fraction(4, 3)))
    (folder / "late.h264").write_bytes((folder / "1.h264").read_bytes() + (folder / "2.h264").read_bytes())
    assert dub(folder, [_row("late", "late.h264", "late.mp4")], PASSTHROUGH, QUICK, UNJUDGED).done == 1
    left = {one["what"]: one["why"] for one in _result(folder, "late")["left_behind"]}
    assert set(left) == {"field order", "mastering display", "content light levels", "pixel aspect"}
    assert "first frame" in left["field order"]


def test_whole_frames_on_request(folder: Path) -> None:
    """With `source.deinterlace` the output is progressive, of as many frames."""
    _write(folder / "i.mkv", "yuv420p", "tff")
    report = dub(
        folder,
        [_row("a", "i.mkv", "a.mp4")],
        PASSTHROUGH,
        QUICK,
        UNJUDGED,
        'source.deinterlace="bwdif"',
        "chunk.frames=4",
    )
    assert report.done == 1
    info = probe_video(folder / "out" / "a.mp4")
    assert (info.field_order, info.declared_frames) == ("progressive", 10)
    assert _result(folder, "a")["left_behind"] == []


def test_a_photo_plays_everywhere(folder: Path) -> None:
    """A film made of a photo of full range and chroma is H.264 of 8 bits, 4:2:0, limited range."""
    still: Any = draw_frame(ClipSpec(size=SIZE, pixel_format="yuv444p"), 3)
    still.color_range = 2
    with av.open(str(folder / "p.jpg"), "w", format="image2") as container:
        stream: Any = container.add_stream("mjpeg", rate=25)
        stream.width, stream.height, stream.pix_fmt = SIZE.width, SIZE.height, "yuvj444p"
        container.mux(stream.encode(still))
        container.mux(stream.encode(None))
    assert dub(folder, [_row("photo", "p.jpg", "p.mp4")], PASSTHROUGH, QUICK, UNJUDGED).done == 1
    info = probe_video(folder / "out" / "p.mp4")
    assert (info.codec, info.pixel_format, info.color.full_range) == ("h264", "yuv420p", False)


@pytest.mark.parametrize("pixel_format", ["gray", "gray16be", "ya8", "monob"])
def test_a_photo_without_colours_plays_everywhere(folder: Path, pixel_format: str) -> None:
    """A film made of a gray photo is 4:2:0 of limited range and as bright as the photo, whatever its samples are."""
    ramp = np.repeat(np.linspace(0, 255, SIZE.width).astype(np.uint8)[None], SIZE.height, axis=0)
    if pixel_format == "monob":
        ramp = np.where(ramp < 128, 0, 255).astype(np.uint8)
    still = av.VideoFrame.from_ndarray(ramp, format="gray").reformat(format=pixel_format)
    with av.open(str(folder / "p.png"), "w", format="image2", options={"update": "1"}) as container:
        stream: Any = container.add_stream("png", rate=25)
        stream.width, stream.height, stream.pix_fmt = SIZE.width, SIZE.height, pixel_format
        container.mux([*stream.encode(still), *stream.encode(None)])
    assert dub(folder, [_row("photo", "p.png", "p.mp4")], PASSTHROUGH, QUICK, UNJUDGED).done == 1
    info = probe_video(folder / "out" / "p.mp4")
    assert (info.pixel_format, info.color.full_range) == ("yuv420p", False)
    with av.open(str(folder / "out" / "p.mp4")) as container:
        luma = plane_array(next(container.decode(video=0)), 0).astype(float)
    assert np.abs((luma - 16) * 255 / 219 - ramp).mean() < 4


@pytest.mark.parametrize("codec", ["ffv1", "libx265"])
def test_video_without_colours_is_delivered_as_h264(folder: Path, codec: str) -> None:
    """A gray film that names a matrix becomes MP4, in which x264 names none."""
    with av.open(str(folder / "g.mkv"), "w") as container:
        stream: Any = container.add_stream(codec, rate=25, options=QUIET_X265 if codec == "libx265" else {})
        stream.width, stream.height, stream.pix_fmt = SIZE.width, SIZE.height, "gray"
        stream.codec_context.colorspace = 1
        for number in range(10):
            frame = draw_frame(ClipSpec(size=SIZE), number).reformat(format="gray")
            frame.colorspace, frame.pts = 1, None
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    assert probe_video(folder / "g.mkv").color.matrix == 1
    assert dub(folder, [_row("gray", "g.mkv", "g.mp4")], PASSTHROUGH, QUICK, UNJUDGED).done == 1
    info = probe_video(folder / "out" / "g.mp4")
    assert (info.codec, info.color.matrix) == ("h264", UNSPECIFIED)


def test_compatible_files_are_what_every_player_shows(folder: Path) -> None:
    """On request a clip in 4:2:2 becomes H.264 in 4:2:0 with AAC; a container that has no room for it is refused."""
    rows = [_row("plain", "v.mkv", "v.mp4"), _row("web", "v.mkv", "w.webm")]
    report = dub(folder, rows, PASSTHROUGH, QUICK, UNJUDGED, 'encode.deliver="compatible"')
    assert (report.done, report.failed) == (1, 1)
    info = probe_video(folder / "out" / "v.mp4")
    assert (info.codec, info.pixel_format, info.color.full_range) == ("h264", "yuv420p", False)
    with av.open(str(folder / "out" / "v.mp4")) as container:
        assert container.streams.audio[0].codec_context.name == "aac"


@pytest.mark.slow
def test_compatible_files_have_a_standard_dynamic_range(folder: Path) -> None:
    """PQ and BT.2020 are converted to BT.709."""
    _write(folder / "h.mkv", "yuv422p10le", color=(9, 9, 16))
    row = _row("hdr", "h.mkv", "h.mp4")
    assert dub(folder, [row], PASSTHROUGH, QUICK, UNJUDGED, 'encode.deliver="compatible"').done == 1
    info = probe_video(folder / "out" / "h.mp4")
    assert (info.color.primaries, info.color.transfer, info.pixel_format) == (1, 1, "yuv420p")


def _write(path: Path, pixel_format: str, order: str = "", color: tuple[int, int, int] | None = None) -> None:
    mark = FieldMarker("tff") if order else None
    with av.open(str(path), "w") as container:
        stream: Any = container.add_stream("ffv1", rate=25)
        context = stream.codec_context
        context.width, context.height, context.pix_fmt = SIZE.width, SIZE.height, pixel_format
        context.time_base = Fraction(1, 25)
        if order:
            context.field_order = 2
        if color:
            context.colorspace, context.color_primaries, context.color_trc = color
        for number in range(10):
            frame = draw_frame(ClipSpec(size=SIZE, pixel_format=pixel_format.replace("yuva", "yuv")), number)
            if pixel_format.startswith("yuva"):
                frame = frame.reformat(format=pixel_format)
            frame = mark(frame) if mark else frame
            frame.pts, frame.time_base = number, Fraction(1, 25)
            if color:
                frame.colorspace, frame.color_primaries, frame.color_trc = color
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))


def test_a_trimmed_row_looks_for_faces_where_it_uses_the_film(tmp_path: Path) -> None:
    """Of a film of many chunks only those around start and end are scanned; another language scans none anew."""
    write_clip(tmp_path / "v.mp4", ClipSpec(size=SIZE, frames=200, options={"preset": "ultrafast"}))
    write_sound(tmp_path / "s.wav", ToneSpec(0.4, codec="pcm_s16le", rate_hz=16000))
    trimmed = {"video": "v.mp4", "audio": "s.wav", "faces": "largest", "start": 4.0, "end": 4.4}
    rows = [{**trimmed, "id": name, "output": f"{name}.mp4"} for name in ("es", "fr")]
    sets = ('detect.detector="tiny"', "faces.min_face_share=0", "faces.max_gap_s=0.2", "chunk.frames=10")
    assert dub(tmp_path, rows, PASSTHROUGH, QUICK, UNJUDGED, *sets).done == 2
    scanned = sorted(int(file.stem[6:]) for file in tmp_path.glob("**/scans/*/*/chunk-*.npz"))
    assert scanned == [6, 7, 8, 9, 10, 11, 12, 13, 14]
    assert _result(tmp_path, "es")["scanned"] == "00006-00014"
    assert len(list(tmp_path.glob("**/scans/*/*/tracks-00006-00014.npz"))) == 1


def test_faces_of_pixels_that_are_not_square_are_found(tmp_path: Path) -> None:
    """A presenter is found where he is, however wide the stored pixels are shown."""
    with av.open(str(ROOT / "manifests" / "demo" / "presenter.mp4")) as container:
        filmed = [frame for frame, _ in zip(container.decode(video=0), range(8), strict=False)]
    sides = {"square": (1, 1), "wide": (2, 1), "high": (1, 2)}
    for name, (across, down) in sides.items():
        width, height = filmed[0].width // across, filmed[0].height // down
        with av.open(str(tmp_path / f"{name}.mkv"), "w") as container:
            stream: Any = container.add_stream("libx264", rate=25, options={"qp": "0", "preset": "ultrafast"})
            stream.width, stream.height, stream.pix_fmt = width, height, "yuv444p"
            stream.codec_context.sample_aspect_ratio = Fraction(across, down)
            for number, frame in enumerate(filmed):
                small = frame.reformat(width=width, height=height, format="yuv444p", interpolation="AREA")
                small.pts, small.time_base = number, Fraction(1, 25)
                container.mux(stream.encode(small))
            container.mux(stream.encode(None))
    write_sound(tmp_path / "s.wav", ToneSpec(0.32, codec="pcm_s16le", rate_hz=16000))
    rows = [_row(name, f"{name}.mkv", f"{name}.mkv") | {"faces": "largest"} for name in sides]
    report = dub(tmp_path, rows, PASSTHROUGH, QUICK, UNJUDGED, 'detect.detector="tiny"')
    assert report.done == len(rows), [outcome.record for outcome in report.outcomes]
    boxes: dict[str, Any] = {}
    for file in tmp_path.glob("**/jobs/*/result.json"):
        with np.load(file.parent / "plan.npz") as plan:
            boxes[json.loads(file.read_text())["row_id"]] = plan["face"]
    assert {len(found) for found in boxes.values()} == {8}
    for name, (across, down) in sides.items():
        assert np.abs(boxes[name] * [across, down, across, down] - boxes["square"]).max() < 12
