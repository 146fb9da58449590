"""By how many frames a clip's sound is off its lips, measured by an expert."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import torch

from lipwise_ray.lipsync.mel import mel_spectrogram
from lipwise_ray.lipsync.windows import window
from lipwise_ray.nets.checkpoint import load_network
from lipwise_ray.nets.expert import FRAMES, LipSyncExpert
from lipwise_ray.nets.wav2lip import SIZE_PX
from lipwise_ray.training.dataset import AUDIO, RATE_HZ
from lipwise_ray.training.expert import stacked
from lipwise_ray.training.pack import read_wave
from lipwise_ray.values import F32Array, U8Array

MOST_FRAMES = 15
"""Offsets beyond this are not looked for, as in SyncNet's protocol."""

_MEL_COLUMNS_A_FRAME = 80 / RATE_HZ
_BATCH = 64


class OffsetMeter:
    """Compares lips with the sound before and after them.

    Args:
        expert: The expert's checkpoint.
        device: ``cpu`` or ``cuda``.

    Raises:
        WeightsError: The file holds another network.
    """

    def __init__(self, expert: Path, device: str = "cpu") -> None:
        self._device = device
        self._network = load_network(LipSyncExpert, expert, "the lip-sync expert").eval().to(device)

    def measure(self, folder: Path, numbers: tuple[int, ...]) -> int:
        """Return by how many frames the sound comes late; negative where it comes early.

        Args:
            folder: A prepared clip.
            numbers: Its frames.
        """
        mel = np.ascontiguousarray(mel_spectrogram(read_wave(folder / AUDIO)).T)
        crops = {number: _crop(folder / f"{number}.jpg") for number in numbers}
        starts = [number for number in numbers if all(number + k in crops for k in range(FRAMES))]
        if not starts:
            return 0
        lips = np.stack([[crops[number + k][SIZE_PX // 2 :] for k in range(FRAMES)] for number in starts])
        first, last = starts[0] - MOST_FRAMES, starts[-1] + MOST_FRAMES
        mels = np.stack([window(mel, int(number * _MEL_COLUMNS_A_FRAME)) for number in range(first, last + 1)])
        faces, sounds = self._embed(lips, mels)
        shifts = range(-MOST_FRAMES, MOST_FRAMES + 1)
        at = np.array(starts) - first
        cosines = [float((faces * sounds[at + shift]).sum(1).mean()) for shift in shifts]
        return shifts[int(np.argmax(cosines))]

    @torch.no_grad()
    def _embed(self, lips: U8Array, mels: F32Array) -> tuple[F32Array, F32Array]:
        faces, sounds = list[F32Array](), list[F32Array]()
        blank_mel = torch.zeros(1, 1, *mels.shape[1:], device=self._device)
        blank_lips = torch.zeros(1, 3 * FRAMES, SIZE_PX // 2, SIZE_PX, device=self._device)
        for start in range(0, len(lips), _BATCH):
            part = stacked(torch.from_numpy(lips[start : start + _BATCH]).to(self._device))
            faces.append(self._network(blank_mel, part)[1].cpu().numpy())
        for start in range(0, len(mels), _BATCH):
            part = torch.from_numpy(mels[start : start + _BATCH]).unsqueeze(1).to(self._device)
            sounds.append(self._network(part, blank_lips)[0].cpu().numpy())
        return np.concatenate(faces), np.concatenate(sounds)


def _crop(path: Path) -> U8Array:
    return np.asarray(cv2.resize(np.asarray(cv2.imread(str(path))), (SIZE_PX, SIZE_PX)), np.uint8)
