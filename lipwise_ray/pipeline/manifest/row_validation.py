"""The cells of a manifest's rows: what holds for manifests of every kind."""

from __future__ import annotations

import difflib
import json
import os
import re
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, cast

from lipwise_ray.errors import InputError, LipwiseError, ManifestError, MediaError, os_reason
from lipwise_ray.faces.select import LIKE, parse_selection_rule
from lipwise_ray.media.image_sequence import is_series, names_series, series_files
from lipwise_ray.pipeline.manifest.formats import BROKEN, Columns, RawRow
from lipwise_ray.pipeline.manifest.row_table import AUTO, RowTable, line_of, row_number
from lipwise_ray.storage.address import Policy, bucket_and_key, is_local, is_store, whole_path
from lipwise_ray.storage.names import names_in, same_name
from lipwise_ray.storage.stream_choice import MediaKind, split_choice

ROW_ID = re.compile(r"^[\w][\w.@+-]*\Z")
MOST_ID_BYTES = 240  # names of files hold it and a little more
_CLOCK = re.compile(r"^(?:(\d+):)?([0-5]?\d):([0-5]?\d(?:\.\d+)?)$")
_BETWEEN_TAGS = re.compile(r"[|,;]")
_LARGEST, _MOST_DIGITS = 1_000_000, 40
_MOST_SECONDS = 1e8
_MOST_KNOWN_FILES = 4096
_MOST_KNOWN_FOLDERS = 16
_MOST_EXTRA_CHARACTERS = 32_768
_LISTS = ("pads", "tags")
_MOVING = ("video", "reference")
"""Columns that may name image sequences."""

_NESTED = ("speakers",)
_CHOSEN: dict[str, MediaKind] = {
    **dict.fromkeys(("video", "reference"), "video"),
    **dict.fromkeys(("audio", "speakers", "background"), "audio"),
}
"""Kinds of streams that addresses may choose, by column."""


@dataclass(frozen=True, slots=True)
class RowCells:
    """A row's cells by column, every column among them.

    Attributes:
        values: As they were read.
        text: As text, empty where there is nothing; lists are left out.
        extra: Columns that are not known, as text.
    """

    values: RawRow
    text: dict[str, str]
    extra: dict[str, str]


