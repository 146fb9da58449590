"""Places on the command line that cannot be what they are named as: one plain line, its code, and no waiting."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from lipwise_ray.runs.nightly import dropped
from lipwise_ray.state.store import LocalStore
from lipwise_ray.synth.clips import ClipSpec, ToneSpec, write_clip
from lipwise_ray.values import Size
from tests.support.dub import (
    INLINE,
    LOSSLESS,
    PASSTHROUGH,
    UNJUDGED,
    UNSIGNED,
    command,
    run,
    settings_arguments,
    write_manifest,
)

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


@pytest.mark.parametrize("words", [("clean", "--older", "0h", "--unfinished"), ("retry",), ("status",)])
def test_a_folder_in_which_nothing_was_started_is_no_state(words: tuple[str, ...], tmp_path: Path) -> None:
    """Other programs have folders of these names too, an empty one among them: nothing in them is ours to remove."""
    place = tmp_path / "other"
    (place / "runs").mkdir(parents=True)
    for name in ("jobs/build/artifact.bin", "quarantine/virus.json", "scans/page/1.tif"):
        (place / name).parent.mkdir(parents=True)
        (place / name).write_text("theirs")
    before = sorted(path.relative_to(place) for path in place.rglob("*"))
    done = run(words[0], place, *words[1:])
    assert done.returncode == 2
    assert done.stderr == f"error: {place}: not a state: no run was ever started there. Give what --state named.\n"
    assert sorted(path.relative_to(place) for path in place.rglob("*")) == before


def test_a_home_that_nobody_has(tmp_path: Path) -> None:
    """As in a container whose user no list names: it is told of, and no fault of the program."""
    row = {"id": "a", "video": "v.mp4", "audio": "v.mp4", "output": "a.mp4"}
    manifest = write_manifest(tmp_path / "m.csv", [row])
    done = run("evaluate", "sweep", manifest, "--files", "theirs=~nobody-of-this-name/videos", cwd=tmp_path)
    assert done.returncode == 2
    assert done.stderr.startswith("error: the home folder: not known: HOME is not set")
    assert "Traceback" not in done.stderr


def test_no_folder_takes_temporary_files(tmp_path: Path) -> None:
    """It is told of as that: the working directory, which is asked last, is not the one that is gone."""
    (tmp_path / "v.mp4").write_bytes(b"x")
    done = _without_room("verify", "v.mp4", cwd=tmp_path)
    assert done.returncode == 2
    assert done.stderr.startswith("error: temporary files: no usable temporary directory found in ['/")
    assert "set TMPDIR" in done.stderr


def test_no_room_for_the_rows_of_a_long_manifest(tmp_path: Path) -> None:
    """Rows go to the disk; that it is full is told of, and no fault of the program."""
    rows = [{"id": f"r{n}", "video": "v.mp4", "audio": "v.mp4", "output": f"{n:0120}.mp4"} for n in range(20_000)]
    done = _without_room("validate", write_manifest(tmp_path / "m.csv", rows), "--quick", cwd=tmp_path)
    assert done.returncode == 2
    assert done.stderr.startswith("error: temporary files: no room for the rows: ")
    assert "set SQLITE_TMPDIR" in done.stderr


def _without_room(*arguments: str | Path, cwd: Path) -> subprocess.CompletedProcess[str]:
    """Run the program where no file can be written."""
    script = (
        "import os, resource, signal, sys; signal.signal(signal.SIGXFSZ, signal.SIG_IGN); "
        "resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0)); os.execv(sys.argv[1], sys.argv[1:])"
    )
    words = [sys.executable, "-c", script, *command(*arguments)]
    return subprocess.run(words, cwd=cwd, capture_output=True, text=True, timeout=60, check=False)


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
