"""Faces that a network drew, checked for being numbers."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from lipwise_ray.errors import WeightsError

if TYPE_CHECKING:
    import torch
    from torch import Tensor


def check_finite(faces: Tensor, dtype: torch.dtype, weights: Path) -> None:
    """Refuse faces that are no numbers: where their network goes beyond a number format, or its weights are broken.

    Args:
        faces: Of any shape.
        dtype: Number format of the network.
        weights: Its file, for the message.

    Raises:
        WeightsError: Some are not finite.
    """
    if not bool(faces.isfinite().all()):
        name = str(dtype).removeprefix("torch.")
        raise WeightsError(
            "faces_not_finite",
            str(weights),
            got=f"draws faces of values that are not finite in {name}",
            do='Set lipsync.precision = "float32", or "bfloat16"; if some still are not, download the file again',
        )
