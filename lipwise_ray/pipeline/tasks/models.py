"""The models a worker keeps resident: loaded once, found again by what they are."""

from __future__ import annotations

import gc
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from operator import attrgetter
from pathlib import Path
from typing import TypeVar

from lipwise_ray.errors import SetupError
from lipwise_ray.lipsync.planes_check import PlanesChoice, planes_for
from lipwise_ray.lipsync.video_engine import hardware_encoding, video_engine
from lipwise_ray.media.hardware_check import HardwareFrames
from lipwise_ray.media.hardware_encoding import HardwareEncoding
from lipwise_ray.models.checkpoints import Checkpoint
from lipwise_ray.models.loading import ModelHost, ModelRecipe, ModelRequest
from lipwise_ray.models.role import AUTO, ModelRole
from lipwise_ray.nets.bfloat16 import has_bfloat16
from lipwise_ray.nets.exports import Exports
from lipwise_ray.nets.runtimes import RUNTIME_REFUSED, TORCH, Runtime, load_runtime, runtime_of
from lipwise_ray.pipeline.analysis.transcription import Recogniser
from lipwise_ray.pipeline.tasks.early_torch import EarlyTorch
from lipwise_ray.pipeline.tasks.model_pool import ModelPool, file_bytes, room_for_models
from lipwise_ray.roles.lipsync import LIPSYNC
from lipwise_ray.roles.table import ROLES

_Model = TypeVar("_Model")


@dataclass(frozen=True, slots=True)
class TriedRuntimes:
    """Runtimes beside torch that could be loaded, and the problem of one that could not."""

    runtimes: tuple[Runtime, ...]
    problem: str


