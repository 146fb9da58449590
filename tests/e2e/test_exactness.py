"""Which frame is shown when, to the bit, whatever the chunks, the workers and the engine."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest

from lipwise_ray.media.pixels import plane_array
from lipwise_ray.resources import jobs_folder, manifests_folder
from lipwise_ray.synth.clips import ClipSpec, ToneSpec, draw_frame, read_code, write_clip, write_sound
from lipwise_ray.values import Size
from tests.support.dub import (
    INLINE,
    LOSSLESS,
    PASSTHROUGH,
    UNJUDGED,
    UNSIGNED,
    dub,
    packets,
    run,
    settings_arguments,
    write_manifest,
)

SIZE = Size(160, 120)
BOX = "box:60,110,50,110"  # below the code
FRAMES = 60
B_FRAMES = {"bf": "3", "preset": "ultrafast", "x264-params": "bframes=3:b-adapt=0"}
STEPS = [1001, 2002, 1501, 3003, 1001, 999]
TIMES = tuple(int(n) for n in np.cumsum([0, *(STEPS[n % len(STEPS)] for n in range(FRAMES - 1))]))
RATES = {
    "24": ClipSpec(size=SIZE, frames=FRAMES, rate=Fraction(24), options=B_FRAMES, gop=20),
    "25": ClipSpec(size=SIZE, frames=FRAMES, rate=Fraction(25), options=B_FRAMES, gop=20),
    "ntsc": ClipSpec(size=SIZE, frames=FRAMES, rate=Fraction(30000, 1001), options=B_FRAMES, gop=20),
    "50": ClipSpec(size=SIZE, frames=FRAMES, rate=Fraction(50), options=B_FRAMES, gop=20),
    "60": ClipSpec(size=SIZE, frames=FRAMES, rate=Fraction(60), options=B_FRAMES, gop=20),
    "variable": ClipSpec(size=SIZE, frames=FRAMES, times=TIMES, time_base=Fraction(1, 30000), options=B_FRAMES, gop=20),
}
SECONDS = 3.1  # longer than every clip but the slowest: pingpong at work

DRAWN_LIPS = 'lipsync.model="tiny_generator"'
"""A network that changes what it is given."""


@pytest.fixture(scope="module")
def inputs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("exact")
    for name, spec in RATES.items():
        write_clip(folder / f"{name}.mp4", spec)
    write_sound(folder / "s.wav", ToneSpec(SECONDS, codec="pcm_s16le", rate_hz=16000, channels=1))
    return folder


def _rows(folder: Path) -> list[dict[str, Any]]:
    return [
        {
            "id": name,
            "video": folder / f"{name}.mp4",
            "audio": folder / "s.wav",
            "output": f"{name}.mkv",
            "faces": BOX,
        }
        for name in RATES
    ]


def _frames(path: Path) -> Iterator[Any]:
    with av.open(str(path)) as container:
        yield from container.decode(video=0)


def digest(path: Path) -> list[str]:
    """Return a digest of every decoded frame's planes."""
    found = []
    for frame in _frames(path):
        planes = b"".join(plane_array(frame, n).tobytes() for n in range(3))
        found.append(hashlib.sha256(planes).hexdigest())
    return found


@pytest.fixture(scope="module")
def whole(inputs: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, list[str]]:
    """Frames of the job done in one chunk in one process."""
    folder = tmp_path_factory.mktemp("whole")
    report = dub(folder, _rows(inputs), PASSTHROUGH, LOSSLESS, "chunk.frames=100000")
    assert report.exit_code == 0
    return {name: digest(folder / "out" / f"{name}.mkv") for name in RATES}


