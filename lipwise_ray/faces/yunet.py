"""YuNet through OpenCV: a small CPU detector with five landmarks."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from lipwise_ray.errors import WeightsError
from lipwise_ray.faces.detections import DetectedFaces
from lipwise_ray.faces.onnx_trial import try_out
from lipwise_ray.values import U8Array

_NMS_IOU = 0.3
_TOP_K = 500
_BOX, _POINTS, _SCORE = slice(0, 4), slice(4, 14), 14


class YuNet:
    """The `yunet` detector.

    Args:
        weights: The ONNX file.
        min_score: Detections below this score are dropped.
        threads: OpenCV threads.

    Raises:
        WeightsError: The file is not a YuNet model.
    """

    together = False

    def __init__(self, weights: Path, *, min_score: float, threads: int = 0) -> None:
        # OpenCV 5 warns about a target that it then ignores; nothing a user could act on.
        cv2.utils.logging.setLogLevel(cv2.utils.logging.LOG_LEVEL_ERROR)
        if threads:
            cv2.setNumThreads(threads)
        try:
            try_out(weights, is_detector=True)
            self._net = cv2.FaceDetectorYN.create(str(weights), "", (320, 320), min_score, _NMS_IOU, _TOP_K)
        except cv2.error as error:
            raise WeightsError(
                "not_yunet",
                str(weights),
                got="OpenCV cannot load it as the YuNet ONNX model",
                do="Run `lipwise-ray models pull yunet`",
            ) from error

    def detect(self, images_bgr: Sequence[U8Array]) -> list[DetectedFaces]:
        """Return the faces of each image."""
        return [self._one(image) for image in images_bgr]

    def _one(self, image_bgr: U8Array) -> DetectedFaces:
        height, width = image_bgr.shape[:2]
        self._net.setInputSize((width, height))
        rows: Any = self._net.detect(image_bgr)[1]  # None for no face, which the stub leaves out
        if rows is None or not len(rows):
            return DetectedFaces.empty()
        table = np.asarray(rows, np.float32)
        box = table[:, _BOX].copy()
        box[:, 2:] += box[:, :2]
        points = table[:, _POINTS].reshape(-1, 5, 2)
        return DetectedFaces(box, np.ascontiguousarray(points), np.ascontiguousarray(table[:, _SCORE]))
