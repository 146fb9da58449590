"""Training the lip-sync expert."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from lipwise_ray.metrics.sync import stacked_lips
from lipwise_ray.nets.expert import LipSyncExpert
from lipwise_ray.nets.sizes import WAV2LIP_PX
from lipwise_ray.training.samples import expert_samples
from lipwise_ray.training.settings import TrainSettings
from lipwise_ray.training.sheets import grid
from lipwise_ray.training.task import Arrays, NetworkTask, Team, ValidationResult, generator_of
from lipwise_ray.training.visemes import varied_sound

_EVAL_SEED = 1 << 30
_SHEET = 8
_SURE = 0.5  # cosines above it say that lips and audio belong together


def cosine_loss(sound: Tensor, face: Tensor, in_sync: Tensor) -> Tensor:
    """Return the binary cross-entropy of the cosine. Source: Wav2Lip color_syncnet_train.py, cosine_loss.

    The embeddings come out of a ReLU, so that the cosine lies in [0, 1].

    Args:
        sound: Embeddings of audio, shape (B, D).
        face: Embeddings of lips, shape (B, D).
        in_sync: 1 for pairs that belong together, 0 for others, shape (B,).
    """
    cosine = functional.cosine_similarity(sound.float(), face.float()).clamp(0, 1)
    return functional.binary_cross_entropy(cosine, in_sync)


class ExpertTask(NetworkTask):
    """Audio and lips of one clip: do they belong together?"""

    def __init__(self, settings: TrainSettings, team: Team) -> None:
        super().__init__(settings, team, LipSyncExpert(settings.width))
        self._val = self._pack("val", WAV2LIP_PX)

    def open(self) -> None:
        """Open the clips to learn from."""
        self._train = self._pack("train", WAV2LIP_PX)

    def batch(self, step: int) -> Arrays:
        """Return a step's samples."""
        rng = generator_of(self._settings, step)
        count = self._settings.batch * self._team.size
        part, augment = self._team.share(count), self._settings.augment
        arrays = expert_samples(self._train, rng, count, part, augment=augment)
        if augment:
            arrays["mel"] = varied_sound(arrays["mel"], rng, count, part)
        return arrays

    def train(self, batch: Mapping[str, Tensor], step: int) -> dict[str, float | Tensor]:
        """Do one step."""
        loss, right = self._loss(self._joined, batch)
        self._stepper.step(loss, step)
        return {"loss": loss.detach(), "accuracy": right}

    def _loss(self, network: nn.Module, batch: Mapping[str, Tensor]) -> tuple[Tensor, Tensor]:
        with self._stepper.autocast():
            sound, face = network(batch["mel"].unsqueeze(1), stacked_lips(batch["lips"]))
        loss = cosine_loss(sound, face, batch["in_sync"])
        cosine = functional.cosine_similarity(sound.detach().float(), face.detach().float())
        right = ((cosine > _SURE) == batch["in_sync"].bool()).float().mean()
        return loss, right

    @torch.no_grad()
    def evaluate(self) -> ValidationResult:
        """Return loss and accuracy on the validation clips."""
        self.network.eval()
        losses, rights = list[float](), list[float]()
        batch: Arrays = {}
        for number in range(self._settings.eval_batches):
            rng = np.random.default_rng([_EVAL_SEED, number])
            batch = expert_samples(self._val, rng, self._settings.batch, slice(None))
            loss, right = self._loss(self.network, self._tensors(batch))
            losses.append(float(loss))
            rights.append(float(right))
        self.train_mode()
        metrics = {"loss": float(np.mean(losses)), "accuracy": float(np.mean(rights))}
        strips = [np.concatenate(list(lips), axis=1) for lips in batch["lips"][:_SHEET]]
        titles = ["in sync" if value else "out of sync" for value in batch["in_sync"][:_SHEET]]
        return ValidationResult(metrics, metrics["loss"], grid([[strip] for strip in strips], titles))
