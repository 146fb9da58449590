"""Record of the active speaker search of a job: how sure its turns are."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from pydantic import ConfigDict

from lipwise_ray.state.shapes import STRICT, Count, Figure, Maybe, NonNegative


@dataclass(frozen=True, slots=True, kw_only=True)
class SpeakingRecord:
    """Certainty of who speaks: seconds of original speech in shots of several people.

    Attributes:
        turns: How often somebody has the turn.
        certainty: The share of speech that is clear; None where nobody is heard.
        speech_s: All speech.
        clear_s: Of it, where the lips of whoever was chosen move as in speech, and nobody else's.
        several_s: Where several people's lips do.
        nobody_s: Where nobody's do.
        by_expert_s: Where a lip-sync expert decided between several.
        found_s: Of each speaker of a diarisation file whose face was sought, while it was found; 0 where nobody's was.
    """

    __pydantic_config__: ClassVar[ConfigDict] = STRICT

    turns: Count = 0
    certainty: Figure | None = None
    speech_s: NonNegative = 0.0
    clear_s: NonNegative = 0.0
    several_s: NonNegative = 0.0
    nobody_s: NonNegative = 0.0
    by_expert_s: NonNegative = 0.0
    found_s: Maybe[dict[str, NonNegative]] = None
