"""Rows of a report on the disk, so that a million of them take no memory."""

from __future__ import annotations

import json
import sqlite3
from array import array
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeAlias, cast

from lipwise_ray.reports.made_audio import MadeAudio
from lipwise_ray.state.delivered_records import LeftBehindRecord
from lipwise_ray.state.job_result import FailedAttempt, MeasuredAttempt
from lipwise_ray.state.shapes import adapter_of
from lipwise_ray.values import Json

FlatRow: TypeAlias = Json
"""A row of a report's tables: `rows.row_of`, or what stands for a row that did not end."""

_FLAGS = frozenset({"reused"})
_DETAIL, _PLACE = "_detail", "_place"
_AS_IT_IS = MadeAudio()


@dataclass(frozen=True, slots=True)
class RowDetail:
    """Details of a row that have no place in a table.

    Attributes:
        curve: The certainty of its lips, a value a second.
        stages: Busy seconds by stage.
        attempts: In which ways it was tried.
        left_behind: What of its source its output lacks.
        made: Facts about its audio.
    """

    curve: tuple[float | None, ...] = ()
    stages: Mapping[str, float] = field(default_factory=dict[str, float])
    attempts: tuple[FailedAttempt | MeasuredAttempt, ...] = ()
    left_behind: tuple[LeftBehindRecord, ...] = ()
    made: MadeAudio = _AS_IT_IS


_NO_DETAIL = RowDetail()


