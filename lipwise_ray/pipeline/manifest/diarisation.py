"""Diarisation files: the turns of each speaker of an audio, read from RTTM, SRT, WebVTT or JSON, written as RTTM."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import cast

from lipwise_ray.errors import FaceError
from lipwise_ray.pipeline.manifest.timed_text import read_timed_text

MOST_NAMES = 100
_MOST_TURNS = 100_000
_MOST_S = 1_000_000
_MOST_NAME_CHARACTERS = 64
_RTTM_FIELDS = 9
"""A tenth, the look-ahead time, is often left out."""

# No part of these can begin where another may still go on: a line of any length is read in one pass.
_TIME = r"(\d{1,4}:)?(\d{1,2}):(\d{2})[.,](\d{1,3})"
_CUE = re.compile(rf"^{_TIME}\s+-->\s+{_TIME}(?:\s|$)")
_VOICE = re.compile(r"<v(?:\.[^\s<>]*)?\s([^<>]*)>")
_IN_BRACKETS = re.compile(r"^\[([^\[\]]+)\]:?(.*)$")
_BEFORE_COLON = re.compile(r"^([^\s:<>\[\]][^:<>\[\]]*):(?:\s(.*))?$")
_TAG = re.compile(r"<[^<>]*>")

SpeakerTimes = tuple[tuple[Fraction, Fraction], ...]
"""``[start, end)`` of a speaker's turns in seconds, in order, apart from each other."""


@dataclass(frozen=True, slots=True)
class _Turn:
    """One turn, and where it stands in its file, for messages."""

    name: str
    start_s: float
    end_s: float
    where: str


def read_diarisation(path: Path) -> dict[str, SpeakerTimes]:
    """Return the turns of each speaker, by name, in the order in which they speak first.

    Turns of different speakers may overlap; those of one that overlap or touch are one turn.

    Args:
        path: The file; its ending says what it is: one of `READERS`.

    Raises:
        FaceError: It is no such file, names nobody, or has times that cannot be.
    """
    text = read_timed_text(path, READERS, "a diarisation", lambda got, do: _bad(path, "", got, do))
    turns: list[_Turn] = []
    for turn in READERS[path.suffix.lower()](path, text):
        _check(path, turn)
        turns.append(turn)
        if len(turns) > _MOST_TURNS:
            raise _bad(path, "", f"more than {_MOST_TURNS} turns")
    if not turns:
        raise _bad(path, "", "no turns of speakers", "It needs at least one")
    by_name: dict[str, list[_Turn]] = {}
    for turn in sorted(turns, key=lambda turn: turn.start_s):
        by_name.setdefault(turn.name, []).append(turn)
    if len(by_name) > MOST_NAMES:
        raise _bad(path, "", f"{len(by_name)} speakers, more than {MOST_NAMES}")
    return {name: joined((turn.start_s, turn.end_s) for turn in several) for name, several in by_name.items()}


def _check(path: Path, turn: _Turn) -> None:
    if not turn.name or len(turn.name) > _MOST_NAME_CHARACTERS or not turn.name.isprintable():
        got = f"{turn.name[:80]!r} is not a name" if turn.name else "a turn without a speaker"
        raise _bad(path, turn.where, got, f"Names have 1 to {_MOST_NAME_CHARACTERS} characters")
    if not 0 <= turn.start_s <= _MOST_S or not turn.end_s <= _MOST_S:
        do = "Times are seconds from the start of the audio, at least 0"
        raise _bad(path, turn.where, f"a turn from {turn.start_s:g} s to {turn.end_s:g} s", do)
    if not turn.end_s > turn.start_s:
        got = f"the end, {turn.end_s:g} s, is not after the start, {turn.start_s:g} s"
        raise _bad(path, turn.where, got)


def joined(turns_s: Iterable[tuple[float, float]]) -> SpeakerTimes:
    """Return one speaker's turns as times to the millisecond, where those that overlap or touch are one.

    Args:
        turns_s: Starts and ends in seconds, in order of the starts.
    """
    found: list[tuple[Fraction, Fraction]] = []
    for turn in turns_s:
        start, end = (Fraction(round(1000 * seconds), 1000) for seconds in turn)
        if found and start <= found[-1][1]:
            found[-1] = (found[-1][0], max(end, found[-1][1]))
        else:
            found.append((start, max(end, start + Fraction(1, 1000))))
    return tuple(found)


