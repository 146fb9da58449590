"""What a Ray of one's own adds to runs in this process: other processes that die, and the same results."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import psutil
import pytest

from lipwise_ray.state.remote import RemoteStore
from lipwise_ray.storage.cache import Cache
from lipwise_ray.storage.digest import sha256_of
from lipwise_ray.synth.clips import ClipSpec, ToneSpec, write_clip, write_sound
from lipwise_ray.values import Size
from tests.conftest import ROOT
from tests.e2e.test_exactness import BOX, RATES, SECONDS, digest
from tests.support.dub import (
    EMBEDDED,
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
from tests.support.s3 import BUCKET, s3_server

CHUNKS = 20


def _arguments(folder: Path, out: str, *sets: str, state: str = "") -> tuple[str | Path, ...]:
    """Return the command that dubs one row in twenty chunks."""
    if not (folder / "v.mp4").exists():  # made again it might differ by a few bytes
        write_clip(folder / "v.mp4", ClipSpec(size=Size(480, 320), frames=50, gop=10))
        write_sound(folder / "s.wav", ToneSpec(8.0, codec="pcm_s16le", rate_hz=16000, channels=1))
    row = {"id": "a", "video": "v.mp4", "audio": "s.wav", "output": "a.mp4", "faces": "box:150,300,120,320"}
    manifest = write_manifest(folder / "m.csv", [row])
    settings = settings_arguments(
        PASSTHROUGH, QUICK, UNJUDGED, UNSIGNED, "chunk.frames=10", "engine.threads_per_worker=1", EMBEDDED, *sets
    )
    where = ("--state", state) if state else ()
    return ("submit", manifest, "--out", folder / out, *where, "--workers", "1", *settings)


def _begun(arguments: tuple[str | Path, ...], finished: Callable[[], set[int]]) -> subprocess.Popen[bytes]:
    """Begin a run, and wait for its first few chunks."""
    driver = subprocess.Popen(command(*arguments), stderr=subprocess.DEVNULL, start_new_session=True)
    deadline_s = time.monotonic() + 120
    while len(finished()) < 4:
        assert driver.poll() is None, "the run ended before it could be killed"
        assert time.monotonic() < deadline_s
        time.sleep(0.02)
    return driver


def _rendered(events: list[dict[str, Any]]) -> list[int]:
    """Return the chunks that were begun, in order."""
    return [
        int(one["task"].split("/")[1])
        for one in events
        if one["task"].startswith("render:") and one["event"] == "leased"
    ]


@pytest.mark.slow
def test_kill_minus_nine_loses_no_finished_chunk(tmp_path: Path) -> None:
    """A driver killed in the middle, then the same command: finished chunks are not rendered again, and
    the result is that of an undisturbed run, without Ray.
    """
    arguments, state = _arguments(tmp_path, "out"), tmp_path / "out.state"

    def finished() -> set[int]:
        return {int(path.stem) for path in state.glob("jobs/*/chunks/*.json")}

    def events() -> list[dict[str, Any]]:
        lines = [line for path in state.glob("jobs/*/attempts.jsonl") for line in path.read_text().splitlines()]
        return [json.loads(line) for line in lines]

    driver = _begun(arguments, finished)
    driver.kill()
    driver.wait()
    done = finished()
    assert 4 <= len(done) < CHUNKS
    assert not (tmp_path / "out" / "a.mp4").exists()
    before = len(events())
    again = run(*arguments)
    assert again.returncode == 0, again.stderr
    rendered = _rendered(events()[before:])
    assert not set(rendered) & done
    # The dead driver's worker may have ended the chunk that it had.
    assert len(rendered) == len(set(rendered)) in (CHUNKS - len(done), CHUNKS - 1 - len(done))
    assert f"{len(rendered)} chunks rendered, {CHUNKS - len(rendered)} reused" in again.stderr
    calm = run(*_arguments(tmp_path, "calm", INLINE))
    assert calm.returncode == 0, calm.stderr
    assert sha256_of(tmp_path / "out" / "a.mp4") == sha256_of(tmp_path / "calm" / "a.mp4")


_RAYLET_KILLED = """
import os, signal, time
from lipwise_ray.backends.ray.environment import guard_local_ray
guard_local_ray()
import ray
from lipwise_ray.backends.ray import last_exit, session
from lipwise_ray.errors import LipwiseError

def refused(call, *words):
    try:
        call(*words)
    except LipwiseError as error:
        return error.code

folder = session.connect("local")
for one in session._node_here().all_processes["raylet"]:
    os.kill(one.process.pid, signal.SIGKILL)