class RowSheet:
    """Flat rows, in the order in which they came, in a database of the disk that is gone with its connection.

    One thread at a time may use it, whichever that is.

    Args:
        columns: Names of their values; what a row has beside them is not kept.
    """

    def __init__(self, columns: Sequence[str]) -> None:
        self._columns = tuple(columns)
        self._base = sqlite3.connect("", isolation_level=None, check_same_thread=False)
        kept = ", ".join(f'"{name}"' for name in self._columns)
        self._base.execute(f'CREATE TABLE rows ("{_PLACE}" INTEGER PRIMARY KEY, "{_DETAIL}" TEXT, {kept})')
        self._base.execute('CREATE INDEX by_row ON rows ("row")' if "row" in self._columns else "SELECT 1")
        self._base.execute("BEGIN")
        self._entry = f"INSERT INTO rows VALUES (NULL, {', '.join('?' * (len(self._columns) + 1))})"

    @staticmethod
    def of(rows: Iterable[FlatRow], columns: Sequence[str]) -> RowSheet:
        """Return a sheet of rows without details."""
        sheet = RowSheet(columns)
        for row in rows:
            sheet.add(row)
        return sheet

    def add(self, row: FlatRow, detail: RowDetail = _NO_DETAIL) -> None:
        """Take a row in."""
        text = None if detail == _NO_DETAIL else adapter_of(RowDetail).dump_json(detail).decode()
        values = map(row.get, self._columns)
        try:
            self._base.execute(self._entry, (text, *values))
        except UnicodeEncodeError:
            self._base.execute(self._entry, (text, *(_storable(row.get(name)) for name in self._columns)))

    def __len__(self) -> int:
        (count,) = self._base.execute("SELECT count(*) FROM rows").fetchone()
        return count

    def __iter__(self) -> Iterator[FlatRow]:
        return self.where()

    def where(self, condition: str = "TRUE", values: Sequence[object] = (), *, order: str = "") -> Iterator[FlatRow]:
        """Yield rows.

        Args:
            condition: SQL over the columns.
            values: What stands for its question marks.
            order: SQL by which they are ordered, or bounded; rows that are alike stay in their order.
        """
        kept = ", ".join(f'"{name}"' for name in self._columns)
        by, _, bound = order.partition(" LIMIT ")
        ordered = f"{by + ', ' if by else ''}{_PLACE}{' LIMIT ' + bound if bound else ''}"
        found = self._base.execute(f"SELECT {kept} FROM rows WHERE {condition} ORDER BY {ordered}", values)
        flags = [name for name in self._columns if name in _FLAGS]
        for one in found:
            row: FlatRow = dict(zip(self._columns, one, strict=True))
            for name in flags:
                if row[name] is not None:
                    row[name] = bool(row[name])
            yield row

    def ask(self, selection: str, values: Sequence[object] = ()) -> list[tuple[Any, ...]]:
        """Return the answer to SQL that begins after ``SELECT``; it is to be small."""
        return self._base.execute(f"SELECT {selection}", values).fetchall()

    def column(self, name: str, condition: str = "TRUE") -> array[float]:
        """Return the numbers of a column, 8 bytes each; rows without one are left out."""
        found = self._base.execute(
            f'SELECT "{name}" FROM rows WHERE "{name}" IS NOT NULL AND {condition} ORDER BY {_PLACE}'
        )
        return array("d", (value for (value,) in found))

    def rows_among(self, numbers: Sequence[int]) -> set[int]:
        """Return those of some lines of the manifest that have a row."""
        marks = ", ".join("?" * len(numbers))
        found = self._base.execute(f'SELECT "row" FROM rows WHERE "row" IN ({marks})', numbers)
        return {number for (number,) in found}

    def with_details(self) -> Iterator[tuple[FlatRow, RowDetail]]:
        """Yield all rows and their details."""
        details = self._base.execute(f"SELECT {_DETAIL} FROM rows ORDER BY {_PLACE}")
        for row, (text,) in zip(self, details, strict=True):
            yield row, _detail_of(text)

    def parts(self, name: str, key: str) -> Iterator[tuple[Any, Any]]:
        """Yield a column and one part of the details, as JSON values, of the rows that have details.

        Args:
            name: The column.
            key: The part: a field of `RowDetail`.
        """
        for value, text in self._base.execute(
            f'SELECT "{name}", {_DETAIL} FROM rows WHERE {_DETAIL} IS NOT NULL ORDER BY {_PLACE}'
        ):
            yield value, json.loads(text)[key]

    def rewrite(self, change: Callable[[str], str], mark: str) -> None:
        """Change texts of every row, those of the details too.

        Args:
            change: Returns a text's new form.
            mark: Texts without these characters stay as they are.
        """

        def new_text(text: str | float | None) -> str | float | None:
            return change(text) if isinstance(text, str) and mark in text else text

        def new_detail(text: str | None) -> str | None:
            return text if text is None or mark not in text else json.dumps(_changed(json.loads(text), change))

        self._base.create_function("new_text", 1, new_text, deterministic=True)
        self._base.create_function("new_detail", 1, new_detail, deterministic=True)
        texts = ", ".join(f'"{name}" = new_text("{name}")' for name in self._columns)
        self._base.execute(f"UPDATE rows SET {_DETAIL} = new_detail({_DETAIL}), {texts}")

    def detail(self, number: object) -> RowDetail:
        """Return the details of the row of a line of the manifest."""
        found = self._base.execute(f'SELECT {_DETAIL} FROM rows WHERE "row" IS ?', (number,)).fetchone()
        return _detail_of(found[0]) if found else _NO_DETAIL


def _detail_of(text: str | None) -> RowDetail:
    return _NO_DETAIL if text is None else adapter_of(RowDetail).validate_json(text)


def _changed(value: object, change: Callable[[str], str]) -> object:
    """Return a JSON value whose texts are changed; names of its keys stay."""
    if isinstance(value, str):
        return change(value)
    if isinstance(value, list):
        return [_changed(one, change) for one in cast("list[object]", value)]
    if isinstance(value, dict):
        return {key: _changed(one, change) for key, one in cast("dict[str, object]", value).items()}
    return value


def _storable(value: object) -> object:
    """Return a value as the database takes it: bytes of a name that are not UTF-8 as letters, as tables show them."""
    if isinstance(value, str):
        return value.encode("utf-8", "backslashreplace").decode()
    return value
