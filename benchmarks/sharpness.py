"""Sharpness of mouths that are blurred on purpose, on real clips: the bound of `gate.min_sharpness` beside pixels.

    python -m benchmarks.sharpness --shared ../shared [--every 12] [CLIP ...]

It needs real clips and YuNet: `clips` and `weights` in the folder `--shared`. Blurred by 0.5, 1, 2 and 4 pixels of the
frame is what the mask of five points covers; a last column is blurred by 2 pixels with the grain of 2 levels over it.
"""

# pyright: basic
# Scripts: what they hand to the product is checked, every value of their own is not.

from __future__ import annotations

import argparse
import os
from math import exp
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from benchmarks.mask_fit import faces
from lipwise_ray.faces.yunet import YuNet
from lipwise_ray.lipsync.compose import lower_face, paste_mask
from lipwise_ray.lipsync.sharpness import Sharpness, side_px
from lipwise_ray.media.frames import make_recipe
from lipwise_ray.media.index import build_index
from lipwise_ray.media.probe import probe_video
from lipwise_ray.media.reader import VideoReader
from lipwise_ray.media.region import box_to_shown, read_luma
from lipwise_ray.pipeline.analysis.crops import whole_tracks
from lipwise_ray.settings.model import Settings
from lipwise_ray.values import F32Array

SIDE_PX, FEATHER = 96, 0.1
SIGMAS_PX = (0.0, 0.5, 1.0, 2.0, 4.0)
_GRAIN = 2.0


def measure(clip: Path, weights: Path, every: int) -> tuple[list[float], list[float], int, int]:
    """Return the sharpness at every blur, the texture, and the number of faces and their largest side."""
    info, settings = probe_video(clip), Settings()
    index = build_index(info)
    recipe = make_recipe(info, index.sizes)
    detector = YuNet(weights / "face_detection_yunet_2023mar.onnx", min_score=settings.detect.min_score)
    tracks = whole_tracks(info, index, detector, settings)
    rows = faces(tracks, every)
    sums, largest = [Sharpness() for _ in (*SIGMAS_PX, _GRAIN)], 0
    with VideoReader(info.path, info.stream_index, index) as reader:
        for row, decoded in zip(rows, reader.read_order(int(tracks.frame[row]) for row in rows), strict=True):
            below = settings.faces.pads_share[1] * float(tracks.box[row][3] - tracks.box[row][1])
            to_shown = box_to_shown(tracks.box[row] + np.array([0, 0, 0, below], np.float32), SIDE_PX)
            mask = paste_mask(SIDE_PX, FEATHER) * lower_face(tracks.landmarks[row], to_shown, SIDE_PX)
            side = side_px(SIDE_PX, to_shown, 1.0)
            if not side:
                continue
            largest = max(largest, side)
            small = np.array([SIDE_PX / side, SIDE_PX / side, 1])
            filmed = read_luma(recipe.apply(decoded), recipe.canvas, to_shown * small, side)
            for one, dubbed in zip(sums, _blurred(filmed, mask), strict=True):
                one.add(dubbed, filmed, mask)
    count = sums[0].faces
    means = [exp((one.dubbed - one.filmed) / max(count, 1)) for one in sums]
    textures = [exp((one.dubbed_texture - one.filmed_texture) / max(count, 1)) for one in sums]
    return means, textures, count, largest


def _blurred(filmed: F32Array, mask: F32Array) -> list[Any]:
    opacity = cv2.resize(mask, filmed.shape[::-1], interpolation=cv2.INTER_LINEAR)
    soft = [filmed if not sigma else cv2.GaussianBlur(filmed, (0, 0), sigma) for sigma in SIGMAS_PX]
    grain = _GRAIN * np.random.default_rng(0).standard_normal(filmed.shape)
    soft.append(np.asarray(cv2.GaussianBlur(filmed, (0, 0), 2) + grain, np.float32))
    return [np.asarray(filmed + opacity * (image - filmed), np.float32) for image in soft]


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("clips", nargs="*", type=Path)
    parser.add_argument("--shared", type=Path, default=Path(os.environ.get("LIPWISE_SHARED", "../shared")))
    parser.add_argument("--every", type=int, default=12, help="measure every so many frames")
    options = parser.parse_args()
    clips = options.clips or sorted(
        path for path in (options.shared / "clips").iterdir() if path.suffix in {".mp4", ".mpg"}
    )
    heads = [*(f"{sigma:g} px" for sigma in SIGMAS_PX), "2 + grain"]
    print("sharpness (texture) of a mouth that is blurred; 1 is as sharp as filmed")
    print(f"{'clip':34s}{'faces':>6s}{'side':>6s}" + "".join(f"{head:>14s}" for head in heads))
    for clip in clips:
        means, textures, count, side = measure(clip, options.shared / "weights", options.every)
        if count:
            cells = [f"{mean:.2f} ({texture:.2f})" for mean, texture in zip(means, textures, strict=True)]
            print(f"{clip.name:34s}{count:6d}{side:6d}" + "".join(f"{cell:>14s}" for cell in cells), flush=True)


if __name__ == "__main__":
    main()
