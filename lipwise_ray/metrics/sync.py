"""Agreement of lips and audio, by a lip-sync expert."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import torch

from lipwise_ray.lipsync.windows import CROP_RATE_HZ, WINDOW_COLUMNS, window
from lipwise_ray.nets.checkpoint import load_network
from lipwise_ray.nets.expert import FRAMES, LipSyncExpert
from lipwise_ray.nets.precision import exact_float32
from lipwise_ray.values import F32Array, F64Array, FloatArray, I64Array, U8Array

RATE_HZ = CROP_RATE_HZ

MOST_OFFSET_FRAMES = 15
"""Offsets beyond this are not looked for, as in SyncNet's protocol."""

_NEAR_OFFSET_FRAMES = 4
_MEL_COLUMNS_A_FRAME = 80 / RATE_HZ
_BATCH = 64


class SpeakerExpert:
    """A lip-sync expert applied to face crops of finished frames.

    Args:
        expert: The expert's checkpoint, of any width.
        device: ``cpu`` or ``cuda``.

    Raises:
        WeightsError: The file holds another network.
    """

    def __init__(self, expert: Path, device: str = "cpu") -> None:
        self._device = device
        self._network = load_network(LipSyncExpert, expert, "the lip-sync expert").eval().to(device)

    def distance(self, crops: Mapping[int, U8Array], mel: FloatArray) -> float | None:
        """Return the mean of 1 - cosine over all windows of 5 frames: near 0 in sync, about 1 out of it.

        Args:
            crops: BGR faces by frame number at 25 frames a second, shape (96, 96, 3).
            mel: Shape (columns, 80).

        Returns:
            None where no 5 frames with audio follow each other.
        """
        starts = [n for n in _starts(crops) if int(n * _MEL_COLUMNS_A_FRAME) + WINDOW_COLUMNS <= len(mel)]
        if not starts:
            return None
        mels = np.stack([window(mel, int(number * _MEL_COLUMNS_A_FRAME)) for number in starts])
        cosines = (self._faces(crops, starts) * self._sounds(mels)).sum(1)
        return float(1 - cosines.mean())

    def offset(self, crops: Mapping[int, U8Array], mel: FloatArray) -> int:
        """Return the delay of the audio in frames; negative where it comes early.

        Args:
            crops: As for `distance`.
            mel: The same.
        """
        starts = _starts(crops)
        if not starts:
            return 0
        first, last = starts[0] - MOST_OFFSET_FRAMES, starts[-1] + MOST_OFFSET_FRAMES
        mels = np.stack([window(mel, int(number * _MEL_COLUMNS_A_FRAME)) for number in range(first, last + 1)])
        faces, sounds = self._faces(crops, starts), self._sounds(mels)
        shifts = range(-MOST_OFFSET_FRAMES, MOST_OFFSET_FRAMES + 1)
        at = np.array(starts) - first
        return shifts[int(np.argmax([float((faces * sounds[at + shift]).sum(1).mean()) for shift in shifts]))]

    @property
    def offsets(self) -> int:
        """Number of the offsets that `agreement` looks at."""
        return 2 * _NEAR_OFFSET_FRAMES + 1

    def agreement(
        self, crops: Mapping[int, U8Array], mel: FloatArray, starts: list[int], columns: I64Array
    ) -> tuple[F64Array, int]:
        """Return the agreement of lips with an audio stream, as sums that can be added up.

        Args:
            crops: As for `distance`.
            mel: The same.
            starts: First frames of the windows to look at; those whose frames are not all there are left out.
            columns: The mel column at each frame.

        Returns:
            Sums of cosines over the windows, at each of `offsets` shifts of the audio around none; number of windows.
        """
        whole = [n for n in starts if all(n + k in crops for k in range(FRAMES))]
        if not whole:
            return np.zeros(self.offsets), 0
        faces = self._faces(crops, whole)
        shifts = range(-_NEAR_OFFSET_FRAMES, _NEAR_OFFSET_FRAMES + 1)
        at = sorted({int(columns[n] + round(shift * _MEL_COLUMNS_A_FRAME)) for n in whole for shift in shifts})
        sounds = dict(zip(at, self._sounds(np.stack([window(mel, column) for column in at])), strict=True))
        total = np.array(
            [
                sum(
                    float(face @ sounds[int(columns[n] + round(shift * _MEL_COLUMNS_A_FRAME))])
                    for n, face in zip(whole, faces, strict=True)
                )
                for shift in shifts
            ]
        )
        return total, len(whole)

    @exact_float32()
    @torch.no_grad()
    def _faces(self, crops: Mapping[int, U8Array], starts: list[int]) -> F32Array:
        embeddings: list[F32Array] = []
        for begin in range(0, len(starts), _BATCH):
            part = [[_lips(crops[number + k]) for k in range(FRAMES)] for number in starts[begin : begin + _BATCH]]
            embeddings.append(
                self._network.embed_face(stacked_lips(torch.tensor(np.array(part)).to(self._device))).cpu().numpy()
            )
        return np.concatenate(embeddings)

    @exact_float32()
    @torch.no_grad()
    def _sounds(self, mels: F32Array) -> F32Array:
        parts = [torch.from_numpy(mels[begin : begin + _BATCH]) for begin in range(0, len(mels), _BATCH)]
        return np.concatenate([self._network.embed_sound(p.unsqueeze(1).to(self._device)).cpu().numpy() for p in parts])


def stacked_lips(lips_u8: torch.Tensor) -> torch.Tensor:
    """Return (B, 5, H, W, 3) levels as the expert takes them, (B, 15, H, W) in [0, 1]."""
    return (lips_u8.movedim(-1, -3).float() / 255).flatten(1, 2)


def _lips(crop: U8Array) -> U8Array:
    return crop[crop.shape[0] // 2 :]


def _starts(crops: Mapping[int, U8Array]) -> list[int]:
    return [number for number in sorted(crops) if all(number + k in crops for k in range(FRAMES))]
