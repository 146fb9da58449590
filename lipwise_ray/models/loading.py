"""Requests for models, and the recipes by which they are made where they are to run."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Generic, TypeVar

from lipwise_ray.errors import StorageError
from lipwise_ray.models.checkpoints import Checkpoint, Checkpoints
from lipwise_ray.nets.exports import Exportable, Exports, export, exports_of
from lipwise_ray.nets.runtimes import TORCH, CompiledNetwork, Runtime, computes_in, open_network, refusing
from lipwise_ray.settings.model import Settings

if TYPE_CHECKING:
    from lipwise_ray.nets.precision import Precision

_LOG = logging.getLogger("lipwise_ray")
_CPU_IMAGES, _GPU_IMAGES = 1, 8
_FOR_BATCHES = 4
"""Batches take a fourth of the memory that is free when a worker begins: several networks have theirs, and images that
wait between them."""

_IMAGE_BYTES = 1 << 30
"""The most memory that an image of 512 pixels takes in a restorer: GFPGAN's in float32, see `benchmarks/gpu.py`."""

Model_co = TypeVar("Model_co", covariant=True)
_Model = TypeVar("_Model")


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
        free_bytes: Tells the memory of the GPU that was free when the process began; None where nobody knows.
    """

    device: str
    threads: int
    locate: Callable[[Checkpoint], Path]
    bfloat16: Callable[[], bool]
    job_runtime: Callable[[], Runtime] = lambda: TORCH
    exports: Exports | None = None
    free_bytes: Callable[[], int | None] = lambda: None

    def batch(self, cpu: int, gpu: int, item_bytes: int) -> int:
        """Return a batch for this device.

        Args:
            cpu: On a processor.
            gpu: On a GPU with memory enough; more would not make it faster.
            item_bytes: GPU memory that an item takes.
        """
        if self.device == "cpu":
            return cpu
        free_bytes = self.free_bytes()
        return gpu if free_bytes is None else batch_in(free_bytes, item_bytes, gpu)

    def runtime(self, precision: Precision) -> Runtime:
        """Return the runtime of a network that several compute: the job's where that has its number format."""
        runtime = self.job_runtime() if self.device == "cpu" else TORCH
        return runtime if computes_in(runtime, precision) else TORCH

    def compiled(self, network: Exportable, runtime: Runtime, batch: int, *, bfloat16: bool) -> CompiledNetwork:
        """Return a network that a runtime has made ready.

        An export that cannot be kept on this machine is made for this process alone: that takes seconds, and memory.

        Args:
            network: The network.
            runtime: Another than torch.
            batch: Inputs of a call.
            bfloat16: Compute in that format, where the runtime has it.

        Raises:
            SetupError: The runtime is not installed, or does not take the network.
            WeightsError: Its checkpoint cannot be used.
        """
        try:
            model: Path | bytes = (self.exports or exports_of(None)).get(network, runtime)
        except StorageError as error:
            _LOG.warning("%s exported for this process alone: %s", network.name, error)
            with refusing(runtime):
                model = export(network)
        return open_network(model, runtime, batch=batch, threads=self.threads, bfloat16=bfloat16)


def batch_in(free_bytes: int, item_bytes: int, most: int) -> int:
    """Return the largest batch that fits: `most`, or that halved until it does; at least 1.

    Few batches are possible, so that GPUs that are alike have the same one, and with it the same pixels to the bit.

    Args:
        free_bytes: Free memory.
        item_bytes: Memory that an item takes.
        most: The batch where there is memory enough.
    """
    batch = most
    while batch > 1 and batch * item_bytes > free_bytes // _FOR_BATCHES:
        batch //= 2
    return batch


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
        usual = self.settings.restore.batch_faces or host.batch(_CPU_IMAGES, _GPU_IMAGES, _IMAGE_BYTES)
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


def of_one_file(
    role: str, make: Callable[[Checkpoint, ModelHost], _Model]
) -> Callable[[ModelRequest, ModelHost], ModelRecipe[_Model] | None]:
    """Return the `load` of a role whose model is made of one checkpoint, and of nothing else that a task asks for.

    Args:
        role: The role's name.
        make: Makes the model; it imports what that takes.
    """

    def load(request: ModelRequest, host: ModelHost) -> ModelRecipe[_Model] | None:
        checkpoint = request.checkpoints.one(role)
        return None if checkpoint is None else ModelRecipe((checkpoint,), lambda: make(checkpoint, host))

    return load
