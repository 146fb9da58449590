"""`lipwise-ray preview`: a few seconds of a row, or one frame, as the whole output has them."""

from __future__ import annotations

import hashlib
import json
import wave
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import cv2
import numpy as np
import pytest

import lipwise_ray
from lipwise_ray.media.pixels import plane_array
from lipwise_ray.runs.preview import preview
from lipwise_ray.runs.progress_events import Event, RowsProgress
from lipwise_ray.synth.clips import ClipSpec, read_code, write_clip
from lipwise_ray.values import Size
from tests.support.dub import LOSSLESS, PASSTHROUGH, QUICK, UNJUDGED, dub, run, settings_arguments, write_manifest

SIZE = Size(160, 120)
BOX = "box:60,110,50,110"  # below the code
NETWORK = 'lipsync.model="tiny_generator"'
AT_S = 1.11
TOLD = (NETWORK, LOSSLESS, UNJUDGED, 'lipsync.vad="none"')


def _digests(path: Path) -> list[str]:
    with av.open(str(path)) as container:
        return [
            hashlib.sha256(b"".join(plane_array(frame, n).tobytes() for n in range(3))).hexdigest()
            for frame in container.decode(video=0)
        ]


def _codes(path: Path) -> list[int | None]:
    with av.open(str(path)) as container:
        return [read_code(plane_array(frame, 0)) for frame in container.decode(video=0)]


def _sound(path: Path) -> Any:
    with av.open(str(path)) as container:
        return np.concatenate([frame.to_ndarray() for frame in container.decode(audio=0)], axis=1)


