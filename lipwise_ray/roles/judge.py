"""The network that scores the sync of finished videos."""

from __future__ import annotations

from typing import TYPE_CHECKING

from lipwise_ray.models.loading import ModelHost, ModelRecipe, ModelRequest
from lipwise_ray.models.role import AutoChoice, Machines, ModelRole
from lipwise_ray.nets.runtimes import TORCH

if TYPE_CHECKING:
    from lipwise_ray.metrics.sync_scorers import LipCrops, SyncScorer
    from lipwise_ray.models.checkpoints import Checkpoint

_BATCH = 16


def _load(request: ModelRequest, host: ModelHost) -> ModelRecipe[SyncScorer] | None:
    checkpoint, batch = request.checkpoints.one(JUDGE.name), request.batch(_BATCH)
    if checkpoint is None:
        return None
    runtime = JUDGE.runtime(checkpoint.network, host.runtime("float32"))

    def make() -> SyncScorer:
        from lipwise_ray.metrics.sync_scorers import Halves, compiled_half, exported_halves, load_sync_scorer

        path, halves = host.locate(checkpoint), None
        if runtime != TORCH:
            lips, sound = (
                compiled_half(host.compiled(half, runtime, batch, bfloat16=False), batch)
                for half in exported_halves(checkpoint.network, checkpoint.sha256, path)
            )
            halves = Halves(lips, sound)
        return load_sync_scorer(checkpoint.network, path, host.device, batch, halves)

    return ModelRecipe((checkpoint,), make, (runtime,), batch)


def lip_crops_of(checkpoint: Checkpoint) -> LipCrops:
    """Return the crops that a sync scorer takes; no weights are loaded for it."""
    from lipwise_ray.metrics.sync_scorers import lip_crops

    return lip_crops(checkpoint.network)


def _auto(machines: Machines) -> AutoChoice:
    name = "syncnet_v2"
    if machines.installed(name):
        return AutoChoice(name)
    return AutoChoice("tiny_judge", f"{name} is not installed: figures are no LSE")


JUDGE = ModelRole(
    "judge",
    "score.judge",
    "score.checkpoint",
    networks=("syncnet", "lipsync_expert"),
    load=_load,
    order=40,
    in_job_id="it looks at finished videos: its records are named after it, and no frame depends on them",
    may_be_none=True,
    auto=_auto,
    evaluates=True,
    runtime_networks=("syncnet", "lipsync_expert"),  # by OpenVINO 1.6 and 1.1 times as fast
    recommended="syncnet_v2",
)
