"""Accuracy of the bundled detector on drawn presenters that corpora keep from training.

    python -m benchmarks.tiny_detector [--seed 44] [--clips 30] [--detector FILE]

Every fifth frame of held-out scenes is searched (`synth corpus --kind scenes --held-out` draws the same ones). Besides
recall, false alarms and landmarks it prints how far boxes are off: a crop that ends above an open chin shows.
Needs the extra `dev` (speech, drawing).
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np

from lipwise_ray.faces.detections import DetectedFaces
from lipwise_ray.faces.tiny import TinyDetector
from lipwise_ray.models.registry import Registry
from lipwise_ray.resources import models_folder
from lipwise_ray.synth.corpus import CorpusSpec, corpus_scene
from lipwise_ray.synth.scene import SeenFace, draw_scene
from lipwise_ray.training.detector import measure

EVERY = 5
MIN_SCORE = 0.7
MOST_FACES = 4
NEAR = 0.5
"""Share of a face's height by which a box may be off and still be that face's."""


def main() -> None:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seed", type=int, default=44)
    parser.add_argument("--clips", type=int, default=30)
    parser.add_argument("--detector", type=Path, help="detector to test instead of the bundled one")
    options = parser.parse_args()
    registry = Registry(models_folder() / "registry.toml", Path())
    detector = TinyDetector(
        options.detector or registry.resolve("tiny_detector").path, min_score=MIN_SCORE, device="cpu"
    )
    spec = CorpusSpec(options.clips, seed=options.seed, kind="scenes", held_out=True)
    found: list[DetectedFaces] = []
    rows: list[np.ndarray] = []
    apart: list[np.ndarray] = []
    for number in range(options.clips):
        for frame, picture in enumerate(draw_scene(corpus_scene(spec, number))):
            if frame % EVERY:
                continue
            seen = detector.detect([np.ascontiguousarray(picture.rgb[..., ::-1])])[0]
            found.append(seen)
            rows.append(_row(picture.faces))
            apart += [error for face in picture.faces if (error := _error(seen, face)) is not None]
    figures = measure(found, np.stack(rows))
    print(f"{len(found)} frames of {options.clips} scenes")
    print(f"recall at IoU 0.5: {figures['recall']:.1%}; frames with a false alarm: {figures['false_alarms']:.1%}")
    print(f"landmark error: {figures['landmark_error']:.1%} of the face's width")
    for name, mean, spread in zip(("left", "top", "right", "bottom"), np.mean(apart, 0), np.std(apart, 0), strict=True):
        print(f"box, {name}: {mean:+.1%} of the face's height, standard deviation {spread:.1%}")


def _row(faces: tuple[SeenFace, ...]) -> np.ndarray:
    row = np.full((MOST_FACES, 14), np.nan, np.float32)
    for place, face in enumerate(faces[:MOST_FACES]):
        row[place] = [*face.truth.box, *np.ravel(face.truth.landmarks)]
    return row


def _error(seen: DetectedFaces, face: SeenFace) -> np.ndarray | None:
    """Return left, top, right and bottom of the nearest box minus the true ones, in heights of the face."""
    true = np.array(face.truth.box)
    height = true[3] - true[1]
    if not len(seen.box):
        return None
    nearest = seen.box[np.abs(seen.box - true).sum(1).argmin()]
    error = (nearest - true) / height
    return error if np.abs(error).max() < NEAR else None


if __name__ == "__main__":
    main()
