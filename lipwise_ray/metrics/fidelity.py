"""Fidelity of an image to another one: PSNR and SSIM of their luma."""

from __future__ import annotations

import importlib.util
import math
from typing import Any

import numpy as np

from lipwise_ray.errors import SetupError
from lipwise_ray.values import F32Array

_PEAK = 255.0
_WINDOW_PX = 11


def check_fidelity(where: str) -> None:
    """Find out whether images can be compared here.

    Args:
        where: What asks for it, for the message.

    Raises:
        SetupError: The extra is not installed.
    """
    if importlib.util.find_spec("skimage") is None:
        raise SetupError(
            "no_extra",
            where,
            got="a video cannot be compared with a reference without scikit-image",
            do="Run `pip install 'lipwise-ray[eval]'`, or leave out the reference",
        )


def mean_square(a: F32Array, b: F32Array) -> float:
    """Return the mean squared difference of two images of the same shape, in levels of 255."""
    return float(np.mean((a.astype(np.float64) - b) ** 2))


def psnr(square: float) -> float | None:
    """Return the peak signal-to-noise ratio in dB for a mean squared difference; None for equal images."""
    return 10 * math.log10(_PEAK**2 / square) if square else None


def ssim(a: F32Array, b: F32Array) -> float | None:
    """Return the structural similarity of two images, shape (H, W), in levels of 255; None below 11 pixels.

    Source: Wang et al., Image quality assessment (2004): a Gaussian window of 11 pixels, sigma 1.5.
    """
    if min(a.shape) < _WINDOW_PX:
        return None
    from skimage.metrics import structural_similarity

    similarity: Any = structural_similarity(
        a, b, gaussian_weights=True, sigma=1.5, use_sample_covariance=False, data_range=_PEAK
    )
    return float(similarity)