def test_every_frame_is_the_planned_one(inputs: Path, whole: dict[str, list[str]], tmp_path: Path) -> None:
    """Frame n shows source frame n, back and forth; the count is round(duration * rate)."""
    report = dub(tmp_path, _rows(inputs), PASSTHROUGH, LOSSLESS, "chunk.frames=13")
    assert report.exit_code == 0
    for name, spec in RATES.items():
        codes = [read_code(plane_array(frame, 0)) for frame in _frames(tmp_path / "out" / f"{name}.mkv")]
        if spec.times is None:
            assert len(codes) == int(Fraction(str(SECONDS)) * spec.rate + Fraction(1, 2))
        folded = [n % (2 * FRAMES - 2) for n in range(len(codes))]
        assert codes == [n if n < FRAMES else 2 * FRAMES - 2 - n for n in folded], name
        assert len(codes) == len(whole[name])


@pytest.mark.parametrize(
    "length", [pytest.param(1, marks=pytest.mark.slow), 7, pytest.param(50, marks=pytest.mark.slow)]
)
def test_chunks_do_not_show(length: int, inputs: Path, whole: dict[str, list[str]], tmp_path: Path) -> None:
    """Chunks of 1, 7 and 50 frames give bit-equal frames, at every rate."""
    rows = _rows(inputs) if length > 1 else [row for row in _rows(inputs) if row["id"] in ("ntsc", "variable")]
    report = dub(tmp_path, rows, PASSTHROUGH, LOSSLESS, f"chunk.frames={length}")
    assert report.exit_code == 0
    for row in rows:
        assert digest(tmp_path / "out" / row["output"]) == whole[row["id"]], row["id"]


@pytest.mark.slow
def test_a_real_network_keeps_the_invariance(inputs: Path, tmp_path: Path) -> None:
    """Wav2Lip in float32 draws bit-equal frames in chunks of 9 and in one chunk, faces coming and going."""
    import torch

    from lipwise_ray.faces.tracks import Tracks
    from tests.support.seeded import seeded_weights

    torch.save(seeded_weights("wav2lip"), tmp_path / "w.pth")
    frame = np.array([*range(20), *range(31, 60)], np.int64)
    left = np.linspace(30, 60, len(frame))
    Tracks(
        track=np.zeros(len(frame), np.int64),
        frame=frame,
        box=np.stack([left, left * 0 + 50, left + 50.5, left * 0 + 110], 1).astype(np.float32),
        landmarks=np.zeros((len(frame), 5, 2), np.float32),
        score=np.ones(len(frame), np.float32),
        seen=np.ones(len(frame), bool),
        shots=np.array([[0, 60]]),
        frames=60,
        size=SIZE,
    ).save(tmp_path / "t.npz")
    row = {**_rows(inputs)[1], "faces": "", "tracks": tmp_path / "t.npz", "length": "video"}
    sets = (f'lipsync.checkpoint="{tmp_path}/w.pth"', "lipsync.precision='float32'", LOSSLESS, "lipsync.batch_frames=4")
    for name, length in (("one", 1000), ("many", 9)):
        report = dub(tmp_path, [row], *sets, f"chunk.frames={length}", out=name)
        assert report.exit_code == 0
        assert report.outcomes[0].record["counts"]["frames_without_face"] == 11
    assert digest(tmp_path / "one" / "25.mkv") == digest(tmp_path / "many" / "25.mkv")


