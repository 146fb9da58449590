"""Records of a manifest file: CSV, Excel, JSON lines or Parquet. What a column means is not known here."""

from __future__ import annotations

import codecs
import csv
import difflib
import json
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TextIO, TypeAlias, cast

from lipwise_ray.errors import ManifestError, SetupError, blamed_on_file
from lipwise_ray.pipeline.manifest.workbook import sheet_rows
from lipwise_ray.settings.renamed import RENAMED, Renamed, Renames


@dataclass(frozen=True, slots=True)
class Columns:
    """Columns that the rows of a manifest may have.

    Attributes:
        required: Every file has these columns.
        optional: Others that are known.
        instead: Columns by a required one whose place they take.
        or_instead: Further such columns.
        settings: Columns called ``SECTION.KEY`` that set what is called so, for their row alone.
        keeps_extra: True where rows may have any others, which are kept and mean nothing.
        renames: Names that columns had.
    """

    required: tuple[str, ...]
    optional: tuple[str, ...]
    instead: Mapping[str, str] = field(default_factory=dict[str, str])
    or_instead: Mapping[str, str] = field(default_factory=dict[str, str])
    settings: frozenset[str] = frozenset()
    keeps_extra: bool = False
    renames: Renames = RENAMED

    @property
    def all(self) -> tuple[str, ...]:
        """All of them."""
        return self.required + self.optional

    @property
    def old(self) -> dict[str, Renamed]:
        """Those that got new names, by their old ones."""
        return {one.old: one for one in self.renames if one.new in self.all or one.new in self.settings}

    def like(self, name: str) -> str:
        """Return the column that an unknown one is most like, in whichever case it is written; empty for none."""
        name = name.strip().lower()
        known = {one.lower(): one for one in (*self.all, *self.settings)}
        near = difflib.get_close_matches(name, known, n=1, cutoff=_LIKE_SETTINGS if "." in name else _LIKE)
        section, _, key = name.partition(".")
        return known[near[0]] if near else next((one for one in (key, section) if one in self.all), "")


_LIKE, _LIKE_SETTINGS = 0.6, 0.8
"""Likeness, as difflib has it, of names that may have been meant: settings of equal sections are alike anyway."""

_BATCH_ROWS = 4096
_MOST_LINE = 4 << 20
_MOST_COLUMNS = 1000
_BLOCK_BYTES = 1 << 16
_MOST_GROUP_BYTES = 1 << 30
RawRow: TypeAlias = dict[str, object]
"""A manifest's row as it was read: its cells by column, of any type until they are checked."""

BROKEN = "\0broken"
"""Key of a record that could not be read as one; its value says why."""


def _check_columns(path: Path, names: Iterable[str], columns: Columns) -> None:
    names = list(names)
    if len(names) > _MOST_COLUMNS:
        happened = f"{len(names)} columns, more than {_MOST_COLUMNS}"
        raise ManifestError("manifest_columns", f"{path}, line 1", got=happened)
    old = columns.old
    problems = [one.conflict for one in old.values() if {one.old, one.new} <= {*names}]
    if not problems:
        names = [old[name].new if name in old else name for name in names]
    for name in names:
        if name not in columns.all and name not in columns.settings and not columns.keeps_extra:
            near = columns.like(name)
            problems.append(f'unknown column "{name}"' + (f' - did you mean "{near}"?' if near else ""))
    others = columns.instead, columns.or_instead
    needed = [name for name in columns.required if not any(other.get(name) in names for other in others)]
    problems += [f'column "{name}" is missing' for name in needed if name not in names]
    problems += [f'column "{name}" stands there twice' for name, count in sorted(Counter(names).items()) if count > 1]
    if problems:
        raise ManifestError(
            "manifest_columns",
            f"{path}, line 1",
            got="; ".join(problems),
            do=f"Required: {', '.join(columns.required)}. Optional: {', '.join(columns.optional)}; others with "
            'manifest.extra = "keep"',
        )


