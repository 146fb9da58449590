"""Audio by language: a row with several becomes a row each, or one whose file gets further soundtracks."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from pathlib import PurePosixPath
from typing import Literal, Protocol, cast

from lipwise_ray.pipeline.manifest.formats import BROKEN, RawRow
from lipwise_ray.pipeline.manifest.row_table import RowTable

TracksRule = Literal["one", "all"]
"""Soundtracks of a file: one, or all of its row's."""

TracksOf = Callable[[str | None], TracksRule]
"""From the preset of a row, None for the run's, to the soundtracks of its file."""

_TAG = re.compile(r"[A-Za-z]{2,3}([-_][A-Za-z0-9]{2,8})*")
_PLACE = "{language}"
_MOST_LANGUAGES = 30  # tracks that players list, and files that a row may become
_DO = '"audio": {"es": "spanish.wav", "de": "german.wav"} in JSON lines'


class NumberedRows(Protocol):
    """Makes rows, of which one line may give several."""

    def add_numbered(self, line: int, record: RawRow, further: int, beside: Mapping[str, str]) -> None:
        """Take in one row.

        Args:
            line: Line on which it stands.
            record: Its cells.
            further: Its number among the rows of that line, from 0.
            beside: Further audio of its file, by language.
        """
        ...

    def finish(self) -> RowTable:
        """Return the rows once all are in."""
        ...


class RowsByLanguage:
    """Takes rows apart by the languages of their audio.

    Args:
        rows: Gets the rows.
        tracks_of: Tells how many soundtracks a row's file gets.
    """

    def __init__(self, rows: NumberedRows, tracks_of: TracksOf) -> None:
        self._rows = rows
        self._tracks_of = tracks_of

    def add(self, line: int, record: RawRow) -> None:
        """Take in one row, or those of one line."""
        audio = record.get("audio")
        if not isinstance(audio, dict):
            self._rows.add_numbered(line, record, 0, {})
            return
        given = cast("dict[str, object]", audio)
        files = {tag: file for tag, file in given.items() if file is not None}  # Parquet has all in every row
        problem = _problem_of(record, files)
        if problem:
            self._rows.add_numbered(line, {**record, BROKEN: f'column "audio": {problem}. Write {_DO}'}, 0, {})
            return
        sounds = cast("dict[str, str]", files)
        preset = str(record.get("preset") or "").strip() or None
        own = str(record.get("encode.tracks") or "").strip()  # what else it says is refused with its row
        if (own or self._tracks_of(preset)) == "all":
            (first, file), *others = sounds.items()
            output = str(record.get("output") or "").replace(_PLACE, first)
            whole = {**record, "audio": file, "language": first, "output": output}
            self._rows.add_numbered(line, whole, 0, dict(others))
            return
        for further, (tag, file) in enumerate(sounds.items()):
            self._rows.add_numbered(line, _of_language(record, tag, file), further, {})

    def finish(self) -> RowTable:
        """Return the rows once all are in."""
        return self._rows.finish()


def _problem_of(record: RawRow, files: Mapping[str, object]) -> str:
    """Return the fault of audio by language; empty where there is none."""
    if not 1 <= len(files) <= _MOST_LANGUAGES:
        return f"{len(files)} languages, and from 1 to {_MOST_LANGUAGES} are taken"
    unnamed = next((tag for tag in files if not _TAG.fullmatch(tag)), None)
    if unnamed is not None:
        return f"{ascii(unnamed)[:40]} is not a language tag"
    empty = next((tag for tag, file in files.items() if not isinstance(file, str) or not file.strip()), None)
    if empty is not None:
        return f"{empty} has no file"
    if record.get("language"):
        return "audio by language beside a language"
    return "audio by language beside speakers" if record.get("speakers") else ""


def _of_language(record: RawRow, tag: str, file: str) -> RawRow:
    """Return the row of one language: its own id and output, which the tag tells apart from the others'."""
    output = str(record.get("output") or "").strip()
    if _PLACE in output:
        output = output.replace(_PLACE, tag)
    elif (path := PurePosixPath(output)).name:
        output = str(path.with_name(f"{path.stem}.{tag}{path.suffix}"))
    name = str(record.get("id") or "").strip()
    return {**record, "id": name and f"{name}-{tag}", "audio": file, "language": tag, "output": output}
