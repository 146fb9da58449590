"""Rows of a manifest on the disk, so that a hundred thousand of them take no memory."""

from __future__ import annotations

import json
import sqlite3
from collections import Counter, deque
from collections.abc import Callable, Generator, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, fields
from operator import attrgetter
from typing import Any, TypeAlias

from pydantic_core import from_json, to_json

from lipwise_ray.errors import ManifestError, StorageError
from lipwise_ray.faces.select import parse_selection_rule
from lipwise_ray.pipeline.manifest.background import background_file
from lipwise_ray.pipeline.manifest.speakers import FurtherSound, Script, Speaker, has_text, portraits
from lipwise_ray.storage.stream_choice import file_of

AUTO = "auto"
"""A row's language that is to be heard."""

_FURTHER = 1_000_000_000
"""More than any manifest has lines, since they have bytes."""
Variant: TypeAlias = tuple[object, ...]
"""Parts of a row that decide its settings and checkpoints."""

_ROWS_A_WRITE = 512
_MOST_KNOWN = 4096
_ROWS_AHEAD = 256
"""Of all tenants together, read in few queries."""

_TABLES = """
CREATE TABLE rows (
  line INTEGER PRIMARY KEY, id TEXT, output TEXT, place TEXT, priority INT, tenant TEXT, video TEXT, variant INT,
  row BLOB
);
CREATE TABLE inputs (address TEXT PRIMARY KEY) WITHOUT ROWID;
CREATE TABLE problems (line INT, number INTEGER PRIMARY KEY, words TEXT);
"""
_INDEXES = """
CREATE INDEX by_id ON rows (id);
CREATE INDEX by_output ON rows (output);
CREATE INDEX by_problem ON problems (line);
CREATE INDEX by_turn ON rows (priority, tenant, line);
"""
_BAD = "EXISTS (SELECT 1 FROM problems WHERE problems.line = rows.line)"
_GOOD = f"row IS NOT NULL AND NOT {_BAD}"


def row_number(line: int, further: int) -> int:
    """Return the number of a row, which is its line but where a line gives several: then of the first.

    Args:
        line: Line on which it stands, from 1.
        further: Its number among the rows of that line, from 0.
    """
    return line + further * _FURTHER


def line_of(number: int) -> int:
    """Return the line on which a row stands."""
    return number % _FURTHER


@dataclass(frozen=True, slots=True)
class Row:
    """One job: a video and the sound that its speaker shall say.

    ``line`` is where the row stands in the file, ``further`` its number among the rows of that line. ``video``,
    ``audio``, ``tracks``, ``reference`` and what `speakers` name are absolute paths or addresses of objects; ``audio``
    is None where the speakers' sounds are to be mixed, or ``script`` has text for it. ``diarisation`` is a file with
    the turns of the speakers in that audio, ``beside`` are further soundtracks of the output, which is relative to the
    output root. ``overrides`` holds settings that the row's columns replace. A row that is evaluated has no output; it
    may have a reference, used from ``reference_start_s`` on, and its audio is None where the video's own counts.
    ``extra`` are columns that mean nothing here.
    """

    line: int
    id: str
    video: str
    audio: str | None
    output: str
    start_s: float = 0.0
    end_s: float | None = None
    preset: str | None = None
    language: str | None = None
    priority: int = 0
    tags: tuple[str, ...] = ()
    tracks: str | None = None
    speakers: tuple[Speaker, ...] = ()
    diarisation: str | None = None
    script: Script | None = None
    background: str | None = None
    overrides: dict[str, dict[str, Any]] = field(default_factory=dict[str, dict[str, Any]])
    reference: str | None = None
    reference_start_s: float = 0.0
    extra: dict[str, str] = field(default_factory=dict[str, str])
    further: int = 0
    beside: tuple[FurtherSound, ...] = ()

    @property
    def number(self) -> int:
        """Number of the row in the records of a run."""
        return row_number(self.line, self.further)

    @property
    def where(self) -> str:
        """Name of the row in messages."""
        return f"line {self.line} (id={self.id})"

    @property
    def inputs(self) -> list[str]:
        """The files that the row names; those of its settings are not among them."""
        rules = [parse_selection_rule(one.faces) for one in self.speakers if one.faces]
        chosen = self.overrides.get("faces", {}).get("select")
        rules += [parse_selection_rule(chosen)] if chosen else []
        files = [
            self.video,
            self.audio,
            self.tracks,
            self.reference,
            self.diarisation,
            self.script and self.script.file,
            *(one.audio for one in (*self.speakers, *self.beside)),
            background_file(self.background),
            *portraits(rules),
        ]
        return [file for file in files if file]

    @property
    def tenant(self) -> str:
        """Tenant for whom the row is scheduled: its first tag."""
        return self.tags[0] if self.tags else ""

    @property
    def variant(self) -> Variant:
        """All of the row that decides its settings and its checkpoints, which many rows have alike."""
        said = tuple((one.faces, bool(one.text), one.voice) for one in self.speakers)
        speaks, voice = has_text(self.script, self.speakers), self.script and self.script.voice
        language = self.language if speaks or self.language == AUTO else None
        has = self.tracks is not None, self.diarisation is not None, self.reference is not None
        background = self.background and background_file(self.background) is None, self.background is not None
        return self.preset, to_json(self.overrides), language, said, speaks, voice, *background, *has


