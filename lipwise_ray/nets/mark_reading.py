"""Reading of a mark that is hidden in audio."""

from __future__ import annotations

from dataclasses import dataclass

MARK_BITS = 16
"""Length of a mark's message."""


@dataclass(frozen=True, slots=True)
class MarkReading:
    """Reading of a mark in audio.

    Attributes:
        share: Share of the samples that are taken to be marked, from 0 to 1; 0 of no samples.
        message: The message, from 0 to 65535; None where less than half of the samples are taken to be marked.
    """

    share: float
    message: int | None
