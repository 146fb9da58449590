"""MobileFaceNet in the role of a network that tells people apart."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from lipwise_ray.faces.embedder import SIDE_PX
from lipwise_ray.values import F32Array, U8Array


class MobileFaces:
    """The `mobilefacenet` network.

    Args:
        weights: Its checkpoint.
        device: ``cpu`` or ``cuda``.

    Raises:
        WeightsError: The file is no such network.
    """

    same = 0.45
    """Measured between real faces: one person's means have 0.7 and more, two people's up to 0.28."""

    def __init__(self, weights: Path, *, device: str = "cpu") -> None:
        import torch

        from lipwise_ray.nets.checkpoint import load_into
        from lipwise_ray.nets.mobilefacenet import VALUES, WIDTH, MobileFaceNet

        self.values, self._edge = VALUES, (SIDE_PX - WIDTH) // 2
        network = MobileFaceNet()
        load_into(network, weights, "mobilefacenet")
        self._torch, self._device = torch, device
        self._network = network.eval().to(device)

    def __call__(self, face_bgr: U8Array) -> F32Array:
        """Return the embedding of an aligned face, of length 1, shape (128,)."""
        face = face_bgr[:, self._edge : -self._edge, ::-1].astype(np.float32)  # the middle, as this network's template
        image = self._torch.from_numpy(np.ascontiguousarray(((face - 127.5) / 128).transpose(2, 0, 1)))
        with self._torch.inference_mode():
            found = self._network(image[None].to(self._device))[0].float().cpu().numpy()
        return np.asarray(found / max(float(np.linalg.norm(found)), 1e-6), np.float32)
