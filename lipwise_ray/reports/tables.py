"""Rows of a report as CSV, JSON lines and Parquet."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterable

from lipwise_ray.reports.rows import FIDELITY, FlatRow, row_of

_FORMULA = ("=", "+", "-", "@", "\t", "\r")


def as_csv(rows: list[FlatRow], columns: list[str] | None = None) -> bytes:
    """Return rows as UTF-8 CSV with a byte order mark, which spreadsheets need.

    Args:
        rows: Records with equal keys.
        columns: These keys; without them a report's.
    """
    text = io.StringIO(newline="")
    writer = csv.writer(text)
    columns = columns or list(_column_types())
    writer.writerow(columns)
    writer.writerows([_cell(row.get(name)) for name in columns] for row in rows)
    return b"\xef\xbb\xbf" + text.getvalue().encode("utf-8", "backslashreplace")


def _cell(value: object) -> object:
    """Return a cell; text that a spreadsheet would run as a formula gets an apostrophe in front."""
    if isinstance(value, str) and value.startswith(_FORMULA):
        return f"'{value}"
    return value


def as_json_lines(rows: Iterable[FlatRow]) -> bytes:
    """Return rows as JSON lines."""
    return b"".join(json.dumps(row, ensure_ascii=False).encode("utf-8", "backslashreplace") + b"\n" for row in rows)


def as_parquet(rows: list[FlatRow]) -> bytes:
    """Return rows as Parquet; columns keep their types also where all their values are missing."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    sink = io.BytesIO()
    schema = pa.schema([(name, pa.type_for_alias(kind)) for name, kind in _column_types().items()])
    pq.write_table(pa.Table.from_pylist(rows, schema=schema), sink)
    return sink.getvalue()


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

    return {name: kind(name) for name in row_of({}, 0)}
