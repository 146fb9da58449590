"""Places on the command line that cannot be what they are named as: one plain line, its code, and no waiting."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest

from lipwise_ray.runs.nightly import dropped
from lipwise_ray.state.store import LocalStore
from lipwise_ray.synth.clips import ClipSpec, ToneSpec, write_clip
from lipwise_ray.values import Size
from tests.support.dub import INLINE, LOSSLESS, PASSTHROUGH, UNJUDGED, UNSIGNED, run, settings_arguments, write_manifest

TINY = ("--set", 'detect.detector="tiny"')
LONG = "n" * 300


@pytest.mark.parametrize(
    "words",
    [
        ("status", LONG),
        ("retry", "d/" * 3000),
        ("inspect", LONG, *TINY),
        ("evaluate", f"{LONG}.csv"),
        ("evaluate", "compare", LONG, LONG),
        ("models", "list", "--models", LONG),
        ("models", "add", "yunet", LONG),
        ("synth", "clip", f"{LONG}.mp4"),
        ("train", "export", LONG, "x.safetensors"),
        ("train", "prepare", LONG, "data"),
    ],
)
def test_names_that_no_file_can_have(words: tuple[str, ...], tmp_path: Path) -> None:
    """They are the user's slip, wherever they stand, and no fault of the program."""
    done = run(*words, cwd=tmp_path)
    assert done.returncode == (1 if words[0] == "inspect" else 2), done.stderr
    assert "ame too long" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_pipe_is_not_waited_for(tmp_path: Path) -> None:
    """`inspect` opens no pipe; nobody may ever write into it."""
    os.mkfifo(tmp_path / "v.mp4")
    done = run("inspect", "v.mp4", *TINY, cwd=tmp_path, timeout_s=30)
    assert (done.returncode, done.stderr.strip()) == (
        1,
        "v.mp4: a pipe, a socket or a device, not a media file. Check the path.",
    )


def test_a_disk_that_is_not_there(tmp_path: Path) -> None:
    """`doctor` counts it among its findings and goes on."""
    done = run("doctor", "--quick", "--disk", "nowhere", cwd=tmp_path)
    assert done.returncode == 1
    assert "MISS disk       nowhere: No such file or directory" in done.stdout


def test_a_state_is_missed_by_what_is_there(tmp_path: Path) -> None:
    """A slip in a state's name does not read as an empty state."""
    (tmp_path / "file").touch()
    found = {
        "nowhere": "nothing is there",
        "file": "not a state, but a file",
        ".": "not a state, but a folder without runs",
    }
    for name, got in found.items():
        done = run("status", name, cwd=tmp_path)
        assert (done.returncode, f"{name}: {got}. Give what --state named" in done.stderr) == (2, True), done.stderr
    weights = tmp_path / "project" / "runs" / "detect" / "best.pt"
    weights.parent.mkdir(parents=True)
    weights.touch()
    os.utime(weights, (0, 0))
    done = run("clean", "project", "--older", "1d", cwd=tmp_path)
    assert (done.returncode, "a folder with another program's runs" in done.stderr) == (2, True), done.stderr
    assert weights.exists()


def test_names_that_are_not_utf_8(tmp_path: Path) -> None:
    """Such a video fails its row, the run's record can be read, and a backlog refuses such a manifest alone."""
    write_clip(tmp_path / "v.mp4", ClipSpec(size=Size(160, 120), frames=5, tone=ToneSpec(0.2)))
    odd = os.fsdecode(b"v\xff.mp4")
    shutil.copy(tmp_path / "v.mp4", tmp_path / odd)
    done = run("evaluate", odd, "--out", "e", *settings_arguments(INLINE), cwd=tmp_path)
    assert done.returncode == 1, done.stderr
    assert "not written" not in done.stderr
    assert (tmp_path / "e" / "report.html").exists()

    row = {"id": "a", "video": "v.mp4", "audio": "v.mp4", "output": "a.mkv", "faces": "box:40,90,40,90"}
    drop = tmp_path / "drop"
    drop.mkdir()
    shutil.copy(tmp_path / "v.mp4", drop)
    shutil.copy(write_manifest(drop / "good.csv", [row]), drop / os.fsdecode(b"m\xff.csv"))
    sets = settings_arguments(INLINE, PASSTHROUGH, LOSSLESS, UNJUDGED, UNSIGNED)
    done = run("backlog", "run", "drop", *sets, cwd=tmp_path)
    assert done.returncode == 1, done.stderr
    assert "REFUSED m\\udcff.csv" in done.stdout + done.stderr
    assert (tmp_path / "drop.out" / "good" / "a.mkv").exists()
    found = {one.name: one.status for one in dropped(str(drop), LocalStore(tmp_path / "drop.out.state"))}
    assert found == {"good.csv": "done", os.fsdecode(b"m\xff.csv"): "refused"}
