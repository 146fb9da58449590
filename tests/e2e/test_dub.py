"""One video by one command."""

from __future__ import annotations

import json
import os
import re
import signal
import stat
import subprocess
from pathlib import Path
from typing import Any

import pytest

from lipwise_ray.runs.kept_state import kept_state
from lipwise_ray.state.lease import DriverLease
from lipwise_ray.state.store import open_store
from lipwise_ray.synth.clips import ClipSpec, ToneSpec, write_clip, write_sound
from lipwise_ray.values import Size
from tests.support.dub import (
    BY_LEVEL,
    INLINE,
    NOTHING_IN_FRONT,
    PASSTHROUGH,
    QUICK,
    UNJUDGED,
    UNSIGNED,
    command,
    packets,
    run,
    settings_arguments,
)
from tests.support.sayer import said, sayer

TOLD = (INLINE, PASSTHROUGH, UNJUDGED, UNSIGNED, QUICK, BY_LEVEL, NOTHING_IN_FRONT, "faces.select=box:30,90,60,120")


@pytest.fixture
def footage(tmp_path: Path) -> Path:
    """A folder with a clip and its new audio, and a cache of the user's."""
    write_clip(tmp_path / "v.mp4", ClipSpec(size=Size(160, 120), frames=25))
    write_sound(tmp_path / "s.wav", ToneSpec(1.0, codec="pcm_s16le", rate_hz=16000, channels=1))
    return tmp_path


def _words(*words: str, told: tuple[str, ...] = TOLD) -> list[str]:
    return ["dub", *words, *settings_arguments(*told)]


def _dub(folder: Path, *words: str, told: tuple[str, ...] = TOLD) -> Any:
    return run(*_words(*words, told=told), cwd=folder, XDG_CACHE_HOME=str(folder / "cache"))


def _events(done: Any) -> list[dict[str, Any]]:
    return [json.loads(line) for line in done.stdout.splitlines()]


def test_a_video_is_dubbed_and_found_done_again(footage: Path) -> None:
    """Events come as JSON lines; progress is kept in the cache, whose folder is the user's alone; `retry` knows it."""
    done = _dub(footage, "v.mp4", "s.wav", "x/o.mp4", "--json", "--language", "de", "--start", "0:00.2", "--end", "0.8")
    assert done.returncode == 0, done.stderr
    first, *_, last = events = _events(done)
    assert (first["event"], first["output"]) == ("started", "x/o.mp4")
    assert {"stage", "frames_done", "frames_total", "frames_rendered"} <= {key for one in events for key in one}
    assert (last["event"], last["frames"], last["exit_code"]) == ("done", 25, 0)
    assert last["output"] == str(footage / "x" / "o.mp4")
    assert packets(footage / "x" / "o.mp4")
    assert sorted(path.name for path in footage.iterdir()) == ["cache", "s.wav", "v.mp4", "x"]
    state = Path(last["state"])
    assert state.is_relative_to(footage / "cache" / "lipwise-ray" / "dub")
    assert {stat.S_IMODE(path.stat().st_mode) for path in (state, state.parent)} == {0o700}
    again = _dub(
        footage, "v.mp4", "s.wav", f"{footage}/x/../x/o.mp4", *("--language", "de", "--start", "0.2"), "--end=0.8"
    )
    assert again.returncode == 0, again.stderr
    assert "already done" in again.stderr
    assert again.stdout == ""
    retried = run("retry", str(state), cwd=footage / "x", XDG_CACHE_HOME=str(footage / "cache"))
    assert (retried.returncode, retried.stdout) == (0, "0 tasks out of quarantine\n"), retried.stderr
    assert f"running again in {footage}: lipwise-ray dub --language=de --start=0.2 --end=0.8" in retried.stderr
    assert "already done" in retried.stderr
    whole = _dub(footage, "v.mp4", "s.wav", "x/p.mp4", "--state", "mine", "--verify")
    assert (whole.returncode, (footage / "mine").is_dir()) == (0, True), whole.stderr
    assert len(list(state.parent.iterdir())) == 1