_NAMES = [one.name for one in fields(Row)]
_TAGS, _SPEAKERS, _BESIDE, _SCRIPT = map(_NAMES.index, ("tags", "speakers", "beside", "script"))
_VALUES = attrgetter(*_NAMES)


@dataclass(frozen=True, slots=True)
class BadRow:
    """A row that cannot be done, with all that is wrong with it."""

    line: int
    id: str
    problems: tuple[ManifestError, ...]


@contextmanager
def rows_have_room() -> Generator[None]:
    """Turn a disk that takes no more rows into an error that says so.

    Raises:
        StorageError: It takes no more.
    """
    try:
        yield
    except sqlite3.Error as error:
        do = "Make room where temporary files go, or set SQLITE_TMPDIR to a folder with room"
        raise StorageError("no_row_room", "temporary files", got=f"no room for the rows: {error}", do=do) from error


class RowTable:
    """Rows and their problems, in a database of the disk that is gone with its connection."""

    def __init__(self) -> None:
        self._base = sqlite3.connect("", isolation_level=None)
        self._base.executescript(_TABLES)
        self._base.execute("BEGIN")
        self._rows: list[tuple[object, ...]] = []
        """Those that are not written yet."""
        self._inputs: set[str] = set()
        """The latest addresses, and those of them that are not written yet."""
        self._new_inputs: list[tuple[str]] = []
        self._variants: dict[Variant, int] = {}
        """Numbers of the latest variants; one may have several."""
        self._variants_total = 0

    def add(self, line: int, row_id: str, output: str, place: str, row: Row | None, video: str = "") -> None:
        """Take a row in.

        Args:
            line: Its number, as everywhere here.
            row_id: Its name, as far as it can be read.
            output: Its output under the root, as far as it can be read.
            place: The address of its output.
            row: None for one that cannot be made.
            video: Its video as the manifest spells it.
        """
        priority, tenant = (row.priority, row.tenant) if row else (0, "")
        text = to_json(_VALUES(row)) if row else None
        variant = self._number_of(row.variant) if row else None
        self._rows.append((line, row_id, output, place, priority, tenant, video, variant, text))
        for address in row.inputs if row else ():
            file = file_of(address)
            if file not in self._inputs:
                self._inputs.add(file)
                self._new_inputs.append((file,))
        if len(self._rows) >= _ROWS_A_WRITE:
            self._write()

    def _number_of(self, variant: Variant) -> int:
        number = self._variants.get(variant)
        if number is None:
            if len(self._variants) >= _MOST_KNOWN:
                self._variants.clear()
            number = self._variants[variant] = self._variants_total
            self._variants_total += 1
        return number

    def _write(self) -> None:
        self._base.executemany("INSERT OR REPLACE INTO rows VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)", self._rows)
        self._base.executemany("INSERT OR IGNORE INTO inputs VALUES (?)", self._new_inputs)
        self._rows.clear()
        self._new_inputs.clear()
        if len(self._inputs) > _MOST_KNOWN:
            self._inputs.clear()

    def add_problem(self, line: int, error: ManifestError) -> None:
        """Note what is wrong with a row."""
        self._base.execute("INSERT INTO problems (line, words) VALUES (?, ?)", (line, json.dumps(error.args)))

    def close_entry(self) -> None:
        """Make the table ready to be asked: no row comes any more."""
        self._write()
        self._base.executescript(_INDEXES)

    def keep(self, is_kept: Callable[[str], bool]) -> None:
        """Forget the rows whose key is another driver's.

        It is the video as the manifest spells it, which is the same on every machine and at every time, whatever is
        there; so all rows of a video stay together and it is scanned once. A row without one goes by its id, or line.
        """
        self._base.create_function("is_kept", 1, is_kept, deterministic=True)
        key = "coalesce(nullif(video, ''), nullif(id, ''), line)"
        self._base.execute(f"DELETE FROM rows WHERE NOT is_kept(cast({key} AS TEXT))")
        self._base.execute("DELETE FROM problems WHERE line NOT IN (SELECT line FROM rows)")

    def twins(self, column: str) -> Iterator[tuple[str, list[tuple[int, str]]]]:
        """Yield each id or output that several rows have, with their lines and ids."""
        assert column in ("id", "output")
        repeated = self._base.execute(
            f"SELECT {column} FROM rows WHERE {column} != '' GROUP BY {column} HAVING count(*) > 1 ORDER BY min(line)"
        )
        for (value,) in repeated.fetchall():
            found = self._base.execute(f"SELECT line, id FROM rows WHERE {column} = ? ORDER BY line", (value,))
            yield value, found.fetchall()

    def overwriting(self) -> list[tuple[int, str, str]]:
        """Return line, id and output of the rows whose output is somebody's input."""
        return self._base.execute(
            "SELECT line, id, output FROM rows JOIN inputs ON rows.place = inputs.address ORDER BY line"
        ).fetchall()

    def nested(self) -> list[tuple[int, str, str, int]]:
        """Return line, id and output of rows whose output needs a folder in another's place, and that one's line."""
        return self._base.execute(
            "SELECT inner.line, inner.id, inner.output, min(outer.line)"
            " FROM rows AS outer CROSS JOIN rows AS inner INDEXED BY by_output"  # a stretch of the index for each row
            " ON inner.output > outer.output || '/' AND inner.output < outer.output || '0'"  # what follows a slash
            " WHERE outer.output != '' GROUP BY inner.line ORDER BY inner.line"
        ).fetchall()

    def good(self) -> Iterator[Row]:
        """Yield the rows without a problem, in the file's order."""
        for (text,) in self._base.execute(f"SELECT row FROM rows WHERE {_GOOD} ORDER BY line"):
            yield _row_of(text)

    def variants(self) -> Iterator[Row]:
        """Yield the first row of each variant without a problem, in the file's order; some come again."""
        firsts = f"SELECT min(line) FROM rows WHERE {_GOOD} GROUP BY variant"
        for (text,) in self._base.execute(f"SELECT row FROM rows WHERE line IN ({firsts}) ORDER BY line"):
            yield _row_of(text)

    def outputs(self) -> Iterator[tuple[int, str, str]]:
        """Yield line, id and output of the rows without a problem, in the file's order."""
        yield from self._base.execute(f"SELECT line, id, output FROM rows WHERE {_GOOD} ORDER BY line")

    def bad(self) -> Iterator[BadRow]:
        """Yield the rows with a problem, in the file's order."""
        for line, row_id in self._base.execute(f"SELECT line, id FROM rows WHERE {_BAD} ORDER BY line"):
            words = self._base.execute("SELECT words FROM problems WHERE line = ? ORDER BY number", (line,))
            yield BadRow(line, row_id, tuple(ManifestError(*json.loads(text)) for (text,) in words))

    def counts(self) -> tuple[int, int]:
        """Return the numbers of good rows and of bad ones."""
        (whole,) = self._base.execute("SELECT count(*) FROM rows").fetchone()
        (bad,) = self._base.execute("SELECT count(DISTINCT line) FROM problems").fetchone()
        return whole - bad, bad

    def tenants(self, below: int | None) -> tuple[int, dict[str, tuple[int, int]]] | None:
        """Return the highest priority below one, and the good rows left of its tenants, the oldest tenant first.

        Returns:
            The priority, and a (rows, line before the first one) a tenant; None when there is no lower priority.
        """
        limit = "" if below is None else f"AND priority < {int(below)}"
        found = self._base.execute(
            f"SELECT priority, tenant, count(*), min(line) FROM rows WHERE priority = "
            f"(SELECT max(priority) FROM rows WHERE {_GOOD} {limit}) AND {_GOOD} GROUP BY tenant ORDER BY min(line)"
        ).fetchall()
        if not found:
            return None
        return found[0][0], {tenant: (count, line - 1) for _, tenant, count, line in found}

    def after(self, priority: int, tenant: str, line: int, most: int) -> list[Row]:
        """Return the first good rows of a tenant after a line."""
        found = self._base.execute(
            f"SELECT row FROM rows WHERE priority = ? AND tenant = ? AND line > ? AND {_GOOD} ORDER BY line LIMIT ?",
            (priority, tenant, line, most),
        )
        return [_row_of(text) for (text,) in found]


