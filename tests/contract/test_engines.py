"""One suite over every engine: real workers, real tasks."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from lipwise_ray.dubbing.context import JobSpec
from lipwise_ray.dubbing.tasks import Task, rank
from lipwise_ray.dubbing.worker import WorkerConfig
from lipwise_ray.engine.contract import Engine, Outcome
from lipwise_ray.engine.factory import make_engine
from lipwise_ray.errors import SetupError
from lipwise_ray.settings import resolve
from lipwise_ray.synth.clips import ClipSpec, ToneSpec, write_clip, write_sound
from lipwise_ray.values import Size


@pytest.fixture(params=["inline", "ray"])
def engine(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Engine]:
    settings = resolve([("test", {"engine": {"kind": request.param, "workers": 2, "threads_per_worker": 1}})])
    made = make_engine(settings.engine, WorkerConfig(str(tmp_path / "state"), str(tmp_path / "tmp"), "cpu", 1))
    yield made
    made.close()


def _probe(folder: Path, video: str = "v.mp4", name: str = "p") -> Task:
    settings = resolve([("t", {"faces": {"select": "box:60,110,50,110"}, "lipsync": {"model": "passthrough"}})])
    spec = JobSpec(
        "r", folder / video, folder / "s.wav", "o.mp4", folder / "o.mp4", None, 0.0, None, None, (), settings
    )
    payload = {"job": spec.record(), "weights": {}, "scratch": str(folder / "tmp"), "device": "cpu"}
    return Task(name, "probe", payload, 0, rank("probe", 0, 0))


def _wait(engine: Engine, count: int) -> list[Outcome]:
    found: list[Outcome] = []
    deadline = time.monotonic() + 60
    while len(found) < count:
        assert time.monotonic() < deadline
        found += engine.poll(1.0)
    return found


@pytest.fixture
def inputs(tmp_path: Path) -> Path:
    write_clip(tmp_path / "v.mp4", ClipSpec(size=Size(160, 120), frames=10))
    write_sound(tmp_path / "s.wav", ToneSpec(0.4, codec="pcm_s16le"))
    return tmp_path


def test_a_task_gives_its_result(engine: Engine, inputs: Path) -> None:
    """A worker takes one task at a time, and gives its result back once."""
    engine.start([])
    (worker, *_) = engine.idle("cpu")
    task = _probe(inputs)
    engine.submit(worker, task)
    assert worker not in engine.idle("cpu")
    (outcome,) = _wait(engine, 1)
    assert outcome.task is task
    assert outcome.result is not None
    assert outcome.result["frames"] == 10
    assert worker in engine.idle("cpu")
    assert engine.poll(0.0) == []


def test_an_input_error_keeps_its_words(engine: Engine, inputs: Path) -> None:
    """The row's fault is told from the code's fault, with the house-style message, from any process."""
    engine.start([])
    (inputs / "text.mp4").write_text("no video")
    engine.submit(engine.idle("cpu")[0], _probe(inputs, "text.mp4"))
    (outcome,) = _wait(engine, 1)
    assert outcome.failure is not None
    assert (outcome.failure.blame, outcome.failure.code) == ("input", "not_media")
    assert outcome.failure.message.startswith(str(inputs / "text.mp4"))
    assert "probe_video" in outcome.failure.detail  # the traceback, for the ledger
    assert "\x1b" not in outcome.failure.detail


def test_an_unexpected_error_is_the_codes_fault(engine: Engine, inputs: Path) -> None:
    """A task that breaks an assumption is recorded, and the worker goes on."""
    engine.start([])
    worker = engine.idle("cpu")[0]
    engine.submit(worker, Task("broken", "probe", {"nothing": 1}, 0, (0,)))
    (outcome,) = _wait(engine, 1)
    assert outcome.failure is not None
    assert outcome.failure.blame == "application"
    assert "KeyError" in outcome.failure.message
    engine.submit(worker, _probe(inputs))
    assert _wait(engine, 1)[0].result is not None


def test_a_model_that_does_not_load_stops_the_start(engine: Engine, tmp_path: Path) -> None:
    """A checkpoint that vanished is a set-up error with its reason, not a dead worker."""
    settings = resolve([("t", {})])
    job: dict[str, Any] = {
        "settings": settings.model_dump_json(),
        "weights": {"lipsync": {"name": "x", "path": str(tmp_path / "gone.pth"), "sha256": "0"}},
    }
    with pytest.raises(SetupError, match=r"gone\.pth"):
        engine.start([job])


def test_a_dead_worker_is_replaced(tmp_path: Path, inputs: Path) -> None:
    """When a Ray worker's process dies in a task, that is told, and the next task gets a new process."""
    import ray

    settings = resolve([("test", {"engine": {"workers": 1, "threads_per_worker": 1}})])
    engine = make_engine(settings.engine, WorkerConfig(str(tmp_path / "state"), str(tmp_path / "tmp"), "cpu", 1))
    try:
        engine.start([])
        slot = engine._slots["cpu-1"]  # type: ignore[attr-defined]
        old = ray.get(slot.actor.pid.remote())
        os.mkfifo(inputs / "stuck.wav")
        task = _probe(inputs)
        task.payload["job"]["audio"] = str(inputs / "stuck.wav")
        engine.submit("cpu-1", task)
        time.sleep(0.5)
        os.kill(old, 9)
        (outcome,) = _wait(engine, 1)
        assert outcome.failure is not None
        assert (outcome.failure.blame, outcome.failure.code) == ("crash", "worker_died")
        assert engine.idle("cpu") == ["cpu-1"]
        engine.submit("cpu-1", _probe(inputs, name="again"))
        assert _wait(engine, 1)[0].result is not None
        assert ray.get(engine._slots["cpu-1"].actor.pid.remote()) != old  # type: ignore[attr-defined]
    finally:
        engine.close()
