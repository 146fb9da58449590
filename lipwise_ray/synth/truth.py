"""The truth beside a synthetic clip: where it is and how it is read. Needs nothing to draw or speak with."""

from __future__ import annotations

import json
from pathlib import Path
from typing import cast

from lipwise_ray.errors import MediaError
from lipwise_ray.values import Json

TRUTH_SCHEMA = "lipwise.synth.truth/1"
TRUTH_SUFFIX = ".truth.json"

_TAKE = "-take"
"""Clips whose names differ only after this are takes of each other: the same movements, another speech."""


def truth_beside(path: Path) -> Path:
    """Return the path of a clip's truth."""
    return path.with_name(path.name + TRUTH_SUFFIX)


def take_name(clip: str, take: int | None) -> str:
    """Return a clip's name with the number of its take, counted from 0; the clip's own where there is but one.

    Args:
        clip: Name of the clip.
        take: Number of the take, from 0; None where there is but one.
    """
    return clip if take is None else f"{clip}{_TAKE}{take + 1}"


def without_take(clip: str) -> str:
    """Return a clip's name without its take."""
    head, mark, take = clip.rpartition(_TAKE)
    return head if mark and take.isdigit() else clip


def read_truth(path: Path) -> Json | None:
    """Return the truth beside a clip, None where there is none.

    Raises:
        MediaError: It cannot be read.
    """
    beside = truth_beside(path)
    if not beside.is_file():
        return None
    try:
        truth: object = json.loads(beside.read_text("utf-8"))
    except (OSError, ValueError):
        truth = None
    if not isinstance(truth, dict) or "frames" not in truth:
        raise MediaError("bad_truth", str(beside), got="not the truth of a clip, or damaged", do="Make it again")
    return cast("Json", truth)