class Cells:
    """Reads cells of the present row and notes what is wrong with them.

    Args:
        columns: Columns that a row may have.
        base: The folder or prefix that paths are relative to.
        policy: Rules for the addresses of inputs.
        hint: Advice, for messages, about a file that is not there.
        is_alone: There is one row, which no file holds: messages name columns alone.
    """

    def __init__(
        self,
        columns: Columns,
        base: str,
        policy: Policy,
        hint: str = "Paths are relative to the manifest",
        *,
        is_alone: bool = False,
    ) -> None:
        self.table = RowTable()
        self.line = 0
        self.number = 0
        """Of the present row: its line, or beyond all lines where a line gives several."""
        self.id = ""
        """Of the present row, as far as it can be read."""
        self.video = ""
        """The same, as the manifest spells it."""
        self.within = ""
        """Part of the row that is looked at, for messages."""
        self._columns = columns
        self._known = frozenset(columns.all)
        self._nothing: RawRow = {**dict.fromkeys(columns.all)}
        self._no_text = dict.fromkeys(columns.all, "")
        self._base = base
        self._is_base_local = is_local(base)
        self._policy = policy
        self._hint = hint
        self._is_alone = is_alone
        self._files: dict[tuple[str, str], str] = {}
        """Addresses by column and text, of the latest files that can be used."""
        self._is_file = lru_cache(_MOST_KNOWN_FILES)(_is_file)
        self._series = lru_cache(_MOST_KNOWN_FOLDERS)(series_files)
        self._names = lru_cache(_MOST_KNOWN_FOLDERS)(names_in)
        self._whole = lru_cache(_MOST_KNOWN_FILES)(whole_path)

    def begin(self, line: int, record: RawRow, further: int = 0) -> RowCells | None:
        """Take up a row; None for one whose cells cannot be read at all.

        Args:
            line: Line on which it stands.
            record: Its cells.
            further: Its number among the rows of that line, from 0.
        """
        broken = record.pop(BROKEN, None)
        self.line, self.number = line, row_number(line, further)
        self.id, self.video = _plain(record.get("id")), _plain(record.get("video"))
        if broken is not None:
            self.wrong(None, str(broken))
            return None
        if not self._check_values(record):
            return None
        text = self._no_text.copy()
        for name, value in record.items():
            if isinstance(value, str):
                text[name] = value.strip()
            elif isinstance(value, list | tuple):
                text.pop(name, None)
            elif value is not None:
                text[name] = str(value).strip()
        name = text.get("id", "")
        if name and (not ROW_ID.match(name) or len(name.encode()) > MOST_ID_BYTES):
            do = f"Take letters, digits and ._@+-, at most {MOST_ID_BYTES} bytes"
            self.wrong("id", f"{name[:140]!r} is not an id", do)
        return RowCells(self._nothing | record, text, self._extra(record))

    def _extra(self, record: RawRow) -> dict[str, str]:
        """Return the cells of columns that are not known; they may be kept, but not be large."""
        if record.keys() <= self._known:
            return {}
        meant = self._known | self._columns.settings
        told = {name: value for name, value in record.items() if name not in meant and value is not None}
        found = {
            str(name): json.dumps(value, default=str) if isinstance(value, dict | list | tuple) else str(value).strip()
            for name, value in told.items()
        }
        if sum(len(name) + len(value) for name, value in found.items()) > _MOST_EXTRA_CHARACTERS:
            self.wrong(None, f"more than {_MOST_EXTRA_CHARACTERS} characters in further columns")
        return found

    def _check_values(self, record: RawRow) -> bool:
        """Tell whether every cell is of a known column and holds one value, or note what is wrong."""
        wrong = 0
        for name, value in record.items():
            if isinstance(value, str) and value.isascii() and name in self._known:
                continue  # as nearly all are
            wrong += 1
            is_setting = name in self._columns.settings
            is_other = name not in self._known and not is_setting
            if is_other and self._columns.keeps_extra and is_text(str(name)) and is_text(value):
                wrong -= 1
            elif is_other:
                near = self._columns.like(str(name))
                hint = f' - did you mean "{near}"?' if near else ""
                do = "" if near else f"Known: {', '.join(self._columns.all)}"
                self.wrong(ascii(name)[1:-1][:80], f"unknown column{hint}", do)
            elif name in _NESTED and not isinstance(value, str):
                wrong -= 1  # who asks for it looks at it
            elif isinstance(value, dict) or (isinstance(value, list | tuple) and name not in _LISTS and not is_setting):
                self.wrong(str(name), f"a {type(value).__name__} where one text or number belongs")
            elif not is_text(value):
                self.wrong(str(name), f"{ascii(value)[:80]} cannot be written in UTF-8")
            else:
                wrong -= 1
        return not wrong

    def wrong(self, column: str | None, happened: str, do: str = "") -> None:
        """Note what is wrong with the row: with a column of it, or as a whole.

        Args:
            column: The column; None for the row as a whole.
            happened: Finding, for the message.
            do: Advice, for the message; empty for none.
        """
        if self._is_alone:
            where = (column or "") + self.within
        else:
            where = f"line {self.line}" + (f" (id={self.id})" if self.id else "")
            where += (f', column "{column}"' if column else "") + self.within
        known = column in self._known
        self.table.add_problem(
            self.number, ManifestError(f"row_{column}" if known else "row", where, got=happened, do=do)
        )

    def back_to(self, number: int, row_id: str) -> None:
        """Look at a row again, of which something turned out when all were read."""
        self.line, self.number, self.id = line_of(number), number, row_id

    def file(self, column: str, text: str) -> str:
        """Return the absolute path or address of an input.

        Args:
            column: The column.
            text: As the manifest spells it; empty gives an empty address.
        """
        if not text:
            return ""
        known = self._files.get((column, text))
        if known is not None:
            return known
        file, choice = split_choice(text) if column in _CHOSEN else (text, None)
        if choice and choice.kind != _CHOSEN[column]:
            do = f"Write #{_CHOSEN[column][0]}: and its number, from 0"
            self.wrong(column, f"{text!r} chooses {choice.kind} where {_CHOSEN[column]} is needed", do)
            return text
        try:
            address = self._local(column, file) if is_local(file) else self._elsewhere(column, file)
            self._policy.check(address)
        except LipwiseError as error:
            self.wrong(column, f"{error.where}: {error.happened}", error.do)
            return text
        address = f"{address}#{choice.name}" if choice else address
        if len(self._files) >= _MOST_KNOWN_FILES:
            self._files.clear()
        self._files[column, text] = address
        return address

    def _elsewhere(self, column: str, address: str) -> str:
        if is_store(address) and column in _MOVING and names_series(address):
            happened = "numbered images in a bucket cannot be used"
            raise MediaError("no_series", address, got=happened, do="Copy them to a folder first")
        if is_store(address) and not bucket_and_key(address)[1]:
            raise InputError("no_object", address, got="a bucket alone, without a name in it")
        return address

    def _local(self, column: str, text: str) -> str:
        if not self._is_base_local and not Path(text).is_absolute():  # beside a manifest in a bucket
            bucket, key = bucket_and_key(f"{self._base}/{text}")
            end = "/" if text.endswith("/") else ""
            return self._elsewhere(column, f"{bucket}/{os.path.normpath(key)}{end}")
        place = os.path.join(self._base if self._is_base_local else "/", text)  # noqa: PTH118  # a row's cost
        path = self._whole(place)
        if not self._is_there(column, path) and not path.name.isascii():
            path = self._whole(same_name(path, self._names) or path)
        if not self._is_there(column, path):
            self._policy.check(str(path))  # what may not be read, nobody is told whether it is there
            raise self._no_file(path)
        return str(path)

    def _no_file(self, path: Path) -> MediaError:
        try:
            happened = "a folder, not a file" if path.is_dir() else "file not found"
        except OSError as error:  # a folder that may not be entered, a name that is too long
            do = "Check the path and its permissions"
            return MediaError("missing_file", str(path), got=os_reason(error), do=do)
        return MediaError("missing_file", str(path), got=happened, do=self._hint)

    def _is_there(self, column: str, path: Path) -> bool:
        """Tell whether there is such a file; raises where a series cannot be used."""
        if self._is_file(path):
            return True
        return column in _MOVING and is_series(path) and bool(self._series(path))

    def choice(
        self, text: dict[str, str], column: str, known: tuple[str, ...], into: dict[str, dict[str, Any]]
    ) -> None:
        """Put one of a few words into the settings of `timing`.

        Args:
            text: The row's cells by column.
            column: The column, and the key in ``timing``.
            known: Words that are allowed.
            into: Settings by section, which get the word; an empty cell leaves them.
        """
        value = text.get(column, "").lower()
        if not value:
            return
        if value not in known:
            near = difflib.get_close_matches(value, known, n=1)
            hint = f' - did you mean "{near[0]}"?' if near else ""
            self.wrong(column, f"unknown {column} {value!r}{hint}", f"Known: {', '.join(known)}")
            return
        into.setdefault("timing", {})[column] = value

    def faces(self, text: str, into: dict[str, dict[str, Any]]) -> None:
        """Put the rule that chooses faces into the settings.

        Args:
            text: The rule; empty for that of the run's settings.
            into: Settings by section, which get the rule.
        """
        if text:
            into.setdefault("faces", {})["select"] = self.rule("faces", text)

    def rule(self, column: str, text: str) -> str:
        """Return a rule that chooses faces, its portrait as an address."""
        try:
            rule = parse_selection_rule(text)
        except LipwiseError as error:
            self.wrong(column, error.happened, error.do)
            return "largest"
        return f"{LIKE}:{self.file(column, rule.image)}" if rule.kind == LIKE else text

    def seconds(self, column: str, text: str) -> float | None:
        """Return a time, None where there is none.

        Args:
            column: The column.
            text: Seconds, or ``h:mm:ss``; empty for none.
        """
        value = seconds_in(text) if text else None
        if text and value is None:
            self.wrong(column, f"{text[:_MOST_DIGITS]!r} is not a time", "Write seconds or h:mm:ss, at least 0")
        return value

    def whole(self, column: str, text: str) -> int:
        """Return a whole number, 0 where there is none."""
        if not text:
            return 0
        try:
            number = int(text[:_MOST_DIGITS].removesuffix(".0"))  # a spreadsheet library's whole number
        except ValueError:
            number = _LARGEST + 1
        if not -_LARGEST <= number <= _LARGEST:
            given = text[:_MOST_DIGITS]
            self.wrong(column, f"{given!r} is not a whole number from -{_LARGEST} to {_LARGEST}")
            return 0
        return number


