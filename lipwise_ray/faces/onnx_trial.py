"""Trying an ONNX file in a process of its own: OpenCV's reader crashes on damaged ones, and its process with it."""

from __future__ import annotations

import resource
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np

from lipwise_ray.models.registry import is_published

_TIMEOUT_S = 120
_MOST_BYTES = 16 << 30


def try_out(weights: Path) -> None:
    """See whether a network of `cv2.FaceRecognizerSF` can be loaded and computed with.

    One that the registry knows is not tried.

    Args:
        weights: The ONNX file.

    Raises:
        cv2.error: It ends the process that tries, or takes too long. What else is wrong with it shows when it is used.
    """
    if is_published(weights):
        return
    words = [sys.executable, "-P", "-m", __name__, str(weights)]
    try:
        done = subprocess.run(  # noqa: S603  # this module, in this interpreter
            words, stdin=subprocess.DEVNULL, capture_output=True, check=False, timeout=_TIMEOUT_S
        )
    except subprocess.TimeoutExpired as error:
        raise cv2.error(str(error)) from error
    if done.returncode < 0:
        raise cv2.error(f"ended by signal {-done.returncode}")


if __name__ == "__main__":
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    resource.setrlimit(resource.RLIMIT_AS, (_MOST_BYTES, _MOST_BYTES))
    cv2.FaceRecognizerSF.create(sys.argv[1], "").feature(np.zeros((112, 112, 3), np.uint8))