def rttm_of(turns: Mapping[str, SpeakerTimes], recording: str) -> str:
    """Return the text of an RTTM file, a line a turn, in the order in which they start.

    Args:
        turns: Each speaker's turns, by name.
        recording: Name of what they speak in. In it, and in names, blanks become underscores.
    """
    head, nothing = f"SPEAKER {_field(recording)} 1", "<NA> <NA>"
    return "".join(
        f"{head} {float(start):.3f} {float(end - start):.3f} {nothing} {_field(name)} {nothing}\n"
        for start, end, name in sorted((*times, name) for name, several in turns.items() for times in several)
    )


def _field(text: str) -> str:
    return "_".join(text.split()) or "<NA>"


def _rttm(path: Path, text: str) -> Iterator[_Turn]:
    """Yield the turns of an RTTM file: ``SPEAKER file channel start duration <NA> <NA> name <NA> <NA>``."""
    recordings: dict[str, str] = {}
    for number, line in enumerate(text.splitlines(), 1):
        fields, where = line.split(), f"line {number}"
        if not fields or fields[0].startswith(";;"):
            continue
        if not fields[0].replace("-", "").isupper():
            raise _bad(path, where, f"{line[:60]!r} is not a line of an RTTM file", _RTTM_DO)
        if fields[0] != "SPEAKER":
            continue  # what else is known of the recording
        if len(fields) < _RTTM_FIELDS:
            raise _bad(path, where, f"{len(fields)} fields instead of 10", _RTTM_DO)
        recordings.setdefault(fields[1], where)
        if len(recordings) > 1:
            one, other = recordings
            got = f"turns of two recordings, {one[:40]!r} and {other[:40]!r}"
            raise _bad(path, where, got, "Give a file for each")
        start_s, duration_s = (_seconds(path, where, field) for field in fields[3:5])
        yield _Turn("" if fields[7] == "<NA>" else fields[7], start_s, start_s + duration_s, where)


_RTTM_DO = "Write SPEAKER file 1 START DURATION <NA> <NA> NAME <NA> <NA>"


def _seconds(path: Path, where: str, text: str) -> float:
    try:
        return float(text)
    except ValueError as error:
        raise _bad(path, where, f"{text[:40]!r} is not a time", "Write seconds") from error


@dataclass(frozen=True, slots=True)
class _Line:
    """A line of a cue.

    Attributes:
        voices: Names in its tags.
        bracketed: A name in brackets before what is said, or empty.
        name: Words before a colon, which may be a name, or empty.
        said: The rest.
        text: All but tags and brackets.
        is_first: Another may begin to speak here: a cue's first line, or one with a dash.
    """

    voices: tuple[str, ...]
    bracketed: str
    name: str
    said: str
    text: str
    is_first: bool

    def looks_named(self) -> bool:
        """Tell whether the words before the colon are written as names are, and are no time: ``At 10: 30``."""
        is_name = all(not word[:1].islower() for word in self.name.split())
        return self.is_first and is_name and not self.may_be_time()

    def may_be_time(self) -> bool:
        """Tell whether digits stand on both sides of the colon."""
        return self.name[-1:].isdigit() and self.said[:1].isdigit()


def _line(text: str, *, is_first: bool) -> _Line:
    has_tags = "<" in text
    plain = _TAG.sub("", text).strip() if has_tags else text
    if plain.startswith("-"):
        plain, is_first = plain[1:].lstrip(), True
    voices = tuple(name for found in _VOICE.findall(text) if (name := found.strip())) if has_tags else ()
    if voices:
        return _Line(voices, "", "", plain, plain, is_first)
    if bracketed := _IN_BRACKETS.match(plain):
        return _Line((), bracketed[1].strip(), "", bracketed[2], bracketed[2], is_first)
    named = _BEFORE_COLON.match(plain)
    name, said = (named[1].rstrip(), (named[2] or "").lstrip()) if named else ("", plain)
    return _Line((), "", name, said, plain, is_first)


def _subtitles(path: Path, text: str) -> Iterator[_Turn]:
    """Yield the turns of an SRT or WebVTT file.

    A cue's lines name their speakers as ``[NAME]``, ``NAME:`` or ``<v NAME>``; a cue without a name belongs to who was
    named last. Several who are named in a cue speak all along it. A name in brackets and nothing else is no speech.
    """
    last = ""
    cues = list(_cues(path, text))
    known = _names_of([lines for _, _, lines in cues])
    for where, (start_s, end_s), lines in cues:
        names, is_speech = _speakers(lines, known)
        if not names and not is_speech:
            continue
        if not names and not last:
            raise _bad(
                path, where, "a cue without a speaker, before any is named", "Write NAME: or [NAME] before the text"
            )
        last = names[-1] if names else last
        yield from (_Turn(name, start_s, end_s, where) for name in names or [last])


