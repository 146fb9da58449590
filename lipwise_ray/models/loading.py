"""Requests for models, and the recipes by which they are made where they are to run."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Generic, TypeVar

from lipwise_ray.models.checkpoints import Checkpoint, Checkpoints
from lipwise_ray.nets.exports import Exportable, Exports, exports_of
from lipwise_ray.nets.runtimes import TORCH, CompiledNetwork, Runtime, computes_in, open_network
from lipwise_ray.settings.model import Settings

if TYPE_CHECKING:
    from lipwise_ray.nets.precision import Precision

_CPU_IMAGES, _GPU_IMAGES = 1, 8

Model_co = TypeVar("Model_co", covariant=True)


@dataclass(frozen=True, slots=True)
class ModelHost:
    """Process that loads models.

    Attributes:
        device: ``cpu`` or ``cuda``.
        threads: Threads a model may use on a CPU; 0 for all cores.
        locate: Tells where a checkpoint is on this machine; it may fetch it.
        bfloat16: Tells whether number formats that are left to themselves may be bfloat16.
        job_runtime: Tells the runtime of the job's networks on a CPU.
        exports: Networks that were made ready for other runtimes than torch; None for those of this machine.
    """

    device: str
    threads: int
    locate: Callable[[Checkpoint], Path]
    bfloat16: Callable[[], bool]
    job_runtime: Callable[[], Runtime] = lambda: TORCH
    exports: Exports | None = None

    def by_device(self, cpu: int, gpu: int) -> int:
        """Return the number for this kind of device."""
        return cpu if self.device == "cpu" else gpu

    def runtime(self, precision: Precision) -> Runtime:
        """Return the runtime of a network that several compute: the job's where that has its number format."""
        runtime = self.job_runtime() if self.device == "cpu" else TORCH
        return runtime if computes_in(runtime, precision) else TORCH

    def compiled(self, network: Exportable, runtime: Runtime, batch: int, *, bfloat16: bool) -> CompiledNetwork:
        """Return a network that a runtime has made ready.

        Args:
            network: The network.
            runtime: Another than torch.
            batch: Inputs of a call.
            bfloat16: Compute in that format, where the runtime has it.

        Raises:
            SetupError: The runtime is not installed, or does not take the network.
            WeightsError: Its checkpoint cannot be used.
        """
        exports = self.exports or exports_of(None)
        model = exports.get(network, runtime)
        return open_network(model, runtime, batch=batch, threads=self.threads, bfloat16=bfloat16)


@dataclass(frozen=True, slots=True)
class ModelRequest:
    """Request of a task for models.

    Attributes:
        settings: The job's.
        checkpoints: The job's.
        batch_halvings: Number of times that batches are halved, for want of memory.
    """

    settings: Settings
    checkpoints: Checkpoints
    batch_halvings: int = 0

    def batch(self, usual: int) -> int:
        """Return a batch for the memory there is."""
        return max(1, usual >> self.batch_halvings)

    def image_batch(self, host: ModelHost) -> int:
        """Return the batch of networks that take large images: faces, or tiles of a frame."""
        usual = self.settings.restore.batch_faces or host.by_device(_CPU_IMAGES, _GPU_IMAGES)
        return self.batch(usual)


@dataclass(frozen=True, slots=True)
class ModelRecipe(Generic[Model_co]):
    """Recipe for a model: its checkpoints, and how it is made of them.

    Attributes:
        checkpoints: They are found, and their sizes counted; without any the model is too small to be kept.
        make: Makes the model.
        variant: Facts, beside the hashes of its checkpoints, that tell it from others of its role.
        batch: Its batch; None where it has none.
    """

    checkpoints: tuple[Checkpoint, ...]
    make: Callable[[], Model_co]
    variant: tuple[object, ...] = ()
    batch: int | None = None
