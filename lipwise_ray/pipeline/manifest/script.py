"""The text of a row in place of its audio: its columns ``text`` and ``voice``."""

from __future__ import annotations

from pathlib import PurePosixPath

from lipwise_ray.pipeline.manifest.cues import CUE_READERS, MOST_CHARACTERS, VOICE_DO, is_voice
from lipwise_ray.pipeline.manifest.row_table import AUTO
from lipwise_ray.pipeline.manifest.row_validation import Cells, language_in
from lipwise_ray.pipeline.manifest.speakers import Script, Speaker
from lipwise_ray.storage.address import file_name

_OF_FILE = "@"


def read_script(cells: Cells, text: dict[str, str], speakers: tuple[Speaker, ...]) -> Script | None:
    """Return the script of a row; None where it has none.

    Args:
        cells: Reads the row.
        text: The row's cells by column.
        speakers: Its speakers.
    """
    said, voice = text.get("text", ""), read_voice(cells, "voice", text.get("voice", ""))
    if not said:
        if voice and not any(one.text for one in speakers):
            cells.wrong("voice", f"{voice!r} without a text that it could say", "Fill in text, or leave it empty")
        speaks = any(one.text for one in speakers)
    else:
        speaks = True
        beside = next((name for name in ("audio", "speakers") if text.get(name) or (name != "audio" and speakers)), "")
        if beside:
            cells.wrong("text", f"a text beside {beside}", "Leave one of them empty")
    if speaks and language_in(text.get("language", "")) == AUTO:
        cells.wrong("language", f"{AUTO} beside a text: speech that is yet to be made cannot be listened to", "Name it")
    if not said:
        return Script(voice=voice) if voice and speaks else None
    if not said.startswith(_OF_FILE):
        return Script(read_text(cells, "text", said), voice=voice)
    address = said.removeprefix(_OF_FILE).strip()
    ending = PurePosixPath(file_name(address)).suffix.lower()
    if ending not in CUE_READERS:
        do = f"A file of cues is one of {', '.join(CUE_READERS)}; a sentence cannot begin with {_OF_FILE}"
        cells.wrong("text", f"unknown ending of {address[:80]!r}", do)
    return Script(file=cells.file("text", address) or None, voice=voice)


def read_text(cells: Cells, column: str, text: str) -> str:
    """Return the words that somebody is to say, on one line.

    Args:
        cells: Reads the row.
        column: The column, for messages.
        text: As the manifest spells it.
    """
    words = " ".join(text.split())
    if len(words) > MOST_CHARACTERS:
        do = f"Put its sentences into a file of cues, {_OF_FILE}file.srt"
        cells.wrong(column, f"{len(words)} characters of text, more than {MOST_CHARACTERS}", do)
    if not any(character.isalnum() for character in words):
        cells.wrong(column, f"nothing to say in {words[:40]!r}")
    return words


def read_voice(cells: Cells, column: str, name: str) -> str:
    """Return the name of a voice; empty for none.

    Args:
        cells: Reads the row.
        column: The column, for messages.
        name: As the manifest spells it.
    """
    if name and not is_voice(name):
        cells.wrong(column, f"{name[:80]!r} is not the name of a voice", VOICE_DO)
    return name