@pytest.fixture(scope="module")
def footage(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Clips and audio: one at a variable rate, the audio longer than the clips."""
    folder = tmp_path_factory.mktemp("preview")
    write_clip(folder / "v.mp4", ClipSpec(size=SIZE, frames=50, rate=Fraction(25)))
    steps = np.cumsum([0, *([1001, 2002, 1501, 3003, 999] * 10)][:50])
    times = tuple(map(int, steps))
    write_clip(folder / "vfr.mp4", ClipSpec(size=SIZE, frames=50, times=times, time_base=Fraction(1, 30000)))
    noise = np.random.default_rng(0).normal(scale=3000, size=3 * 48000).astype("<i2")
    with wave.open(str(folder / "s.wav"), "wb") as file:
        file.setparams((1, 2, 48000, 0, "NONE", ""))
        file.writeframes(noise.tobytes())
    return folder


def _preview(folder: Path, manifest: Path, row: str, *options: str | Path, sets: tuple[str, ...] = TOLD) -> Any:
    return run("preview", manifest, row, *options, *settings_arguments(*sets), XDG_CACHE_HOME=str(folder / "cache"))


@pytest.mark.parametrize(
    ("video", "length"),
    [
        ("v.mp4", "audio"),
        *(
            pytest.param(*case, marks=pytest.mark.slow)
            for case in (("v.mp4", "video"), ("v.mp4", "fit"), ("vfr.mp4", "audio"), ("vfr.mp4", "fit"))
        ),
    ],
)
def test_it_shows_what_the_whole_shows(footage: Path, tmp_path: Path, video: str, length: str) -> None:
    """Frames are those of the whole output at that time, bit by bit, faces dubbed, and its audio is the part that
    belongs there.
    """
    row = {"id": "a", "video": footage / video, "audio": footage / "s.wav", "output": "a.mkv", "faces": BOX}
    row |= {"length": length}
    sets = (*TOLD, 'encode.audio.codec="flac"', 'timing.fit="both"')
    whole = dub(tmp_path, [row], *sets)
    assert whole.exit_code == 0, whole.lines
    manifest = write_manifest(tmp_path / "m.csv", [row])
    done = _preview(
        tmp_path, manifest, "a", "--at", f"{AT_S}", "--seconds", "0.5", "--out", tmp_path / "p.mkv", sets=sets
    )
    assert done.returncode == 0, done.stderr
    output = tmp_path / "out" / "a.mkv"
    with av.open(str(output)) as container:
        times = [float(frame.pts * frame.time_base) for frame in container.decode(video=0)]
    first = max(n for n, time_s in enumerate(times) if time_s <= AT_S)
    frames = _digests(tmp_path / "p.mkv")
    assert 8 <= len(frames) <= 25
    assert frames == _digests(output)[first : first + len(frames)]
    heard, part = _sound(output)[0].astype(np.float64), _sound(tmp_path / "p.mkv")[0].astype(np.float64)
    assert len(part) / 48000 == pytest.approx(times[first + len(frames)] - times[first], abs=0.002)
    begin = round(times[first] * 48000)  # by times in whole milliseconds
    pieces = (heard[at : at + len(part)] for at in range(begin - 48, begin + 49))
    off = min(np.abs(part[: len(piece)] - piece).max() for piece in pieces)
    assert off <= heard.std() / 1000, off  # a bit of the encoder's rounding


@pytest.mark.slow
def test_a_picture_and_what_is_kept(footage: Path, tmp_path: Path) -> None:
    """One frame is a picture of the frame that is shown then; asked for again it is there at once, nothing is rendered;
    another setting, time or input makes another; no state appears beside the outputs.
    """
    row = {"id": "a", "video": footage / "v.mp4", "audio": footage / "s.wav", "output": "a.mp4", "faces": BOX}
    manifest = write_manifest(tmp_path / "m.csv", [row])
    sets = (PASSTHROUGH, QUICK)
    done = _preview(tmp_path, manifest, "a", "--at", "0.5", "--seconds", "0", "--json", sets=sets)
    assert done.returncode == 0, done.stderr
    first = json.loads(done.stdout)
    assert (first["reused"], first["notes"], Path(first["file"]).suffix) == (False, [], ".png")
    image = cv2.imread(first["file"])
    assert image.shape == (120, 160, 3)
    assert read_code(cv2.cvtColor(image, cv2.COLOR_BGR2GRAY)) == 12
    again = json.loads(_preview(tmp_path, manifest, "a", "--at", "0.5", "--seconds", "0", "--json", sets=sets).stdout)
    assert again == {**first, "reused": True}
    out = tmp_path / "frame.jpg"
    assert _preview(tmp_path, manifest, "a", "--at", "1", "--out", out, sets=sets).stdout == f"{out}\n"
    assert read_code(cv2.cvtColor(cv2.imread(str(out)), cv2.COLOR_BGR2GRAY)) == 25
    other = _preview(tmp_path, manifest, "a", "--at", "0.5", "--seconds", "0", "--json", sets=(NETWORK, QUICK))
    assert json.loads(other.stdout)["reused"] is False
    assert sorted(path.name for path in tmp_path.iterdir()) == ["cache", "frame.jpg", "m.csv"]


@pytest.mark.slow
def test_a_long_video_is_looked_through_around_the_window_alone(footage: Path, tmp_path: Path) -> None:
    """Faces are looked for where the window is, a note says what may come out otherwise, and the next preview beside it
    looks nowhere again; a state in which the whole was looked through makes the note needless.
    """
    write_clip(tmp_path / "long.mp4", ClipSpec(size=Size(96, 64), frames=2400, rate=Fraction(24)))
    row = {"id": "a", "video": "long.mp4", "audio": footage / "s.wav", "output": "a.mkv", "length": "video"}
    sets = (PASSTHROUGH, QUICK, 'detect.detector="tiny"', "faces.min_face_share=0")
    steps: list[RowsProgress] = []
    settings = lipwise_ray.load_settings(assignments=sets)

    def note(event: Event) -> None:
        steps.extend([event] if isinstance(event, RowsProgress) else [])

    columns = {**row, "video": str(tmp_path / "long.mp4"), "audio": str(footage / "s.wav")}
    made = preview(columns, 50.0, 0.25, settings=settings, cache=tmp_path / "cache", progress=note)
    assert _codes(made.file) == list(range(1200, 1206))
    assert any("looked for around these seconds alone" in text for text in made.notes)
    scanned = list((tmp_path / "cache" / "faces").rglob("chunk-*.npz"))
    assert 1 <= len(scanned) <= 2
    beside = preview(columns, 50.5, 0.25, settings=settings, cache=tmp_path / "cache")
    assert _codes(beside.file) == list(range(1212, 1218))
    assert list((tmp_path / "cache" / "faces").rglob("chunk-*.npz")) == scanned
    assert max(row.frames_total for step in steps for row in step.rows) < 600


def test_bad_input(footage: Path, tmp_path: Path) -> None:
    """Each is told as `submit` tells it, with its exit code, and leaves nothing at the file's place."""
    row = {"id": "a", "video": footage / "v.mp4", "audio": footage / "s.wav", "output": "a.mp4", "faces": BOX}
    bad = {**row, "id": "b", "audio": footage / "none.wav", "output": "b.mp4"}
    worse = {**row, "id": "c", "output": "../c.mp4"}
    manifest = write_manifest(tmp_path / "m.csv", [row, bad, worse])
    sets = (PASSTHROUGH, QUICK)
    out = tmp_path / "p.mp4"
    for arguments, words in (
        (("none",), "no row has the id 'none'. It has a."),
        (("a", "--at", "3.5"), "--at: 3.5 s is past the end of an output of 3.00 s"),
        (("a", "--seconds", "9000"), "--seconds: 9000 seconds cannot be previewed"),
        (("a", "--at", "nan"), "--at"),
        (("b",), "none.wav"),
        (("c",), "line 4 (id=c)"),
    ):
        done = _preview(tmp_path, manifest, *arguments, "--out", out, sets=sets)
        assert done.returncode == 2, (arguments, done.stderr)
        assert words in done.stderr, done.stderr
        assert not out.exists()
    text = _preview(tmp_path, manifest, "a", "--out", tmp_path / "p.txt", sets=sets)
    assert (text.returncode, 'unknown ending ".txt"' in text.stderr) == (2, True)
    nowhere = _preview(tmp_path, manifest, "a", "--seconds", "0", "--out", tmp_path / "no" / "p.png", sets=sets)
    assert (nowhere.returncode, "cannot be written" in nowhere.stderr) == (2, True)


@pytest.mark.slow
def test_it_stops_and_goes_on(footage: Path, tmp_path: Path) -> None:
    """Whoever asks for a stop gets one, and the same call makes the preview; a running driver's state is only read."""
    columns = {"video": str(footage / "v.mp4"), "audio": str(footage / "s.wav"), "faces": BOX}
    settings = lipwise_ray.load_settings(assignments=[PASSTHROUGH, QUICK])
    with pytest.raises(lipwise_ray.EngineError) as stopped:
        preview(columns, 0.2, 0.2, settings=settings, cache=tmp_path, stop=lambda: True)
    assert stopped.value.code == "stopped"
    made = preview(columns, 0.2, 0.2, settings=settings, cache=tmp_path)
    assert (made.reused, _codes(made.file)) == (False, list(range(5, 10)))
