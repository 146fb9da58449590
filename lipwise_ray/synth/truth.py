"""The truth beside a synthetic clip: where it is and how it is read. Needs nothing to draw or speak with."""

from __future__ import annotations

import json
from pathlib import Path

from lipwise_ray.values import Json

TRUTH_SCHEMA = "lipwise.synth.truth/1"
TRUTH_SUFFIX = ".truth.json"


def truth_beside(path: Path) -> Path:
    """Return where a clip's truth is."""
    return path.with_name(path.name + TRUTH_SUFFIX)


def read_truth(path: Path) -> Json | None:
    """Return the truth beside a clip, None where there is none."""
    beside = truth_beside(path)
    return json.loads(beside.read_text("utf-8")) if beside.is_file() else None
