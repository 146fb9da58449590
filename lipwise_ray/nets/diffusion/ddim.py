"""Steps by which noise becomes an image's latents: implicit diffusion, without noise between the steps."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

if TYPE_CHECKING:
    from torch import Tensor

# Source: LatentSync configs/scheduler_config.json.
_TRAINED_STEPS = 1000
_FIRST_BETA, _LAST_BETA = 0.00085, 0.012
_STEPS_OFFSET = 1


class ImplicitSchedule:
    """Steps from the noisiest on, and the way from each to the next.

    Args:
        steps: How many, 1 to 500: more would begin past the last of those in training, or repeat some.

    Source: Song et al., "Denoising Diffusion Implicit Models" (2021), with eta 0; steps are those of `DDIMScheduler` in
    diffusers by LatentSync's configuration: scaled linear betas, leading spacing, alphas that end at the first one.
    """

    def __init__(self, steps: int) -> None:
        betas = torch.linspace(_FIRST_BETA**0.5, _LAST_BETA**0.5, _TRAINED_STEPS, dtype=torch.float32) ** 2
        kept = torch.cumprod(1 - betas, dim=0)
        distance = _TRAINED_STEPS // steps
        self.steps = [distance * number + _STEPS_OFFSET for number in range(steps)][::-1]
        """Numbers of the steps in training."""

        after = [step - distance for step in self.steps]
        self._shares = [
            (float(kept[one]), float(kept[max(0, other)])) for one, other in zip(self.steps, after, strict=True)
        ]

    def followed(self, number: int, latents: Tensor, noise: Tensor) -> Tensor:
        """Return the latents after a step.

        Args:
            number: Place of the step among `steps`.
            latents: Those before it.
            noise: Noise that the network finds in them, of the same shape.
        """
        before, after = self._shares[number]
        clean = (latents - (1 - before) ** 0.5 * noise) / before**0.5
        return after**0.5 * clean + (1 - after) ** 0.5 * noise