def with_new_columns(records: Iterable[tuple[int, RawRow]], columns: Columns) -> Iterator[tuple[int, RawRow]]:
    """Yield records with new names of columns in place of old ones, of which the first is warned of.

    Args:
        records: Lines and rows, as a reader yields them.
        columns: Columns that the rows may have.
    """
    old = columns.old
    if not old:  # as mostly, and manifests are long
        yield from records
        return
    told: set[str] = set()
    for line, record in records:
        found = [old[name] for name in record if name in old]
        for one in found:
            if one.new in record:
                record[BROKEN] = one.conflict
                continue
            record[one.new] = record.pop(one.old)
            if one.old not in told:
                told.add(one.old)
                one.warn(f'the column "{one.old}"')
        yield line, record


def read_csv(path: Path, columns: Columns) -> Iterator[tuple[int, RawRow]]:
    """Yield (line, record) of a CSV file: comma, semicolon or tab; UTF-8, or what its byte order mark says."""
    with path.open(encoding=_encoding(path), newline="") as file:
        yield from _csv_rows(path, file, columns)


def _encoding(path: Path) -> str:
    with path.open("rb") as file:
        head = file.read(4)
    if head.startswith((codecs.BOM_UTF32_LE, codecs.BOM_UTF32_BE)):  # before UTF-16, whose mark begins alike
        return "utf-32"
    return "utf-16" if head.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)) else "utf-8-sig"


def undecoded_line(path: Path) -> int | None:
    """Return the number of the first line of a manifest that is no UTF-8; None where its byte order mark says more."""
    if not _encoding(path).startswith("utf-8"):
        return None
    decoder, line = codecs.getincrementaldecoder("utf-8")(), 1
    with path.open("rb") as file:
        while block := file.read(_BLOCK_BYTES):
            try:
                decoder.decode(block)
            except UnicodeDecodeError as error:
                return line + error.object.count(b"\n", 0, error.start)
            line += block.count(b"\n")
    return line  # it ends within a character


def _lines(path: Path, file: TextIO) -> Iterator[str]:
    """Yield the lines of a manifest.

    Raises:
        ManifestError: One is longer than any row.
    """
    while text := file.readline(_MOST_LINE):
        if len(text) == _MOST_LINE and not text.endswith(("\n", "\r")):
            happened = f"a line of more than {_MOST_LINE >> 20} MiB, which begins {text[:40]!r}"
            raise ManifestError("manifest_line", str(path), got=happened)
        yield text


def _text_lines(path: Path, file: TextIO) -> Iterator[str]:
    for text in _lines(path, file):
        if "\0" in text:
            raise ManifestError("manifest_nul", str(path), got="NUL bytes, so not a text", do="Save it as UTF-8 CSV")
        yield text


def _csv_rows(path: Path, file: TextIO, columns: Columns) -> Iterator[tuple[int, RawRow]]:
    first = next((text for text in _lines(path, file) if text.strip()), "")
    delimiter = max(",;\t", key=first.count)
    file.seek(0)
    rows = csv.reader(_text_lines(path, file), delimiter=delimiter, strict=True)
    try:
        header = [name.strip() for name in next((cells for cells in rows if any(cells)), [])]
        while header and not header[-1]:
            header.pop()  # a trailing separator, as spreadsheets write it
        if not any(header):
            raise ManifestError("manifest_empty", str(path), got="empty, without a header line")
        _check_columns(path, header, columns)
        for cells in rows:
            if "".join(cells).strip():
                yield rows.line_num, _record(header, cells)
    except csv.Error as error:
        raise ManifestError(
            "manifest_csv", f"{path}, line {rows.line_num}", got=f"not CSV: {error}", do="Check the quotes there"
        ) from error


def _record(header: list[str], cells: list[str]) -> RawRow:
    while len(cells) > len(header) and not cells[-1].strip():
        cells.pop()
    record: RawRow = dict(zip(header, map(str.strip, cells), strict=False))
    if len(cells) != len(header):
        record[BROKEN] = f"{len(cells)} cells where the header has {len(header)}"
    return record


