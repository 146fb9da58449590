"""Runs typed in a terminal, in the folder of the footage, with whatever else lies there or is installed."""

from __future__ import annotations

import os
import pty
import re
import select
import signal
import time
from pathlib import Path

import pytest

from lipwise_ray.synth.clips import ClipSpec, ToneSpec, write_clip, write_sound
from lipwise_ray.values import Size
from tests.support.dub import PASSTHROUGH, QUICK, UNJUDGED, command, settings_arguments, write_manifest

_BESIDE = ("soxr", "av", "cv2", "torch", "ray", "json", "sitecustomize", "scenedetect")


@pytest.fixture
def footage(tmp_path: Path) -> Path:
    """A folder with a clip, a sound, a manifest, and Python files that leave a mark when they are run."""
    write_clip(tmp_path / "v.mp4", ClipSpec(size=Size(160, 120), frames=12))
    write_sound(tmp_path / "s.wav", ToneSpec(0.48, codec="pcm_s16le", rate_hz=16000, channels=1))
    row = {"id": "a", "video": "v.mp4", "audio": "s.wav", "output": "a.mp4", "faces": "box:30,90,60,120"}
    write_manifest(tmp_path / "m.csv", [row])
    mark = f"open({str(tmp_path / 'RAN')!r}, 'a').write(__file__)\nraise ImportError('not the library')\n"
    for name in _BESIDE:
        (tmp_path / f"{name}.py").write_text(mark)
    (tmp_path / "numpy").mkdir()
    (tmp_path / "numpy" / "__init__.py").write_text(mark)
    return tmp_path


def _programs(folder: Path) -> str:
    """Make an ffmpeg and an mkvmerge that read the terminal, as the real ones do; return a PATH with them first."""
    (folder / "bin").mkdir()
    for name in ("ffmpeg", "mkvmerge"):
        program = folder / "bin" / name
        program.write_text("#!/bin/sh\nread line\n")
        program.chmod(0o755)
    return f"{folder / 'bin'}{os.pathsep}{os.environ['PATH']}"


def _typed(
    words: list[str], folder: Path, then: dict[str, bytes | int], limit_s: float, **environment: str
) -> tuple[int, str]:
    """Run a command in a session of its own with a terminal to control it; return its exit code and what it showed.

    Args:
        words: The command.
        folder: Where it is run.
        then: What is typed, or which signal its whole process group gets, once a text has been shown.
        limit_s: After so long it is killed.
        environment: More variables.
    """
    pid, terminal = pty.fork()
    if pid == 0:
        os.chdir(folder)
        os.execve(words[0], words, {**os.environ, **environment, "TERM": "xterm", "COLUMNS": "200"})
    shown, waiting, deadline_s = b"", dict(then), time.monotonic() + limit_s
    while time.monotonic() < deadline_s:
        if not select.select([terminal], [], [], 0.2)[0]:
            continue
        try:
            shown += os.read(terminal, 65536)
        except OSError:  # nobody has it open any more
            break
        for text in [text for text in waiting if text.encode() in shown]:
            what = waiting.pop(text)
            if isinstance(what, bytes):
                os.write(terminal, what)
            else:
                os.killpg(pid, what)
    else:
        os.kill(pid, signal.SIGKILL)
    _, status = os.waitpid(pid, 0)
    os.close(terminal)
    return os.waitstatus_to_exitcode(status), re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", shown.decode("utf-8", "replace"))


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["inline", "ray"])
def test_a_run_in_the_footages_folder_with_an_ffmpeg_installed(kind: str, footage: Path) -> None:
    """Nothing waits for the terminal in the background, and no Python file beside the footage is run."""
    sets = settings_arguments(PASSTHROUGH, UNJUDGED, QUICK, f'engine.kind="{kind}"')
    words = [*command("submit", "m.csv", "--out", "o", *sets)]
    words[1:1] = ["-P"]  # `-c` alone would put the folder on the driver's path, as the installed command does not
    code, shown = _typed(words, footage, {}, 120, PATH=_programs(footage))
    assert code == 0, shown
    assert (footage / "o" / "a.mp4").is_file()
    assert not (footage / "RAN").exists(), (footage / "RAN").read_text()


@pytest.mark.parametrize(
    ("kind", "stop"),
    [
        pytest.param("inline", b"\x03", id="Ctrl-C"),
        pytest.param("ray", int(signal.SIGTERM), id="SIGTERM to the group", marks=pytest.mark.slow),
    ],
)
def test_a_stop_while_a_run_starts(kind: str, stop: bytes | int, footage: Path) -> None:
    """The first signal is heard before any worker is there, is shown to stay, and the run ends in order."""
    sets = settings_arguments(PASSTHROUGH, UNJUDGED, QUICK, f'engine.kind="{kind}"')
    words = [*command("submit", "m.csv", "--out", "o", *sets)]
    words[1:1] = ["-P"]
    code, shown = _typed(words, footage, {"0/1": stop}, 60)
    assert code == 3, shown
    assert "stopping: running chunks end first" in shown
    assert "rows (stopping)" in shown
    assert "0 done, 0 failed, 1 left" in shown
    assert not list((footage / "o.state").glob("jobs/*/chunks/*"))
