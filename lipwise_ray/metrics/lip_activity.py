"""Active speaker detection by LR-ASD: scores of faces whose lips move as in speech."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import torch
from scipy.ndimage import median_filter

from lipwise_ray.metrics.mfcc import mfcc
from lipwise_ray.nets.checkpoint import load_into
from lipwise_ray.nets.lr_asd import COLUMNS_A_FRAME, REACH_FRAMES, LrAsd
from lipwise_ray.nets.precision import exact_float32
from lipwise_ray.values import F32Array, F64Array, FloatArray, U8Array

BLOCK_FRAMES = 25
"""Frames of 1/25 s that are scored together; blocks lie on the video's own grid, wherever it is cut."""

CONTEXT_FRAMES = 25
"""Frames before and after a block that are scored with it: the network goes by what comes before and after."""

MARGIN_FRAMES = CONTEXT_FRAMES + REACH_FRAMES
"""Frames before and after a block on which its scores depend."""

_MEDIAN_FRAMES = 13
_BESIDE, _ABOVE, _BELOW = 0.7, 0.3, 1.1
"""Of half the box's longer side, from its centre: the middle of the published crop, mouth and chin."""

_PIECE_FRAMES = 100


class LipActivity:
    """The network, applied to the faces of a video at 25 frames a second.

    It sees whether lips move as in speech, not whether they fit this audio: audio that is ten frames late changes
    nothing. So it is asked only where somebody is heard.

    Args:
        weights: Its checkpoint.
        device: ``cpu`` or ``cuda``.

    Raises:
        WeightsError: The file is no such network.
    """

    def __init__(self, weights: Path, device: str = "cpu") -> None:
        network = LrAsd()
        load_into(network, weights, "LR-ASD")
        self._network = network.eval().to(device)
        self._device = device

    @exact_float32()
    @torch.no_grad()
    def scores(
        self,
        mouths: U8Array,
        cepstra: FloatArray,
        first: int,
        blocks: range,
        on_piece: Callable[[], None] = lambda: None,
    ) -> dict[int, float]:
        """Return logits of a face by frame, above 0 where its lips move as in speech.

        Args:
            mouths: Consecutive frames of `mouth_boxes`, gray, shape (T, 112, 112): those of some blocks, with
                `MARGIN_FRAMES` before and after as far as the face is there.
            cepstra: Shape (4 T, 13), of `cepstra_at`.
            first: Number of the first frame.
            blocks: Numbers of the blocks.
            on_piece: Called every few seconds of work.
        """
        faces, audio = self._features(mouths, cepstra, on_piece)
        found: dict[int, float] = {}
        for block in blocks:
            begin = block * BLOCK_FRAMES - first
            low, high = max(0, begin - CONTEXT_FRAMES), min(len(mouths), begin + BLOCK_FRAMES + CONTEXT_FRAMES)
            wanted = range(max(0, begin), min(len(mouths), begin + BLOCK_FRAMES))
            if not wanted:
                continue
            logits = self._network.score(faces[None, low:high], audio[None, low:high])[0].cpu().numpy()
            found |= {first + n: float(logits[n - low]) for n in wanted}
        return found

    def _features(
        self, mouths: U8Array, cepstra: FloatArray, on_piece: Callable[[], None]
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Return the features of a face and of audio, shape (T, 128): piece by piece, each with what it depends on."""
        faces: list[torch.Tensor] = []
        audio: list[torch.Tensor] = []
        for start in range(0, len(mouths), _PIECE_FRAMES):
            stop = min(len(mouths), start + _PIECE_FRAMES)
            low, high = max(0, start - REACH_FRAMES), min(len(mouths), stop + REACH_FRAMES)
            seen = torch.from_numpy(mouths[low:high]).to(self._device).float()
            heard = np.ascontiguousarray(cepstra[low * COLUMNS_A_FRAME : high * COLUMNS_A_FRAME], np.float32)
            faces.append(self._network.embed_faces(seen[None])[0, start - low : stop - low])
            heard_at = self._network.embed_audio(torch.from_numpy(heard).to(self._device)[None])
            audio.append(heard_at[0, start - low : stop - low])
            on_piece()
        return torch.cat(faces), torch.cat(audio)


def mouth_boxes(boxes: F32Array) -> F64Array:
    """Return the crops that the network sees in consecutive frames of a track: left, top, right, bottom, shape (N, 4).

    Args:
        boxes: Of the face, shape (N, 4).
    """
    width, height = (boxes[:, 2:] - boxes[:, :2]).astype(np.float64).T
    columns = np.stack(
        [(boxes[:, 0] + boxes[:, 2]) / 2, (boxes[:, 1] + boxes[:, 3]) / 2, np.maximum(width, height) / 2]
    )
    x, y, half = median_filter(columns.astype(np.float64), size=(1, _MEDIAN_FRAMES), mode="nearest")
    return np.stack([x - _BESIDE * half, y - _ABOVE * half, x + _BESIDE * half, y + _BELOW * half], axis=1)


def mouth_of(crop_bgr: F32Array) -> U8Array:
    """Return a crop of (112, 112, 3) in [0, 1] as the network sees it, gray, shape (112, 112)."""
    return np.rint(cv2.cvtColor(crop_bgr, cv2.COLOR_BGR2GRAY) * 255).astype(np.uint8)


def cepstra_at(cepstra: FloatArray, first: int, frames: int, lead_s: float) -> F32Array:
    """Return the cepstra of some frames, shape (4 * frames, 13); before and after the audio there is silence.

    Args:
        cepstra: Of the whole audio, shape (columns, 13).
        first: Number of the first frame.
        frames: How many.
        lead_s: How much later than the audio the video's first frame is shown.
    """
    start = first * COLUMNS_A_FRAME + round(lead_s * BLOCK_FRAMES * COLUMNS_A_FRAME)
    columns = np.arange(start, start + frames * COLUMNS_A_FRAME)
    inside = (columns >= 0) & (columns < len(cepstra))
    found = np.repeat(mfcc(np.zeros(1, np.float32)), len(columns), axis=0)
    found[inside] = cepstra[columns[inside]]
    return found