def read_xlsx(path: Path, columns: Columns) -> Iterator[tuple[int, RawRow]]:
    """Yield (row, record) of the first sheet of an Excel workbook, whose first row that is not empty is the header."""
    rows = sheet_rows(path)
    header = next(rows, (0, list[str](), ""))[1]
    while header and not header[-1]:
        header.pop()
    if not header:
        raise ManifestError("manifest_empty", str(path), got="an empty sheet, without a header row")
    _check_columns(path, header, columns)
    for line, cells, error in rows:
        record = _record(header, [*cells, *[""] * (len(header) - len(cells))])  # empty cells need not be in the file
        yield line, {**record, BROKEN: error} if error else record


class _RepeatedKeyError(Exception):
    """JSON allows a key twice and leaves open which value counts; the argument is the key."""


def _object(pairs: list[tuple[str, object]]) -> dict[str, object]:
    """Return an object of JSON.

    Raises:
        _RepeatedKeyError: A key stands there twice.
    """
    found = dict(pairs)
    if len(found) < len(pairs):
        raise _RepeatedKeyError(next(name for name, count in Counter(name for name, _ in pairs).items() if count > 1))
    return found


def read_jsonl(path: Path, columns: Columns) -> Iterator[tuple[int, RawRow]]:
    """Yield (line, record) of a file of JSON lines; each may have other columns, so they are not looked at."""
    del columns
    with path.open(encoding=_encoding(path)) as file:
        for line, text in enumerate(_lines(path, file), 1):
            if not text.strip():
                continue
            try:
                record: object = json.loads(text, object_pairs_hook=_object)
            except _RepeatedKeyError as error:
                yield line, {BROKEN: f'a line in which the key "{error}" appears twice'}
                continue
            except (ValueError, RecursionError) as error:
                yield line, {BROKEN: f"a line that is not JSON ({error})"}
                continue
            if not isinstance(record, dict):
                yield line, {BROKEN: "a line that is not a JSON object"}
                continue
            found = cast("RawRow", record)
            yield line, found if len(found) <= _MOST_COLUMNS else {BROKEN: f"{len(found)} columns"}


def read_parquet(path: Path, columns: Columns) -> Iterator[tuple[int, RawRow]]:
    """Yield (row, record) of a Parquet file.

    Raises:
        SetupError: The extra is not installed.
        ManifestError: It is no Parquet, or breaks a rule.
    """
    try:
        import pyarrow as pa
        import pyarrow.parquet as pq
    except ImportError as error:
        raise SetupError(
            "no_extra",
            str(path),
            got=f"Parquet cannot be read: {error}",
            do="Run `pip install 'lipwise-ray[parquet]'`, or write a .csv or .jsonl file",
        ) from error

    line = 0

    def fault(got: str) -> ManifestError:
        where = f"{path}, after row {line}" if line else str(path)
        return ManifestError("manifest_parquet", where, got=f"not whole Parquet: {got}")

    try:
        with blamed_on_file(fault):
            table = pq.ParquetFile(path)
            if any(
                table.metadata.row_group(n).total_byte_size > _MOST_GROUP_BYTES for n in range(table.num_row_groups)
            ):
                raise fault(f"more than {_MOST_GROUP_BYTES >> 20} MiB in a row group")
            _check_columns(path, table.schema_arrow.names, columns)
            for batch in table.iter_batches(_BATCH_ROWS):
                for record in batch.to_pylist():
                    line += 1
                    yield line, {name: _of_bytes(value) for name, value in record.items()}
    except (pa.ArrowException, OSError) as error:
        raise fault(str(error)) from error


def _of_bytes(value: object) -> object:
    """Return a cell's bytes, as which some programs write texts, as text; others as they are."""
    return value.decode(errors="surrogateescape") if isinstance(value, bytes) else value


READERS: dict[str, Callable[[Path, Columns], Iterator[tuple[int, RawRow]]]] = {
    ".csv": read_csv,
    ".tsv": read_csv,
    ".xlsx": read_xlsx,
    ".jsonl": read_jsonl,
    ".ndjson": read_jsonl,
    ".parquet": read_parquet,
}
