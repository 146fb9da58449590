"""Mixing new samples of a plane with those that are there."""

from __future__ import annotations

from typing import cast

import cv2
import numpy as np

from lipwise_ray.values import F32Array, PixelArray, U8Array


def blend(window: PixelArray, fresh: F32Array, alpha: F32Array, *, peak: float, black: float | None = None) -> None:
    """Mix new samples into a part of a plane, in place.

    Args:
        window: Part of the plane, shape (H, W).
        fresh: New samples, shape (H, W); they are used up.
        alpha: Opacity of the new ones in [0, 1], shape (H, W); where it is 0 nothing changes.
        peak: The largest sample value.
        black: Sample of black, where luma is mixed as light adds up; None mixes samples as they are stored.
    """
    # Each step writes over the one before: fresh memory for every one would cost more than the arithmetic.
    is_8bit = window.itemsize == 1
    if black is None:
        more = window.astype(np.float32)
        fresh -= more
        fresh *= alpha
    else:
        fresh, more = _mixed_light(window, fresh, alpha, black), black
        if is_8bit:  # no sum is below 0, and OpenCV is quicker with a number so than where it adds one
            cv2.convertScaleAbs(fresh, cast("U8Array", window), 1, black)
            return
    if not is_8bit:  # the type holds more than samples may
        np.minimum(fresh, peak - more, out=fresh)
    # OpenCV adds, rounds as `np.rint` does, cuts off and converts in one step. Its stubs know arrays alone.
    cv2.add(fresh, cast("F32Array", more), cast("U8Array", window), None, cv2.CV_8U if is_8bit else cv2.CV_16U)


def _mixed_light(window: PixelArray, fresh: F32Array, alpha: F32Array, black: float) -> F32Array:
    """Mix luma in linear light, and return what it is above black, shape (H, W).

    A power of 2 is near to the transfer curves of video, and exact where alpha is 0. Samples below black stay what they
    are. New samples are used up.
    """
    old = window.astype(np.float32)
    old -= black
    dark = None
    if window.size and window.min() < black:  # hardly a face has any
        dark = np.minimum(old, 0)
        np.maximum(old, 0, out=old)
    light = np.square(old, out=old)
    fresh -= black
    cv2.threshold(fresh, 0, 0, cv2.THRESH_TOZERO, fresh)  # quicker than a maximum with a number
    np.square(fresh, out=fresh)
    fresh -= light
    fresh *= alpha
    light += fresh  # of no opacity up to 1 it falls below 0: what is taken off is at most what was there
    np.sqrt(light, out=light)
    if dark is not None:
        light += (1 - alpha) * dark
    return light
