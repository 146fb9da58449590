"""How well things that come in front of a face are found without a network, and what it takes.

    python -m benchmarks.occlusion --shared ../shared [CLIP ...]

It needs real clips and YuNet: `clips` and `weights` in the folder `--shared`. Nothing is in front of the faces of
`grid_man`, `grid_woman` and `beard_portrait`: what is found there is wrong. Over each face are drawn a dark microphone,
and a hand of the face's own colour, darker by a third, with fingers: ellipses that cross the lower half. Of the pixels
below the mouth it is told how many of those that are covered are found (recall), and how many of those found are
covered (precision). Faces are those of the clip as it is: detection with something in front is another matter.
"""

# pyright: basic
# Scripts: what they hand to the product is checked, every value of their own is not.

from __future__ import annotations

import argparse
import os
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from lipwise_ray.faces.tracks import Tracks
from lipwise_ray.faces.yunet import YuNet
from lipwise_ray.lipsync.covered import REACH, STEP, VIEW_PX, FilmedFace, covered, filmed_face
from lipwise_ray.media.frames import make_recipe
from lipwise_ray.media.index import build_index
from lipwise_ray.media.overlay import write_region
from lipwise_ray.media.probe import probe_video
from lipwise_ray.media.reader import VideoReader
from lipwise_ray.media.region import read_region
from lipwise_ray.pipeline.analysis.crops import whole_tracks
from lipwise_ray.settings.model import Settings
from lipwise_ray.values import F32Array

THINGS = ("microphone", "hand")
_SIDE_PX, _WIDTH_EYES, _STEP_EYES, _PERIOD = 160, 1.1, 0.095, 64
_LEAST_SHARE, _ON_FACE, _FOUND = 0.02, 0.5, 0.5


@dataclass(frozen=True)
class Found:
    """What was found in a clip.

    Attributes:
        faces: Faces of the clip.
        occluded: Share of them in which something was found.
        ms: Milliseconds a face, all told.
        recall, precision: Of the covered pixels below the mouth, by thing that was drawn.
    """

    faces: int
    occluded: float
    ms: float
    recall: dict[str, float]
    precision: dict[str, float]


def measure(clip: Path, weights: Path, frames: int, things: tuple[str, ...] = THINGS) -> Found:
    """Return what is found in the first frames of a clip, as it is and with things drawn over it."""
    info, settings = probe_video(clip), Settings()
    index = build_index(info)
    recipe = make_recipe(info, index.sizes)
    detector = YuNet(weights / "face_detection_yunet_2023mar.onnx", min_score=settings.detect.min_score)
    tracks = whole_tracks(info, index, detector, settings)
    rows = [int(row) for row in np.argsort(tracks.frame, kind="stable") if tracks.frame[row] < frames]
    seen: dict[str, list[FilmedFace]] = {kind: [] for kind in ("", *things)}
    truth: dict[str, list[F32Array]] = {kind: [] for kind in things}
    begin = busy = 0.0
    with VideoReader(info.path, info.stream_index, index) as reader:
        for row, decoded in zip(rows, reader.read_order(int(tracks.frame[row]) for row in rows), strict=True):
            frame, five = recipe.apply(decoded), tracks.landmarks[row]
            track, number = int(tracks.track[row]), int(tracks.frame[row])
            begin = time.perf_counter()
            face = filmed_face(frame, recipe.canvas, five, track, number)
            busy += time.perf_counter() - begin
            seen[""].append(face)
            for kind in things:
                drawn = recipe.apply(decoded)
                thing = _Thing(kind, tracks, row)
                thing.draw(drawn, recipe.canvas)
                seen[kind].append(filmed_face(drawn, recipe.canvas, five, track, number))
                truth[kind].append(thing.in_view(face))
    begin = time.perf_counter()
    plain = [_share(face, cover) for face, cover in _covers(seen[""])]
    busy += time.perf_counter() - begin
    recall, precision = {}, {}
    for kind in things:
        hits = covered_px = found_px = 0
        for (face, cover), thing in zip(_covers(seen[kind]), truth[kind], strict=True):
            below = (np.arange(VIEW_PX)[:, None] + 0.5 > face.points[3:, 1].mean()) & (face.opacity > _ON_FACE)
            is_found, is_covered = (cover > _FOUND) & below, (thing > _FOUND) & below
            hits += int((is_found & is_covered).sum())
            covered_px, found_px = covered_px + int(is_covered.sum()), found_px + int(is_found.sum())
        recall[kind], precision[kind] = hits / max(1, covered_px), hits / max(1, found_px)
    share = float(np.mean([one > _LEAST_SHARE for one in plain])) if plain else 0.0
    return Found(len(rows), share, 1000 * busy / max(1, len(rows)), recall, precision)


