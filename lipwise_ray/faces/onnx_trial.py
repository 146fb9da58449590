"""Trying an ONNX file in a process of its own: readers may crash on damaged ones, and their process with them."""

from __future__ import annotations

import resource
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np

from lipwise_ray.models.registry import is_published
from lipwise_ray.nets.onnx_session import open_session

_TIMEOUT_S = 120
_MOST_BYTES = 16 << 30
_DETECTOR, _EMBEDDER = "yunet", "sface"


def try_out(weights: Path, *, is_detector: bool) -> None:
    """See whether a network can be loaded and computed with.

    One that the registry knows is not tried.

    Args:
        weights: The ONNX file.
        is_detector: True for a network of `faces.yunet`, false for one of `cv2.FaceRecognizerSF`.

    Raises:
        cv2.error: It ends the process that tries, or takes too long. What else is wrong with it shows when it is used.
    """
    if is_published(weights):
        return
    words = [sys.executable, "-P", "-m", __name__, _DETECTOR if is_detector else _EMBEDDER, str(weights)]
    try:
        done = subprocess.run(  # noqa: S603  # this module, in this interpreter
            words, stdin=subprocess.DEVNULL, capture_output=True, check=False, timeout=_TIMEOUT_S
        )
    except subprocess.TimeoutExpired as error:
        raise cv2.error(str(error)) from error
    if done.returncode < 0:
        raise cv2.error(f"ended by signal {-done.returncode}")


def _try(kind: str, weights: str) -> None:
    if kind == _DETECTOR:
        session = open_session(Path(weights), is_any_size=True)
        session.run(None, {one.name: np.zeros((1, 3, 64, 64), np.float32) for one in session.get_inputs()})
    else:
        cv2.FaceRecognizerSF.create(weights, "").feature(np.zeros((112, 112, 3), np.uint8))


if __name__ == "__main__":
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    resource.setrlimit(resource.RLIMIT_AS, (_MOST_BYTES, _MOST_BYTES))
    _try(*sys.argv[1:])
