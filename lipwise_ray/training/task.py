"""The role that every network's training plays, and the parts they share."""

from __future__ import annotations

from collections.abc import Generator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from lipwise_ray.errors import SetupError
from lipwise_ray.training.first_weights import begin_with
from lipwise_ray.training.pack import Pack, open_pack
from lipwise_ray.training.settings import TrainSettings
from lipwise_ray.values import U8Array

Arrays = dict[str, npt.NDArray[Any]]


@dataclass(frozen=True, slots=True)
class ValidationResult:
    """Result of a network on the validation clips.

    Attributes:
        metrics: Numbers by name.
        score: The lower the better; chooses the best checkpoint.
        sheet_bgr: Inputs, targets and outputs side by side, shape (H, W, 3).
    """

    metrics: dict[str, float]
    score: float
    sheet_bgr: U8Array


class TrainingTask(Protocol):
    """One network's training.

    Attributes:
        network: Network that is trained and exported.
        parts: Everything with weights or an optimiser's state that a checkpoint holds besides.
        state: Small values that a checkpoint holds, such as a switched-on loss.
        left_out: Listed clips that are not used, with the reason.
    """

    network: nn.Module
    optimizer: torch.optim.Adam
    parts: dict[str, Any]
    state: dict[str, Any]
    left_out: dict[str, str]

    def open(self) -> None:
        """Open the clips to learn from, which an evaluation alone does without."""
        ...

    def begin(self) -> list[str]:
        """Take the first weights of a run that is not resumed; return lines for people."""
        ...

    def batch(self, step: int) -> Arrays:
        """Return a step's samples: a function of seed and step alone; runs in the loader's thread."""
        ...

    def train(self, batch: Mapping[str, Tensor], step: int) -> dict[str, float | Tensor]:
        """Do one step; return its losses."""
        ...

    def train_mode(self) -> None:
        """Make the network ready for steps, after it was evaluated."""
        ...

    def evaluate(self) -> ValidationResult:
        """Measure on the validation clips."""
        ...

    def react(self, metrics: dict[str, float]) -> None:
        """Change the course as a scheduled evaluation suggests; called on every worker."""
        ...


@dataclass(frozen=True, slots=True)
class Team:
    """This worker's place among those of a run."""

    rank: int = 0
    size: int = 1
    device: str = "cpu"

    def share(self, samples: int) -> slice:
        """Return this worker's part of a batch."""
        return slice(self.rank, samples, self.size)

    def any(self, *flags: bool) -> bool:
        """Tell whether any flag of any worker of the team is set."""
        return self.mean({"flag": float(any(flags))})["flag"] > 0

    def mean(self, values: dict[str, float]) -> dict[str, float]:
        """Return values averaged over the team."""
        if self.size == 1:
            return values
        table = torch.tensor(list(values.values()), dtype=torch.float64, device=self.device)
        torch.distributed.all_reduce(table)
        return dict(zip(values, (table / self.size).tolist(), strict=True))

    def from_first(self, values: dict[str, float] | None) -> dict[str, float]:
        """Return the first worker's values, on every worker."""
        box: list[dict[str, float] | None] = [values]
        if self.size > 1:
            torch.distributed.broadcast_object_list(box, 0)
        return box[0] or {}

    def check_equal(self, network: nn.Module) -> None:
        """See that all workers have the same weights.

        Raises:
            SetupError: They drifted apart: gradients were not averaged.
        """
        sums = torch.stack([parameter.detach().double().sum() for parameter in network.parameters()])
        mean = sums.clone()
        if self.size > 1:
            torch.distributed.all_reduce(mean)
            mean /= self.size
        if self.any(not torch.allclose(sums, mean, rtol=1e-9, atol=1e-9)):
            raise SetupError("drifted", "ray train", got="the workers' weights have drifted apart")

    def joined(self, network: nn.Module) -> nn.Module:
        """Return the network with its gradients averaged over the workers."""
        if self.size == 1:
            return network
        return nn.parallel.DistributedDataParallel(network, device_ids=None)


