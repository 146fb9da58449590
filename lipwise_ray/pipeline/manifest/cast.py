"""The cast of a row with a diarisation file: the face of each name, as the row's ``faces`` column says it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import PurePosixPath

from lipwise_ray.errors import FaceError
from lipwise_ray.faces.select import SPEAKING
from lipwise_ray.pipeline.manifest.diarisation import READERS, SpeakerTimes
from lipwise_ray.pipeline.manifest.row_validation import Cells
from lipwise_ray.pipeline.manifest.speakers import NOBODY, Speaker
from lipwise_ray.storage.address import file_name

_CAST_DO = "Write NAME=RULE; NAME=RULE, with none for who is not seen; or leave it empty, to have them found"


def read_cast(cells: Cells, faces: str, audio: str) -> tuple[Speaker, ...]:
    """Return the speakers of a row whose turns a file has: those of its cast, or one without a name for all.

    Args:
        cells: Reads the row.
        faces: Its column: empty, ``speaking``, or ``NAME=RULE; NAME=RULE``.
        audio: Address of what they say, all of them.
    """
    if faces.strip().lower() in {"", SPEAKING}:
        return (Speaker(SPEAKING, audio),)
    found: dict[str, Speaker] = {}
    for part in filter(None, (part.strip() for part in faces.split(";"))):
        name, equals, rule = (text.strip() for text in part.partition("="))
        if not equals or not name or not rule:
            cells.wrong("faces", f"{part[:80]!r} names no speaker and face", _CAST_DO)
        elif name in found:
            cells.wrong("faces", f"two faces for {name[:80]!r}", _CAST_DO)
        else:
            found[name] = Speaker("" if rule.lower() == NOBODY else cells.rule("faces", rule), audio, name=name)
    if found and not any(speaker.faces for speaker in found.values()):
        cells.wrong("faces", "nobody of the cast has a face", _CAST_DO)
    return tuple(found.values())


def diarisation_of(cells: Cells, text: str) -> str:
    """Return the address of a row's diarisation file."""
    ending = PurePosixPath(file_name(text)).suffix.lower()
    if ending not in READERS:
        cells.wrong("speakers", f"unknown ending of {text[:80]!r}", f"A diarisation is one of {', '.join(READERS)}")
    return cells.file("speakers", text)


def cast_of(
    speakers: Sequence[Speaker], turns: Mapping[str, SpeakerTimes], where: str
) -> list[tuple[Speaker, SpeakerTimes]]:
    """Return those who are seen, each with their turns.

    Args:
        speakers: The row's, of `read_cast`.
        turns: Of each name in the diarisation file.
        where: The file, for messages.

    Raises:
        FaceError: The cast and the file name others.
    """
    cast = {speaker.name: speaker for speaker in speakers}
    if "" in cast:
        everybody = cast[""]
        cast = {name: Speaker(everybody.faces, everybody.audio, name=name) for name in turns}
    unknown, absent = [name for name in turns if name not in cast], [name for name in cast if name not in turns]
    if unknown or absent:
        got = f"{_listed(unknown)} speak, and have no face" if unknown else f"{_listed(absent)} never speak"
        raise FaceError(
            "unknown_speakers",
            where,
            got=got,
            must=f"the file's names are {_listed([*turns])}",
            do="Put the names of the file into the faces column, with none for who is not seen",
        )
    return [(cast[name], times) for name, times in turns.items() if cast[name].faces]


def _listed(names: Sequence[str]) -> str:
    shown = [ascii(name) for name in names[:5]]
    return ", ".join(shown) + (" and others" if len(names) > len(shown) else "")
