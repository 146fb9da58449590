"""The first frame of a video as a picture file, as players show it."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np

from lipwise_ray.errors import OutputError
from lipwise_ray.media.index import build_index
from lipwise_ray.media.probe import probe_video
from lipwise_ray.media.reader import VideoReader

PICTURES = (".png", ".jpg", ".jpeg")
"""Endings of pictures that can be written."""


def write_picture(video: Path, target: Path) -> None:
    """Write a video's first frame: upright, and with square pixels.

    Args:
        video: The video.
        target: The picture; its ending, one of `PICTURES`, chooses the format.

    Raises:
        MediaError: The video cannot be read.
        OutputError: The picture cannot be written.
    """
    info = probe_video(video)
    with VideoReader(info.path, info.stream_index, build_index(info)) as reader:
        image = next(iter(reader.read(0, 1))).to_ndarray(format="bgr24")
    height, width = image.shape[:2]
    aspect = float(info.sample_aspect_ratio)
    if aspect != 1:
        image = cv2.resize(image, (max(1, round(width * aspect)), height), interpolation=cv2.INTER_AREA)
    shown = info.orientation.upright(image.astype(np.uint8))
    try:
        target.write_bytes(cv2.imencode(target.suffix, shown)[1].tobytes())
    except OSError as error:
        happened = f"cannot be written: {(error.strerror or '').lower()}"
        raise OutputError("not_writable", str(target), got=happened, do="Check the path") from error
