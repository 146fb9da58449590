"""The engine without Ray: one worker in this process."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from lipwise_ray.backends import inline
from lipwise_ray.backends.devices import no_gpu_here
from lipwise_ray.backends.inline import InlineEngine, inline_engine
from lipwise_ray.backends.worker_config import WorkerConfig
from lipwise_ray.errors import SettingsError
from lipwise_ray.models.checkpoints import Checkpoint, Checkpoints
from lipwise_ray.models.loading import ModelRequest
from lipwise_ray.pipeline.flows.task_kinds import PROBE, ProbePayload
from lipwise_ray.pipeline.tasks.worker import Worker
from lipwise_ray.scheduler.task import Task
from lipwise_ray.settings.layers import resolve
from lipwise_ray.settings.model import EngineSettings
from tests.support.tasks import row_part


def _config(folder: Path) -> WorkerConfig:
    return WorkerConfig(str(folder / "state"), str(folder / "tmp"), "cpu", 1)


def _probe() -> Task:
    """Return a probe of a video that is not there."""
    return Task("probe:1", PROBE, ProbePayload(row_part()), 0, (0,))


def test_a_task_runs_when_it_is_polled_for_and_its_error_is_recorded(tmp_path: Path) -> None:
    """One worker serves both lanes; what a task raises becomes its outcome, told once."""
    engine = InlineEngine(_config(tmp_path), Worker)
    (slot,) = engine.idle("cpu")
    assert [one.worker for one in engine.idle("gpu")] == [slot.worker]
    engine.submit(slot.worker, _probe())
    assert engine.idle("cpu") == engine.idle("gpu") == []
    (outcome,) = engine.poll(0.0)
    assert outcome.failure is not None
    assert (outcome.failure.blame, outcome.failure.code) == ("input", "missing_file")
    assert engine.poll(0.0) == []
    assert engine.idle("gpu")


def test_a_closed_engine_does_not_run_what_it_was_given(tmp_path: Path) -> None:
    """A run that ends leaves its last task alone."""
    engine = InlineEngine(_config(tmp_path), Worker)
    engine.submit(engine.idle("cpu")[0].worker, _probe())
    engine.close()
    assert engine.poll(0.0) == []


def test_the_worker_has_the_cores_that_a_quota_leaves(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Encoders, decoders and networks are told a number: their own would be that of the machine's cores."""
    made: list[WorkerConfig] = []

    def make(config: WorkerConfig) -> Worker:
        made.append(config)
        return Worker(config)

    monkeypatch.setattr(inline, "usable_cores", lambda: 3)
    inline_engine(_config(tmp_path), EngineSettings(), make)
    inline_engine(_config(tmp_path), EngineSettings(threads_per_worker=5), make)
    assert [one.threads for one in made] == [3, 5]


def test_a_stop_before_the_start_loads_nothing(tmp_path: Path) -> None:
    """Whoever asks to stop while models are about to load does not wait for them."""
    gone = Checkpoint("gone", "wav2lip", tmp_path / "gone.pth", "0" * 64)
    engine = InlineEngine(_config(tmp_path), Worker)
    engine.start([ModelRequest(resolve([]), Checkpoints({"lipsync": gone}))], stop=lambda: True)
    assert engine.capabilities == []


def test_a_gpu_that_is_asked_for_and_not_there_is_refused(tmp_path: Path) -> None:
    """The message says which setting asks for it and what to set instead; a CPU that is asked for is taken."""
    if torch.cuda.is_available():
        pytest.skip("this machine has a GPU")
    asked = EngineSettings.model_validate({"kind": "inline", "place": "gpu"})
    with pytest.raises(SettingsError) as caught:
        inline_engine(_config(tmp_path), asked, Worker)
    assert str(caught.value) == str(no_gpu_here())
    assert "engine.place" in str(caught.value)
    assert "auto" in caught.value.do
    assert inline_engine(_config(tmp_path), EngineSettings.model_validate({"place": "cpu"}), Worker).device == "cpu"
