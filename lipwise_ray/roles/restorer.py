"""The network that makes new faces sharp, and behind it the one that enlarges them."""

from __future__ import annotations

from lipwise_ray.lipsync.restore import Chain, ModelFaces, Restorer, TinyRestorer, check_restorer
from lipwise_ray.models.checkpoints import Checkpoint
from lipwise_ray.models.loading import ModelHost, ModelRecipe, ModelRequest
from lipwise_ray.models.role import NOTHING, AutoChoice, InId, Machines, ModelRole, NumberFormat
from lipwise_ray.nets.image_models import load_image_model
from lipwise_ray.roles.upscaler import UPSCALER, make_upscaler

_TINY = "tiny_restorer"
"""The bundled network, which spandrel does not know."""


def _load(request: ModelRequest, host: ModelHost) -> ModelRecipe[Restorer] | None:
    settings, checkpoints = request.settings.restore, request.checkpoints
    restorer = checkpoints.one(RESTORER.name)
    enlarger = checkpoints.one(UPSCALER.name) if settings.upscale.scope == "face" else None
    used = tuple(one for one in (restorer, enlarger) if one)
    if not used:
        return None

    def make() -> Restorer:
        made = _make(restorer, request, host) if restorer else None
        larger = make_upscaler(enlarger, request, host) if enlarger else None
        whole = Chain(made, larger) if made and larger else made or larger
        assert whole is not None  # one of the two is asked for
        return whole

    roles = tuple(one is not None for one in (restorer, enlarger))
    variant = (*roles, settings.precision, host.bfloat16(), settings.fidelity)
    return ModelRecipe(used, make, variant, request.image_batch(host))


def _make(checkpoint: Checkpoint, request: ModelRequest, host: ModelHost) -> Restorer:
    settings, batch = request.settings.restore, request.image_batch(host)
    if checkpoint.network == _TINY:
        return TinyRestorer(host.locate(checkpoint), device=host.device, batch_faces=batch)
    return ModelFaces(
        check_restorer(load_image_model(host.locate(checkpoint), settings.fidelity), str(checkpoint.path)),
        device=host.device,
        precision=settings.precision,
        batch_faces=batch,
        bfloat16=host.bfloat16(),
    )


def _auto(machines: Machines) -> AutoChoice:
    name = "gfpgan_1_4"
    if not machines.installed(name):
        return AutoChoice(NOTHING, f"{name} is not installed")
    return AutoChoice(name) if machines.have_gpu else AutoChoice(NOTHING, f"workers have no GPU for {name}")


# torch computes restorers, also where another runtime makes the lips. OpenVINO's GFPGAN is over three times as fast in
# bfloat16, but 1.4 times as far from float32 as torch's: outside the bound of runtimes. In float32 it is within, but no
# faster than torch in bfloat16. See `python -m benchmarks.runtimes --others --network gfpgan`.
RESTORER = ModelRole(
    "restorer",
    "restore.model",
    "restore.checkpoint",
    networks=("spandrel", _TINY),
    load=_load,
    order=10,
    in_job_id=InId.HASH,
    may_be_none=True,
    auto=_auto,
    number_format=NumberFormat("restore.precision", float32_networks=(_TINY,)),
    recommended="gfpgan_1_4",
)
