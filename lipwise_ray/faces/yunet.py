"""YuNet: a small CPU detector with five landmarks."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np

from lipwise_ray.errors import WeightsError
from lipwise_ray.faces.detections import DetectedFaces
from lipwise_ray.faces.onnx_trial import try_out
from lipwise_ray.nets.onnx_session import broken_networks, open_session
from lipwise_ray.values import F32Array, U8Array

_NMS_IOU = 0.3
_TOP_K = 500
_STRIDES = 8, 16, 32
_TRIED_PX = 64


class YuNet:
    """The `yunet` detector.

    Args:
        weights: The ONNX file.
        min_score: Detections below this score are dropped.
        threads: Threads that it may use.

    Raises:
        WeightsError: The file is not a YuNet model.

    Source: Wu, Peng and Yu, YuNet, 2023; boxes are decoded as OpenCV's FaceDetectorYN does,
        which takes longer: see `benchmarks/scan.py`.
    """

    together = False

    def __init__(self, weights: Path, *, min_score: float, threads: int = 1) -> None:
        self._min_score = min_score
        try:
            try_out(weights, is_detector=True)
        except cv2.error as error:
            raise _not_yunet(weights) from error
        self._session = open_session(weights, threads=threads, is_any_size=True)
        given = self._session.get_inputs()
        try:
            self._input, self._outputs = given[0].name, self._names()
            tried = self._heads(np.zeros((_TRIED_PX, _TRIED_PX, 3), np.uint8))
        except (*broken_networks(), KeyError, ValueError) as error:
            raise _not_yunet(weights) from error
        if len(given) != 1 or any(len(head) != (_TRIED_PX // stride) ** 2 for head, stride in tried):
            raise _not_yunet(weights)

    def detect(self, images_bgr: Sequence[U8Array]) -> list[DetectedFaces]:
        """Return the faces of each image."""
        return [self._one(image) for image in images_bgr]

    def _names(self) -> list[str]:
        there = {output.name for output in self._session.get_outputs()}
        names = [f"{head}_{stride}" for stride in _STRIDES for head in ("cls", "obj", "bbox", "kps")]
        if missing := set(names) - there:
            raise KeyError(*missing)
        return names

    def _heads(self, image_bgr: U8Array) -> list[tuple[F32Array, int]]:
        """Return the outputs at each stride, of shape (cells, 16): class, objectness, box, five points."""
        most = _STRIDES[-1]
        bottom, right = (-length % most for length in image_bgr.shape[:2])
        padded = cv2.copyMakeBorder(image_bgr, 0, bottom, 0, right, cv2.BORDER_CONSTANT, value=(0, 0, 0))
        pixels = np.ascontiguousarray(padded.transpose(2, 0, 1)[None], np.float32)
        outputs = [
            np.asarray(values, np.float32)[0] for values in self._session.run(self._outputs, {self._input: pixels})
        ]
        return [
            (np.concatenate(outputs[4 * place : 4 * place + 4], axis=1), stride)
            for place, stride in enumerate(_STRIDES)
        ]

    def _one(self, image_bgr: U8Array) -> DetectedFaces:
        columns = -(-image_bgr.shape[1] // _STRIDES[-1]) * _STRIDES[-1]
        found = [self._decoded(head, stride, columns // stride) for head, stride in self._heads(image_bgr)]
        box, points, score = (np.concatenate(parts) for parts in zip(*found, strict=True))
        if not len(score):
            return DetectedFaces.empty()
        corner_and_size = np.concatenate([box[:, :2], box[:, 2:] - box[:, :2]], axis=1).astype(int)
        kept = cv2.dnn.NMSBoxes(corner_and_size.tolist(), score.tolist(), self._min_score, _NMS_IOU, top_k=_TOP_K)
        rows = np.asarray(kept, np.int64)
        return DetectedFaces(box[rows], np.ascontiguousarray(points[rows]), score[rows])

    def _decoded(self, head: F32Array, stride: int, columns: int) -> tuple[F32Array, F32Array, F32Array]:
        """Return the boxes, landmarks and scores of the cells of a stride that reach the least score.

        Args:
            head: Shape (cells, 16).
            stride: Pixels a cell.
            columns: Cells a row.
        """
        score = np.sqrt(np.clip(head[:, 0], 0, 1) * np.clip(head[:, 1], 0, 1))
        cells = np.flatnonzero(score >= self._min_score)
        corner = np.stack([cells % columns, cells // columns], axis=1).astype(np.float32)
        part = head[cells]
        centre, half = corner + part[:, 2:4], np.exp(part[:, 4:6]) / 2
        box = np.concatenate([centre - half, centre + half], axis=1) * stride
        points = (part[:, 6:].reshape(-1, 5, 2) + corner[:, None]) * stride
        return np.asarray(box, np.float32), np.asarray(points, np.float32), np.asarray(score[cells], np.float32)


def _not_yunet(weights: Path) -> WeightsError:
    return WeightsError(
        "not_yunet", str(weights), got="it is not the YuNet ONNX model", do="Run `lipwise-ray models pull yunet`"
    )
