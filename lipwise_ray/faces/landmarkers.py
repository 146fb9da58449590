"""Making landmarkers of checkpoints."""

from __future__ import annotations

from pathlib import Path

from lipwise_ray.faces.landmarker import FaceLandmarker


def load_landmarker(network: str, weights: Path, *, device: str = "cpu") -> FaceLandmarker:
    """Return the landmarker of a checkpoint.

    Args:
        network: ``face_landmarker`` or ``fan_2d``, as the registry names them, or ``face_landmarker_onnx``.
        weights: The file.
        device: ``cpu`` or ``cuda``, where the network runs on either.

    Raises:
        WeightsError: The file is of another network.
        SetupError: The network's package is not installed.
    """
    if network == "fan_2d":
        from lipwise_ray.faces.fan import FanLandmarker

        return FanLandmarker(weights, device=device)
    from lipwise_ray.faces.mediapipe import MediaPipeLandmarker, OnnxLandmarker

    if network == "face_landmarker_onnx":
        return OnnxLandmarker(weights, device=device)
    return MediaPipeLandmarker(weights)