def _covers(faces: list[FilmedFace]) -> list[tuple[FilmedFace, F32Array]]:
    places = {(face.track, face.source): face for face in faces}
    around = range(-REACH, REACH + 1, STEP)
    found = []
    for face in faces:
        near = [places[key] for by in around if (key := (face.track, face.source + by)) in places]
        found.append((face, covered(face, near)))
    return found


def _share(face: FilmedFace, cover: F32Array) -> float:
    return float((face.opacity * cover).sum() / max(1e-6, float(face.opacity.sum())))


class _Thing:
    """An ellipse that crosses a face at the height of the chin, from the right and back to there."""

    def __init__(self, kind: str, tracks: Tracks, row: int) -> None:
        five = tracks.landmarks[row].astype(np.float64)
        across, mouth = five[1] - five[0], five[3:].mean(axis=0)
        eyes = float(np.linalg.norm(across))
        down = mouth - five[:2].mean(axis=0)
        along = 2.6 - _STEP_EYES * (int(tracks.frame[row]) % _PERIOD)
        centre = mouth + along * across + 0.5 * down
        width = _WIDTH_EYES * eyes
        self._kind = kind
        self.to_shown = np.array(
            [[width / _SIDE_PX, 0, centre[0] - width / 2], [0, width / _SIDE_PX, centre[1] - width / 2]]
        )
        rows, columns = (np.mgrid[:_SIDE_PX, :_SIDE_PX] + 0.5 - _SIDE_PX / 2) / (_SIDE_PX / 2)
        distance = np.hypot(columns, rows / 0.75)
        self._opacity = np.clip((1 - distance) * 12, 0, 1).astype(np.float32)
        fingers = 1 - 0.35 * (np.abs(np.sin(columns * 9)) < 0.25)
        self._light = (fingers * (1.05 - 0.25 * distance))[..., None]
        cheek = five[2] + 0.25 * down
        self._skin_to_shown = np.array([[eyes / 80, 0, cheek[0] - eyes / 8], [0, eyes / 80, cheek[1] - eyes / 8]])

    def draw(self, frame: Any, canvas: Any) -> None:
        """Draw it into a frame."""
        skin = np.median(read_region(frame, canvas, self._skin_to_shown, 20).reshape(-1, 3), axis=0)
        colour = 0.67 * skin if self._kind == "hand" else np.array([0.07, 0.07, 0.08])
        image = np.clip(colour * (self._light if self._kind == "hand" else 1.0 + 0 * self._light), 0, 1)
        write_region(frame, canvas, self.to_shown, image.astype(np.float32), self._opacity)

    def in_view(self, face: FilmedFace) -> F32Array:
        """Return how far it covers a face, in the face's view."""
        to_thing = np.linalg.inv(np.vstack([self.to_shown, [0, 0, 1]])) @ np.vstack([face.to_shown, [0, 0, 1]])
        flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
        return np.asarray(cv2.warpAffine(self._opacity, to_thing[:2], (VIEW_PX, VIEW_PX), flags=flags), np.float32)


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("clips", nargs="*", type=Path)
    parser.add_argument("--shared", type=Path, default=Path(os.environ.get("LIPWISE_SHARED", "../shared")))
    parser.add_argument("--frames", type=int, default=200, help="measure the first so many")
    options = parser.parse_args()
    clips = options.clips or sorted(
        path for path in (options.shared / "clips").iterdir() if path.suffix in {".mp4", ".mpg"}
    )
    print("faces in front of which something is found; recall and precision of what is drawn over them; ms a face")
    print(f"{'clip':34s}{'faces':>6s}{'found':>8s}" + "".join(f"{kind:>18s}" for kind in THINGS) + f"{'ms':>7s}")
    for clip in clips:
        found = measure(clip, options.shared / "weights", options.frames)
        if found.faces:
            cells = "".join(f"{found.recall[kind]:9.0%}{found.precision[kind]:9.0%}" for kind in THINGS)
            print(f"{clip.name:34s}{found.faces:6d}{found.occluded:8.1%}{cells}{found.ms:7.2f}", flush=True)


if __name__ == "__main__":
    main()
