"""Records of a job's inputs: decoded audio, and what is said in it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, ClassVar

from pydantic import ConfigDict, Field

from lipwise_ray.state.shapes import STRICT, Count, Figure, NonNegative, Sha256


@dataclass(frozen=True, slots=True)
class MixRecord:
    """Downmix that the networks hear.

    Attributes:
        mixes: Name of the mix by channel layout.
        lufs: Loudness of the whole; None for silence.
    """

    __pydantic_config__: ClassVar[ConfigDict] = STRICT

    mixes: dict[str, str]
    lufs: Figure | None


@dataclass(frozen=True, slots=True, kw_only=True)
class SoundRecord:
    """Audio that was decoded: see `media.audio.DecodedAudio`."""

    __pydantic_config__: ClassVar[ConfigDict] = STRICT

    pipeline: Count
    layout: str
    heard: MixRecord
    holes: Count
    hole_s: NonNegative
    changes: Count
    samples: Annotated[int, Field(ge=1, le=1 << 53)]
    rate_hz: Annotated[int, Field(ge=1, le=1 << 24)]
    mel_columns: Annotated[int, Field(ge=1, le=1 << 40)]
    mel_sha256: Sha256
    mfcc_sha256: Sha256


@dataclass(frozen=True, slots=True)
class TranscriptSegment:
    """Words of a transcript, and their times.

    Attributes:
        start, end: Seconds from the start of the audio.
        text: The words.
    """

    __pydantic_config__: ClassVar[ConfigDict] = STRICT

    start: float
    end: float
    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class TranscriptRecord:
    """Transcript of audio.

    Attributes:
        language: Two letters of ISO 639-1, None where nothing is said.
        by_sound: What the recogniser took it for.
        by_text: What the words themselves look like; None for too few.
        text: The words of all segments.
    """

    __pydantic_config__: ClassVar[ConfigDict] = STRICT

    language: str | None
    by_sound: str | None = None
    by_text: str | None = None
    text: str = ""
    segments: tuple[TranscriptSegment, ...] = ()
