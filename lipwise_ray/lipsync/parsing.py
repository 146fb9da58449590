"""Keeps what hangs or is held in front of a face out of its mask."""

from __future__ import annotations

from functools import lru_cache, partial
from pathlib import Path
from typing import TYPE_CHECKING

import cv2
import numpy as np

from lipwise_ray.lipsync.align import TEMPLATE, TEMPLATE_PX, aligned_to_shown
from lipwise_ray.lipsync.compose import lower_face
from lipwise_ray.values import BoolArray, F32Array, U8Array

if TYPE_CHECKING:
    from lipwise_ray.nets.precision import Precision

_INSIDE = 0.8
_CHIN = 0.85  # below this share of the aligned face, background may be beside the jaw
_MARGIN_PX, _SOFT_PX = 9, 5


class FaceParser:
    """BiSeNet, resident on one device.

    Args:
        checkpoint: Its weights.
        device: ``cpu`` or ``cuda``.
        precision: Number format.
        batch_faces: Faces a call; calls always have this many.
        bfloat16: True where ``auto`` may be bfloat16; None asks the hardware.

    Raises:
        WeightsError: The file does not hold BiSeNet's tensors.
    """

    size_px = TEMPLATE_PX

    def __init__(
        self, checkpoint: Path, *, device: str, precision: Precision, batch_faces: int, bfloat16: bool | None = None
    ) -> None:
        import torch

        from lipwise_ray.nets.bisenet import BiSeNet
        from lipwise_ray.nets.checkpoint import load_into
        from lipwise_ray.nets.precision import choose_dtype, computing_in

        self._torch = torch
        self._device, self._dtype = device, choose_dtype(precision, device, bfloat16=bfloat16)
        self._computing = partial(computing_in, self._dtype)
        self.batch_faces = batch_faces
        network = BiSeNet()
        load_into(network, checkpoint, "the face parser")
        self._network = network.eval().to(device, self._dtype)

    def __call__(self, faces_bgr: F32Array) -> F32Array:
        """Return masks of the faces without what is in front of them.

        Args:
            faces_bgr: Aligned faces, (B, 512, 512, 3) in [0, 1].

        Returns:
            (B, 512, 512) in [0, 1]: 0 on hair, hats, glasses, and on what is no face in the middle of one.
        """
        torch = self._torch
        rgb = torch.from_numpy(np.ascontiguousarray(faces_bgr[..., ::-1])).to(self._device, self._dtype)
        with torch.inference_mode(), self._computing():
            classes = self._network(rgb.permute(0, 3, 1, 2)).argmax(1).to(torch.uint8).cpu().numpy()
        return np.stack([free_of_things(face) for face in classes])


def free_of_things(classes: U8Array) -> F32Array:
    """Return the mask of a face without the things in front of it, shape (512, 512) in [0, 1].

    Args:
        classes: BiSeNet's, shape (512, 512).
    """
    from lipwise_ray.nets.bisenet import BACKGROUND, GLASSES, HAIR, HAT

    things = np.isin(classes, (GLASSES, HAIR, HAT)) | (_inside() & (classes == BACKGROUND))
    wide = cv2.dilate(things.astype(np.float32), np.ones((_MARGIN_PX, _MARGIN_PX), np.uint8))
    return 1 - np.asarray(cv2.GaussianBlur(wide, (0, 0), _SOFT_PX), np.float32)


@lru_cache(maxsize=1)
def _inside() -> BoolArray:
    """Return the part of an aligned face that holds no background, shape (512, 512)."""
    points = TEMPLATE.astype(np.float32)
    inside = lower_face(points, aligned_to_shown(points, TEMPLATE_PX), TEMPLATE_PX) > _INSIDE
    inside[int(_CHIN * TEMPLATE_PX) :] = False
    return inside
