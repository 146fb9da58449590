"""Moving pictures that are no film: numbered image files, animated WebP and GIF, a film of one picture."""

from __future__ import annotations

import json
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
from PIL import Image

from lipwise_ray.errors import MediaError
from lipwise_ray.media.frames import make_recipe
from lipwise_ray.media.image_sequence import is_series, names_series
from lipwise_ray.media.index import FrameIndex, build_index
from lipwise_ray.media.probe import probe_video
from lipwise_ray.media.reader import VideoReader
from lipwise_ray.pipeline.inputs.records import open_video
from lipwise_ray.settings.model import LimitsSettings
from lipwise_ray.state.store import LocalStore
from lipwise_ray.synth.clips import ClipSpec, ToneSpec, write_clip, write_sound
from lipwise_ray.values import Size
from tests.support.dub import PASSTHROUGH, QUICK, dub

BOX = "box:5,45,5,60"


def _level(number: int) -> int:
    return 20 + 10 * number


def _picture(path: Path, number: int, size: tuple[int, int] = (64, 48)) -> None:
    Image.new("RGB", size, (_level(number),) * 3).save(path, quality=95)


def _levels(path: Path, order: list[int], *, rate: Fraction = Fraction(25), salvage: bool = False) -> list[int]:
    """Return which pictures are shown at places of a video, by their brightness."""
    info = probe_video(path, rate=rate)
    with VideoReader(path, info.stream_index, build_index(info, salvage=salvage), salvage=salvage) as reader:
        means = [float(frame.to_ndarray(format="rgb24").mean()) for frame in reader.read_order(order)]
    return [round((mean - _level(0)) / 10) for mean in means]


def _dubbed(folder: Path, video: str, *sets: str, seconds: float = 1.0, **columns: Any) -> tuple[Path, dict[str, Any]]:
    write_sound(folder / "dub.wav", ToneSpec(seconds, 16_000, 1, codec="pcm_s16le"))
    row = {"id": "a", "video": video, "audio": "dub.wav", "output": "a.mkv", "faces": BOX, "length": "video", **columns}
    report = dub(folder, [row], PASSTHROUGH, QUICK, *sets)
    assert not report.failed, report.outcomes
    results = [json.loads(path.read_text()) for path in (folder / "out.state" / "jobs").glob("*/result.json")]
    return folder / "out" / "a.mkv", max(results, key=lambda one: one["frames"])


def test_numbered_pictures_are_a_video_in_the_order_of_their_numbers(tmp_path):
    """9 comes before 10, kinds may be mixed, other files do not count, and any frame can be had by its number."""
    for number in range(8, 13):
        _picture(tmp_path / f"shot_{number}.{'jpg' if number % 2 else 'png'}", number)
    (tmp_path / "notes.txt").write_text("9")
    (tmp_path / ".shot_13.png").write_bytes(b"")
    info = probe_video(tmp_path, rate=Fraction(24))
    index = build_index(info)
    assert (index.rate, index.pts.tolist(), index.end_pts) == (Fraction(24), [8, 9, 10, 11, 12], 13)
    assert _levels(tmp_path, [0, 1, 2, 3, 4, 3, 0, 4], rate=Fraction(24)) == [8, 9, 10, 11, 12, 11, 8, 12]


@pytest.mark.parametrize("kind", ["png", "webp"])
def test_an_index_of_pictures_is_kept(tmp_path, kind):
    """What was built is loaded again, and knows every size; the largest is what the others are fitted into."""
    sizes = [(64, 48), (128, 96), (64, 48)]
    path = tmp_path / "moving.webp"
    if kind == "webp":
        sizes = [(64, 48)] * 3
        pictures = [Image.new("RGB", size, (_level(number),) * 3) for number, size in enumerate(sizes)]
        pictures[0].save(path, save_all=True, append_images=pictures[1:], duration=40)
    else:
        path = tmp_path / "series"
        path.mkdir()
        for number, size in enumerate(sizes):
            _picture(path / f"{number}.png", number, size)
    info = probe_video(path)
    index = build_index(info)
    index.save(tmp_path / "i.npz")
    loaded = FrameIndex.load(tmp_path / "i.npz")
    assert loaded.sizes == index.sizes == tuple(dict.fromkeys(Size(*size) for size in sizes))
    assert make_recipe(info, loaded.sizes).canvas.size == Size(*max(sizes))


def test_a_pattern_names_one_series_of_several(tmp_path):
    """A folder with several series, or several pictures of one number, is refused by name; a pattern chooses."""
    for number in range(3):
        _picture(tmp_path / f"a_{number:03}.png", number)
        _picture(tmp_path / f"b_{number:03}.png", number + 5)
    with pytest.raises(MediaError, match="holds several series of images: a_####, b_####") as caught:
        probe_video(tmp_path)
    assert caught.value.code == "no_series"
    assert _levels(tmp_path / "b_###.png", [0, 2]) == [5, 7]
    assert _levels(tmp_path / "a_%03d.png", [0, 2]) == [0, 2]
    _picture(tmp_path / "a_1.png", 1)
    with pytest.raises(MediaError, match="holds several images of number 1"):
        probe_video(tmp_path / "a_%d.png")
    assert not is_series(tmp_path / "no" / "a_%d.png")