def _row_of(text: bytes) -> Row:
    values: list[Any] = from_json(text)
    values[_TAGS] = tuple(values[_TAGS])
    values[_SPEAKERS] = tuple(Speaker(**one) for one in values[_SPEAKERS])
    values[_BESIDE] = tuple(FurtherSound(**one) for one in values[_BESIDE])
    values[_SCRIPT] = Script(**values[_SCRIPT]) if values[_SCRIPT] else None
    return Row(*values)


class Waiting:
    """Rows that wait to be begun: the highest priority first, tenant by tenant, each tenant's oldest first.

    Args:
        table: The rows.
    """

    def __init__(self, table: RowTable) -> None:
        self._table = table
        self._priority: int | None = None
        self._tenants: dict[str, tuple[int, int]] = {}
        """Rows left and the line of the last one taken, by tenant; the one that is served next comes first."""
        self._most_ahead = 1
        self._ahead: dict[str, deque[Row]] = {}
        """Rows that are read, by tenant."""

    @property
    def is_open(self) -> bool:
        """False: where there is no row now, none will come."""
        return False

    def take(self, at_work: Counter[str]) -> Row | None:
        """Return the next row, None when there is none.

        Args:
            at_work: Rows at work by tenant; tenants with none go first, then those with the fewest.
        """
        if not self._tenants:
            lower = self._table.tenants(self._priority)
            if lower is None:
                return None
            self._priority, self._tenants = lower
            self._ahead = {tenant: deque() for tenant in self._tenants}
            self._most_ahead = max(1, _ROWS_AHEAD // len(self._tenants))
        assert self._priority is not None  # set with the tenants
        idle = next((tenant for tenant in self._tenants if not at_work[tenant]), None)
        tenant = min(self._tenants, key=lambda name: at_work[name]) if idle is None else idle
        left, line = self._tenants.pop(tenant)
        ahead = self._ahead[tenant]
        if not ahead:
            ahead.extend(self._table.after(self._priority, tenant, line, self._most_ahead))
        row = ahead.popleft()
        if left > 1:
            self._tenants[tenant] = (left - 1, row.number)
        return row
