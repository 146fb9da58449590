"""Configuration that a worker begins with, and the type of its maker."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from lipwise_ray.scheduler.worker_protocol import TaskRunner
from lipwise_ray.settings.model import PathsSettings
from lipwise_ray.storage.cache import machine_folder


@dataclass(frozen=True, slots=True)
class WorkerConfig:
    """Configuration of every worker of a run.

    Attributes:
        state: Address of the state.
        scratch: Folder of temporary files, on the driver's machine.
        device: ``cpu`` or ``cuda``.
        threads: Its share of the cores, for encoders, decoders and, on a CPU, networks; 0 leaves all to the libraries.
        paths: Folders for copies of files that lie elsewhere.
        models_gb: Size of the checkpoints of models that stay loaded, 0 to go by the memory there is.
        gpu_part: Part of a GPU that it may take.
        gpu_need_bytes: GPU memory that its networks and batches may need.
        machine_folder: The folder of the driver's machine that ``scratch`` is in: another machine has one of its own
            for it. Empty where all have that path.
        network_threads: Threads of its networks, where the user's environment names another number; 0 where not.
    """

    state: str
    scratch: str
    device: str
    threads: int
    paths: PathsSettings = field(default_factory=PathsSettings)
    models_gb: float = 0.0
    gpu_part: float = 1.0
    gpu_need_bytes: int = 0
    machine_folder: str = ""
    network_threads: int = 0

    @property
    def scratch_here(self) -> Path:
        """Folder of this machine's temporary files.

        Raises:
            StorageError: Its folder is somebody else's, or cannot be made.
        """
        if not self.machine_folder:
            return Path(self.scratch)
        return machine_folder() / Path(self.scratch).relative_to(self.machine_folder)


RunnerMaker = Callable[[WorkerConfig], TaskRunner]
"""Makes the task runner, in the process that is to do the tasks. Ray takes it there by its name."""
