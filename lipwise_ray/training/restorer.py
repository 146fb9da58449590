"""Training the small restorer: blurred crops in, the crops themselves as the target."""

from __future__ import annotations

from collections.abc import Mapping
from typing import cast

import cv2
import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from lipwise_ray.nets.tiny_restorer import TinyRestorerNetwork
from lipwise_ray.training.settings import TrainSettings
from lipwise_ray.training.sheets import grid
from lipwise_ray.training.task import Arrays, NetworkTask, Team, ValidationResult, generator_of, to_levels, to_network
from lipwise_ray.values import U8Array

SIZE_PX = 160
_EVAL_SEED = 1 << 30
_SHEET = 6
_EDGE_WEIGHT = 0.5
_MOST_BLUR_PX = 1.6
_SOFTENED = 0.7  # share of the samples


class RestorerTask(NetworkTask):
    """Give a crop back what enlarging and blur took."""

    def __init__(self, settings: TrainSettings, team: Team) -> None:
        super().__init__(settings, team, TinyRestorerNetwork())
        self._val = self._pack("val", SIZE_PX)

    def open(self) -> None:
        """Open the clips to learn from."""
        self._train = self._pack("train", SIZE_PX)

    def batch(self, step: int) -> Arrays:
        """Return sharp crops and the same ones blurred."""
        count = self._settings.batch * self._team.size
        rng = generator_of(self._settings, step)
        rows = rng.integers(len(self._train.frames), size=count)
        seeds = rng.integers(1 << 31, size=count)
        part = self._team.share(count)
        return _pairs(self._train.frames[rows[part]], seeds[part])

    def train(self, batch: Mapping[str, Tensor], step: int) -> dict[str, float | Tensor]:
        """Do one step."""
        sharp, blurred = to_network(batch["sharp"]), to_network(batch["blurred"])
        with self._stepper.autocast():
            out = self._joined(blurred.contiguous(memory_format=torch.channels_last)).float()
        l1 = functional.l1_loss(out, sharp)
        edges = sum((functional.l1_loss(out.diff(dim=d), sharp.diff(dim=d)) for d in (2, 3)), torch.zeros(()))
        loss = l1 + _EDGE_WEIGHT * edges
        self._stepper.step(loss, step)
        return {"loss": loss.detach(), "l1": l1.detach()}

    @torch.no_grad()
    def evaluate(self) -> ValidationResult:
        """Return L1 before and after, and how sharp the result is against the truth."""
        self.network.eval()
        numbers: list[list[float]] = []
        rows: list[list[U8Array]] = []
        for number in range(self._settings.eval_batches):
            rng = np.random.default_rng([_EVAL_SEED, number])
            chosen = rng.integers(len(self._val.frames), size=self._settings.batch)
            arrays = _pairs(self._val.frames[chosen], rng.integers(1 << 31, size=self._settings.batch))
            sharp, blurred = (
                to_network(torch.from_numpy(arrays[n]).to(self._team.device)) for n in ("sharp", "blurred")
            )
            out = self.network(blurred).float().clamp(0, 1)
            energy = [float(sum(x.diff(dim=d).square().mean() for d in (2, 3))) for x in (blurred, out, sharp)]
            numbers.append(
                [
                    float(functional.l1_loss(out, sharp)),
                    float(functional.l1_loss(blurred, sharp)),
                    energy[1] / energy[2],
                    energy[0] / energy[2],
                ]
            )
            rows = [
                list(images) for images in zip(*(to_levels(x)[:_SHEET] for x in (blurred, sharp, out)), strict=True)
            ]
        self.train_mode()
        names = ("l1", "l1_of_input", "sharpness", "sharpness_of_input")
        metrics: dict[str, float] = dict(zip(names, np.mean(numbers, axis=0).tolist(), strict=True))
        return ValidationResult(metrics, metrics["l1"], grid(rows, ["input, target, restored"] * len(rows)))


def _pairs(sharp: U8Array, seeds: np.ndarray[tuple[int], np.dtype[np.int64]]) -> Arrays:
    blurred = [_blurred(crop, np.random.default_rng(int(seed))) for crop, seed in zip(sharp, seeds, strict=True)]
    return {"sharp": sharp, "blurred": np.stack(blurred)}


def _blurred(crop: U8Array, rng: np.random.Generator) -> U8Array:
    """Return a crop as a 96 px network leaves it: made small, softened, noisy, enlarged."""
    side = int(rng.integers(72, 129))
    small = cv2.resize(crop, (side, side), interpolation=cv2.INTER_AREA)
    if rng.random() < _SOFTENED:
        small = cv2.GaussianBlur(small, (0, 0), float(rng.uniform(0.3, _MOST_BLUR_PX)))
    large = cv2.resize(small, crop.shape[1::-1], interpolation=cv2.INTER_LINEAR).astype(np.float32)
    large += rng.normal(0, float(rng.uniform(0, 2)), large.shape)
    return cast("U8Array", np.clip(large, 0, 255).astype(np.uint8))
