"""Several workers by Ray Train: each has a share of every batch, gradients are averaged."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from lipwise_ray.backends.ray.map import connected
from lipwise_ray.errors import LipwiseError, SetupError
from lipwise_ray.training.settings import TrainSettings, make_settings


def run_on_workers(settings: TrainSettings, folder: Path, workers: int, address: str) -> None:
    """Train on several workers; `settings.batch` is each worker's.

    The folder must be one that all workers see. Batch normalisation counts each worker's own part
    of a batch, so that the numbers are near those of one worker with a batch as large as all parts
    together, not equal to them.

    Args:
        settings: Settings of the run.
        folder: Folder of the run.
        workers: Number of workers.
        address: Ray cluster; ``local`` for one on this machine.

    Raises:
        SetupError: Ray cannot be started, or has too little for the workers.
        LipwiseError: What stopped a worker.
    """
    with connected(address):
        import ray  # after its environment is set
        from ray.train import FailureConfig, RunConfig, ScalingConfig, TrainingFailedError
        from ray.train.torch import TorchTrainer

        gpus = ray.cluster_resources().get("GPU", 0)
        trainer = TorchTrainer(
            _work,
            train_loop_config={"settings": settings.model_dump(), "folder": str(folder.resolve())},
            scaling_config=ScalingConfig(num_workers=workers, use_gpu=gpus >= workers, resources_per_worker=None),
            run_config=RunConfig(
                name="run", storage_path=str(folder.resolve() / "ray"), failure_config=FailureConfig(max_failures=0)
            ),
        )
        try:
            trainer.fit()
        except TrainingFailedError as error:
            raise _cause(error) from error


def _cause(error: Exception) -> LipwiseError:
    """Return the error of ours that stopped a worker; Ray Train wraps it without a public way to it."""
    failures: dict[int, Exception] = getattr(error, "worker_failures", {})
    for failure in failures.values():
        inner: object = getattr(failure, "_base_exc", None)
        if isinstance(inner, LipwiseError):
            return inner
    return SetupError("training_failed", "ray train", got=f"a worker did not finish: {str(error).strip()[-400:]}")


def _work(config: dict[str, Any]) -> None:
    import ray.train
    import ray.train.torch

    from lipwise_ray.training.run import run
    from lipwise_ray.training.task import Team

    values = {name: value for name, value in config["settings"].items() if name != "network"}
    settings = make_settings(config["settings"]["network"], values)
    context = ray.train.get_context()
    device = ray.train.torch.get_device()
    team = Team(context.get_world_rank(), context.get_world_size(), device.type)
    run(settings, Path(config["folder"]), team, lambda line: print(line, flush=True))  # noqa: T201  # a worker's log