class Models:
    """Makes models on first use and keeps them.

    Args:
        device: ``cpu`` or ``cuda``.
        threads: Threads a model may use on a CPU.
        locate: Says where a checkpoint is on this machine.
        room: Says how many bytes the checkpoints of models that are kept may have; it goes by the memory there is.
        exports: Networks made ready for other runtimes than torch; None for those of this machine.
    """

    def __init__(
        self,
        device: str,
        threads: int,
        locate: Callable[[Checkpoint], Path] = attrgetter("path"),
        room: Callable[[], int] | None = None,
        exports: Exports | None = None,
    ) -> None:
        self._host = ModelHost(
            device, threads, locate, self._bfloat16, lambda: self._runtime, exports, self._free_bytes
        )
        self._room = room or partial(room_for_models, device, threads)
        self._known_pool: ModelPool | None = None
        self._known_planes: PlanesChoice | None = None
        self._known_engine: HardwareFrames | None = None
        self._known_encoding: HardwareEncoding | None = None
        self._told_bfloat16: bool | None = None
        self._runtime: Runtime = TORCH
        self._early_torch = EarlyTorch()
        self._first_free_bytes: int | None = None

    @property
    def _pool(self) -> ModelPool:
        """The models that are kept; a worker that asks for none does not ask the GPU for its memory."""
        if self._known_pool is None:
            self._known_pool = ModelPool(self._room())
        return self._known_pool

    @property
    def planes(self) -> PlanesChoice:
        """The planes, lights and compositor of this worker: its GPU's, once these were seen to agree with the CPU's."""
        if self._known_planes is None:
            self._known_planes = planes_for(self._host.device)
        return self._known_planes

    def planes_fallback(self, requests: Sequence[ModelRequest]) -> str:
        """Return the reason why the CPU crops and blends faces though there is a GPU; empty where it need not.

        Args:
            requests: Of the jobs to come: the GPU's planes are made and checked only where one of them draws faces.
        """
        draws = any(LIPSYNC.name in request.checkpoints for request in requests)
        return self.planes.fallback if draws else ""

    @property
    def video_engine(self) -> HardwareFrames | None:
        """The video engine of this worker's GPU; None without one."""
        if self._known_engine is None:
            self._known_engine = video_engine(self._host.device, stays=self.planes.is_device)
        return self._known_engine

    @property
    def hardware_encoding(self) -> HardwareEncoding | None:
        """The encoding from this worker's GPU's memory; None without one, and where no frames stay there."""
        if self._known_encoding is None and self.planes.is_device:
            self._known_encoding = hardware_encoding(self._host.device)
        return self._known_encoding

    def load(self, request: ModelRequest) -> None:
        """Load the models of all roles that have checkpoints and are loaded before work.

        Those come first that other runtimes than torch may make ready, while torch is being loaded.
        """
        for role in sorted(ROLES.values(), key=lambda role: not role.runtime_networks):
            if role.is_preloaded:
                self.of(role, request)

    def tried_runtimes(self, requests: Sequence[ModelRequest]) -> TriedRuntimes:
        """Return the runtimes beside torch that jobs ask for and that load here; no model is made for it.

        Raises:
            SetupError: One that a job asks for by name does not.
        """
        tried: dict[Runtime, str] = {}
        for request in requests:
            runtime = self._runtime_for(request)
            if runtime == TORCH or runtime in tried:
                continue
            try:
                load_runtime(runtime)
                tried[runtime] = ""
            except SetupError as error:
                if request.settings.engine.cpu_runtime != AUTO:
                    raise
                tried[runtime] = str(error)
        return TriedRuntimes(tuple(one for one, problem in tried.items() if not problem), "".join(tried.values()))

    def load_all(self, requests: Sequence[ModelRequest]) -> None:
        """Load the models of jobs, by the runtime that each asks for; where it leaves that open, torch's if one fails.

        Raises:
            SetupError: A model cannot be loaded.
        """
        for request in requests:
            self._runtime = self._runtime_for(request)
            try:
                with self._early_torch.loading(is_needed=self._loads_beside_torch(request)):
                    self.load(request)
            except SetupError as error:
                if request.settings.engine.cpu_runtime != AUTO or error.code != RUNTIME_REFUSED:
                    raise
                self._runtime = TORCH
                self.load(request)

    def _runtime_for(self, request: ModelRequest) -> Runtime:
        is_open = self._host.device == "cpu" and _has_runtimes(request)
        return runtime_of(request.settings.engine.cpu_runtime) if is_open else TORCH

    def _loads_beside_torch(self, request: ModelRequest) -> bool:
        """Tell whether a job has a network for torch beside one that another runtime makes ready meanwhile."""
        return self._runtime != TORCH and any(
            one.network not in role.runtime_networks
            for role in ROLES.values()
            if role.is_preloaded and role.number_format
            for one in request.checkpoints.all(role.name)
        )

    def of(self, role: ModelRole[_Model], request: ModelRequest) -> _Model | None:
        """Return a role's model, or None where the task's job does without.

        Raises:
            WeightsError: A checkpoint cannot be used.
            SettingsError: A checkpoint is of another kind.
            SetupError: A package that the model needs is not installed.
        """
        recipe = role.load(request, self._host)
        if recipe is None:
            return None
        if not recipe.checkpoints:
            return recipe.make()
        key = (role.name, *(one.sha256 for one in recipe.checkpoints), *recipe.variant, recipe.batch)
        if request.batch_halvings and key not in self._pool:
            self._pool.give_up_other_batches(key)  # memory ran short with theirs
        return self._pool.get(key, lambda: self._made(recipe.make), lambda: self._size_bytes(recipe))

    def needed(self, role: ModelRole[_Model], request: ModelRequest) -> _Model:
        """Return the model of a role that the task cannot do without; raise as `of` does."""
        model = self.of(role, request)
        assert model is not None, f"no checkpoint of the role {role.name}"
        return model

    def recogniser(self, folder: Path) -> Recogniser:
        """Return the speech recogniser.

        Raises:
            SettingsError: The model cannot be used, or the extra is not installed.
        """

        def make() -> Recogniser:
            return Recogniser(folder, self._host.device, self._host.threads)

        return self._pool.get(("recogniser", str(folder)), lambda: self._made(make), lambda: file_bytes(folder))

    def _size_bytes(self, recipe: ModelRecipe[object]) -> int:
        return sum(file_bytes(self._host.locate(one)) for one in recipe.checkpoints)

    def _made(self, make: Callable[[], _Model]) -> _Model:
        self._set_threads()
        made = make()
        self._set_threads()  # of torch, should the model have loaded it
        return made

    def begin_task(self, *, bfloat16: bool | None = None, runtime: Runtime = TORCH) -> None:
        """Let models go, should room be needed, that the task before has asked for.

        Args:
            bfloat16: True where number formats that are left to themselves may be bfloat16; None asks the hardware.
            runtime: The runtime of networks that several compute, on a CPU.
        """
        self._told_bfloat16, self._runtime = bfloat16, runtime
        self._pool.begin_task()

    def _bfloat16(self) -> bool:
        if self._told_bfloat16 is not None:
            return self._told_bfloat16
        return has_bfloat16(self._host.device)

    def _free_bytes(self) -> int | None:
        """Return the memory of the GPU that was free at first: batches must not change once models are loaded."""
        if self._first_free_bytes is None and self._host.device.startswith("cuda"):
            import torch

            if torch.cuda.is_available():
                self._first_free_bytes = torch.cuda.mem_get_info()[0]
        return self._first_free_bytes

    def trim(self) -> None:
        """Give back what can be, after a task that ran out of memory: other tasks' models, the allocator's reserve.

        What the failed task's own frames hold cannot be given back: they have to be cleared before.
        """
        self._pool.give_up_unheld()
        gc.collect()
        if self._host.device == "cuda":
            import torch

            torch.cuda.empty_cache()

    def _set_threads(self) -> None:
        if self._host.threads and self._host.device == "cpu" and self._early_torch.is_loaded:
            import torch

            torch.set_num_threads(self._host.threads)


def _has_runtimes(request: ModelRequest) -> bool:
    """Tell whether a job has a network that decides by which of several runtimes it is done."""
    return any(
        one.network in role.runtime_networks
        for role in ROLES.values()
        if role.number_format
        for one in request.checkpoints.all(role.name)
    )