def _cues(path: Path, text: str) -> Iterator[tuple[str, tuple[float, float], list[_Line]]]:
    """Yield the cues: the place of each, its start and end in seconds, and its lines."""
    lines = [*text.splitlines(), ""]
    number = 0
    while number < len(lines):
        line, where = lines[number].strip(), f"line {number + 1}"
        number += 1
        times = cue_times(line)
        if "-->" in line and times is None:
            raise _bad(path, where, f"{line[:60]!r} are not times", "Write 00:00:01,000 --> 00:00:02,500")
        if times is None:
            continue
        said: list[_Line] = []
        while lines[number].strip():
            said.append(_line(lines[number].strip(), is_first=not said))
            number += 1
        yield where, times, said


def _names_of(cues: list[list[_Line]]) -> set[str]:
    """Return the names before colons: in capitals, before several cues' words, or written and placed as names are.

    Other words before a colon are speech.
    """
    names: set[str] = set()
    heard: set[str] = set()
    for lines in cues:
        named = [line for line in lines if line.name and line.name not in names]
        names |= {line.name for line in named if line.name.isupper() or line.looks_named()}
        here = {line.name for line in named if not line.may_be_time()}
        names |= heard & here
        heard |= here
    return names


def _speakers(lines: list[_Line], known: set[str]) -> tuple[list[str], bool]:
    """Return the names in the lines of a cue, and whether anything is said."""
    names: list[str] = []
    is_speech = False
    for line in lines:
        is_named = line.name in known
        names += [*line.voices, *filter(None, [line.bracketed, line.name if is_named else ""])]
        is_speech |= bool((line.said if is_named else line.text).strip("- "))
    if not is_speech and len(names) == 1 and any(line.bracketed for line in lines):
        return [], False
    return list(dict.fromkeys(names)), is_speech


def cue_times(line: str) -> tuple[float, float] | None:
    """Return the start and end, in seconds, that a line of an SRT or WebVTT file states; None where it states none."""
    cue = _CUE.match(line)
    return (_clock(*cue.groups()[:4]), _clock(*cue.groups()[4:])) if cue else None


def _clock(hours: str | None, minutes: str, seconds: str, part: str) -> float:
    return int((hours or "0:")[:-1]) * 3600 + int(minutes) * 60 + int(seconds) + int(part) / 10 ** len(part)


def _json(path: Path, text: str) -> Iterator[_Turn]:
    """Yield the turns of a JSON document: a list of objects with start, end and speaker, or its ``segments``."""
    do = 'Write [{"speaker": "ANNA", "start": 0.5, "end": 2.0}]'
    try:
        found: object = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise _bad(path, "", f"not JSON: {str(error)[:80]}", do) from error
    if isinstance(found, Mapping):
        document = cast("Mapping[str, object]", found)
        found = next((document[key] for key in ("segments", "turns") if key in document), found)
    if not isinstance(found, list):
        raise _bad(path, "", f"a {type(found).__name__} instead of a list of turns", do)
    for number, value in enumerate(cast("list[object]", found), 1):
        where = f"turn {number}"
        turn = cast("Mapping[str, object]", value) if isinstance(value, Mapping) else {}
        name, times = turn.get("speaker", turn.get("name")), [turn.get(key) for key in ("start", "end")]
        if not isinstance(name, str):
            raise _bad(path, where, f"no speaker in {_outline(value)}", do)
        start_s, end_s = (
            _as_float(one) if isinstance(one, int | float) and not isinstance(one, bool) else None for one in times
        )
        if start_s is None or end_s is None:
            raise _bad(path, where, f"start or end is not a number in {_outline(value)}", do)
        yield _Turn(name.strip(), start_s, end_s, where)


def _as_float(number: float) -> float:
    """Return a number of JSON, whole ones of hundreds of digits as infinity."""
    try:
        return float(number)
    except OverflowError:
        return float("inf") if number > 0 else float("-inf")


def _outline(value: object) -> str:
    """Return a value of JSON in short; what is within it may be nested too deeply to be written."""
    if isinstance(value, Mapping):
        names = [ascii(name[:20]) for name in [*cast("Mapping[str, object]", value)][:4]]
        return f"an object with {', '.join(names) or 'nothing in it'}"
    return f"a list of {len(cast('list[object]', value))}" if isinstance(value, list) else ascii(value)[:20]


READERS: dict[str, Callable[[Path, str], Iterator[_Turn]]] = {
    ".rttm": _rttm,
    ".srt": _subtitles,
    ".vtt": _subtitles,
    ".json": _json,
}
"""Readers of diarisation files by their endings."""


def _bad(path: Path, where: str, got: str, do: str = "") -> FaceError:
    return FaceError("bad_diarisation", f"{path}, {where}" if where else str(path), got=got, do=do)
