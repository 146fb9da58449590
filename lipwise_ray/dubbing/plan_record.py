"""A plan's record, plan.json: what is not an array, and which arrays go with it."""

from __future__ import annotations

import json
from fractions import Fraction
from pathlib import Path
from typing import Annotated

import numpy as np
from pydantic import ConfigDict, Field, TypeAdapter
from pydantic.dataclasses import dataclass

from lipwise_ray.arrays import Array, ArraySpec, read_npz
from lipwise_ray.faces.detections import LANDMARKS
from lipwise_ray.values import Json

_Ratio = Annotated[str, Field(pattern=r"^\d{1,18}(/[1-9]\d{0,17})?$")]
_Ticks = Annotated[int, Field(ge=1, le=1 << 62)]
CHOSEN = {
    "frame": "face_frame",
    "track": "face_track",
    "box": "face_box",
    "face": "face",
    "landmarks": "face_landmarks",
    "opacity": "face_opacity",
}
"""Arrays of the chosen faces, by what `faces.select.Chosen` calls them."""

_STRICT = ConfigDict(strict=True, allow_inf_nan=False)


@dataclass(frozen=True, slots=True, config=_STRICT)
class PartRecord:
    """All that one face says: see `plan.Part`."""

    tracks: list[int]
    sound_id: Annotated[str, Field(pattern=r"^[\w-]{1,100}$")]
    times_s: list[Annotated[list[_Ratio], Field(min_length=2, max_length=2)]]


@dataclass(frozen=True, slots=True, config=_STRICT)
class PlanRecord:
    """What is not an array: see `plan.Plan`."""

    end_pts: _Ticks
    time_base: _Ratio
    rate: _Ratio
    parts: Annotated[list[PartRecord], Field(min_length=1, max_length=100)]
    chunks: Annotated[list[Annotated[list[int], Field(min_length=2, max_length=2)]], Field(min_length=1)]
    audio_s: _Ratio
    counts: dict[str, int]


_PLAN = TypeAdapter(PlanRecord)


def read_plan_record(summary: Json) -> PlanRecord:
    """Return a plan's record.

    Raises:
        ValueError: It is none.
    """
    record = _PLAN.validate_json(json.dumps(summary))
    if not (Fraction(record.time_base) and Fraction(record.rate)):
        raise ValueError("plan.json: must have a rate and a time base")
    return record


def read_plan_arrays(path: Path, record: PlanRecord) -> dict[str, Array]:
    """Return a plan's arrays, as `plan.Plan.save` names them.

    Raises:
        ValueError: They are damaged, or not of this record.
        OSError: They cannot be read.
    """
    frames = record.chunks[-1][1]
    spans = zip([[0, 0], *record.chunks], record.chunks, strict=False)
    if any(before[1] != start or stop <= start for before, (start, stop) in spans):
        raise ValueError("plan.json: must cut its frames into chunks without gaps")
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
        raise ValueError(f"{path.name}: must hold time stamps that rise, and frames from 0")
    return data