@pytest.mark.parametrize(
    ("words", "code", "exit_code", "message"),
    [
        (["none.mp4", "s.wav", "o.mp4"], "row_video", 1, r"video: .*none\.mp4: file not found"),
        (["v.mp4", "s.wav", "o.doc"], "row_output", 1, r"output: unknown ending"),
        (["v.mp4", "v.mp4", "v.mp4"], "row_output", 1, r"would overwrite an input"),
        (["v.mp4", "s.wav", "o.mp4", "--start", "2", "--end", "1"], "row_end", 1, r"is not after the start"),
        (["s.wav", "s.wav", "o.mp4"], "no_video", 1, r"no video stream"),
        (["v.mp4", "s.wav", "o.mp4", "--end", "soon"], "bad_value", 2, r"--end: 'soon' is not a time"),
        (["v.mp4", "o.mp4"], "bad_usage", 2, r"2 places without --text"),
        (["v.mp4", "s.wav", "o.mp4", "--text", "Hi"], "bad_usage", 2, r"3 places beside --text"),
        (["v.mp4", "s.wav", "o.mp4", "--set", "detect.strid=1"], "settings", 2, r"detect\.stride"),
        (["v.mp4", "s.wav", "o.mp4", "--set", "composite.parser=nix"], "unknown_model", 2, r"nix"),
    ],
)
def test_errors_are_those_of_a_manifest(
    words: list[str], code: str, exit_code: int, message: str, footage: Path
) -> None:
    """A bad row ends with 1, what has to be put right first with 2; the last event says it, and no state is left."""
    done = _dub(footage, *words, "--json")
    last = _events(done)[-1]
    assert done.returncode == exit_code, done.stderr
    assert (last["event"], last["code"], last["exit_code"]) == ("failed", code, exit_code)
    assert "line 1" not in last["message"]
    assert re.search(message, last["message"])
    assert last["message"].splitlines()[0] in done.stderr
    left = [path for path in (footage / "cache").glob("lipwise-ray/dub/*") if not any(path.iterdir())]
    assert left == []


def test_an_empty_folder_of_ones_own_stays(footage: Path) -> None:
    """A place that was named for the state is nobody's to remove, whatever goes wrong."""
    (footage / "mine").mkdir()
    assert _dub(footage, "v.mp4", "s.wav", "o.mp4", "--state", "mine", "--end", "soon").returncode == 2
    assert (footage / "mine").is_dir()


def test_a_text_is_spoken_in_place_of_audio(footage: Path) -> None:
    """With --text there is no AUDIO; the voice is asked for by its name."""
    told = (*TOLD, 'tts.engine="command"', f"tts.command={json.dumps(sayer(footage))}")
    done = _dub(footage, "v.mp4", "o.mp4", "--text", "Guten Tag", "--voice", "ann", "--language", "de", told=told)
    assert done.returncode == 0, done.stderr
    assert said(footage) == ["ann|Guten Tag"]
    assert packets(footage / "o.mp4")


def test_two_at_once_are_refused(footage: Path) -> None:
    """Whoever dubs to the same output finds its state in use, however the output is spelled."""
    state = kept_state(str(footage / "o.mp4"), footage / "cache" / "lipwise-ray")
    with DriverLease(open_store(state), "another"):
        done = _dub(footage, "v.mp4", "s.wav", "./o.mp4", "--json")
    assert done.returncode == 2, done.stderr
    last = _events(done)[-1]
    assert (last["event"], last["code"]) == ("failed", "state_in_use")
    assert not (footage / "o.mp4").exists()


def test_an_interrupt_ends_it_in_order_and_the_same_command_goes_on(footage: Path) -> None:
    """Ctrl-C ends with 3 and says where progress is kept; then the video is made."""
    told = (*TOLD, "chunk.frames=5", "timing.length=audio")
    write_sound(footage / "long.wav", ToneSpec(8.0, codec="pcm_s16le", rate_hz=16000, channels=1))
    words = _words("v.mp4", "long.wav", "o.mp4", "--json", told=told)
    # Started in the background by a shell, the tests have SIGINT ignored, and would hand that on.
    program = "import signal; signal.signal(signal.SIGINT, signal.default_int_handler); "
    asked = command(*words)
    asked[2] = program + asked[2]
    environment = {**os.environ, "XDG_CACHE_HOME": str(footage / "cache")}
    with subprocess.Popen(
        asked, cwd=footage, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        first = json.loads(process.stdout.readline())
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=120)
    assert first["event"] == "started"
    assert process.returncode == 3, err
    last = json.loads(out.splitlines()[-1])
    assert (last["event"], last["state"]) == ("stopped", first["state"])
    assert f"progress is kept in {first['state']}" in err
    assert not (footage / "o.mp4").exists()
    again = _dub(footage, *words[1 : words.index("--json")], told=told)
    assert again.returncode == 0, again.stderr
    assert packets(footage / "o.mp4")
