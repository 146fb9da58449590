"""Record of speech that was made of a text: the file, and by whom it is spoken."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, ClassVar

from pydantic import ConfigDict, Field

from lipwise_ray.state.shapes import STRICT, Sha256


@dataclass(frozen=True, slots=True, kw_only=True)
class SpokenBy:
    """Speaker of a text.

    Attributes:
        engine: Name of the engine, and its version where that decides the sound.
        voice: Name of the voice; empty for the engine's usual one.
        licence: Terms of the engine, and of its network.
    """

    __pydantic_config__: ClassVar[ConfigDict] = STRICT

    engine: str
    voice: str = ""
    licence: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class SpeechRecord:
    """Speech that is in the state.

    Attributes:
        sha256: Of the file, which is named after it.
        seconds: Its length.
        by: Its speaker.
    """

    __pydantic_config__: ClassVar[ConfigDict] = STRICT

    sha256: Sha256
    seconds: Annotated[float, Field(gt=0, le=1e6)]
    by: SpokenBy
