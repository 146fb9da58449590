"""Rows of a report as CSV, JSON lines and Parquet."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterable, Sequence
from contextlib import nullcontext
from itertools import islice
from typing import TYPE_CHECKING, BinaryIO, Self

from lipwise_ray.reports.row_sheet import FlatRow
from lipwise_ray.reports.rows import FIDELITY, columns

if TYPE_CHECKING:
    import pyarrow as pa

_ROWS_A_BATCH, _BATCHES_A_GROUP = 256, 64
_FORMULA = frozenset("=+-@\t\r")
_as_json = json.JSONEncoder(ensure_ascii=False).encode


def as_csv(rows: Iterable[FlatRow], names: Sequence[str] | None = None) -> bytes:
    """Return rows as UTF-8 CSV with a byte order mark, which spreadsheets need.

    Args:
        rows: Records with equal keys.
        names: These keys; without them a report's.
    """
    data = io.BytesIO()
    _CsvTable(data, names or columns()).add(rows)
    return data.getvalue()


def as_line(row: FlatRow) -> bytes:
    """Return a row as a line of JSON in UTF-8; what no text may hold is escaped."""
    return _as_json(row).encode("utf-8", "backslashreplace") + b"\n"


def write_tables(
    rows: Iterable[FlatRow], csv_file: BinaryIO, lines_file: BinaryIO, parquet_file: BinaryIO | None = None
) -> None:
    """Write a report's rows as CSV, JSON lines and Parquet side by side: to read them takes as long as a table."""
    waiting, csv_table = iter(rows), _CsvTable(csv_file, columns())
    with ParquetTable(parquet_file) if parquet_file else nullcontext() as parquet_table:
        while some := list(islice(waiting, _ROWS_A_BATCH)):
            csv_table.add(some)
            lines = list(map(as_line, some))
            lines_file.writelines(lines)
            if parquet_table:
                parquet_table.add(lines)


class _CsvTable:
    """Writes rows into a file as `as_csv` returns them, some at a time.

    Args:
        file: The file.
        names: Keys of the rows.
    """

    def __init__(self, file: BinaryIO, names: Sequence[str]) -> None:
        file.write(b"\xef\xbb\xbf")
        self._file = file
        self._names = names
        self.add([dict(zip(names, names, strict=True))])

    def add(self, rows: Iterable[FlatRow]) -> None:
        text = io.TextIOWrapper(self._file, "utf-8", "backslashreplace", newline="")
        csv.writer(text).writerows(map(_cell, map(row.get, self._names)) for row in rows)
        text.detach()


def _cell(value: object) -> object:
    """Return a cell; text that a spreadsheet would run as a formula gets an apostrophe in front."""
    if isinstance(value, str) and value[:1] in _FORMULA:
        return f"'{value}"
    return value


class ParquetTable:
    """Writes rows into a Parquet file; columns keep their types also where all their values are missing.

    Args:
        file: The file.
    """

    def __init__(self, file: BinaryIO) -> None:
        import pyarrow as pa
        import pyarrow.parquet as pq

        self._schema = pa.schema([(name, pa.type_for_alias(kind)) for name, kind in _column_types().items()])
        self._writer = pq.ParquetWriter(file, self._schema)
        self._batches: list[pa.RecordBatch] = []

    def add(self, lines: Sequence[bytes]) -> None:
        """Take rows in; they wait for the end of a group as columns, which are small.

        Args:
            lines: The rows, by `as_line`: to make columns of Python's own values pyarrow loads pandas where that is
                installed, which takes longer than all else at the end of a short run.
        """
        from pyarrow import json as arrow_json

        data = b"".join(lines)
        read = arrow_json.ReadOptions(use_threads=False, block_size=len(data) + 1)
        parse = arrow_json.ParseOptions(explicit_schema=self._schema, unexpected_field_behavior="ignore")
        self._batches += arrow_json.read_json(io.BytesIO(data), read, parse).to_batches()
        if len(self._batches) >= _BATCHES_A_GROUP:
            self._write()

    def _write(self) -> None:
        import pyarrow as pa

        if self._batches:
            self._writer.write_table(pa.Table.from_batches(self._batches, self._schema))
            self._batches.clear()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        """Write what waits, and the file's end."""
        self._write()
        self._writer.close()


def _column_types() -> dict[str, str]:
    """Return the report's columns in their order, with Arrow's names of their types."""
    whole = {"row", "frames", "faces_doubtful", "faces_compared", "attempts", "renderings", "chunks", "original_chunks"}
    flags = {"reused"}
    figures = (
        "_s",
        "_share",
        "_certainty",
        "sharpness",
        "texture",
        "lse_d",
        "lse_c",
        "sync_distance",
        "sync_confidence",
        "dubbed",
        "filmed",
        "seconds",
        "ended",
        "_gain_db",
        "_lufs",
        "_dbtp",
        "stretch_least",
        "stretch_most",
        "stretch_video",
        *FIDELITY,
    )

    def kind(name: str) -> str:
        if name in whole or name.endswith("_offset"):
            return "int64"
        if name in flags:
            return "bool"
        return "float64" if name.endswith(figures) else "string"

    return {name: kind(name) for name in columns()}