@pytest.mark.parametrize(
    "spec",
    [
        ClipSpec(size=Size(160, 120), frames=10),
        ClipSpec(size=Size(161, 121), frames=10, codec="ffv1"),
        ClipSpec(size=Size(160, 120), frames=10, pixel_format="yuv422p10le", codec="ffv1"),
        ClipSpec(size=Size(160, 120), frames=10, pixel_format="yuv444p", codec="ffv1", full_range=True),
        ClipSpec(size=Size(160, 120), frames=10, rotation=90),
    ],
)
def test_pixels_outside_the_face_are_the_sources(spec: ClipSpec, tmp_path: Path) -> None:
    """Every decoded plane outside the face's box equals the source's, in its own format."""
    name = "v.mp4" if spec.codec == "libx264" else "v.mkv"
    write_clip(tmp_path / name, spec)
    write_sound(tmp_path / "s.wav", ToneSpec(0.4, codec="pcm_s16le"))
    row = {"id": "a", "video": name, "audio": "s.wav", "output": "o.mkv", "faces": "box:60,100,50,90"}
    report = dub(tmp_path, [row], DRAWN_LIPS, LOSSLESS)
    assert report.exit_code == 0, report.outcomes
    box = (60, 100, 50, 90) if not spec.rotation else (spec.size.height - 90, spec.size.height - 50, 60, 100)
    top, bottom, left, right = box
    changed = 0
    for old, new in zip(_frames(tmp_path / name), _frames(tmp_path / "out" / "o.mkv"), strict=True):
        assert new.format.name.replace("yuvj", "yuv") == spec.pixel_format
        for plane in range(3):
            a, b = plane_array(old, plane), plane_array(new, plane)
            assert a.shape == b.shape
            mask = np.ones(a.shape, bool)
            sub_y, sub_x = spec.size.height / a.shape[0], spec.size.width / a.shape[1]
            mask[int(top / sub_y) - 1 : int(bottom / sub_y) + 2, int(left / sub_x) - 1 : int(right / sub_x) + 2] = False
            assert np.array_equal(a[mask], b[mask])
            changed += int((a != b).sum())
    assert changed > 0
    if spec.rotation:
        assert next(_frames(tmp_path / "out" / "o.mkv")).rotation == -90


def test_frames_without_the_face_are_untouched(tmp_path: Path) -> None:
    """Where the face is missing the whole frame is the source's, to the bit; a user's own faces are none in doubt."""
    from lipwise_ray.faces.tracks import Tracks

    write_clip(tmp_path / "v.mp4", ClipSpec(size=SIZE, frames=20))
    write_sound(tmp_path / "s.wav", ToneSpec(0.8, codec="pcm_s16le"))
    frame = np.array([*range(5, 10), *range(12, 17)], np.int64)
    Tracks(
        track=np.zeros(10, np.int64),
        frame=frame,
        box=np.tile(np.array([50, 50, 110, 110], np.float32), (10, 1)),
        landmarks=np.zeros((10, 5, 2), np.float32),
        score=np.full(10, 0.3, np.float32),
        seen=np.ones(10, bool),
        shots=np.array([[0, 20]]),
        frames=20,
        size=SIZE,
    ).save(tmp_path / "t.npz")
    row = {"id": "a", "video": "v.mp4", "audio": "s.wav", "output": "o.mkv", "tracks": "t.npz"}
    assert dub(tmp_path, [row], DRAWN_LIPS, LOSSLESS, "chunk.frames=6").exit_code == 0
    same = [a == b for a, b in zip(digest(tmp_path / "v.mp4"), digest(tmp_path / "out" / "o.mkv"), strict=True)]
    assert [n for n in range(20) if not same[n]] == frame.tolist()


def test_the_drawn_clip_is_what_the_reader_reads() -> None:
    """The burnt-in code is read back from an undamaged frame for every 16-bit number tried."""
    for code in (0, 1, 2, 255, 256, 40_000, 65_535):
        frame = draw_frame(ClipSpec(size=SIZE, first_code=code), 0)
        assert read_code(plane_array(frame, 0)) == code


@pytest.mark.slow
def test_every_run_writes_the_same_file(tmp_path: Path) -> None:
    """Two faces in a frame, networks, an encoder: processes whose memory held other bytes deliver the same packets."""
    manifests = manifests_folder()
    row = {"id": "a", "video": manifests / "demo/two-people.mp4", "audio": manifests / "demo/two-people.m4a"}
    manifest = write_manifest(tmp_path / "m.csv", [{**row, "output": "o.mp4", "faces": "left"}])
    files = list[list[tuple[int, int | None, bytes]]]()
    for filling in ("1", "200"):
        place = tmp_path / filling
        done = run(
            *("submit", manifest, "--job", jobs_folder() / "demo.toml", "--out", place, "--state", f"{place}.state"),
            *settings_arguments(INLINE, UNJUDGED, UNSIGNED),
            afresh=True,
            MALLOC_PERTURB_=filling,
        )
        assert done.returncode == 0, done.stderr
        files.append(packets(place / "o.mp4"))
    assert files[0] == files[1]