def test_a_gap_is_told_or_held(tmp_path):
    """A missing picture fails with its number; with salvage the one before is shown until the next that decodes."""
    for number in (0, 1, 4, 5, 6):
        _picture(tmp_path / f"{number}.png", number)
    with pytest.raises(MediaError, match="2 images from 0 to 6 are missing: 2, 3") as caught:
        build_index(probe_video(tmp_path))
    assert caught.value.code == "frames_missing"
    (tmp_path / "5.png").write_bytes((tmp_path / "5.png").read_bytes()[:40])
    index = build_index(probe_video(tmp_path), salvage=True)
    assert (index.pts.tolist(), index.end_pts, index.rate) == ([0, 1, 4, 6], 7, None)
    assert _levels(tmp_path, [0, 1, 2, 3], salvage=True) == [0, 1, 4, 6]


def test_a_damaged_picture_of_a_series_is_named(tmp_path):
    """The one file that does not decode stands in the message."""
    for number in range(3):
        _picture(tmp_path / f"{number}.png", number)
    (tmp_path / "1.png").write_bytes(b"\x89PNG\r\n\x1a\n" + bytes(40))
    with pytest.raises(MediaError, match=r"1\.png"):
        _levels(tmp_path, [0, 1])


@pytest.mark.parametrize("kind", ["gif", "webp"])
def test_an_animation_keeps_its_delays(tmp_path, kind):
    """Every picture is shown as long as it asks for, once; transparency lies over white."""
    pictures = [Image.new("RGBA", (64, 48), (0, 0, 0, 0)) for _ in range(5)]
    for number, picture in enumerate(pictures):
        picture.paste((_level(number), 0, 0, 255), (0, 0, 32, 48))
        picture.putpixel((63, 47), (0, 0, 0, 128 + number))  # else a WebP's frame ends where the picture does
    delays = [100, 200, 50, 400, 300]
    path = tmp_path / f"moving.{kind}"
    more = {"lossless": True} if kind == "webp" else {"disposal": 2}
    pictures[0].save(path, save_all=True, append_images=pictures[1:], duration=delays, loop=3, **more)
    info = probe_video(path)
    index = build_index(info)
    times = [*index.pts.tolist(), index.end_pts]
    assert [round(1000 * float(one * index.time_base)) for one in np.diff(times).tolist()] == delays
    assert (info.is_still, index.rate) == (False, None)
    with VideoReader(path, info.stream_index, index) as reader:
        shown = [frame.to_ndarray(format="rgb24") for frame in reader.read_order([4, 1, 2, 3, 2, 1, 0])]
    assert [int(picture[10, 10, 0]) for picture in shown] == [_level(n) for n in (4, 1, 2, 3, 2, 1, 0)]
    assert all((picture[10, 50] == 255).all() for picture in shown)


def test_a_large_canvas_is_refused_by_its_header(tmp_path):
    """An animated WebP that says it is huge is refused before its decoder makes room for it."""
    path = tmp_path / "huge.webp"
    path.write_bytes(b"RIFF\x00\x00\x00\x00WEBPVP8X\x0a\x00\x00\x00\x02\x00\x00\x00" + b"\xff\xff\x00" * 2 + bytes(20))
    with pytest.raises(MediaError) as caught:
        probe_video(path, LimitsSettings())
    assert caught.value.code == "too_large"
    path.write_bytes(b"RIFF\x00\x00\x00\x00WEBPVP8X\x0a\x00\x00\x00\x02\x00\x00\x00" + b"\x3f\x00\x00" * 2 + bytes(20))
    with pytest.raises(MediaError) as caught:
        probe_video(path, LimitsSettings())
    assert caught.value.code == "damaged"


def test_a_size_that_comes_later_is_bounded_too(tmp_path):
    """The canvas is as large as the largest picture, so that one may not be larger than the limit either."""
    folder = tmp_path / "series"
    folder.mkdir()
    for number, size in enumerate([(64, 48), (1280, 960), (64, 48)]):
        _picture(folder / f"{number}.png", number, size)
    store = LocalStore(tmp_path / "state")
    with pytest.raises(MediaError) as caught:
        open_video(store, tmp_path, folder, "v", salvage=False, limits=LimitsSettings(megapixels=1))
    assert caught.value.code == "too_large"
    opened = open_video(store, tmp_path, folder, "v", salvage=False)
    assert open_video(store, tmp_path, folder, "v", salvage=False).index.sizes == opened.index.sizes
    with pytest.raises(MediaError):
        open_video(store, tmp_path, folder, "v", salvage=False, limits=LimitsSettings(megapixels=1))


