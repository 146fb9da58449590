"""Training the generator: reconstruction, sync by a frozen expert, and a discriminator."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from lipwise_ray.errors import InputError, WeightsError
from lipwise_ray.nets.checkpoint import load_network
from lipwise_ray.nets.expert import FRAMES, LipSyncExpert
from lipwise_ray.nets.mouth_reader import MouthReader
from lipwise_ray.nets.quality_disc import VisualQualityDisc
from lipwise_ray.nets.sizes import WAV2LIP_PX
from lipwise_ray.nets.wav2lip import Wav2Lip
from lipwise_ray.training.first_weights import begin_with
from lipwise_ray.training.networks import DISC
from lipwise_ray.training.samples import generator_samples
from lipwise_ray.training.settings import TrainSettings
from lipwise_ray.training.sheets import grid
from lipwise_ray.training.task import (
    Arrays,
    NetworkTask,
    Stepper,
    Team,
    ValidationResult,
    generator_of,
    placed,
    to_levels,
    to_network,
)

_EVAL_SEED = 1 << 30
_SHEET = 6
_HALF = WAV2LIP_PX // 2
_LEAST_SQUARE = 1e-10
_SSIM_PX, _SSIM_LIGHT, _SSIM_CONTRAST = 7, 0.01**2, 0.03**2


def network_input(target: Tensor, reference: Tensor) -> Tensor:
    """Return the generator's six channels: the target without its lower half, then the reference.

    Args:
        target: Faces (N, 3, 96, 96) to draw.
        reference: Other faces of the same people, of the same shape.
    """
    masked = target.clone()
    masked[:, :, _HALF:] = 0
    return torch.cat((masked, reference), dim=1)


def sync_loss(expert: nn.Module, mel: Tensor, faces: Tensor) -> Tensor:
    """Return the expert's loss on the faces.

    Args:
        expert: Frozen.
        mel: (B, 1, 80, 16).
        faces: (B * 5, 3, 96, 96), a window's frames one after the other.

    Source: Wav2Lip wav2lip_train.py, get_sync_loss.
    """
    lips = faces[:, :, _HALF:].unflatten(0, (-1, FRAMES)).flatten(1, 2)
    sound, face = expert(mel, lips)
    cosine = functional.cosine_similarity(sound.float(), face.float()).clamp(1e-6, 1)
    return -cosine.log().mean()


def edge_loss(apart: Tensor, counts: Tensor | float) -> Tensor:
    """Return the L1 loss of neighbouring pixels' differences, where faces (N, 3, 96, 96) are `apart`.

    Args:
        apart: Differences of drawn and true faces, shape (N, 3, 96, 96).
        counts: Weights of the pixels, shape (N, 1, 96, 96), or one for all.
    """
    inner = counts[:, :, 1:, 1:] if isinstance(counts, Tensor) else counts
    down, across = apart.diff(dim=2)[:, :, :, 1:], apart.diff(dim=3)[:, :, 1:]
    return ((down.abs() + across.abs()) * inner).mean()


def structure_loss(drawn: Tensor, target: Tensor, counts: Tensor | float) -> Tensor:
    """Return 1 - SSIM of faces (N, 3, 96, 96) in [0, 1], over windows of 7 x 7 pixels.

    Args:
        drawn: Drawn faces.
        target: True ones.
        counts: Weights of the pixels, shape (N, 1, 96, 96), or one for all.

    Source: Wang et al. 2004, with uniform windows, as scikit-image has them by default.
    """
    pairs = torch.cat((drawn, target, drawn * drawn, target * target, drawn * target), dim=1)
    means = functional.avg_pool2d(pairs, _SSIM_PX, stride=1)
    mean_d, mean_t, square_d, square_t, product = means.chunk(5, dim=1)
    both, apart = mean_d * mean_t, mean_d * mean_d + mean_t * mean_t
    ssim = (2 * both + _SSIM_LIGHT) * (2 * (product - both) + _SSIM_CONTRAST)
    ssim = ssim / ((apart + _SSIM_LIGHT) * (square_d + square_t - apart + _SSIM_CONTRAST))
    inner = functional.avg_pool2d(counts, _SSIM_PX, stride=1) if isinstance(counts, Tensor) else counts
    return ((1 - ssim) * inner).mean()


def psnr(drawn: Tensor, target: Tensor) -> float:
    """Return the mean peak signal-to-noise ratio of faces (N, 3, 96, 96) in [0, 1], in dB; at most 100 for each.

    Args:
        drawn: Drawn faces.
        target: True ones.
    """
    squares = (drawn - target).square().mean(dim=(1, 2, 3)).clamp(min=_LEAST_SQUARE)
    return float((-10 * squares.log10()).mean())


class GeneratorTask(NetworkTask):
    """Draw the lower half of a face from its audio, its upper half and another frame."""

    def __init__(self, settings: TrainSettings, team: Team) -> None:
        network = Wav2Lip(settings.width)
        self._sound_encoder = network.audio_encoder.requires_grad_(not settings.sound)
        super().__init__(settings, team, network)
        self._val = self._pack("val", WAV2LIP_PX)
        self.state["sync_on"] = False
        self._expert: nn.Module | None = None
        if settings.expert:
            self._expert = placed(load_network(LipSyncExpert, Path(settings.expert), "the lip-sync expert"), team)
            self._expert.requires_grad_(requires_grad=False).eval()
        self._disc: nn.Module | None = None
        if settings.disc_weight:
            self._disc = placed(VisualQualityDisc(settings.disc_width), team)
            self._joined_disc = team.joined(self._disc)
            self._disc_stepper = Stepper(settings, self._disc, team.device)
            stepper = self._disc_stepper
            self.parts |= {DISC: self._disc, "disc_optimizer": stepper.optimizer, "disc_scaler": stepper.scaler}

    def open(self) -> None:
        """Open the clips to learn from.

        Raises:
            InputError: They have no takes, and are to be drawn from takes.
        """
        self._train = self._pack("train", WAV2LIP_PX)
        if self._settings.take_share and not any(self._train.takes):
            raise InputError(
                "no_takes",
                str(Path(self._settings.data) / "train.txt"),
                got="no clips in takes, which take_share is for",
                do="Make the corpus with --takes 2, or leave take_share out",
            )

    def begin(self) -> list[str]:
        """Take the first weights; the half that listens from a mouth reader where there is one."""
        settings = self._settings
        lines = super().begin()
        if settings.disc_init and self._disc is not None:
            stepper = self._disc_stepper
            lines.append(begin_with(self._disc, stepper.optimizer, Path(settings.disc_init), DISC, settings))
        if settings.sound:
            self._take_sound_encoder()
        return lines

    def _take_sound_encoder(self) -> None:
        reader = load_network(MouthReader, Path(self._settings.sound), "the mouth reader")
        mine, its = self._sound_encoder.state_dict(), reader.audio_encoder.state_dict()
        if any(value.shape != its[key].shape for key, value in mine.items()):
            raise WeightsError(
                "other_width",
                self._settings.sound,
                got="of another width than the generator",
                must=f"that one has width {self._settings.width:g}",
                do="Train the visemes with the generator's width",
            )
        self._sound_encoder.load_state_dict(its)

    def train_mode(self) -> None:
        """Make the network ready for steps; what came from a mouth reader stays as it is."""
        super().train_mode()
        if self._settings.sound:
            self._sound_encoder.eval()

    def batch(self, step: int) -> Arrays:
        """Return a step's samples."""
        settings = self._settings
        count = settings.batch * self._team.size
        return generator_samples(
            self._train,
            generator_of(settings, step),
            count,
            self._team.share(count),
            window=settings.window_frames,
            lead_frames=settings.lead_frames,
            take_share=settings.take_share,
            same_share=settings.same_share,
        )

    def train(self, batch: Mapping[str, Tensor], step: int) -> dict[str, float | Tensor]:
        """Do one step, of the discriminator too where there is one."""
        settings = self._settings
        target, reference = (to_network(batch[name].flatten(0, 1)) for name in ("target", "reference"))
        with self._stepper.autocast():
            drawn = self._draw(self._joined, target, reference, batch["mels"])
            apart, counts = drawn.float() - target, self._counts(target, reference)
            losses = {"l1": (apart.abs() * counts).mean()}
            use_disc = self._disc is not None and step >= settings.disc_after
            if self._expert is not None and self.state["sync_on"]:
                losses["sync"] = sync_loss(self._expert, batch["mel"].unsqueeze(1), drawn)
            judged = self._joined_disc(_clip(drawn)) if use_disc else None
        if judged is not None:
            losses["perceptual"] = _towards(judged, 1.0)
        weights = {"sync": settings.sync_weight, "perceptual": settings.disc_weight}
        used = {name: weights[name] for name in losses if name != "l1"}
        total = (1 - sum(used.values())) * losses["l1"]
        for name, weight in used.items():
            total = total + weight * losses[name]
        if settings.edge_weight:
            losses["edges"] = edge_loss(apart, counts)
            total = total + settings.edge_weight * losses["edges"]
        if settings.structure_weight:
            losses["structure"] = structure_loss(drawn.float(), target, counts)
            total = total + settings.structure_weight * losses["structure"]
        self._stepper.step(total, step)
        if use_disc:
            losses["disc"] = self._train_disc(target, drawn.detach(), step)
        return {"loss": total.detach(), **{name: value.detach() for name, value in losses.items()}}

    def _counts(self, target: Tensor, reference: Tensor) -> Tensor | float:
        """Return the weight of each pixel, 1 on average, shape (N, 1, 96, 96)."""
        lower, change = self._settings.lower_weight, self._settings.change_weight
        if lower == 1 and not change:
            return 1.0
        counts = 1 + change * (target - reference).abs().mean(dim=1, keepdim=True)
        counts[:, :, _HALF:] *= lower
        return counts / counts.mean()

    def _draw(self, network: nn.Module, target: Tensor, reference: Tensor, mels: Tensor) -> Tensor:
        faces = network_input(target, reference).contiguous(memory_format=torch.channels_last)
        return network(mels.flatten(0, 1).unsqueeze(1), faces)

    def _train_disc(self, real: Tensor, drawn: Tensor, step: int) -> Tensor:
        with self._disc_stepper.autocast():
            told_real, told_drawn = self._joined_disc(_clip(torch.cat((real, drawn.float())))).chunk(2)
        loss = _towards(told_real, 1.0) + _towards(told_drawn, 0.0)
        self._disc_stepper.step(loss, step)
        return loss

    @torch.no_grad()
    def evaluate(self) -> ValidationResult:
        """Return L1, that of copying the reference, PSNR, SSIM; the sync loss before, after and for the true lips."""
        settings = self._settings
        self.network.eval()
        numbers: list[list[float]] = []
        rows: list[list[Any]] = []
        for number in range(settings.eval_batches):
            rng = np.random.default_rng([_EVAL_SEED, number])
            arrays = generator_samples(
                self._val,
                rng,
                settings.batch,
                slice(None),
                window=FRAMES,
                lead_frames=settings.lead_frames,
                take_share=settings.take_share,
            )
            batch = self._tensors(arrays)
            target, reference = (to_network(batch[name].flatten(0, 1)) for name in ("target", "reference"))
            with self._stepper.autocast():
                drawn = self._draw(self.network, target, reference, batch["mels"]).float()
                errors = [float(functional.l1_loss(drawn, target)), float(functional.l1_loss(reference, target))]
                exact = drawn.double(), target.double()  # SSIM takes differences of squares
                errors += [psnr(*exact), float(1 - structure_loss(*exact, 1.0))]
                if self._expert is not None:
                    mel = batch["mel"].unsqueeze(1)
                    errors += [float(sync_loss(self._expert, mel, faces)) for faces in (drawn, reference, target)]
            numbers.append(errors)
            rows = [
                list(images)
                for images in zip(*(to_levels(x)[::FRAMES][:_SHEET] for x in (reference, target, drawn)), strict=True)
            ]
        self.train_mode()
        names = ("l1", "l1_of_copying", "psnr", "ssim", "sync", "sync_of_other_lips", "sync_of_true_lips")
        metrics: dict[str, float] = dict(zip(names, np.mean(numbers, axis=0).tolist(), strict=False))
        score = metrics["l1"] + settings.sync_weight * metrics.get("sync", 0.0)
        return ValidationResult(metrics, score, grid(rows, ["other frame, target, drawn"] * len(rows)))

    def react(self, metrics: dict[str, float]) -> None:
        """Switch the sync loss on once its value is below the setting's, and leave it on."""
        if metrics.get("sync", float("inf")) < self._settings.sync_below:
            self.state["sync_on"] = self._settings.sync_weight > 0


def _clip(faces: Tensor) -> Tensor:
    """Return frames as the discriminator takes them, (N, 3, 1, 96, 96)."""
    return faces.unsqueeze(2)


def _towards(probability: Tensor, label: float) -> Tensor:
    """Return the binary cross-entropy; outside autocast, which refuses it."""
    judged = probability.float()
    return functional.binary_cross_entropy(judged, torch.full_like(judged, label))
