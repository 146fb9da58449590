"""One suite over every engine: real workers, real tasks."""

from __future__ import annotations

import os
import platform
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from lipwise_ray.backends.factory import make_engine
from lipwise_ray.backends.worker_config import WorkerConfig
from lipwise_ray.errors import SetupError
from lipwise_ray.models.checkpoints import Checkpoints
from lipwise_ray.models.loading import ModelRequest
from lipwise_ray.pipeline.dubbing.job import JobSpec
from lipwise_ray.pipeline.dubbing.task_parts import Probed, RowPart
from lipwise_ray.pipeline.flows.task_kinds import PROBE, SCORE, ProbePayload, ScorePayload
from lipwise_ray.pipeline.tasks.worker import Worker
from lipwise_ray.scheduler.engine import Engine, Outcome, WorkerSlot
from lipwise_ray.scheduler.task import Lane, Task, rank
from lipwise_ray.settings.layers import resolve
from lipwise_ray.synth.clips import ClipSpec, ToneSpec, write_clip, write_sound
from lipwise_ray.values import Size


def _made(kind: str, folder: Path) -> Engine:
    settings = resolve([("test", {"engine": {"kind": kind, "workers": 1, "threads_per_worker": 1}})])
    return make_engine(settings.engine, WorkerConfig(str(folder / "state"), str(folder / "tmp"), "cpu", 1), Worker)


@pytest.fixture(params=["inline", "ray"])
def new_engine(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Engine]:
    """One that nobody has started; a process has one Ray at a time, so its tests come first."""
    made = _made(request.param, tmp_path)
    yield made
    made.close()


@pytest.fixture(scope="module", params=["inline", "ray"])
def engine(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Engine]:
    """One that has started, for all tests that leave it at work."""
    made = _made(request.param, tmp_path_factory.mktemp(request.param))
    made.start([])
    yield made
    made.close()


def _probe(folder: Path, video: str = "v.mp4", name: str = "p", audio: str = "s.wav") -> Task:
    settings = resolve([("t", {"faces": {"select": "box:60,110,50,110"}, "lipsync": {"model": "passthrough"}})])
    spec = JobSpec(
        "r",
        str(folder / video),
        str(folder / audio),
        "o.mp4",
        str(folder / "o.mp4"),
        None,
        0.0,
        None,
        None,
        (),
        settings,
    )
    payload = ProbePayload(RowPart(spec, Checkpoints(), "cpu"))
    return Task(name, PROBE, payload, 0, rank(PROBE, 0, 0, 0, frames=None))


def _slot(engine: Engine, lane: Lane = "cpu") -> WorkerSlot:
    """Return an idle worker; one that just begins is waited for."""
    deadline = time.monotonic() + 60
    while not (slots := engine.idle(lane)):
        assert time.monotonic() < deadline
        engine.want({"cpu": 1, "gpu": 1})
        time.sleep(0.1)
    return slots[0]


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


def test_a_model_that_does_not_load_is_a_wrong_setup(new_engine: Engine, tmp_path: Path) -> None:
    """A checkpoint that vanished is an error with its reason, not a dead worker: at the start, or when work is due."""
    weights = {"lipsync": {"name": "x", "network": "wav2lip", "path": str(tmp_path / "gone.pth"), "sha256": "0"}}
    request = ModelRequest(resolve([("t", {})]), Checkpoints.of(weights))

    def begin() -> None:
        new_engine.start([request])
        _slot(new_engine, "gpu")

    with pytest.raises(SetupError, match=r"gone\.pth"):
        begin()


def test_a_worker_tells_its_memory(engine: Engine) -> None:
    """It does so with its own and its node's names, without being asked for a task."""
    slot = _slot(engine)
    deadline = time.monotonic() + 60
    while not (told := [one for one in engine.memory if one.worker == slot.worker]):
        assert time.monotonic() < deadline
        engine.frames_done()
        time.sleep(0.1)
    (memory,) = told
    assert (memory.node, memory.host) == (slot.node, platform.node())
    assert 10 << 20 < memory.rss_bytes < memory.total_bytes
    assert memory.gpu_total_bytes == 0  # of a worker that computes on the processor


