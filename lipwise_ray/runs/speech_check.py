"""Checks of texts that are to be spoken, before anything is: is the engine there, and has it the voices?"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from fractions import Fraction

from lipwise_ray.errors import LipwiseError
from lipwise_ray.models.checkpoints import Checkpoints
from lipwise_ray.pipeline.inputs.resolver import Media
from lipwise_ray.pipeline.manifest.cues import Cue, read_cues
from lipwise_ray.pipeline.manifest.row_table import Row
from lipwise_ray.pipeline.manifest.speakers import has_text
from lipwise_ray.roles.tts import TTS, check_voice, engine_facts, spoken_voice
from lipwise_ray.settings.model import Settings

_CHARACTERS_A_SECOND = 15
"""Of speech at a usual pace, in European languages."""


def check_speech(row: Row, settings: Settings, checkpoints: Checkpoints) -> None:
    """Find out whether a row's texts can be spoken; the voices in a file of cues are left to `cue_problems`.

    Args:
        row: The row.
        settings: Its settings.
        checkpoints: Its checkpoints.

    Raises:
        SettingsError: The engine is not there, or has no such voice.
    """
    if not has_text(row.script, row.speakers):
        return
    engine_facts(settings.tts, checkpoints)
    own = row.script.voice if row.script else ""
    voices = [one.voice or own for one in row.speakers if one.text] or [own]
    _check_voices(voices, row, settings, checkpoints)


def cue_problems(row: Row, settings: Settings, checkpoints: Checkpoints, media: Media) -> Iterator[LipwiseError]:
    """Yield all that is wrong with a row's file of cues.

    Args:
        row: The row.
        settings: Its settings.
        checkpoints: Its checkpoints.
        media: Opens its inputs; a file that lies elsewhere is fetched, for it is small.
    """
    try:
        voices = [cue.voice for cue in cues_of(row, media) if cue.voice]
        _check_voices(voices, row, settings, checkpoints)
    except LipwiseError as error:
        yield media.named(error)


def speech_end_s(row: Row, media: Media) -> Fraction:
    """Return an estimate of the time at which a row's speech ends, for what has not been spoken yet.

    Args:
        row: A row with texts.
        media: Opens its inputs.

    Raises:
        InputError: Its file of cues cannot be used.
    """
    cues = cues_of(row, media)
    ends_s = [Fraction(cue.start_s) + speech_s(cue.text) for cue in cues]
    ends_s += [Fraction(one.start_s) + speech_s(one.text) for one in row.speakers if one.text]
    ends_s += [speech_s(row.script.text)] if row.script else []
    return max(ends_s)


def speech_s(text: str) -> Fraction:
    """Guess the length of a text's speech in seconds."""
    return Fraction(len(text), _CHARACTERS_A_SECOND)


def cues_of(row: Row, media: Media) -> tuple[Cue, ...]:
    """Read a row's file of cues; nothing for a row without one.

    Args:
        row: The row.
        media: Opens its inputs; a file that lies elsewhere is fetched, for it is small.

    Raises:
        InputError: The file cannot be used.
    """
    file = row.script.file if row.script else None
    return read_cues(media.local(file, media.identity(file))) if file else ()


def _check_voices(voices: Iterable[str], row: Row, settings: Settings, checkpoints: Checkpoints) -> None:
    if not all(one.sha256 for one in checkpoints.all(TTS.name)):
        return  # its networks are missing, which is told
    for voice in dict.fromkeys(voices):
        named = spoken_voice(settings.tts, checkpoints, voice)
        check_voice(settings.tts, checkpoints, named, row.language or "")
