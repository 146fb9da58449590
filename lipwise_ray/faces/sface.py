"""SFace through OpenCV: a MobileFaceNet that tells people apart."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np

from lipwise_ray.errors import WeightsError
from lipwise_ray.faces.embedder import SIDE_PX
from lipwise_ray.faces.onnx_trial import try_out
from lipwise_ray.values import F32Array, U8Array


class SFace:
    """The `sface` network.

    Args:
        weights: The ONNX file, or another that takes RGB levels of 112 x 112 aligned pixels.
        threads: OpenCV threads.

    Raises:
        WeightsError: The file is no such network.
    """

    same = 0.363
    """The published one."""

    def __init__(self, weights: Path, *, threads: int = 0) -> None:
        cv2.utils.logging.setLogLevel(cv2.utils.logging.LOG_LEVEL_ERROR)
        if threads:
            cv2.setNumThreads(threads)
        try:
            try_out(weights, is_detector=False)
            self._net = cv2.FaceRecognizerSF.create(str(weights), "")
            # What the file holds shows only when it computes.
            self.values = len(self(np.zeros((SIDE_PX, SIDE_PX, 3), np.uint8)))
        except cv2.error as error:
            raise WeightsError(
                "not_sface",
                str(weights),
                got="not an ONNX model that embeds faces of 112 x 112 pixels, such as SFace",
                do="Run `lipwise-ray models pull sface`",
            ) from error

    def __call__(self, face_bgr: U8Array) -> F32Array:
        """Return the embedding of an aligned face, of length 1, shape (`values`,).

        Args:
            face_bgr: Shape (112, 112, 3), its points on `embedder.TEMPLATE`.
        """
        embedding = np.asarray(self._net.feature(face_bgr), np.float32).reshape(-1)
        return embedding / np.float32(max(float(np.linalg.norm(embedding)), 1e-6))