def test_a_folder_is_dubbed_at_the_rate_that_is_set(tmp_path):
    """A series takes `source.still_rate`, is cut by start and end, and is another input once a picture changes."""
    (tmp_path / "frames").mkdir()
    for number in range(10):
        _picture(tmp_path / "frames" / f"f.{number:04}.png", number)
    output, result = _dubbed(tmp_path, "frames", 'source.still_rate="10"', start=0.2, end=0.8)
    with av.open(str(output)) as found:
        times = [frame.time for frame in found.decode(video=0)]
    assert (result["frames"], [round(one, 3) for one in times]) == (6, [0.0, 0.1, 0.2, 0.3, 0.4, 0.5])
    first = result["identity"]["video"]
    _picture(tmp_path / "frames" / "f.0009.png", 3)
    _, result = _dubbed(tmp_path, "frames/f.####.png", 'source.still_rate="10"')
    assert (result["frames"], result["identity"]["video"] != first) == (10, True)


def test_a_film_of_one_picture_is_a_still(tmp_path):
    """One picture in a container for many is shown at the stills' rate for as long as the sound lasts."""
    clip = ClipSpec(size=Size(64, 48), frames=1, codec="wmv2", rate=Fraction(25))
    with av.open(str(tmp_path / "one.asf"), "w") as output:
        stream: Any = output.add_stream("wmv2", rate=25)
        stream.width, stream.height, stream.pix_fmt = clip.size.width, clip.size.height, "yuv420p"
        frame = av.VideoFrame.from_ndarray(np.full((72, 64), 90, np.uint8), format="yuv420p")
        output.mux([*stream.encode(frame), *stream.encode(None)])
    _, result = _dubbed(tmp_path, "one.asf", length="audio", seconds=0.6)
    assert (result["frames"], result["video_s"]) == (15, 0.6)


@pytest.mark.parametrize("number", [0, 2, None])
def test_a_gif_that_turns_transparent_has_alpha(tmp_path, number):
    """It is transparent whichever of its frames is; one that never is has no alpha."""
    clear, images = 1, [Image.new("P", (64, 48)) for _ in range(3)]
    for one, image in enumerate(images):
        image.putpalette([200, 0, 0, 0, 0, 200, 0, 200, 0])
        image.paste(clear if one == number else 2 * one % 4, (0, 0, 32, 48))
    told: dict[str, Any] = {"disposal": 2, "transparency": clear, "optimize": False, "duration": 100}
    images[0].save(tmp_path / "a.gif", save_all=True, append_images=images[1:], **told)
    assert probe_video(tmp_path / "a.gif").has_alpha == (number is not None)


def _photo(path: Path, orientation: int) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation
    Image.new("RGB", (64, 48), (90, 60, 30)).save(path, exif=exif)


@pytest.mark.parametrize("ending", ["jpg", "png", "webp"])
def test_a_photo_says_how_it_is_turned(tmp_path, ending):
    """Photos carry EXIF, of which FFmpeg hands on more than PyAV has names for; they are read, and shown upright."""
    _photo(tmp_path / f"a.{ending}", 6)
    info = probe_video(tmp_path / f"a.{ending}")
    assert make_recipe(info).canvas.shown_size == Size(48, 64)
    assert len(build_index(info)) == 1


def test_pictures_of_a_series_are_turned_alike(tmp_path):
    """A series whose EXIF orientation changes is refused, and two of its files are named."""
    for number, orientation in enumerate((6, 6, 6)):
        _photo(tmp_path / f"{number}.jpg", orientation)
    info = probe_video(tmp_path)
    assert (make_recipe(info).canvas.shown_size, len(build_index(info))) == (Size(48, 64), 3)
    _photo(tmp_path / "3.jpg", 1)
    with pytest.raises(MediaError, match=r"images of several EXIF orientations: 0\.jpg has 6, 3\.jpg has 1;") as caught:
        build_index(probe_video(tmp_path))
    assert caught.value.code == "mixed_orientation"


def test_only_pictures_have_a_place_for_their_number(tmp_path):
    """An object whose name only looks like a pattern is a file like any other."""
    assert [names_series(f"s3://bucket/{name}") for name in ("a_##.png", "a_%04d.TIF", "frames/")] == [True] * 3
    assert not any(names_series(f"s3://bucket/{name}") for name in ("ep##1.mp4", "100%d.mov", "a.png"))
    assert (is_series(tmp_path / "a_##.png"), is_series(tmp_path / "ep##1.mp4")) == (True, False)


def test_numbered_pictures_in_a_bucket_are_refused(tmp_path):
    """A prefix cannot be read as a series, and the row says so before anything is done."""
    write_clip(tmp_path / "v.mkv", ClipSpec(size=Size(64, 48), frames=5))
    write_sound(tmp_path / "dub.wav", ToneSpec(1.0, 16_000, 1, codec="pcm_s16le"))
    rows = [
        {"id": "a", "video": "s3://bucket/frames/", "audio": "dub.wav", "output": "a.mkv", "faces": BOX},
        {"id": "b", "video": "v.mkv", "audio": "dub.wav", "output": "b.mkv", "faces": BOX},
    ]
    report = dub(tmp_path, rows, PASSTHROUGH, QUICK)
    assert (report.done, report.failed) == (1, 1)
    (bad,) = (one for one in report.outcomes if one.row_id == "a")
    assert "numbered images in a bucket cannot be used" in bad.record["message"]
