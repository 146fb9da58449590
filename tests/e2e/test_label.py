"""A visible sign in the frames of outputs, by decoding them."""

from __future__ import annotations

import json
from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest

from lipwise_ray.media.pixels import planar_format, plane_array
from lipwise_ray.media.probe import probe_video
from lipwise_ray.media.region import Canvas
from lipwise_ray.synth.clips import ClipSpec, ToneSpec, write_clip, write_sound
from lipwise_ray.values import Json, PixelArray, Size
from tests.support.dub import LOSSLESS, PASSTHROUGH, QUICK, Dubbed, dub

SIZE, FRAMES = Size(160, 120), 30
BOX = "box:50,110,50,110"
AT_START = ('marking.label="start"', "marking.label_s=0.5", 'marking.label_corner="top-right"')
LABELLED = 13
"""Frames of 1/25 s that begin before half a second is over."""

DRAWN_LIPS = ('lipsync.model="tiny_generator"', 'restore.model="none"', 'lipsync.vad="none"')
VIDEOS = {
    "plain": ClipSpec(size=SIZE, frames=FRAMES, codec="ffv1"),
    "deep": ClipSpec(size=SIZE, frames=FRAMES, codec="ffv1", pixel_format="yuv422p10le"),
    "whole_chroma": ClipSpec(size=Size(161, 121), frames=FRAMES, codec="ffv1", pixel_format="yuv444p"),
    "full": ClipSpec(size=SIZE, frames=FRAMES, codec="ffv1", full_range=True),
    "wide": ClipSpec(size=SIZE, frames=FRAMES, codec="ffv1", sample_aspect_ratio=Fraction(4, 3)),
}


def _decoded(path: Path) -> list[list[PixelArray]]:
    with av.open(str(path)) as container:
        return [[plane_array(frame, n).copy() for n in range(3)] for frame in container.decode(video=0)]


def _equal(one: Sequence[PixelArray], other: Sequence[PixelArray]) -> bool:
    return all(map(np.array_equal, one, other))


def _result(folder: Path, row: str) -> Json:
    records = (json.loads(path.read_text()) for path in folder.glob("jobs/*/result.json"))
    return next(record for record in records if record["row_id"] == row)


def _rows(names: Sequence[str], ending: str = "mkv", faces: str = BOX) -> list[Json]:
    return [
        {"id": name, "video": f"{name}.{ending}", "audio": "s.wav", "output": f"{name}.{ending}", "faces": faces}
        for name in names
    ]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Make the clips and a sound as long."""
    for name, spec in VIDEOS.items():
        write_clip(tmp_path / f"{name}.mkv", spec)
    write_sound(tmp_path / "s.wav", ToneSpec(FRAMES / 25, codec="pcm_s16le", rate_hz=16000, channels=1))
    return tmp_path


def _outside(planes: Sequence[PixelArray], box: Sequence[float], canvas: Canvas) -> list[PixelArray]:
    """Return planes of an upright frame with zeros where a sign is, and a pixel around for its edge."""
    blank = [plane.copy() for plane in planes]
    for number, plane in enumerate(blank):
        shift_x, shift_y = canvas.format.shifts(number)
        left, right = (edge * canvas.size.width / (1 << shift_x) for edge in (box[0], box[2]))
        top, bottom = (edge * canvas.size.height / (1 << shift_y) for edge in (box[1], box[3]))
        plane[int(top) - 1 : int(bottom) + 3, int(left) - 1 : int(right) + 3] = 0
    return blank


def test_the_first_frames_have_it_and_nothing_else_differs(folder: Path) -> None:
    """Of every kind of video; frames after it are the source's to the bit, and around it all samples are."""
    done = dub(folder, _rows(list(VIDEOS)), PASSTHROUGH, LOSSLESS, *AT_START, "chunk.frames=8")
    assert done.done == len(VIDEOS)
    for name in VIDEOS:
        info = probe_video(folder / f"{name}.mkv")
        shape = planar_format(info.pixel_format)
        assert shape is not None
        canvas = Canvas(info.size, shape, info.color)
        before, after = _decoded(folder / f"{name}.mkv"), _decoded(folder / "out" / f"{name}.mkv")
        assert [_equal(*pair) for pair in zip(before, after, strict=True)] == [False] * LABELLED + [True] * 17, name
        told = _result(folder / "out.state", name)["label"]
        assert (told["text"], told["frames"]) == ("AI", LABELLED)
        assert told["box"][0] > 0.5 > told["box"][3]
        for old, new in zip(before[:LABELLED], after[:LABELLED], strict=True):
            assert _equal(_outside(old, told["box"], canvas), _outside(new, told["box"], canvas)), name
            assert not np.array_equal(old[0], new[0])