class Stepper:
    """Mixed precision and the optimiser's step.

    Args:
        settings: Precision and learning rate.
        network: Network that is optimised.
        device: ``cpu`` or ``cuda``.
    """

    def __init__(self, settings: TrainSettings, network: nn.Module, device: str) -> None:
        self._settings = settings
        self._device = device
        self._network = network
        self.optimizer = torch.optim.Adam(network.parameters(), settings.lr, settings.betas)
        self.scaler = torch.amp.grad_scaler.GradScaler(device, enabled=settings.precision == "float16")

    @contextmanager
    def autocast(self) -> Generator[None]:
        """Compute in the run's precision."""
        kinds = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}
        kind = kinds[self._settings.precision]
        with torch.autocast(self._device, kind, enabled=kind is not torch.float32):
            yield

    def step(self, loss: Tensor, step: int) -> None:
        """Take a step down the gradient of a loss, at the learning rate of that step."""
        for group in self.optimizer.param_groups:
            group["lr"] = learning_rate(self._settings, step)
        self.optimizer.zero_grad(set_to_none=True)
        self.scaler.scale(loss).backward()
        if self._settings.clip_norm:
            self.scaler.unscale_(self.optimizer)
            nn.utils.clip_grad_norm_(self._network.parameters(), self._settings.clip_norm)
        self.scaler.step(self.optimizer)
        self.scaler.update()


class NetworkTask:
    """Common part of all tasks: a network in its place, its optimiser, its place in a checkpoint.

    Args:
        settings: The run's.
        team: This worker.
        network: Network that is trained.
    """

    def __init__(self, settings: TrainSettings, team: Team, network: nn.Module) -> None:
        self._settings = settings
        self._team = team
        self.network = placed(network, team)
        for norm in self.network.modules():
            if isinstance(norm, nn.BatchNorm2d):
                norm.momentum = settings.norm_momentum
        self._joined = team.joined(self.network)
        self._stepper = Stepper(settings, self.network, team.device)
        self.optimizer = self._stepper.optimizer
        self.parts: dict[str, Any] = {"scaler": self._stepper.scaler}
        self.state: dict[str, Any] = {}
        self.left_out: dict[str, str] = {}

    def _pack(self, name: str, size_px: int) -> Pack:
        """Return the clips of a file list."""
        pack = open_pack(Path(self._settings.data), name, size_px)
        self.left_out |= pack.skipped
        return pack

    def open(self) -> None:
        """Do nothing: a task's clips are open."""

    def begin(self) -> list[str]:
        """Take the weights to start from, where there are any."""
        settings = self._settings
        if not settings.init:
            return []
        return [begin_with(self.network, self.optimizer, Path(settings.init), settings.network, settings)]

    def react(self, metrics: dict[str, float]) -> None:
        """Do nothing."""

    def train_mode(self) -> None:
        """Make the network ready for steps, after it was evaluated."""
        self.network.train()
        if self._settings.norm_frozen:
            for norm in self.network.modules():
                if isinstance(norm, nn.BatchNorm2d):
                    norm.eval()

    def _tensors(self, arrays: Arrays) -> dict[str, Tensor]:
        return {name: torch.from_numpy(value).to(self._team.device) for name, value in arrays.items()}


def placed(network: nn.Module, team: Team) -> nn.Module:
    """Return a network on a worker's device, in the layout that its convolutions like."""
    return network.to(team.device, memory_format=torch.channels_last)  # type: ignore[call-overload]  # missing in the stub


def learning_rate(settings: TrainSettings, step: int) -> float:
    """Return the learning rate of a step."""
    if not settings.halve_lr_after or step < settings.halve_lr_after:
        return settings.lr
    return settings.lr * 0.5 ** (1 + (step - settings.halve_lr_after) // settings.halve_lr_every)


def generator_of(settings: TrainSettings, step: int) -> np.random.Generator:
    """Return the random numbers of a step: nothing has to be saved to draw them again."""
    return np.random.default_rng([settings.seed, step])


def to_network(images_u8: Tensor) -> Tensor:
    """Return (..., H, W, C) levels as (..., C, H, W) in [0, 1]."""
    return images_u8.movedim(-1, -3).float() / 255


def to_levels(images: Tensor) -> U8Array:
    """Return (N, C, H, W) in [0, 1] as (N, H, W, C) levels."""
    return (images.detach().float().clamp(0, 1) * 255).round().byte().movedim(1, -1).cpu().numpy()
