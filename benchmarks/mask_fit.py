"""How well masks fit real jaws: shares of their opacity below the mouth that lie outside of the face.

    python -m benchmarks.mask_fit --shared ../shared [--every 6] [CLIP ...]

It needs real clips and networks: `clips`, and `weights` with YuNet and MediaPipe's Face Landmarker, in the folder
`--shared`. The landmarker judges: where it sees the lower face. Compared are a rounded box (with 10 pixels below the
face), which takes no account of the jaw, the shape that five points tell, and the mask that goes by the landmarker,
judged by itself: of that the table tells that it keeps to what was seen, not that the network is right.
"""

# pyright: basic
# Scripts: what they hand to the product is checked, every value of their own is not.

from __future__ import annotations

import argparse
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from lipwise_ray.faces.landmarker import face_view
from lipwise_ray.faces.lower_face import triangles
from lipwise_ray.faces.mediapipe import MediaPipeLandmarker
from lipwise_ray.faces.select import yaw_degrees
from lipwise_ray.faces.tracks import Tracks
from lipwise_ray.faces.yunet import YuNet
from lipwise_ray.lipsync.align import TEMPLATE_PX, aligned_to_shown, between
from lipwise_ray.lipsync.compose import jaw_mask, lower_face, paste_mask
from lipwise_ray.lipsync.jaw import Jaws
from lipwise_ray.lipsync.restoration import Patch
from lipwise_ray.media.frames import FrameRecipe, make_recipe
from lipwise_ray.media.index import build_index
from lipwise_ray.media.probe import probe_video
from lipwise_ray.media.reader import VideoReader
from lipwise_ray.media.region import box_to_shown, pixel_map, read_region
from lipwise_ray.pipeline.analysis.crops import whole_tracks
from lipwise_ray.settings.model import Settings
from lipwise_ray.values import F32Array

SIDE_PX, VIEW_PX = 96, 256
KINDS = ("rounded box", "five points", "landmarks")
_LEAST_SCORE, _MOST_YAW_DEG = 0.75, 70.0
_CORNERS, _LIPS = (10, -18), (*range(10, 19), 32, 33, *range(-18, -9))


@dataclass(frozen=True)
class Fit:
    """How a mask fits a face, in shares of 1.

    Attributes:
        outside: Of its opacity below the mouth, what lies outside of the face.
        lips: Opacity on the lips.
    """

    outside: float
    lips: float


def measure(clip: Path, weights: Path, every: int) -> dict[str, list[Fit]]:
    """Return the fits of every mask in a clip."""
    info, settings = probe_video(clip), Settings()
    index = build_index(info)
    recipe = make_recipe(info, index.sizes)
    detector = YuNet(weights / "face_detection_yunet_2023mar.onnx", min_score=settings.detect.min_score)
    landmarker = MediaPipeLandmarker(weights / "face_landmarker.task")
    tracks = whole_tracks(info, index, detector, settings)
    rows = faces(tracks, every)
    found: dict[str, list[Fit]] = {kind: [] for kind in KINDS}
    with VideoReader(info.path, info.stream_index, index) as reader:
        frames = reader.read_order(int(tracks.frame[row]) for row in rows)
        for row, decoded in zip(rows, frames, strict=True):
            fits = _fits(recipe.apply(decoded), recipe, tracks, row, landmarker)
            for kind, fit in fits.items():
                found[kind].append(fit)
    return found


def faces(tracks: Tracks, every: int) -> list[int]:
    """Return the rows of faces that are surely some, not in full profile, in every so many frames."""
    size = (tracks.box[:, 2:] - tracks.box[:, :2]).min(axis=1)
    is_face = (tracks.score >= _LEAST_SCORE) & (np.abs(yaw_degrees(tracks.landmarks)) <= _MOST_YAW_DEG)
    rows = np.flatnonzero(is_face & (tracks.frame % every == 0) & (size >= Settings().faces.min_face_px))
    return [int(row) for row in rows[np.argsort(tracks.frame[rows], kind="stable")]]