def test_a_task_gives_its_result(engine: Engine, inputs: Path) -> None:
    """A worker takes one task at a time, and gives its result back once."""
    slot = _slot(engine)
    task = _probe(inputs)
    engine.submit(slot.worker, task)
    assert slot not in engine.idle("cpu")
    (outcome,) = _wait(engine, 1)
    assert outcome.task is task
    assert outcome.slot == slot
    assert outcome.result is not None
    assert outcome.result.to_do.frames == 10
    assert slot in engine.idle("cpu")
    assert engine.poll(0.0) == []


def test_an_input_error_keeps_its_words(engine: Engine, inputs: Path) -> None:
    """The row's fault is told from the code's fault, with the house-style message, from any process."""
    (inputs / "text.mp4").write_text("no video")
    engine.submit(_slot(engine).worker, _probe(inputs, "text.mp4"))
    (outcome,) = _wait(engine, 1)
    assert outcome.failure is not None
    assert (outcome.failure.blame, outcome.failure.code) == ("input", "not_media")
    assert outcome.failure.message.startswith(str(inputs / "text.mp4"))
    assert "probe_video" in outcome.failure.detail  # the traceback, for the ledger
    assert "\x1b" not in outcome.failure.detail


def test_an_unexpected_error_is_the_codes_fault(engine: Engine, inputs: Path) -> None:
    """A task that breaks an assumption is recorded; a fresh worker, in a fresh process where it has one, goes on."""
    worker = _slot(engine).worker
    payload = ScorePayload(_probe(inputs).payload.row, Probed("j", {}, "v", "d"), 0)
    engine.submit(worker, Task("broken", SCORE, payload, 0, (0,)))  # though nobody scores
    (outcome,) = _wait(engine, 1)
    assert outcome.failure is not None
    assert outcome.failure.blame == "application"
    assert "ValueError" in outcome.failure.message
    has_processes = engine.renew(worker)
    fresh = _slot(engine).worker
    assert (fresh != worker) == has_processes
    engine.submit(fresh, _probe(inputs))
    assert _wait(engine, 1)[0].result is not None


def _stuck(engine: Engine, inputs: Path) -> tuple[WorkerSlot, int]:
    """Give a worker a task that never ends; return it and its process."""
    slot = _slot(engine)
    os.mkfifo(inputs / "stuck.wav")
    engine.submit(slot.worker, _probe(inputs, audio="stuck.wav"))
    time.sleep(0.5)
    return slot, engine._slots[slot.worker].about.pid  # type: ignore[attr-defined]


@pytest.mark.parametrize("engine", ["ray"], indirect=True)
def test_an_embedded_ray_has_no_processes_that_nobody_uses(engine: Engine) -> None:
    """Neither an autoscaler nor a reader of logs nor a dashboard's server: one machine's Ray is what runs tasks."""
    assert engine.render_slots
    names = [" ".join(child.cmdline()) for child in psutil.Process().children(recursive=True)]
    assert any("raylet" in name for name in names)
    assert not [name for name in names if "monitor.py" in name or "dashboard.py" in name]


@pytest.mark.parametrize("engine", ["ray"], indirect=True)
def test_a_dead_worker_is_replaced(engine: Engine, inputs: Path) -> None:
    """When a Ray worker's process dies in a task, that is told with the end of its log, and a new one takes over."""
    slot, pid = _stuck(engine, inputs)
    os.kill(pid, 11)
    (outcome,) = _wait(engine, 1)
    assert outcome.failure is not None
    assert (outcome.failure.blame, outcome.failure.code) == ("crash", "worker_died")
    assert "Segmentation fault" in outcome.failure.log
    new = _slot(engine)
    assert new.worker != slot.worker
    engine.submit(new.worker, _probe(inputs, name="again"))
    assert _wait(engine, 1)[0].result is not None


@pytest.mark.parametrize("engine", ["ray"], indirect=True)
def test_a_stopped_worker_can_be_ended(engine: Engine, inputs: Path) -> None:
    """A process that does not even hear signals any more is ended, and its attempt is called stalled."""
    slot, pid = _stuck(engine, inputs)
    os.kill(pid, signal.SIGSTOP)
    engine.kill(slot.worker)
    (outcome,) = _wait(engine, 1)
    assert outcome.failure is not None
    assert outcome.failure.blame == "stalled"
    deadline = time.monotonic() + 10
    while psutil.pid_exists(pid) and psutil.Process(pid).status() != psutil.STATUS_ZOMBIE:
        assert time.monotonic() < deadline
        time.sleep(0.1)
