"""Frame index and random access over the formats that users bring."""

from __future__ import annotations

import random
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest

from lipwise_ray.media.index import FrameIndex, build_index, luma_crc
from lipwise_ray.media.pixels import plane_array
from lipwise_ray.media.probe import probe_video
from lipwise_ray.media.reader import VideoReader
from lipwise_ray.synth.clips import ClipSpec, ToneSpec, codes, write_clip
from lipwise_ray.values import Size

FAST_VP9 = {"deadline": "realtime", "cpu-used": "8"}
_STEPS = random.Random(5).choices([1000, 1501, 2002, 3003], k=49)
UNEVEN = tuple(int(n) for n in np.cumsum([0, *_STEPS]))

CLIPS = {
    "h264.mp4": ClipSpec(tone=ToneSpec(2)),
    "h264.mkv": ClipSpec(rate=Fraction(30000, 1001)),
    "h264.mov": ClipSpec(rate=Fraction(24), options={"bf": "3", "refs": "4"}),
    "open_gop.mp4": ClipSpec(options={"x264-params": "open-gop=1:bframes=3:scenecut=0"}, frames=80),
    "hevc.mp4": ClipSpec(codec="libx265", options={"x265-params": "log-level=error"}),
    "mpeg4.avi": ClipSpec(codec="mpeg4", options={"bf": "2"}, tone=ToneSpec(2, codec="libmp3lame")),
    "mpeg4.mp4": ClipSpec(codec="mpeg4", options={"bf": "2"}),
    "mpeg1.mpg": ClipSpec(codec="mpeg1video", options={"bf": "2"}, frames=120, tone=ToneSpec(4, codec="mp2")),
    "mpeg2.mpg": ClipSpec(codec="mpeg2video", options={"bf": "2"}, frames=120, tone=ToneSpec(4, codec="mp2")),
    "h264.ts": ClipSpec(tone=ToneSpec(2)),
    "vp9.webm": ClipSpec(codec="libvpx-vp9", options=FAST_VP9, tone=ToneSpec(2, codec="libopus")),
    "prores.mov": ClipSpec(codec="prores_ks", pixel_format="yuv422p10le"),
    "422.mkv": ClipSpec(pixel_format="yuv422p"),
    "444.mp4": ClipSpec(pixel_format="yuv444p"),
    "10bit.mp4": ClipSpec(pixel_format="yuv420p10le"),
    "full.mp4": ClipSpec(pixel_format="yuvj420p", full_range=True),
    "odd.mkv": ClipSpec(codec="ffv1", size=Size(321, 243)),
    "odd.webm": ClipSpec(codec="libvpx-vp9", size=Size(321, 243), options=FAST_VP9),
    "uneven.mp4": ClipSpec(times=UNEVEN, time_base=Fraction(1, 30000)),
    "strange_rate.mp4": ClipSpec(rate=Fraction(2252800, 90643)),
    "60.mp4": ClipSpec(rate=Fraction(60)),
    "one.mp4": ClipSpec(frames=1),
}


@pytest.mark.parametrize("name", CLIPS)
def test_every_frame_is_found_in_any_order(name: str, tmp_path: Path) -> None:
    """The index has exactly the shown frames, and any stretch reads exactly those frames."""
    spec, path = CLIPS[name], tmp_path / name
    write_clip(path, spec)
    info = probe_video(path)
    index = build_index(info)
    assert len(index) == spec.frames
    assert info.size == spec.size
    assert index.rate == (None if spec.times else spec.rate)
    rng = random.Random(1)
    with VideoReader(path, info.stream_index, index) as reader:
        assert codes(reader.read(0, len(index))) == list(range(spec.frames))
        for _ in range(6):
            start = rng.randrange(spec.frames)
            stop = rng.randrange(start, spec.frames) + 1
            assert codes(reader.read(start, stop)) == list(range(start, stop))
        order = [rng.randrange(spec.frames) for _ in range(4)]
        order += [*range(spec.frames - 1, -1, -1), 0, 0, 0]
        assert codes(reader.read_order(order)) == order


