"""Workers whose processes never come to work, on a real embedded Ray."""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import Any

import pytest

from lipwise_ray.backends.ray.map import spread
from lipwise_ray.synth.clips import ClipSpec, ToneSpec, write_clip, write_sound
from lipwise_ray.values import Size
from tests.support.dub import EMBEDDED, PASSTHROUGH, UNJUDGED, run, settings_arguments, write_manifest

_HANGS = """
import sys, time
if any(word.endswith("default_worker.py") for word in sys.orig_argv):
    print("stuck on its way", file=sys.stderr, flush=True)
    time.sleep(600)
"""


@pytest.mark.slow
def test_workers_that_never_begin_end_the_run(tmp_path: Path) -> None:
    """They are named with the end of their log, tried once more, and then the run ends with 2: nothing was begun."""
    write_clip(tmp_path / "v.mp4", ClipSpec(size=Size(160, 120), frames=12))
    write_sound(tmp_path / "s.wav", ToneSpec(0.48, codec="pcm_s16le", rate_hz=16000, channels=1))
    row = {"id": "a", "video": "v.mp4", "audio": "s.wav", "output": "a.mp4", "faces": "box:30,90,60,120"}
    manifest = write_manifest(tmp_path / "m.csv", [row])
    (tmp_path / "path").mkdir()
    (tmp_path / "path" / "sitecustomize.py").write_text(_HANGS)
    environment = {"PYTHONPATH": f"{tmp_path / 'path'}:{os.environ.get('PYTHONPATH', '')}"}
    sets = settings_arguments(PASSTHROUGH, UNJUDGED, EMBEDDED, "engine.start_s=3")
    done = run("submit", manifest, "--out", tmp_path / "o", *sets, timeout_s=120, **environment)
    assert done.returncode == 2, done.stderr
    assert "worker gpu-0 on node" in done.stderr
    assert "It is tried once more" in done.stderr
    last = done.stderr.rpartition("error: ")[2]
    assert "did not begin within 3 s" in last
    assert "give it longer (engine.start_s)" in last
    assert "stuck on its way" in last


@pytest.mark.slow
def test_work_spread_over_workers_goes_on_without_those_that_never_begin(tmp_path: Path) -> None:
    """One that hangs on its way is replaced when its time is up, one that dies at once is too; the third works."""
    count, home = tmp_path / "count", os.getpid()

    def arrive() -> Any:
        if os.getpid() != home:
            with count.open("a") as file:
                place = file.write("x") and file.tell()
            if place == 1:
                time.sleep(600)
            if place == 2:
                os._exit(1)
        return lambda: lambda item: item * 2

    class Make:
        def __reduce__(self) -> Any:  # made anew where it arrives, as the worker's process begins
            return arrive, ()

        def __call__(self) -> Any:
            raise AssertionError

    found = list(spread(Make(), [3, 4], address="local", workers=1, start_s=20.0))
    assert found == [(3, 6), (4, 8)]
    assert count.read_text() == "xxx"
