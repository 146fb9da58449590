"""Training the mouth reader: from audio to the shape of the mouth that says it."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import cv2
import numpy as np
import torch
from torch import Tensor

from lipwise_ray.lipsync.mel import SILENCE
from lipwise_ray.nets.mouth_reader import MouthReader
from lipwise_ray.synth.visemes import PARAMETERS
from lipwise_ray.training.settings import TrainSettings
from lipwise_ray.training.sheets import grid
from lipwise_ray.training.spoken import Spoken, open_spoken
from lipwise_ray.training.task import Arrays, NetworkTask, Team, ValidationResult, generator_of
from lipwise_ray.values import F32Array, U8Array

_LEAST_SPREAD = 0.05
_STRETCH, _SHIFT_BINS = 0.07, 2.0
_GAIN, _TILT, _BEND = 0.6, 0.6, 0.4
"""In units of the mel, of which 8 are 100 dB."""
_HISS, _HISS_SPREAD = 3.0, 0.25
_BREATH_DROP = 3.0
_BREATHY = 0.5  # share of the samples without breath
_SHEET, _SHEET_FRAMES, _HEIGHT_PX = 4, 200, 120


class VisemesTask(NetworkTask):
    """Read opening, width, rounding, teeth, tongue and bite off a mel window."""

    def __init__(self, settings: TrainSettings, team: Team) -> None:
        super().__init__(settings, team, MouthReader(settings.width))
        self._train, self._val = (open_spoken(Path(settings.data), name) for name in ("train", "val"))
        spread = np.maximum(self._train.mouths.std(axis=0), _LEAST_SPREAD)
        self._spread = torch.from_numpy(spread).to(team.device)

    def batch(self, step: int) -> Arrays:
        """Return a step's samples: ``mel`` (B, 80, 16), ``mouth`` (B, 6)."""
        count = self._settings.batch * self._team.size
        rng, part = generator_of(self._settings, step), self._team.share(count)
        arrays = _samples(self._train, rng.integers(len(self._train.mouths), size=count)[part])
        if self._settings.augment:
            arrays["mel"] = varied_sound(arrays["mel"], rng, count, part)
        return arrays

    def train(self, batch: Mapping[str, Tensor], step: int) -> dict[str, float | Tensor]:
        """Do one step."""
        with self._stepper.autocast():
            read = self._joined(batch["mel"].unsqueeze(1))
        loss = ((read.float() - batch["mouth"]) / self._spread).abs().mean()
        self._stepper.step(loss, step)
        return {"loss": loss.detach()}

    @torch.no_grad()
    def evaluate(self) -> ValidationResult:
        """Return the loss and each number's correlation with the truth on the validation clips."""
        self.network.eval()
        count = min(len(self._val.mouths), self._settings.batch * self._settings.eval_batches)
        read: list[Tensor] = []
        for begin in range(0, count, self._settings.batch):
            stop = min(begin + self._settings.batch, count)
            arrays = self._tensors(_samples(self._val, np.arange(begin, stop)))
            read.append(self.network(arrays["mel"].unsqueeze(1)).float())
        self.train_mode()
        predicted = torch.cat(read)
        true = torch.from_numpy(np.array(self._val.mouths[:count])).to(predicted)
        metrics = {"loss": float(((predicted - true) / self._spread).abs().mean())}
        for column, name in enumerate(PARAMETERS):
            metrics[name] = float(
                torch.corrcoef(torch.stack([predicted[:, column], true[:, column]]))[0, 1].nan_to_num()
            )
        pages = [_curves(true[p, 0].cpu().numpy(), predicted[p, 0].cpu().numpy()) for p in _pages(count)]
        return ValidationResult(
            metrics, metrics["loss"], grid([[page] for page in pages], ["opening: true, read"] * len(pages))
        )


def varied_sound(mels: F32Array, rng: np.random.Generator, count: int, part: slice) -> F32Array:
    """Return mel windows as of other throats, rooms and microphones.

    Bins are stretched and moved, the spectrum is bent and made louder or quieter, half of the windows
    get a floor of noise, and half breath: noise above some height that is as loud as the voice.

    Args:
        mels: Windows of a worker's part of a batch, shape (B, 80, 16).
        rng: Random numbers, the same for every worker.
        count: Windows of the whole batch.
        part: Those that are given.
    """
    bins, columns = mels.shape[1:]
    chance = rng.uniform(-1, 1, (count, 6))[part, :, None]
    stretch, shift, gain, tilt, bend, phase = (chance[:, n] for n in range(6))
    at = np.clip(np.arange(bins) * (1 + _STRETCH * stretch) + _SHIFT_BINS * shift, 0, bins - 1)
    low = np.minimum(at.astype(np.int64), bins - 2)
    weight = (at - low)[:, :, None]
    below, above = (np.take_along_axis(mels, rows[:, :, None], axis=1) for rows in (low, low + 1))
    place = np.linspace(-1, 1, bins)
    curve = _GAIN * gain + _TILT * tilt * place + _BEND * bend * np.cos(np.pi * (place + phase))
    moved = below * (1 - weight) + above * weight + curve[:, :, None]
    floor = rng.uniform(-1, 1, count)[part]
    noise = rng.standard_normal((count, bins, columns), np.float32)[part]
    hiss = np.where(floor > 0, SILENCE + _HISS * floor, -np.inf)[:, None, None] + _HISS_SPREAD * noise
    quieter, lowest, breathy = (rng.uniform(size=count)[part, None, None] for _ in range(3))
    breath = moved.max(axis=1, keepdims=True) - _BREATH_DROP * quieter + _HISS_SPREAD * noise
    breath[np.broadcast_to((place[None, :, None] < lowest) | (breathy > _BREATHY), breath.shape)] = -np.inf
    return np.clip(np.maximum(np.maximum(moved, hiss), breath), SILENCE, -SILENCE).astype(np.float32)


def _samples(spoken: Spoken, frames: np.ndarray[tuple[int], np.dtype[np.int64]]) -> Arrays:
    return {"mel": spoken.windows(frames), "mouth": np.array(spoken.mouths[frames])}


def _pages(count: int) -> list[slice]:
    return [slice(begin, min(count, begin + _SHEET_FRAMES)) for begin in range(0, count, _SHEET_FRAMES)][:_SHEET]


def _curves(true: F32Array, read: F32Array) -> U8Array:
    """Return both curves in one image, BGR: the truth grey, what was read blue."""
    page = np.full((_HEIGHT_PX, 4 * _SHEET_FRAMES, 3), 255, np.uint8)
    for values, colour in ((true, (150, 150, 150)), (read, (200, 90, 20))):
        y = _HEIGHT_PX - 10 - np.clip(values, -0.05, 1.05) * (_HEIGHT_PX - 20)
        points = np.stack([4 * np.arange(len(values)), y], axis=1)
        cv2.polylines(page, [np.rint(points).astype(np.int32)], False, colour, 1, cv2.LINE_AA)  # open
    return page
