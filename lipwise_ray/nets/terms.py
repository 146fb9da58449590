"""Whether the terms of checkpoints allow commercial use."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Literal

from lipwise_ray.values import Json

Commercial = Literal["yes", "no", "unclear"]
"""What nobody stated is unclear, never yes."""


def commercial_of(record: Json) -> Commercial:
    """Return whether a recorded checkpoint may be used in commerce.

    Records of earlier versions say only whether terms forbid it: what they do not forbid is unclear.
    """
    stated = record.get("commercial")
    if stated in ("yes", "no", "unclear"):
        return stated
    return "no" if stated is False else "unclear"


def strictest(terms: Iterable[Commercial]) -> Commercial:
    """Return what holds where several checkpoints are used together."""
    found = set(terms)
    return "no" if "no" in found else "unclear" if "unclear" in found else "yes"
