"""The network whose features the Fréchet distance is of."""

from __future__ import annotations

from typing import TYPE_CHECKING

from lipwise_ray.models.loading import ModelHost, ModelRecipe, ModelRequest
from lipwise_ray.models.role import ModelRole

if TYPE_CHECKING:
    from lipwise_ray.metrics.inception import Inception

_BATCH = 16


def _load(request: ModelRequest, host: ModelHost) -> ModelRecipe[Inception] | None:
    checkpoint, batch = request.checkpoints.one(INCEPTION.name), request.batch(_BATCH)
    if checkpoint is None:
        return None

    def make() -> Inception:
        from lipwise_ray.metrics.inception import Inception

        return Inception(host.locate(checkpoint), host.device, batch)

    return ModelRecipe((checkpoint,), make, batch=batch)


INCEPTION = ModelRole(
    "inception",
    "score.inception",
    "score.inception_checkpoint",
    networks=("inception",),
    load=_load,
    order=80,
    in_job_id="no dubbing needs it",
    needed=lambda _, row: row.has_reference,
    dubs=False,
    evaluates=True,
    figure="fid",
)
