"""A plan's arrays, and which of them go with its record."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from lipwise_ray.faces.detections import LANDMARKS
from lipwise_ray.state.plan_record import PlanRecord
from lipwise_ray.storage.arrays import Array, ArraySpec, read_npz

CHOSEN = {
    "frame": "face_frame",
    "track": "face_track",
    "crop_box": "face_box",
    "face_box": "face",
    "landmarks": "face_landmarks",
    "opacity": "face_opacity",
}
"""Arrays of the chosen faces, by what `faces.select.FaceSelection` calls them."""


def read_plan_arrays(path: Path, record: PlanRecord) -> dict[str, Array]:
    """Return a plan's arrays, as `plan.Plan.save` names them.

    Raises:
        ValueError: They are damaged, or not of this record.
        OSError: They cannot be read.
    """
    frames = record.chunks[-1][1]
    spans = zip([[0, 0], *record.chunks], record.chunks, strict=False)
    if any(before[1] != start or stop <= start for before, (start, stop) in spans):
        raise ValueError("plan.json: its chunks leave gaps, or overlap")
    specs = {
        "source": ArraySpec("int64", ("N",)),
        "mel_start": ArraySpec("int64", ("N",)),
        "pts": ArraySpec("int64", ("N",)),
        "face_frame": ArraySpec("int64", ("K",)),
        "face_track": ArraySpec("int64", ("K",)),
        "face_box": ArraySpec("float32", ("K", 4)),
        "face": ArraySpec("float32", ("K", 4)),
        "face_landmarks": ArraySpec("float32", ("K", LANDMARKS, 2)),
        "face_opacity": ArraySpec("float32", ("K",)),
    }
    for place in range(len(record.parts)):
        specs |= {f"part_opacity_{place}": ArraySpec("float32", ("N",))}
        specs |= {f"part_pauses_{place}": ArraySpec("int64", (f"P{place}", 2))}
    data = read_npz(path, specs, lengths={"N": frames})
    pts, source = data["pts"], data["source"]
    if not ((np.diff(pts) > 0).all() and record.end_pts > pts[-1] and source.min() >= 0):
        raise ValueError(f"{path.name}: time stamps do not rise, or frames are before the first")
    return data
