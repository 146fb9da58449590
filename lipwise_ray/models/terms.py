"""Terms of checkpoints: whether they allow commercial use."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Literal

Commercial = Literal["yes", "no", "unclear"]
"""Terms that nobody stated are unclear, never yes."""


def commercial_of(stated: object) -> Commercial:
    """Return the terms on which a checkpoint may be used in commerce, by what its record states.

    Records of earlier versions say only whether terms forbid it: what they do not forbid is unclear.
    """
    if stated in ("yes", "no", "unclear"):
        return stated
    return "no" if stated is False else "unclear"


def strictest(terms: Iterable[Commercial]) -> Commercial:
    """Return the terms of several checkpoints that are used together."""
    stated = set(terms)
    return "no" if "no" in stated else "unclear" if "unclear" in stated else "yes"
