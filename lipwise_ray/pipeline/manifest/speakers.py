"""Speakers of a row: every face follows its own sound."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from operator import not_
from typing import Annotated, ClassVar

from pydantic import ConfigDict, Field

from lipwise_ray.faces.select import BOX, LIKE, SPEAKING, SelectionRule, parse_selection_rule
from lipwise_ray.settings.model import Settings
from lipwise_ray.state.shapes import STRICT, Maybe

NOBODY = "none"
"""The face, in a cast, of somebody who is not seen."""

_MOST_KNOWN = 1024

Seconds = Annotated[float, Field(ge=0, le=1e9)]


@dataclass(frozen=True, slots=True)
class Speaker:
    """A face and something that it says.

    Attributes:
        faces: The rule that chooses it.
        audio: Path or address of the sound.
        start_s: Second of the delivered sound at which it begins.
        end_s: Second at which it is cut there; None for its own end.
        name: Name whose turns in a diarisation file it says, where the row has one: the audio is that of all of them
            then. Empty for everybody in it. Somebody who is not seen has no ``faces``.
        text: Words that are to be spoken first; the audio is empty until they are.
        voice: Name of the voice that speaks them; empty for the row's.
    """

    __pydantic_config__: ClassVar[ConfigDict] = STRICT

    faces: str
    audio: str
    start_s: Seconds = 0.0
    end_s: Seconds | None = None
    name: Annotated[str, Field(exclude_if=not_)] = ""
    text: Annotated[str, Field(exclude_if=not_)] = ""
    voice: Annotated[str, Field(exclude_if=not_)] = ""


@dataclass(frozen=True, slots=True)
class Script:
    """Text of a row that is to be spoken, in place of its audio.

    Attributes:
        text: Words that are said from the start on; empty where a file or the speakers have them.
        file: Path or address of a file of cues, or None.
        voice: Name of the voice; empty for that of the settings.
        spoken_id: Identity of the file's contents when its cues were spoken; None before that.
    """

    __pydantic_config__: ClassVar[ConfigDict] = STRICT

    text: str = ""
    file: Maybe[str] = None
    voice: str = ""
    spoken_id: Maybe[str] = None


def has_text(script: Script | None, speakers: Iterable[Speaker]) -> bool:
    """Tell whether speech has to be made of a row's texts before anything else.

    Args:
        script: The row's, or None.
        speakers: The row's.
    """
    return bool(script and (script.text or script.file)) or any(speaker.text for speaker in speakers)


@dataclass(frozen=True, slots=True)
class FurtherSound:
    """A further soundtrack of a file, which no lips follow: its ``language``, and its path or address."""

    __pydantic_config__: ClassVar[ConfigDict] = STRICT

    language: str
    audio: str


def rules_of(speakers: Sequence[Speaker], settings: Settings) -> tuple[SelectionRule, ...]:
    """Return the rules that choose a row's faces, each once: its speakers', or without any that of its settings."""
    return _rules(tuple(speaker.faces for speaker in speakers if speaker.faces) or (settings.faces.select,))


@lru_cache(_MOST_KNOWN)
def _rules(texts: tuple[str, ...]) -> tuple[SelectionRule, ...]:
    return tuple(dict.fromkeys(parse_selection_rule(text) for text in texts))


def detects(rules: Iterable[SelectionRule], tracks: str | None) -> bool:
    """Tell whether a row needs its video scanned for faces.

    Args:
        rules: Rules that choose the row's faces.
        tracks: Address of the row's own face tracks; None where it brings none.
    """
    return tracks is None and any(rule.kind != BOX for rule in rules)


def needs_detector(rules: Sequence[SelectionRule], tracks: str | None) -> bool:
    """Tell whether a row needs a face detector: for its video, or for portraits.

    Args:
        rules: Rules that choose the row's faces.
        tracks: Address of the row's own face tracks; None where it brings none.
    """
    return detects(rules, tracks) or bool(portraits(rules))


def listens(rules: Iterable[SelectionRule]) -> bool:
    """Tell whether a row has to find out who speaks."""
    return any(rule.kind == SPEAKING for rule in rules)


def portraits(rules: Iterable[SelectionRule]) -> list[str]:
    """Return the portraits of people whom a row looks for."""
    return [rule.image for rule in rules if rule.kind == LIKE]
