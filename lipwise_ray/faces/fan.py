"""FAN's 68 points of a face, of which the lower half becomes the mesh of a lower face."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np

from lipwise_ray.errors import SetupError
from lipwise_ray.faces.landmarker import FaceView
from lipwise_ray.faces.lower_face import LOWER_FACE
from lipwise_ray.values import F32Array, F64Array

_SIDE_PX, _CELLS = 256, 64
_LEAST_PEAK = 0.2
"""Mean of the heat maps' maxima below which there is no face; of faces it is 0.5 and more."""

_LEFT = (*range(8), 31, 32, 48, 49, 50, 59, 58)
_MIDDLE = (8, 30, 33, 51, 57)
_RIGHT = (*range(16, 8, -1), 35, 34, 54, 53, 52, 55, 56)
_POINTS = np.array([*_LEFT, *_MIDDLE, *_RIGHT])

# Where a typical head has them, as in `lower_face`.
_SIDE = np.array(
    [
        # the jaw, ear to chin
        [-1.06, -0.43, -1.00],
        [-1.04, -0.15, -1.00],
        [-1.00, 0.13, -0.96],
        [-0.96, 0.41, -0.88],
        [-0.86, 0.67, -0.73],
        [-0.71, 0.90, -0.48],
        [-0.51, 1.08, -0.22],
        [-0.27, 1.21, -0.03],
        # the nose, the outer lip
        [-0.21, 0.16, 0.02],
        [-0.11, 0.20, 0.08],
        [-0.39, 0.55, -0.05],
        [-0.25, 0.45, 0.06],
        [-0.11, 0.40, 0.15],
        [-0.25, 0.68, 0.06],
        [-0.11, 0.73, 0.13],
    ]
)
_CENTRE = np.array([[0.0, 1.23, 0.02], [0.0, 0.03, 0.30], [0.0, 0.19, 0.14], [0.0, 0.42, 0.18], [0.0, 0.75, 0.14]])
_TYPICAL = np.concatenate([_SIDE, _CENTRE, _SIDE * [-1, 1, 1]])
_STIFFNESS = 0.1


class FanLandmarker:
    """The `fan_2d` network, 2DFAN-4.

    Args:
        weights: Its state dict.
        device: ``cpu`` or ``cuda``.

    Raises:
        SetupError: The package face-alignment, whose network it is, is not installed.
        WeightsError: The file holds another network.
    """

    size_px = _SIDE_PX
    view = FaceView(5.4, (0.0, -0.64, -0.35))  # face-alignment's crop around a detector's box

    def __init__(self, weights: Path, *, device: str = "cpu") -> None:
        try:
            import torch
            from face_alignment.models import FAN
        except ImportError as error:
            raise SetupError(
                "no_face_alignment",
                "faces.landmarks = fan_2d",
                got=f"the package face-alignment cannot be imported ({error})",
                do="Run `pip install 'lipwise-ray[s3fd]'`, or use faces.landmarks = face_landmarker",
            ) from error
        from lipwise_ray.nets.checkpoint import load_into
        from lipwise_ray.nets.precision import exact_float32

        network: Any = FAN(4)
        load_into(network, weights, "fan_2d")
        self._torch, self._device, self._exact = torch, device, exact_float32
        self._network = network.eval().to(device)

    def __call__(self, view_bgr: F32Array) -> F32Array | None:
        """Return the points of the mesh of the lower face, in pixels of the view, shape (M, 2); None without a face."""
        image = self._torch.from_numpy(np.ascontiguousarray(view_bgr[..., ::-1].transpose(2, 0, 1)[None]))
        with self._torch.inference_mode(), self._exact():
            heat = self._network(image.to(self._device, self._torch.float32))[-1][0].float().cpu().numpy()
        if float(heat.max(axis=(1, 2)).mean()) < _LEAST_PEAK:
            return None
        return mesh_of(places(heat)[_POINTS])


def places(heat: F32Array) -> F32Array:
    """Return the points that heat maps show, in pixels of the image, shape (P, 2).

    Args:
        heat: Shape (P, 64, 64).

    Source: face-alignment, get_preds_fromhm: the maximum, a quarter of a cell towards its larger neighbours.
    """
    points = np.arange(len(heat))
    row, column = np.divmod(heat.reshape(len(heat), -1).argmax(axis=1), _CELLS)
    inner_row, inner_column = np.clip(row, 1, _CELLS - 2), np.clip(column, 1, _CELLS - 2)
    down = np.sign(heat[points, inner_row + 1, column] - heat[points, inner_row - 1, column])
    right = np.sign(heat[points, row, inner_column + 1] - heat[points, row, inner_column - 1])
    cells = np.stack([column + 0.25 * right, row + 0.25 * down], axis=1) + 0.5
    return np.asarray(cells * (_SIDE_PX / _CELLS), np.float32)


def mesh_of(points: F32Array) -> F32Array:
    """Return the mesh of a lower face on which these points of FAN's lie, shape (M, 2).

    Args:
        points: Those of the jaw, the nose and the outer lip, in the order of `_POINTS`, shape (K, 2).
    """
    return np.asarray(_from_typical() @ points, np.float32)


@lru_cache(maxsize=1)
def _from_typical() -> F64Array:
    """Return the weights that take FAN's points to the mesh's: a plate is bent from a typical face to this one.

    Each view of a head is an affine map of its points, which the plate reproduces: so it bends by what is not typical.

    Source: Bookstein 1989, thin-plate splines, with depth as a third coordinate of the affine part.
    """
    count = len(_TYPICAL)
    plate = np.zeros((count + 4, count + 4))
    plate[:count, :count] = _bend(_TYPICAL, _TYPICAL) + _STIFFNESS * np.eye(count)
    plate[:count, count:] = np.column_stack([np.ones(count), _TYPICAL])
    plate[count:, :count] = plate[:count, count:].T
    there = np.column_stack([_bend(LOWER_FACE, _TYPICAL), np.ones(len(LOWER_FACE)), LOWER_FACE])
    return (there @ np.linalg.inv(plate))[:, :count]


def _bend(points: F64Array, known: F64Array) -> F64Array:
    """Return the plate's kernel between points as they are seen from the front."""
    far = np.linalg.norm(points[:, None, :2] - known[None, :, :2], axis=2)
    return far**2 * np.log(np.maximum(far, 1e-9))
