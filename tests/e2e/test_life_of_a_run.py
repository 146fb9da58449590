"""Interrupted, repeated, overlapping runs; real recordings; the commands around `submit`."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import time
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from lipwise_ray.media.frames import make_recipe
from lipwise_ray.media.index import build_index
from lipwise_ray.media.probe import probe_audio, probe_video
from lipwise_ray.storage.digest import sha256_of
from lipwise_ray.synth.clips import ClipSpec, ToneSpec, write_clip, write_sound
from lipwise_ray.values import Size
from tests.support.dub import (
    INLINE,
    LOSSLESS,
    PASSTHROUGH,
    QUICK,
    UNJUDGED,
    UNSIGNED,
    command,
    dub,
    run,
    settings_arguments,
    write_manifest,
)

BOX = "box:75,150,60,160"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    write_clip(tmp_path / "v.mp4", ClipSpec(size=Size(240, 160), frames=50, gop=10))
    write_sound(tmp_path / "s.wav", ToneSpec(8.0, codec="pcm_s16le", rate_hz=16000, channels=1))
    return tmp_path


def _row(name: str, **more: Any) -> dict[str, Any]:
    return {"id": name, "video": "v.mp4", "audio": "s.wav", "output": f"{name}.mp4", "faces": BOX, **more}


def test_the_first_signal_drains_and_the_run_can_go_on(folder: Path) -> None:
    """SIGTERM lets the running chunk end, exits with 3, and the next run does the rest only."""
    manifest = write_manifest(folder / "m.csv", [_row("a")])
    arguments = (
        "submit", manifest, "--out", folder / "out",
        *settings_arguments(PASSTHROUGH, QUICK, UNJUDGED, UNSIGNED, "chunk.frames=10", INLINE),
    )  # fmt: skip
    driver = subprocess.Popen(command(*arguments), stderr=subprocess.PIPE, text=True)
    state = folder / "out.state"
    while not list(state.glob("jobs/*/chunks/*.json")):
        assert driver.poll() is None
        time.sleep(0.02)
    driver.send_signal(signal.SIGTERM)
    _, errors = driver.communicate(timeout=60)
    assert driver.returncode == 3, errors
    assert "run the same command again" in errors
    done = len(list(state.glob("jobs/*/chunks/*.json")))
    again = run(*arguments)
    assert again.returncode == 0
    assert f"{20 - done} chunks rendered, {done} reused" in again.stderr


def test_a_rerun_does_only_what_is_missing(folder: Path) -> None:
    """Done rows are left alone; a removed output is made again; changed settings make a new job."""
    rows = [_row("a"), _row("b", output="b.mkv")]
    assert dub(folder, rows, PASSTHROUGH, "chunk.frames=100").chunks_rendered == 4
    stamp = (folder / "out" / "a.mp4").stat().st_mtime_ns
    again = dub(folder, rows, PASSTHROUGH, "chunk.frames=100")
    assert (again.exit_code, again.chunks_rendered, again.chunks_reused) == (0, 0, 4)
    assert (folder / "out" / "a.mp4").stat().st_mtime_ns == stamp
    (folder / "out" / "b.mkv").unlink()
    assert dub(folder, rows, PASSTHROUGH, "chunk.frames=100").chunks_rendered == 2
    assert (folder / "out" / "b.mkv").is_file()
    assert dub(folder, rows, PASSTHROUGH, "chunk.frames=100", "composite.feather=0.2").chunks_rendered == 4


def test_a_damaged_segment_is_found_and_rendered_again(folder: Path) -> None:
    """A segment or a sound that changed on the disk after it was finished is not joined."""
    rows = [_row("a")]
    sets = (PASSTHROUGH, QUICK, "chunk.frames=50", "engine.keep_segments=true")
    assert dub(folder, rows, *sets).exit_code == 0
    reference = sha256_of(folder / "out" / "a.mp4")
    state = folder / "out.state"
    (segment,) = state.glob("jobs/*/segments/00002.*.mkv")
    data = bytearray(segment.read_bytes())
    data[len(data) // 2] ^= 0xFF
    segment.write_bytes(data)
    (sound,) = state.glob("jobs/*/sound/**/*.mp4")
    sound.write_bytes(sound.read_bytes()[:2000])
    (folder / "out" / "a.mp4").unlink()
    report = dub(folder, rows, *sets)
    assert (report.exit_code, report.chunks_rendered) == (0, 1)
    assert sha256_of(folder / "out" / "a.mp4") == reference


@pytest.mark.parametrize(
    ("where", "damage"),
    [
        ("jobs/*/plan.npz", lambda data: data[:100]),
        pytest.param("jobs/*/plan.npz", lambda data: data[:-40] + b"x" * 40, marks=pytest.mark.slow),
        pytest.param("jobs/*/plan.json", lambda data: b'{"a": [1]}', marks=pytest.mark.slow),
        ("scans/*/index.npz", lambda data: b""),
        pytest.param("sounds/*/sound.json", lambda data: b'{"a": [1]}', marks=pytest.mark.slow),
        ("sounds/*/mel.npy", lambda data: data[: len(data) // 2] + bytes(len(data) - len(data) // 2)),
        ("jobs/*/result.json", lambda data: data.replace(b'"chunks": 4', b'"chunks": null')),
    ],
)
def test_damaged_records_are_made_again(where: str, damage: Callable[[bytes], bytes], folder: Path) -> None:
    """What a crash of the machine left of a record, cut, empty, of another shape or with zeros, is not believed."""
    rows = [_row("a")]
    sets = (PASSTHROUGH, QUICK, "chunk.frames=50", "engine.keep_segments=true")
    assert dub(folder, rows, *sets).exit_code == 0
    reference = sha256_of(folder / "out" / "a.mp4")
    (path,) = (folder / "out.state").glob(where)
    whole = path.read_bytes()
    assert damage(whole) != whole
    path.write_bytes(damage(whole))
    (folder / "out" / "a.mp4").unlink()
    report = dub(folder, rows, *sets)
    assert (report.exit_code, report.chunks_rendered) == (0, 0)
    assert sha256_of(folder / "out" / "a.mp4") == reference
    if path.suffix != ".json":
        assert len(path.read_bytes()) == len(whole)


def test_segments_of_another_library_are_not_joined(folder: Path) -> None:
    """A job that stood still while the encoding library was changed: what does not fit is made again."""
    rows = [_row("a")]
    sets = (PASSTHROUGH, QUICK, "chunk.frames=50", "engine.keep_segments=true")
    assert dub(folder, rows, *sets).exit_code == 0
    reference = sha256_of(folder / "out" / "a.mp4")
    (folder / "out" / "a.mp4").unlink()
    (gone,) = (folder / "out.state").glob("jobs/*/segments/00000.*.mkv")
    gone.unlink()
    (marker,) = (folder / "out.state").glob("jobs/*/chunks/00002.json")
    record = json.loads(marker.read_text())
    del record["checksum"]
    marker.write_text(json.dumps({**record, "header": record["header"] + 1, "made_by": "older"}))
    report = dub(folder, rows, *sets)
    assert (report.exit_code, report.chunks_rendered) == (0, 2)
    assert sha256_of(folder / "out" / "a.mp4") == reference


@pytest.mark.slow
def test_ten_languages_scan_a_video_once(folder: Path, yunet_file: Path, shared: Path) -> None:
    """Rows of one video share its scan, within a run and over runs."""
    for n in range(3):
        write_sound(folder / f"s{n}.wav", ToneSpec(1.0 + n / 10, codec="pcm_s16le", tone_hz=200 + n))
    rows = [
        {"id": f"l{n}", "video": shared / "clips" / "grid_man.mpg", "audio": f"s{n}.wav", "output": f"{n}.mkv"}
        for n in range(3)
    ]
    detect = f'detect.checkpoint="{yunet_file}"'
    assert dub(folder, rows[:2], PASSTHROUGH, LOSSLESS, detect).exit_code == 0
    assert len(list((folder / "out.state").glob("scans/*/*/chunk-*.npz"))) == 1
    stamps = [p.stat().st_mtime_ns for p in (folder / "out.state").glob("scans/*/*/*.npz")]
    assert dub(folder, rows, PASSTHROUGH, LOSSLESS, detect).exit_code == 0
    assert [p.stat().st_mtime_ns for p in (folder / "out.state").glob("scans/*/*/*.npz")] == stamps
    exported = run("tracks", folder / "out.state", "l0", folder / "t.npz")
    assert exported.returncode == 0, exported.stderr
    row = {**rows[0], "id": "given", "output": "given.mkv", "tracks": folder / "t.npz"}
    report = dub(folder, [row], PASSTHROUGH, LOSSLESS, out="given")
    assert report.exit_code == 0
    assert report.outcomes[0].record["counts"]["frames_with_face"] == 25


@pytest.mark.slow
def test_real_people_and_a_video_without_one(shared: Path, yunet_file: Path, tmp_path: Path) -> None:
    """Both speakers under new speech, and the clip without a face: planned frames, sound to a frame."""
    import torch
    from scipy.io import wavfile

    from tests.support.seeded import seeded_weights

    torch.save({"state_dict": seeded_weights("wav2lip")}, tmp_path / "seeded.pth")
    clips = shared / "clips"
    rate_hz, speech = wavfile.read(clips / "speech_en.wav")
    wavfile.write(tmp_path / "said.wav", rate_hz, speech[: 4 * rate_hz])
    rows = [
        {"id": "man", "video": clips / "grid_man.mpg", "audio": "said.wav", "output": "man.mp4"},
        {"id": "woman", "video": clips / "grid_woman.mpg", "audio": "said.wav", "output": "woman.mkv"},
        {"id": "none", "video": clips / "no_face_two_audio.mp4", "audio": "said.wav", "output": "none.mov"},
    ]
    sets = (
        f"lipsync.checkpoint={tmp_path}/seeded.pth",
        f"detect.checkpoint={yunet_file}",
        "faces.min_face_share=0",
        "chunk.length_s=1.5",
        QUICK,
    )
    report = dub(tmp_path, rows, *sets)
    assert report.exit_code == 0, report.outcomes
    records = {outcome.row_id: outcome.record for outcome in report.outcomes}
    for row in rows:
        info = probe_video(tmp_path / "out" / row["output"])
        index = build_index(info)
        assert len(index) == 100 == records[row["id"]]["frames"]
        picture_s = (index.end_pts - int(index.pts[0])) * index.time_base
        assert abs(picture_s - 4) < Fraction(1, 25)
        probe_audio(tmp_path / "out" / row["output"])
    assert records["man"]["counts"]["frames_without_face"] == 0
    assert records["none"]["counts"]["frames_without_face"] == 100


def test_looking_before_leaping(folder: Path) -> None:
    """validate, plan and status say what is, and plan writes nothing."""
    rows = [_row("a"), _row("b", video="none.mp4", length="vidoe")]
    manifest = write_manifest(folder / "m.csv", rows)
    checked = run("validate", manifest)
    assert checked.returncode == 1
    assert checked.stdout.count("line 3 (id=b)") == 2
    before = sorted(folder.iterdir())
    planned = run("plan", manifest, "--json", *settings_arguments("chunk.frames=30"))
    assert planned.returncode == 1
    record = json.loads(planned.stdout.splitlines()[0])
    assert (record["frames"], record["chunks"], record["scan_frames"]) == (200, 7, 0)
    assert sorted(folder.iterdir()) == before
    dub(folder, rows, PASSTHROUGH, out="out")
    shown = run("status", folder / "out.state")
    assert "1 done, 1 failed, 0 left" in shown.stdout
    assert "FAILED b" in shown.stdout
    assert run("status", folder).returncode == 2


def test_row_columns_and_presets_reach_the_job(folder: Path) -> None:
    """A row's preset, length and pads replace the run's."""
    rows = [_row("a", length="video", preset="fast"), _row("b", start="0.4", end="0:01.0", length="video")]
    report = dub(folder, rows, PASSTHROUGH, out="out")
    assert report.exit_code == 0
    stored = [json.loads(path.read_text()) for path in (folder / "out.state").glob("runs/*/rows/*.json")]
    results = {record["row_id"]: record for record in stored}
    assert results["a"]["frames"] == 50
    assert results["a"]["identity"]["settings"]["encode"]["preset"] == "veryfast"
    assert results["b"]["frames"] == 15
    assert results["b"]["identity"]["settings"]["encode"]["preset"] == "medium"
    assert results["b"]["encoder"] == "libx264"


def test_options_of_the_original(folder: Path) -> None:
    """crop, rotate, resize_factor and static have their equivalents."""
    rows = [_row("a", faces="box:5,30,10,40", length="video")]
    sets = ("source.crop=[10, 110, 20, 170]", "source.rotate=90", "source.resize_factor=1")
    assert dub(folder, rows, PASSTHROUGH, *sets, out="turned").exit_code == 0
    info = probe_video(folder / "turned" / "a.mp4")
    assert info.orientation.rotation == 90
    assert make_recipe(info).canvas.shown_size == Size(140, 100)
    assert dub(folder, rows, PASSTHROUGH, "source.resize_factor=2", out="small").exit_code == 0
    assert probe_video(folder / "small" / "a.mp4").size == Size(120, 80)
    assert dub(folder, rows, PASSTHROUGH, "source.static=true", "timing.length='audio'", out="static").exit_code == 0
    report = dub(folder, rows, PASSTHROUGH, "source.crop=[900, 901, 0, 5]", out="bad")
    assert report.outcomes[0].record["code"] == "bad_crop"


def test_a_still_image_becomes_a_video(folder: Path) -> None:
    """A picture and a sound give a video of the chosen rate as long as the sound."""
    import cv2

    picture = np.random.default_rng(0).integers(0, 255, (121, 161, 3), dtype=np.uint8)
    cv2.imwrite(str(folder / "p.png"), picture)
    cv2.imwrite(str(folder / "p.jpg"), picture)
    rows = [_row(end, video=f"p.{end}", faces="box:20,80,20,80") for end in ("png", "jpg")]
    report = dub(folder, rows, PASSTHROUGH, 'source.still_rate="24"')
    assert report.exit_code == 0, report.outcomes
    assert [o.record["frames"] for o in report.outcomes] == [192, 192]
    assert probe_video(folder / "out" / "png.mp4").size == Size(162, 122)


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_an_output_folder_without_permission(folder: Path) -> None:
    """A folder that may not be written fails its row with a clear error."""
    (folder / "out").mkdir(mode=0o500)
    report = dub(folder, [_row("a", output="x/a.mp4")], PASSTHROUGH)
    assert report.outcomes[0].record["code"] == "not_writable"