def seconds_in(text: str) -> float | None:
    """Return a time that is written as seconds or ``h:mm:ss``; None where it is none."""
    clock = _CLOCK.match(text)
    try:
        if clock:
            hours, minutes, seconds = clock.groups()
            value = int(hours or 0) * 3600 + int(minutes) * 60 + float(seconds)
        else:
            value = float(text)
    except ValueError:
        return None
    return value if 0 <= value <= _MOST_SECONDS else None


def language_in(text: str) -> str | None:
    """Return the language that a cell names, `AUTO` however it is written; None for an empty one."""
    return AUTO if text.lower() == AUTO else text or None


def _plain(value: object) -> str:
    """Return a cell as text that UTF-8 can hold."""
    return "" if value is None else str(value).strip().encode(errors="replace").decode()


def is_text(value: object) -> bool:
    """Tell whether a value, or each item of a list, can be written as UTF-8; JSON allows what cannot."""
    if isinstance(value, list | tuple):
        items = cast("list[object]", value)
        return all(not isinstance(item, dict | list) and is_text(item) for item in items)
    try:
        str(value).encode()
    except UnicodeEncodeError:
        return False
    return True


def tags_of(value: object) -> tuple[str, ...]:
    """Return the tags of a list, or of a text that separates them."""
    if isinstance(value, list | tuple):
        return tuple(str(v) for v in cast("list[object]", value))
    return tuple(tag for part in _BETWEEN_TAGS.split(str(value or "")) if (tag := part.strip()))


def _is_file(path: Path) -> bool:
    try:
        return path.is_file()
    except OSError:  # a name that is too long, a folder that may not be entered
        return False
