"""The bundled small detector, as a detector of the pipeline."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, cast

import cv2
import numpy as np

from lipwise_ray.faces.detections import LANDMARKS, DetectedFaces
from lipwise_ray.values import F32Array, U8Array

if TYPE_CHECKING:
    from torch import Tensor

LONGER_SIDE_PX = 384
"""Images are searched at this size: the one that the network was trained on."""

_MULTIPLE = 32
_NMS_IOU = 0.4


class TinyDetector:
    """The `tiny` detector: trained on drawn faces, for drawn faces.

    Args:
        weights: Its checkpoint.
        min_score: Detections below this score are dropped.
        device: ``cpu`` or ``cuda``.

    Raises:
        WeightsError: The file holds another network.
    """

    together = True

    def __init__(self, weights: Path, *, min_score: float, device: str) -> None:
        import torch

        from lipwise_ray.nets.checkpoint import load_into
        from lipwise_ray.nets.layers import fold_batch_norms
        from lipwise_ray.nets.tiny_detector import TinyDetectorNetwork

        self._torch = torch
        self._device = device
        self._min_score = min_score
        network = TinyDetectorNetwork()
        load_into(network, weights, "the tiny detector")
        fold_batch_norms(network.eval())
        self._network = network.to(device, memory_format=torch.channels_last)  # type: ignore[call-overload]  # missing in the stub

    def detect(self, images_bgr: Sequence[U8Array]) -> list[DetectedFaces]:
        """Return the faces of each image."""
        if not images_bgr:
            return []
        fitted = [fit(image) for image in images_bgr]
        from lipwise_ray.nets.torch_threads import on_one_thread

        batch = self._torch.from_numpy(np.stack([padded for padded, _ in fitted])).to(self._device)
        with on_one_thread(), self._torch.inference_mode():
            grids = self._network(batch.permute(0, 3, 1, 2).float() / 255).float()
        return [
            decode(grid, self._min_score).scaled(1 / scale, 1 / scale)
            for grid, (_, scale) in zip(grids, fitted, strict=True)
        ]


def fit(image_bgr: U8Array) -> tuple[U8Array, float]:
    """Return an image at the size that the network searches, padded, and by how much it was scaled."""
    height, width = image_bgr.shape[:2]
    scale = min(1.0, LONGER_SIDE_PX / max(height, width))
    size = (max(1, round(width * scale)), max(1, round(height * scale)))
    small = cv2.resize(image_bgr, size, interpolation=cv2.INTER_AREA) if scale < 1 else image_bgr
    pad_y, pad_x = -small.shape[0] % _MULTIPLE, -small.shape[1] % _MULTIPLE
    padded = cv2.copyMakeBorder(small, 0, pad_y, 0, pad_x, cv2.BORDER_CONSTANT, value=(114, 114, 114))
    return cast("U8Array", padded), scale


def decode(grid: Tensor, min_score: float) -> DetectedFaces:
    """Return the faces in a network's grid, in pixels of its input.

    Args:
        grid: (15, rows, columns).
        min_score: Cells below it are empty.
    """
    from lipwise_ray.nets.tiny_detector import STRIDE, cell_middles

    # The focal loss leaves sure cells at 0.5 to 0.8; the root puts them where other detectors' scores are.
    score = grid[0].sigmoid().sqrt()
    rows, columns = (score >= min_score).nonzero(as_tuple=True)
    if not len(rows):
        return DetectedFaces.empty()
    middle = cell_middles(*score.shape).to(grid.device)[:, rows, columns]
    values = grid[1:, rows, columns]
    box = STRIDE * np.concatenate([_numpy(middle - values[0:2]), _numpy(middle + values[2:4])]).T
    landmarks = STRIDE * _numpy(values[4:].reshape(LANDMARKS, 2, -1) + middle).transpose(2, 0, 1)
    scores = _numpy(score[rows, columns])
    corner_and_size = np.concatenate([box[:, :2], box[:, 2:] - box[:, :2]], axis=1)
    kept = np.asarray(cv2.dnn.NMSBoxes(corner_and_size.tolist(), scores.tolist(), min_score, _NMS_IOU), np.int64)
    return DetectedFaces(box[kept], np.ascontiguousarray(landmarks[kept]), scores[kept])


def _numpy(values: Tensor) -> F32Array:
    return np.ascontiguousarray(values.cpu().numpy(), np.float32)
