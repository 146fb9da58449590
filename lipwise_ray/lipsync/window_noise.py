"""Noise that windows of frames begin with, where a network draws by diffusion."""

from __future__ import annotations

from hashlib import sha256
from typing import TYPE_CHECKING

import numpy as np

from lipwise_ray.values import F32Array

if TYPE_CHECKING:
    from torch import Tensor


class WindowNoise:
    """One noise for all windows, or one for each by its place in the output and its audio.

    Args:
        seed: Of both.
        shape: Of the latents of a frame, (channels, height, width).
        device: Where noise is wanted; it is drawn on the CPU, the same for whatever device.
        is_shared: All windows begin with one.
    """

    def __init__(self, seed: int, shape: tuple[int, int, int], device: str, *, is_shared: bool) -> None:
        self._seed = seed
        self._shape = shape
        self._device = device
        self._shared = self._of(seed) if is_shared else None

    def at(self, first: int, sounds: Tensor) -> Tensor:
        """Return the noise of a window, the same in all its frames.

        Args:
            first: The number in the output of its first frame.
            sounds: What its frames hear, shape (frames, columns, channels).

        Returns:
            Shape (frames, channels, height, width), float32.
        """
        noise = self._shared
        if noise is None:
            noise = self._of(window_seed(self._seed, first, sounds.cpu().numpy()))
        return noise.expand(len(sounds), -1, -1, -1)

    def _of(self, seed: int) -> Tensor:
        import torch

        return torch.randn((1, *self._shape), generator=torch.Generator().manual_seed(seed)).to(self._device)


def window_seed(seed: int, first: int, sounds: F32Array) -> int:
    """Return the seed of a window's own noise.

    Frames' numbers and audio decide it, not chunks; where a sentence is replaced, windows that do not hear it keep
    theirs.

    Args:
        seed: Of the job.
        first: The number in the output of the window's first frame.
        sounds: What its frames hear, shape (frames, columns, channels).

    Returns:
        In [0, 2**32): the generator takes no more bits.
    """
    digest = sha256(f"{seed} {first} ".encode())
    digest.update(np.ascontiguousarray(sounds, "<f4").tobytes())
    return int.from_bytes(digest.digest()[:4], "little")