@pytest.mark.slow
def test_chunks_do_not_show_and_new_lips_stay(folder: Path) -> None:
    """Rendered whole or in chunks, with new lips, frames are the same to the bit; and but for the sign those without.

    The face's box reaches under the sign.
    """
    rows = _rows(["plain"], faces="box:10,110,50,150")
    told = (*DRAWN_LIPS, LOSSLESS, "composite.occlusion=false", 'marking.label="always"')
    frames = {
        length: _decoded(_dubbed(folder, rows, *told, f"chunk.frames={length}", out=f"by{length}") / "plain.mkv")
        for length in (7, 1000)
    }
    assert all(map(_equal, frames[7], frames[1000]))
    without = _decoded(_dubbed(folder, rows, *told[:-1], "chunk.frames=7", out="without") / "plain.mkv")
    shape = planar_format("yuv420p")
    assert shape is not None
    canvas, box = Canvas(SIZE, shape, probe_video(folder / "plain.mkv").color), _result(folder / "by7.state", "plain")
    for one, other in zip(frames[7], without, strict=True):
        assert _equal(_outside(one, box["label"]["box"], canvas), _outside(other, box["label"]["box"], canvas))
        assert not _equal(one, other)
    assert "label" not in _result(folder / "without.state", "plain")["identity"]
    assert _result(folder / "without.state", "plain").get("label") is None


def _dubbed(folder: Path, rows: list[Json], *sets: str, out: str) -> Path:
    assert dub(folder, rows, *sets, out=out).done == len(rows)
    return folder / out


def test_only_chunks_with_the_sign_are_made_anew(folder: Path) -> None:
    """A finished row that is to have a sign at its start takes the chunks after that over."""
    told = (PASSTHROUGH, LOSSLESS, "chunk.frames=10", "engine.keep_segments=true")

    def rendered(done: Dubbed) -> int:
        assert done.done == 1
        return done.chunks_rendered

    rows = _rows(["plain"])
    assert rendered(dub(folder, rows, *told)) == 3
    assert rendered(dub(folder, rows, *told, *AT_START)) == 2
    assert rendered(dub(folder, rows, *told, *AT_START)) == 0
    assert rendered(dub(folder, rows, *told, *AT_START, 'marking.label_text="KI"')) == 2


def test_rotated_frames_of_two_fields_and_damaged_ones_have_it(folder: Path) -> None:
    """A phone's video has it where its watcher has the corner, a damaged one as far as it decodes."""
    quick = {"preset": "ultrafast"}
    write_clip(folder / "phone.mp4", ClipSpec(size=SIZE, frames=FRAMES, options=quick, rotation=90))
    fields = {**quick, "x264-params": "tff=1", "flags": "+ildct+ilme"}
    write_clip(folder / "fields.mp4", ClipSpec(size=SIZE, frames=FRAMES, options=fields))
    write_clip(folder / "cut.mkv", ClipSpec(size=SIZE, frames=2 * FRAMES, options=quick, gop=10))
    whole = (folder / "cut.mkv").read_bytes()
    (folder / "cut.mkv").write_bytes(whole[: len(whole) * 2 // 3])
    rows = [*_rows(["phone", "fields"], "mp4"), *_rows(["cut"])]
    told = (PASSTHROUGH, QUICK, "encode.quality=1", 'source.on_error="salvage"', 'timing.length="video"')
    marked = _dubbed(folder, rows, *told, 'marking.label="always"', out="marked")
    plain = _dubbed(folder, rows, *told, out="plain_out")
    for row in rows:
        name = row["output"]
        box = _result(folder / "marked.state", row["id"])["label"]["box"]
        for one, other in zip(_decoded(marked / name), _decoded(plain / name), strict=True):
            changed = np.abs(one[0].astype(np.int16) - other[0]) > 40
            rows_of, columns = np.nonzero(changed)
            y, x = (rows_of.min() + rows_of.max()) / 2, (columns.min() + columns.max()) / 2
            height, width = changed.shape
            shown = ((height - y) / height, x / width) if row["id"] == "phone" else (x / width, y / height)
            assert shown == pytest.approx(((box[0] + box[2]) / 2, (box[1] + box[3]) / 2), abs=0.03)
            assert changed.sum() > 50


def test_rows_have_signs_of_their_own(folder: Path) -> None:
    """A column of a manifest gives a row another text, or none."""
    rows = _rows(["plain", "full"])
    rows[0] |= {"marking.label_text": "KI", "marking.label": "always"}
    rows[1] |= {"marking.label_text": "", "marking.label": "off"}
    _dubbed(folder, rows, PASSTHROUGH, QUICK, 'marking.label="start"', out="own")
    assert _result(folder / "own.state", "plain")["label"]["text"] == "KI"
    assert _result(folder / "own.state", "plain")["label"]["frames"] == FRAMES
    assert _result(folder / "own.state", "full").get("label") is None


def test_a_font_that_is_not_there_stops_the_run(folder: Path) -> None:
    """It says which file, and nothing is delivered."""
    done: Any = dub(folder, _rows(["plain"]), PASSTHROUGH, 'marking.label="start"', 'marking.label_font="none.ttf"')
    assert (done.done, done.failed) == (0, 1)
    assert "marking.label_font" in str(done.outcomes[0])
    assert "none.ttf cannot be read" in str(done.outcomes[0])
    assert not (folder / "out" / "plain.mkv").exists()
