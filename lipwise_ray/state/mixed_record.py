"""Record of what became of a delivered voice: what was mixed under it, and its loudness."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from pydantic import ConfigDict

from lipwise_ray.state.shapes import STRICT, Figure, Maybe, NonNegative


@dataclass(frozen=True, slots=True, kw_only=True)
class LoudnessRecord:
    """Loudness of audio by EBU R 128; None where it is silent or too short to tell.

    Attributes:
        lufs: Integrated loudness.
        true_peak_dbtp: True peak, in dB of full scale.
    """

    __pydantic_config__: ClassVar[ConfigDict] = STRICT

    lufs: Figure | None = None
    true_peak_dbtp: Figure | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class MixedRecord:
    """Mixing of a delivered voice.

    Attributes:
        background: The background's address, or ``keep``; absent where only the loudness was changed.
        background_gain_db: Its gain.
        duck_db: How much lower it was while somebody spoke; absent where it was not.
        ducked_s: Seconds of speech over which it was.
        loudness_lufs: Loudness that was asked for; absent for none.
        gain_db: Gain of the whole: to that loudness, or so that nothing clips.
        is_limited: True peaks were limited.
        before: The mix before that gain.
        after: The delivered audio, as it decodes.
    """

    __pydantic_config__: ClassVar[ConfigDict] = STRICT

    background: Maybe[str] = None
    background_gain_db: Maybe[Figure] = None
    duck_db: Maybe[Figure] = None
    ducked_s: Maybe[NonNegative] = None
    loudness_lufs: Maybe[Figure] = None
    gain_db: Figure = 0.0
    is_limited: bool = False
    before: LoudnessRecord = LoudnessRecord()
    after: LoudnessRecord = LoudnessRecord()