def _fits(frame: Any, recipe: FrameRecipe, tracks: Tracks, row: int, landmarker: MediaPipeLandmarker) -> dict[str, Fit]:
    five, aspect = tracks.landmarks[row], recipe.canvas.aspect
    to_shown = face_view(landmarker.view, five, VIEW_PX, aspect)
    seen = landmarker(read_region(frame, recipe.canvas, to_shown, VIEW_PX))
    if seen is None:
        return {}
    box = tracks.box[row]
    below = 10.0, Settings().faces.pads_share[1] * float(box[3] - box[1])
    crops = [box_to_shown(box + np.array([0, 0, 0, pad], np.float32), SIDE_PX) for pad in below]
    rim, jaws = paste_mask(SIDE_PX, 0.1), Jaws(landmarker, recipe.canvas, "cubic")
    filmed = read_region(frame, recipe.canvas, crops[1], SIDE_PX)
    jaw = jaws.measure(frame, five, filmed, Patch(filmed, rim, crops[1]))
    points, trust, moved = jaws.shown([(0, jaw)], five)
    masks = {
        "rounded box": (rounded_box(five, crops[0], aspect), crops[0]),
        "five points": (lower_face(five, crops[1], SIDE_PX, aspect), crops[1]),
        "landmarks": (jaw_mask(points, crops[1], SIDE_PX, trust, moved), crops[1]),
    }
    return {kind: fit(rim * mask, between(crop, to_shown), seen) for kind, (mask, crop) in masks.items()}


def fit(mask: F32Array, to_view: Any, seen: F32Array) -> Fit:
    """Return how a mask fits a face.

    Args:
        mask: Of a crop.
        to_view: The map from the crop to a view of the face.
        seen: The points of the lower face in the view, as the judge sees them.
    """
    opacity = cv2.warpAffine(mask, pixel_map(to_view), (VIEW_PX, VIEW_PX), flags=cv2.INTER_LINEAR)
    face, lips = np.zeros((2, VIEW_PX, VIEW_PX), np.uint8)
    for triangle in np.rint(seen[triangles()] - 0.5).astype(np.int32):
        cv2.fillConvexPoly(face, triangle, 1)
    cv2.fillConvexPoly(lips, cv2.convexHull(np.rint(seen[list(_LIPS)] - 0.5).astype(np.int32)), 1)
    (x0, y0), (x1, y1) = (seen[place] for place in _CORNERS)
    row, column = np.mgrid[:VIEW_PX, :VIEW_PX]
    low = opacity * (row > y0 + (column - x0) * (y1 - y0) / max(x1 - x0, 1e-3))
    return Fit(float((low * (face == 0)).sum() / max(low.sum(), 1e-6)), float(opacity[lips > 0].mean()))


def rounded_box(five: F32Array, crop_to_shown: Any, aspect: float) -> F32Array:
    """Return a rounded box in the face's template, whatever the jaw is like."""
    to_aligned = between(crop_to_shown, aligned_to_shown(five, TEMPLATE_PX, aspect)) / TEMPLATE_PX
    place = np.arange(SIDE_PX) + 0.5
    x, y = (
        axis[0] * place[None, :] + axis[1] * place[:, None] + axis[2] - middle
        for axis, middle in zip(to_aligned, (0.5, 0.765), strict=True)
    )
    distance = (np.abs(x / 0.35) ** 2.5 + np.abs(y / np.where(y < 0, 0.205, 0.42)) ** 2.5) ** (1 / 2.5)
    share = np.clip((1 - distance) / 0.3, 0, 1)
    return np.asarray(share * share * (3 - 2 * share), np.float32)


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("clips", nargs="*", type=Path)
    parser.add_argument("--shared", type=Path, default=Path(os.environ.get("LIPWISE_SHARED", "../shared")))
    parser.add_argument("--every", type=int, default=6, help="measure every so many frames")
    options = parser.parse_args()
    clips = options.clips or sorted(
        path for path in (options.shared / "clips").iterdir() if path.suffix in {".mp4", ".mpg"}
    )
    print("opacity below the mouth that lies outside of the face, mean (worst frame); opacity on the lips")
    print(f"{'clip':34s}{'faces':>6s}" + "".join(f"{kind:>24s}" for kind in KINDS))
    means: dict[str, list[float]] = {kind: [] for kind in KINDS}
    for clip in clips:
        found = measure(clip, options.shared / "weights", options.every)
        if not found[KINDS[0]]:
            continue
        cells: list[str] = []
        for kind, fits in found.items():
            outside, lips = np.array([[one.outside, one.lips] for one in fits]).T
            means[kind].append(float(outside.mean()))
            cells.append(f"{outside.mean():8.1%} ({outside.max():6.1%}) {lips.mean():6.1%}")
        print(f"{clip.name:34s}{len(found[KINDS[0]]):6d}" + "".join(f"{cell:>24s}" for cell in cells), flush=True)
    summary = [f"{np.median(shares):8.1%} ({max(shares):6.1%})       " for shares in means.values()]
    print(f"{'median of clips (worst clip)':40s}" + "".join(f"{cell:>24s}" for cell in summary))


if __name__ == "__main__":
    main()
