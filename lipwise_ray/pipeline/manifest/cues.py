"""Cue files: sentences with times that somebody is to say, read from SRT, WebVTT or JSON segments."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from html import unescape
from pathlib import Path
from typing import cast

from lipwise_ray.errors import ManifestError
from lipwise_ray.pipeline.manifest.diarisation import cue_times
from lipwise_ray.pipeline.manifest.row_validation import is_text
from lipwise_ray.pipeline.manifest.timed_text import read_timed_text

MOST_CUES = 10_000
MOST_CHARACTERS = 10_000
"""Of one text: some ten minutes of speech."""

MOST_VOICE_CHARACTERS = 100
VOICE_DO = f"Voices have 1 to {MOST_VOICE_CHARACTERS} printable characters, the first of which is not a hyphen"
_MOST_S = 1_000_000
_TAG = re.compile(r"<[^<>]*>|\{\\[^{}]*\}")
"""Marks of WebVTT and of SubStation, which are not said."""

_VTT_HEAD = re.compile(r"WEBVTT(?:[ \t].*)?")
_VTT_BLOCKS = ("NOTE", "STYLE", "REGION")
_JSON_DO = 'Write [{"start": 0.5, "end": 2.0, "text": "Good evening."}]'
_TIMES_DO = "Write 00:00:01,000 --> 00:00:02,500"
_SEGMENT_KEYS = ("start", "end", "text", "voice")


@dataclass(frozen=True, slots=True)
class Cue:
    """A sentence and its time.

    Attributes:
        number: Place in the file, from 1 on.
        start_s: Second at which its speech begins.
        end_s: Second at which its slot ends.
        text: Words that are said, on one line.
        voice: Name of the voice; empty for the row's.
        where: Place in the file, for messages.
    """

    number: int
    start_s: float
    end_s: float
    text: str
    voice: str
    where: str


def read_cues(path: Path) -> tuple[Cue, ...]:
    """Return the cues of a file in the order of their times.

    Args:
        path: The file; its ending says what it is: one of `CUE_READERS`.

    Raises:
        ManifestError: It is no such file, a cue has no text, or its times cannot be.
    """
    text = read_timed_text(path, CUE_READERS, "cues", lambda got, do: _bad(path, "", got, do))
    cues: list[Cue] = []
    for cue in CUE_READERS[path.suffix.lower()](path, text):
        _check(path, cue, cues[-1] if cues else None)
        cues.append(cue)
        if len(cues) > MOST_CUES:
            raise _bad(path, "", f"more than {MOST_CUES} cues")
    if not cues:
        raise _bad(path, "", "no cues in it", "It needs at least one")
    return tuple(cues)


def is_voice(name: str) -> bool:
    """Tell whether a text can name a voice; programs would take one that begins with a hyphen for an option."""
    return 0 < len(name) <= MOST_VOICE_CHARACTERS and name.isprintable() and not name.startswith("-")


def _check(path: Path, cue: Cue, before: Cue | None) -> None:
    """Refuse a cue that cannot be said at its time."""
    if not any(character.isalnum() for character in cue.text):
        raise _bad(path, cue.where, f"cue {cue.number} has no text", "Write what is said, or remove the cue")
    if not is_text(cue.text) or "\0" in cue.text:
        raise _bad(path, cue.where, f"the text of cue {cue.number} cannot be written in UTF-8")
    if cue.voice and not is_voice(cue.voice):
        raise _bad(path, cue.where, f"{ascii(cue.voice)[:80]} is not the name of a voice", VOICE_DO)
    if len(cue.text) > MOST_CHARACTERS:
        raise _bad(path, cue.where, f"cue {cue.number} has {len(cue.text)} characters, more than {MOST_CHARACTERS}")
    if not 0 <= cue.start_s <= _MOST_S or not cue.end_s <= _MOST_S:
        raise _bad(path, cue.where, f"cue {cue.number} lasts from {cue.start_s:g} s to {cue.end_s:g} s")
    if cue.end_s <= cue.start_s:
        got = f"the end of cue {cue.number}, {cue.end_s:g} s, is not after its start, {cue.start_s:g} s"
        raise _bad(path, cue.where, got)
    if before is not None and cue.start_s < before.start_s:
        got = f"cue {cue.number} starts at {cue.start_s:g} s, before cue {before.number} at {before.start_s:g} s"
        raise _bad(path, cue.where, got, "Put the cues in the order of their times")
    if before is not None and cue.start_s < before.end_s:
        got = f"cue {cue.number} starts at {cue.start_s:g} s, before cue {before.number} ends at {before.end_s:g} s"
        do = "One voice says one thing at a time: move the cues apart, or give each speaker a text in JSON lines"
        raise _bad(path, cue.where, got, do)


def _subtitles(path: Path, text: str) -> Iterator[Cue]:
    """Yield the cues of an SRT or WebVTT file."""
    number, is_vtt = 0, path.suffix.lower() == ".vtt"
    for first, block in _blocks(text):
        head = int(first == 1 and _VTT_HEAD.fullmatch(block[0]) is not None)
        start, lines = first + head, block[head:]
        is_facts = head and not any("-->" in line for line in lines)  # Kind: captions, Language: es
        if is_facts or not lines or lines[0].split(maxsplit=1)[0] in _VTT_BLOCKS:
            continue
        # A line of its own above the times is the cue's number, or its name.
        at = next((place for place, line in enumerate(lines[:2]) if "-->" in line), None)
        if at is None:
            raise _bad(path, f"line {start}", f"{lines[0][:60]!r} is not a cue", _TIMES_DO)
        where, number = f"line {start + at}", number + 1
        times = cue_times(lines[at])
        if times is None:
            raise _bad(path, where, f"{lines[at][:60]!r} are not times", _TIMES_DO)
        later = next((place for place, line in enumerate(lines) if place > at and "-->" in line), None)
        if later is not None:
            raise _bad(path, f"line {start + later}", "times of another cue", "Put an empty line between cues")
        said = _said(" ".join(lines[at + 1 :]))
        yield Cue(number, *times, " ".join(unescape(said).split()) if is_vtt else said, "", where)


def _blocks(text: str) -> Iterator[tuple[int, list[str]]]:
    """Yield the stretches of lines between empty ones, each after the number of its first line."""
    block: list[str] = []
    for number, line in enumerate([*text.splitlines(), ""], 1):
        if line.strip():
            block.append(line.strip())
        elif block:
            yield number - len(block), block
            block = []


def _said(text: str) -> str:
    """Return words without marks, with single blanks between them."""
    return " ".join(_TAG.sub("", text).split())


def _segments(path: Path, text: str) -> Iterator[Cue]:
    """Yield the cues of a JSON document: a list of objects with start, end and text, or its ``segments``."""
    try:
        found: object = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise _bad(path, "", f"not JSON: {str(error)[:80]}", _JSON_DO) from error
    if isinstance(found, Mapping):
        found = cast("Mapping[str, object]", found).get("segments")
    if not isinstance(found, list):
        raise _bad(path, "", "not a list of segments", _JSON_DO)
    for number, value in enumerate(cast("list[object]", found), 1):
        where = f"segment {number}"
        segment = cast("Mapping[str, object]", value) if isinstance(value, Mapping) else {}
        start_s, end_s, said, voice = (segment.get(key) for key in _SEGMENT_KEYS)
        if not _is_time(start_s) or not _is_time(end_s):
            raise _bad(path, where, "its start or end is not a number", _JSON_DO)
        if not isinstance(said, str) or not isinstance(voice, str | None):
            raise _bad(path, where, "its text or voice is not a text", _JSON_DO)
        yield Cue(number, _as_float(start_s), _as_float(end_s), _said(said), (voice or "").strip(), where)


def _is_time(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _as_float(value: object) -> float:
    """Return a number of JSON; whole ones of hundreds of digits as infinity."""
    try:
        return float(cast("int | float", value))
    except OverflowError:
        return float("inf")


CUE_READERS: dict[str, Callable[[Path, str], Iterator[Cue]]] = {
    ".srt": _subtitles,
    ".vtt": _subtitles,
    ".json": _segments,
}
"""Readers of cue files by their endings."""


def _bad(path: Path, where: str, got: str, do: str = "") -> ManifestError:
    return ManifestError("bad_cues", f"{path}, {where}" if where else str(path), got=got, do=do)