deadline_s = time.monotonic() + 60
while (code := refused(session.must_live)) is None and time.monotonic() < deadline_s:
    time.sleep(0.1)
session.leave(folder)
"""
_FOLLOWED = """
again = session.connect("local")
answer = ray.get(ray.remote(lambda: 5).remote(), timeout=60)
print(code, answer, refused(session.connect, "local"))
session.leave(again)
"""
_ENDED = """
print(code)
last_exit.end(3)
"""


@pytest.mark.slow
def test_a_ray_that_ended_by_itself_is_followed_by_another() -> None:
    """In the same process, as the next manifest of a night needs it; which is then in use as the first one was."""
    done = _python(_RAYLET_KILLED + _FOLLOWED)
    assert done.stdout.splitlines()[-1:] == ["ray_ended 5 ray_in_use"], done.stderr


@pytest.mark.slow
def test_a_driver_whose_ray_ended_by_itself_ends_with_its_own_code() -> None:
    """Ray's threads would crash it as the interpreter ends, and whoever started it would read of a signal instead."""
    done = _python(_RAYLET_KILLED + _ENDED)
    assert (done.returncode, done.stdout.splitlines()[-1:]) == (3, ["ray_ended"]), done.stderr


def _python(source: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-c", source], capture_output=True, text=True, check=False, timeout=180)


@pytest.mark.slow
def test_a_state_in_a_bucket_survives_its_driver(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Killed in the middle, the same command goes on from the bucket: no finished chunk is done again, the result is
    that of a local run, a second driver is refused, and `status` reads the bucket.
    """
    (tmp_path / "tmp").mkdir()
    monkeypatch.setenv("TMPDIR", str(tmp_path / "tmp"))
    state = f"s3://{BUCKET}/nights/one"
    with s3_server(monkeypatch.setenv):
        store = RemoteStore(state, Cache(tmp_path / "cache"))

        def finished() -> set[int]:
            return {int(key.rpartition("/")[2][:-5]) for key in store.names("jobs") if "/chunks/" in key}

        driver = _begun(_arguments(tmp_path, "out", state=state), finished)
        driver.send_signal(signal.SIGSTOP)  # it lives, and begins nothing meanwhile
        arguments = _arguments(tmp_path, "out", INLINE, state=state)
        second = run(*arguments)
        assert second.returncode == 2, second.stderr
        assert "a state has one driver at a time" in second.stderr
        assert state in second.stderr
        done = finished()
        driver.kill()
        driver.wait()
        assert len(done) < CHUNKS
        assert not (tmp_path / "out" / "a.mp4").exists()
        shown = json.loads(run("status", state, "--json").stdout)
        assert shown["left"] == 1
        assert shown["unfinished"][0]["chunks"] == CHUNKS
        again = run(*arguments)
        assert again.returncode == 0, again.stderr
        runs = sorted({key.split("/")[1] for key in store.names("runs")})
        logs = [line for name in runs for line in store.log(f"runs/{name}/events.jsonl")]
        rendered = _rendered([json.loads(line) for line in logs])
        assert not {chunk for chunk in rendered if rendered.count(chunk) > 1} & done
        calm = run(*_arguments(tmp_path, "calm", INLINE, state=str(tmp_path / "calm.state")))
        assert calm.returncode == 0, calm.stderr
        assert sha256_of(tmp_path / "out" / "a.mp4") == sha256_of(tmp_path / "calm" / "a.mp4")
        assert json.loads(run("status", state, "--json").stdout)["done"] == 1
        assert not [key for key in store.names("jobs") if "/segments/" in key]
        assert not [path for path in tmp_path.rglob("*") if path.name.endswith((".part", ".mkv"))]


@pytest.mark.slow
@pytest.mark.parametrize("workers", [1, 2])
def test_ray_does_not_show(workers: int, tmp_path: Path) -> None:
    """One or two Ray workers give the frames of one process without Ray, at an even and at an uneven rate."""
    write_sound(tmp_path / "s.wav", ToneSpec(SECONDS, codec="pcm_s16le", rate_hz=16000, channels=1))
    rows = []
    for name in ("ntsc", "variable"):
        write_clip(tmp_path / f"{name}.mp4", RATES[name])
        rows.append({"id": name, "video": f"{name}.mp4", "audio": "s.wav", "output": f"{name}.mkv", "faces": BOX})
    assert dub(tmp_path, rows, PASSTHROUGH, LOSSLESS, "chunk.frames=100000", out="whole").done == 2
    sets = settings_arguments(PASSTHROUGH, LOSSLESS, "chunk.frames=7", EMBEDDED)
    words = ("submit", tmp_path / "whole.csv", "--out", tmp_path / "out", "--workers", str(workers))
    done = run(*words, *sets)
    assert done.returncode == 0, done.stderr
    for row in rows:
        assert digest(tmp_path / "out" / row["output"]) == digest(tmp_path / "whole" / row["output"]), row["id"]


@pytest.mark.slow
def test_evaluating_on_ray(tmp_path: Path) -> None:
    """`evaluate` takes a manifest to an embedded Ray as `submit` does, and tells what there is."""
    write_clip(tmp_path / "v.mp4", ClipSpec(size=Size(160, 120), frames=30, tone=ToneSpec(1.2, codec="aac")))
    (tmp_path / "m.csv").write_text("id,video,reference\na,v.mp4,v.mp4\n")
    sets = settings_arguments('detect.detector="tiny"', EMBEDDED)
    done = run("evaluate", tmp_path / "m.csv", "--out", tmp_path / "out", *sets)
    assert done.returncode == 0, done.stderr
    assert "on local Ray" in done.stderr
    assert "1 done, 0 failed" in done.stderr


@pytest.mark.slow
def test_doctor_tells_what_to_do(tmp_path: Path) -> None:
    """Every line has a verdict; a missing checkpoint comes with the command that gets it."""
    done = run("doctor", "--set", f"paths.models={tmp_path}")
    assert done.returncode == 1
    assert "lipwise-ray models pull wav2lip_gan --accept-licence" in done.stdout
    assert all(line.startswith(("ok", "MISS")) for line in done.stdout.splitlines())
    assert "ray starts yes" in done.stdout.replace("  ", " ")
    assert "restore.model = auto: none (gfpgan_1_4 is not installed)" in done.stdout


@pytest.mark.slow
def test_doctor_checks_what_the_job_needs(tmp_path: Path) -> None:
    """Every checkpoint that its settings name, and the encoder; the demo's job lacks nothing, also as JSON."""
    told = (
        "--set",
        f"paths.models={tmp_path}",
        "--set",
        'restore.model="gfpgan_1_4"',
        "--set",
        'encode.codec="h264_nvenc"',
    )
    lacking = run("doctor", "--job", ROOT / "jobs" / "demo.toml", *told)
    assert lacking.returncode == 1
    missing = [line for line in lacking.stdout.splitlines() if line.startswith("MISS")]
    assert any("models pull gfpgan_1_4" in line for line in missing)
    assert any("encode.codec = h264_nvenc" in line for line in missing)
    fine = run("doctor", "--job", ROOT / "jobs" / "demo.toml", "--json")
    found = [json.loads(line) for line in fine.stdout.splitlines()]
    (weights,) = [one["text"] for one in found if one["name"] == "weights"]
    assert {"tiny_generator", "tiny_detector", "tiny_restorer"} <= set(weights.split(", "))
    assert [one["name"] for one in found if not one["good"]] in ([], ["disk"])


def _with_mark(mark: str) -> list[psutil.Process]:
    """Return the processes in whose environment a mark is."""
    found: list[psutil.Process] = []
    for process in psutil.process_iter():
        with suppress(psutil.Error):
            found += [process] if "LIPWISE_TEST_MARK" in (told := process.environ()) and mark in told.values() else []
    return found


@pytest.mark.parametrize("ending", [pytest.param("refused", marks=pytest.mark.slow), "stopped"])
def test_a_run_that_ends_while_ray_starts_leaves_nothing(ending: str, tmp_path: Path) -> None:
    """A checkpoint that is not there ends it with 2 and is named, a stop ends it in order; no process is left."""
    sets = ('lipsync.checkpoint="nowhere.pth"', 'lipsync.model="wav2lip"') if ending == "refused" else ()
    words = command(*_arguments(tmp_path, "out", *sets))
    told = {**os.environ, "LIPWISE_TEST_MARK": str(tmp_path)}
    driver = subprocess.Popen(words, stderr=subprocess.PIPE, text=True, start_new_session=True, env=told)
    if ending == "stopped":
        deadline_s = time.monotonic() + 60
        while len(_with_mark(str(tmp_path))) < 2:
            assert time.monotonic() < deadline_s
            time.sleep(0.02)
        driver.send_signal(signal.SIGTERM)
    _, said = driver.communicate(timeout=120)
    assert driver.returncode == (2 if ending == "refused" else 3), said
    assert ("nowhere.pth" in said) == (ending == "refused")
    psutil.wait_procs(_with_mark(str(tmp_path)), timeout=10)
    assert not _with_mark(str(tmp_path))
