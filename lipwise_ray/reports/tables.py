"""Rows of a report as CSV, JSON lines and Parquet."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterable, Sequence
from itertools import count, islice
from typing import BinaryIO

from lipwise_ray.reports.row_sheet import FlatRow
from lipwise_ray.reports.rows import FIDELITY, columns

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
    write_csv(data, rows, names)
    return data.getvalue()


def write_csv(file: BinaryIO, rows: Iterable[FlatRow], names: Sequence[str] | None = None) -> None:
    """Write rows as `as_csv` returns them, one after the other."""
    file.write(b"\xef\xbb\xbf")
    text = io.TextIOWrapper(file, "utf-8", "backslashreplace", newline="")
    writer = csv.writer(text)
    names = names or columns()
    writer.writerow(names)
    writer.writerows(map(_cell, map(row.get, names)) for row in rows)
    text.detach()


def _cell(value: object) -> object:
    """Return a cell; text that a spreadsheet would run as a formula gets an apostrophe in front."""
    if isinstance(value, str) and value[:1] in _FORMULA:
        return f"'{value}"
    return value


def write_json_lines(file: BinaryIO, rows: Iterable[FlatRow]) -> None:
    """Write rows as JSON lines."""
    file.writelines(_as_json(row).encode("utf-8", "backslashreplace") + b"\n" for row in rows)


def write_parquet(file: BinaryIO, rows: Iterable[FlatRow]) -> None:
    """Write rows as Parquet; columns keep their types also where all their values are missing."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    schema = pa.schema([(name, pa.type_for_alias(kind)) for name, kind in _column_types().items()])
    waiting = iter(rows)
    with pq.ParquetWriter(file, schema) as writer:
        for _ in count():  # a group at a time: rows wait for its end as columns, which are small
            batches: list[pa.RecordBatch] = []
            while len(batches) < _BATCHES_A_GROUP and (some := list(islice(waiting, _ROWS_A_BATCH))):
                batches.append(pa.RecordBatch.from_pylist(some, schema=schema))
            if not batches:
                break
            writer.write_table(pa.Table.from_batches(batches, schema))


def _column_types() -> dict[str, str]:
    """Return the report's columns in their order, with Arrow's names of their types."""
    whole = {"row", "frames", "faces_doubtful", "attempts", "renderings", "chunks", "original_chunks"}
    flags = {"reused"}
    figures = (
        "_s",
        "_share",
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
        *FIDELITY,
    )

    def kind(name: str) -> str:
        if name in whole or name.endswith("_offset"):
            return "int64"
        if name in flags:
            return "bool"
        return "float64" if name.endswith(figures) else "string"

    return {name: kind(name) for name in columns()}