def test_variable_times_are_kept(tmp_path: Path) -> None:
    """A variable rate is recognised and every time stamp kept to the tick."""
    write_clip(tmp_path / "v.mp4", CLIPS["uneven.mp4"])
    index = build_index(probe_video(tmp_path / "v.mp4"))
    times = [(int(pts) - int(index.pts[0])) * index.time_base for pts in index.pts]
    assert times == [Fraction(n, 30000) for n in UNEVEN]


def test_an_index_survives_its_file(tmp_path: Path) -> None:
    """What is saved is what is loaded."""
    write_clip(tmp_path / "a.mpg", CLIPS["mpeg2.mpg"])
    index = build_index(probe_video(tmp_path / "a.mpg"))
    index.save(tmp_path / "i.npz")
    loaded = FrameIndex.load(tmp_path / "i.npz")
    assert np.array_equal(loaded.pts, index.pts)
    assert np.array_equal(loaded.key_crc, index.key_crc)
    assert (loaded.rate, loaded.time_base, loaded.end_pts) == (index.rate, index.time_base, index.end_pts)


def test_frames_hidden_by_an_edit_list_do_not_count(tmp_path: Path) -> None:
    """A stream copy that starts between key frames shows fewer frames than it has packets."""
    import av

    write_clip(tmp_path / "whole.mp4", ClipSpec(frames=60, gop=20))
    with av.open(str(tmp_path / "whole.mp4")) as source, av.open(str(tmp_path / "cut.mp4"), "w") as target:
        stream = source.streams.video[0]
        out = target.add_stream_from_template(stream)
        shift = 27 * 512  # frame 27; the key frame before it is frame 20
        for packet in source.demux(stream):
            if packet.size and packet.pts >= 20 * 512:
                packet.pts -= shift
                packet.dts -= shift
                packet.stream = out
                target.mux_one(packet)
    info = probe_video(tmp_path / "cut.mp4")
    index = build_index(info)
    with VideoReader(info.path, info.stream_index, index) as reader:
        seen = codes(reader.read(0, len(index)))
        assert seen == list(range(27, 60))
        assert codes(reader.read(15, 20)) == list(range(42, 47))


@pytest.mark.parametrize("name", ["grid_man.mpg", "grid_woman.mpg", "no_face_two_audio.mp4"])
def test_real_recordings_read_the_same_from_anywhere(name: str, shared: Path) -> None:
    """Stretches of real files hold the pictures that a read from the start gives."""
    info = probe_video(shared / "clips" / name)
    index = build_index(info)
    assert len(index) == (325 if "no_face" in name else 75)
    assert index.rate == 25
    with VideoReader(info.path, info.stream_index, index) as straight:
        whole = [luma_crc(frame) for frame in straight.read(0, len(index))]
    with VideoReader(info.path, info.stream_index, index) as jumping:
        for start, stop in [(40, 60), (3, 9), (70, 75), (12, 13), (11, 14), (0, 2)]:
            assert [luma_crc(frame) for frame in jumping.read(start, stop)] == whole[start:stop]


def test_a_reverse_run_of_large_frames_stays_small(tmp_path: Path) -> None:
    """Reading backwards keeps a bounded block of frames, whatever the distance of key frames."""
    import tracemalloc

    write_clip(tmp_path / "a.mp4", ClipSpec(size=Size(320, 240), frames=300, gop=300))
    info = probe_video(tmp_path / "a.mp4")
    index = build_index(info)
    tracemalloc.start()
    with VideoReader(info.path, info.stream_index, index) as reader:
        first = [plane_array(frame, 0)[0, 0] for frame in reader.read_order(range(299, -1, -1))]
    assert len(first) == 300
    assert tracemalloc.get_traced_memory()[1] < 8 << 20
    tracemalloc.stop()
