"""S3FD boxes and FAN landmarks through the face-alignment package, in batches."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, cast

import cv2
import numpy as np

from lipwise_ray.errors import SetupError, WeightsError, is_of_the_machine
from lipwise_ray.faces.detections import DetectedFaces
from lipwise_ray.nets.checkpoint import load_state_dict
from lipwise_ray.values import F32Array, U8Array

# Points of the 68-point scheme behind our five.
_LEFT_EYE, _RIGHT_EYE, _NOSE, _MOUTH = slice(36, 42), slice(42, 48), 30, (48, 54)


class S3fd:
    """The `s3fd` detector.

    Args:
        s3fd_weights: State dict of the detector.
        fan_weights: State dict of the landmark network 2DFAN-4.
        min_score: Detections below this score are dropped.
        device: ``cpu`` or ``cuda``.

    Raises:
        SetupError: The package face-alignment is not installed.
        WeightsError: A file holds another network.
    """

    together = True

    def __init__(self, s3fd_weights: Path, fan_weights: Path, *, min_score: float, device: str) -> None:
        try:
            import face_alignment
            import torch
            from face_alignment.models import FAN

            from lipwise_ray.nets.precision import exact_float32
        except ImportError as error:
            raise SetupError(
                "no_face_alignment",
                "detect.detector = s3fd",
                got=f"the package face-alignment cannot be imported ({error})",
                do="Run `pip install 'lipwise-ray[s3fd]'`, or use detect.detector = yunet",
            ) from error

        fan_tensors = load_state_dict(fan_weights)

        class LocalFan(face_alignment.FaceAlignment):  # type: ignore[misc]  # the package has no types
            """Loads the landmark network from a file instead of the network."""

            def _load_native(self, network_name: str, network_size: int, device: str, dtype: torch.dtype) -> FAN:  # noqa: ARG002  # the package's own signature
                net = FAN(network_size)
                net.load_state_dict(fan_tensors)
                return net.to(device, dtype=dtype).eval()

        try:
            with exact_float32():  # the package sets cudnn.benchmark for the whole process, here and in every call
                self._aligner = LocalFan(
                    face_alignment.LandmarksType.TWO_D,
                    device=device,
                    flip_input=False,
                    compile=False,
                    face_detector_kwargs={"path_to_detector": str(s3fd_weights), "filter_threshold": min_score},
                    max_batch_size=8,
                )
        except (RuntimeError, KeyError, ValueError, OSError, EOFError) as error:
            if is_of_the_machine(error):
                raise
            why = str(error).splitlines()[0] if str(error) else type(error).__name__
            raise WeightsError(
                "not_s3fd",
                f"{s3fd_weights}, {fan_weights}",
                got=f"not the S3FD and 2DFAN-4 checkpoints: {why}",
                do="Run `lipwise-ray models pull s3fd fan_2d`",
            ) from error
        self._torch, self._exact = torch, exact_float32

    def detect(self, images_bgr: Sequence[U8Array]) -> list[DetectedFaces]:
        """Return the faces of each image; boxes come from one batch."""
        images_rgb = [cv2.cvtColor(image, cv2.COLOR_BGR2RGB) for image in images_bgr]
        batch = self._torch.from_numpy(np.stack(images_rgb).transpose(0, 3, 1, 2).copy())
        with self._exact():
            boxes = self._aligner.face_detector.detect_from_batch(batch)
            return [
                self._with_landmarks(cast("U8Array", image), boxes_of_image)
                for image, boxes_of_image in zip(images_rgb, boxes, strict=True)
            ]

    def _with_landmarks(self, image_rgb: U8Array, boxes: Sequence[F32Array]) -> DetectedFaces:
        if not len(boxes):
            return DetectedFaces.empty()
        table = np.array(boxes, np.float32).reshape(-1, 5)
        points: Any = self._aligner.get_landmarks_from_image(
            image_rgb, detected_faces=[row[:4].tolist() for row in table]
        )
        five = np.array(
            [
                [face[_LEFT_EYE].mean(0), face[_RIGHT_EYE].mean(0), face[_NOSE], face[_MOUTH[0]], face[_MOUTH[1]]]
                for face in points
            ],
            np.float32,
        )
        return DetectedFaces(np.ascontiguousarray(table[:, :4]), five, np.ascontiguousarray(table[:, 4]))
