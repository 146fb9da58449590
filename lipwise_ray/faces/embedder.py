"""The role of a network that tells people apart."""

from __future__ import annotations

from typing import Protocol

import numpy as np

from lipwise_ray.values import F32Array, U8Array

SIDE_PX = 112
TEMPLATE = np.array(
    [[38.2946, 51.6963], [73.5318, 51.5014], [56.0252, 71.7366], [41.5493, 92.3655], [70.7299, 92.2041]]
)
"""Eyes, nose and mouth corners in the image that embedders take, in pixels. Source: ArcFace's alignment."""


class FaceEmbedder(Protocol):
    """Embeds aligned faces.

    Attributes:
        values: Numbers of an embedding.
        same: The cosine from which on means of several faces are one person's.
    """

    values: int
    same: float

    def __call__(self, face_bgr: U8Array) -> F32Array:
        """Return the embedding of an aligned face, of length 1, shape (`values`,).

        Args:
            face_bgr: Shape (112, 112, 3), its points on `TEMPLATE`.
        """
        ...
