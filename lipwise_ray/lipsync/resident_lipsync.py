"""Lip-sync networks that torch computes, resident on one device."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import numpy as np

from lipwise_ray.media.planes import FaceImage
from lipwise_ray.values import F32Array

if TYPE_CHECKING:
    from torch import Tensor


class ResidentLipSync:
    """A lip-sync network that takes faces from this machine's memory or from its device, and leaves them there.

    Args:
        size_px: Side of the crops.
        batch_faces: Faces a call.
        device: ``cpu`` or ``cuda``.
        draw: Returns new faces of a batch, float32, of crops and what is heard, both on the device: BGR in [0, 1],
            shape (batch_faces, size_px, size_px, 3).
    """

    def __init__(self, size_px: int, batch_faces: int, device: str, draw: Callable[[Tensor, Tensor], Tensor]) -> None:
        import torch

        from lipwise_ray.lipsync.device_copies import DeviceCopies

        self.size_px = size_px
        self.batch_faces = batch_faces
        self._torch = torch
        self._device = device
        self._copies = DeviceCopies(torch.device(device))
        self._draw = draw

    def __call__(self, faces_bgr: F32Array, sounds: F32Array) -> F32Array:
        """Return the faces with new lips."""
        torch = self._torch
        with torch.inference_mode():
            faces = self._draw(torch.from_numpy(faces_bgr).to(self._device), torch.from_numpy(sounds).to(self._device))
            return np.ascontiguousarray(faces.cpu().numpy(), np.float32)

    def redrawn(self, faces: Sequence[FaceImage], sounds: F32Array) -> Sequence[FaceImage]:
        """Return the faces with new lips, on this network's device."""
        from lipwise_ray.lipsync.device_copies import device_images

        torch, spare = self._torch, self.batch_faces - len(faces)
        with self._copies.working():
            crops = torch.stack(self._copies.gathered(faces))
            padded = torch.nn.functional.pad(crops, (0, 0, 0, 0, 0, 0, 0, spare))
            made = self._draw(padded, self._copies.sent(np.pad(sounds, ((0, spare), (0, 0), (0, 0)))))
            return device_images(made[: len(faces)].contiguous())
