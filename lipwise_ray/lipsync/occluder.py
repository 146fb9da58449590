"""Networks that tell a face from what is in front of it, pixel by pixel, through ONNX Runtime."""

from __future__ import annotations

from pathlib import Path
from typing import Protocol

import cv2
import numpy as np

from lipwise_ray.errors import WeightsError
from lipwise_ray.nets.checkpoint import refuse_non_weights
from lipwise_ray.nets.onnx_session import blamed_on_network, open_session
from lipwise_ray.values import F32Array

_FLOAT = "tensor(float)"
_SOFT, _CERTAIN = 5 / 256, 0.5  # Source: FaceFusion's face_masker.py


class FaceMasker(Protocol):
    """Tells the faces in aligned images from the rest.

    Attributes:
        size_px: Side of the images that it takes.
        batch_faces: Faces a call.
    """

    size_px: int
    batch_faces: int

    def __call__(self, faces_bgr: F32Array) -> F32Array:
        """Return masks of the faces without what is in front of them, (B, S, S) in [0, 1].

        Args:
            faces_bgr: Aligned faces, (B, S, S, 3) in [0, 1].
        """
        ...


class Occluder:
    """A network of XSeg's layout: it takes (N, S, S, 3) BGR in [0, 1] and gives (N, S, S, 1), 1 on a face.

    Args:
        weights: The ONNX file.
        threads: Threads that it may use.
        batch_faces: Faces a call.
        device: ``cpu`` or ``cuda``.

    Raises:
        WeightsError: The file is no such network.
    """

    def __init__(self, weights: Path, *, threads: int = 1, batch_faces: int = 1, device: str = "cpu") -> None:
        refuse_non_weights(weights)
        self.batch_faces = batch_faces
        self._session = open_session(weights, threads=threads, device=device)
        inputs, outputs = self._session.get_inputs(), self._session.get_outputs()
        shape = list(inputs[0].shape)
        if len(inputs) != 1 or not _is_square_bgr(shape) or inputs[0].type != _FLOAT:
            raise _no_occluder(
                weights, f"a network that takes {', '.join(f'{one.shape} {one.type}' for one in inputs)}"
            )
        self.size_px = int(shape[1])
        self._input, self._output = inputs[0].name, outputs[0].name
        self._most = shape[0] if isinstance(shape[0], int) and shape[0] > 0 else batch_faces
        with blamed_on_network(
            lambda error: _no_occluder(weights, f"a network that does not run: {str(error).splitlines()[0]}")
        ):
            mask = self._run(np.zeros((self._most, self.size_px, self.size_px, 3), np.float32))
        if mask.shape != (self._most, self.size_px, self.size_px, 1):
            raise _no_occluder(weights, f"a network that gives {mask.shape}")
        if not np.isfinite(mask).all():
            raise _no_occluder(weights, "a network that gives numbers that are not finite")

    def __call__(self, faces_bgr: F32Array) -> F32Array:
        """Return masks of the faces without what is in front of them, (B, S, S) in [0, 1].

        Args:
            faces_bgr: Aligned faces, (B, S, S, 3) in [0, 1].
        """
        count, most = len(faces_bgr), self._most
        padded = np.zeros((-(-count // most) * most, *faces_bgr.shape[1:]), np.float32)
        padded[:count] = faces_bgr
        masks = [self._run(padded[first : first + most])[..., 0] for first in range(0, len(padded), most)]
        return np.stack([_certain(mask) for mask in np.concatenate(masks)[:count]])

    def _run(self, faces_bgr: F32Array) -> F32Array:
        (mask,) = self._session.run([self._output], {self._input: faces_bgr})
        return np.asarray(mask, np.float32)


def _certain(mask: F32Array) -> F32Array:
    """Return a mask with soft edges that lie on the face."""
    soft = cv2.GaussianBlur(np.clip(mask, 0, 1), (0, 0), _SOFT * len(mask))
    return np.asarray(np.clip((soft - _CERTAIN) / (1 - _CERTAIN), 0, 1), np.float32)


def _is_square_bgr(shape: list[int | str | None]) -> bool:
    side = shape[1] if len(shape) > 1 else None
    return isinstance(side, int) and side > 0 and shape[1:] == [side, side, 3]


def _no_occluder(weights: Path, got: str) -> WeightsError:
    return WeightsError(
        "not_occluder",
        str(weights),
        got=got,
        must="one of XSeg's layout is needed, N x S x S x 3 numbers to N x S x S x 1",
        do="Use one of the registry: `lipwise-ray models pull xseg_1`",
    )
