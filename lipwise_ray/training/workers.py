"""Several workers by Ray Train: each has a share of every batch, gradients are averaged."""

from __future__ import annotations

import threading
from concurrent.futures import Future, wait
from contextlib import suppress
from pathlib import Path
from typing import Any

from lipwise_ray.backends.ray.map import connected
from lipwise_ray.errors import LipwiseError, SetupError
from lipwise_ray.training.run_desk import DeskWatcher, RunDesk, Unwatched
from lipwise_ray.training.settings import TrainSettings, make_settings
from lipwise_ray.training.watching import RunWatcher, TrainingResult

_LOOK_EVERY_S = 0.3


def run_on_workers(
    settings: TrainSettings, folder: Path, workers: int, address: str, watcher: RunWatcher
) -> TrainingResult:
    """Train on several workers; `settings.batch` is each worker's.

    The folder must be one that all workers see. Batch normalisation counts each worker's own part
    of a batch, so that the numbers are near those of one worker with a batch as large as all parts
    together, not equal to them.

    Args:
        settings: Settings of the run.
        folder: Folder of the run.
        workers: Number of workers.
        address: Ray cluster; ``local`` for one on this machine.
        watcher: Watches the run; once it says so, all workers end after the same step, which is saved.

    Returns:
        Where it ended.

    Raises:
        EngineError: The embedded Ray has ended.
        SetupError: Ray cannot be started, or has too little for the workers.
        LipwiseError: What stopped a worker.
    """
    with connected(address):
        import ray  # after its environment is set
        from ray.train import FailureConfig, RunConfig, ScalingConfig
        from ray.train.torch import TorchTrainer

        from lipwise_ray.backends.ray.session import must_live

        gpus = ray.cluster_resources().get("GPU", 0)
        desk: Any = ray.remote(num_cpus=0)(RunDesk).remote()
        config = {"settings": settings.model_dump(), "folder": str(folder.resolve()), "desk": desk}
        trainer = TorchTrainer(
            _work,
            train_loop_config=config,
            scaling_config=ScalingConfig(num_workers=workers, use_gpu=gpus >= workers, resources_per_worker=None),
            run_config=RunConfig(
                name="run", storage_path=str(folder.resolve() / "ray"), failure_config=FailureConfig(max_failures=0)
            ),
        )
        # In the main thread Ray Train would take SIGINT for itself, and abort without a checkpoint.
        ended: Future[TrainingResult | None] = Future()
        threading.Thread(target=_fit, args=(trainer, desk, ended), daemon=True).start()
        is_told = False
        while not ended.done():
            wait([ended], _LOOK_EVERY_S)
            must_live()
            _pass_on(desk, watcher)
            if watcher.stops() and not is_told:
                is_told = True
                desk.stop.remote()
        result = ended.result()
        _pass_on(desk, watcher)
        assert result is not None  # a first worker that ended well has told its result
        return result


def _fit(trainer: Any, desk: Any, ended: Future[TrainingResult | None]) -> None:  # noqa: ANN401  # Ray's, without types
    import ray
    from ray.train import TrainingFailedError

    try:
        trainer.fit()
        ended.set_result(ray.get(desk.result.remote()))
    except TrainingFailedError as error:
        ended.set_exception(_cause(error))
    except BaseException as error:  # noqa: BLE001  # handed to the thread that waits, which raises it
        ended.set_exception(error)


def _pass_on(desk: Any, watcher: RunWatcher) -> None:  # noqa: ANN401  # Ray's, without types
    """Give the watcher what the first worker has told since."""
    import ray
    import ray.exceptions

    # A desk that is gone stops the workers, whose error says more.
    with suppress(ray.exceptions.RayError):
        lines, progress = ray.get(desk.news.remote(), timeout=10 * _LOOK_EVERY_S)
        for line in lines:
            watcher.say(line)
        if progress is not None:
            watcher.moved(progress)


def _cause(error: Exception) -> LipwiseError:
    """Return the error of ours that stopped a worker; earlier versions of Ray Train wrap it."""
    failures: dict[int, Exception] = getattr(error, "worker_failures", {})
    for failure in failures.values():
        inner: object = getattr(failure, "_base_exc", failure)
        if isinstance(inner, LipwiseError):
            return inner
    return SetupError("training_failed", "ray train", got=f"a worker did not finish: {str(error).strip()[-400:]}")


def _work(config: dict[str, Any]) -> None:
    import ray
    import ray.train
    import ray.train.torch

    from lipwise_ray.training.run import run
    from lipwise_ray.training.task import Team

    values = {name: value for name, value in config["settings"].items() if name != "network"}
    settings = make_settings(config["settings"]["network"], values)
    context = ray.train.get_context()
    device = ray.train.torch.get_device()
    team = Team(context.get_world_rank(), context.get_world_size(), device.type)
    desk = config["desk"]
    if team.rank:
        run(settings, Path(config["folder"]), team, Unwatched())
        return
    result = run(settings, Path(config["folder"]), team, DeskWatcher(desk))
    ray.get(desk.end.remote(result))
