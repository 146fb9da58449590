"""Rows of a report as CSV, JSON lines and Parquet."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterable
from typing import Any

from lipwise_ray.values import Json

_FORMULA = ("=", "+", "-", "@", "\t", "\r")


def as_csv(rows: list[Json], columns: list[str] | None = None) -> bytes:
    """Return rows as UTF-8 CSV with a byte order mark, which spreadsheets need.

    Args:
        rows: Records with equal keys.
        columns: These keys; without them a report's.
    """
    text = io.StringIO(newline="")
    writer = csv.writer(text)
    columns = columns or [field.name for field in _schema()]
    writer.writerow(columns)
    writer.writerows([_cell(row.get(name)) for name in columns] for row in rows)
    return b"\xef\xbb\xbf" + text.getvalue().encode("utf-8", "backslashreplace")


def _cell(value: Any) -> Any:  # noqa: ANN401  # JSON values
    """Return a cell; text that a spreadsheet would run as a formula gets an apostrophe in front."""
    if isinstance(value, str) and value.startswith(_FORMULA):
        return f"'{value}"
    return value


def as_json_lines(rows: Iterable[Json]) -> bytes:
    """Return rows as JSON lines."""
    return b"".join(json.dumps(row, ensure_ascii=False).encode("utf-8", "backslashreplace") + b"\n" for row in rows)


def as_parquet(rows: list[Json]) -> bytes:
    """Return rows as Parquet; columns keep their types also where all their values are missing."""
    import pyarrow as pa  # noqa: PLC0415  # heavy
    import pyarrow.parquet as pq  # noqa: PLC0415  # heavy

    sink = io.BytesIO()
    pq.write_table(pa.Table.from_pylist(rows, schema=_schema()), sink)
    return sink.getvalue()


def _schema() -> Any:  # noqa: ANN401  # pyarrow states no types
    import pyarrow as pa  # noqa: PLC0415  # heavy

    from lipwise_ray.reports.rows import FIDELITY, row_of  # noqa: PLC0415  # with it

    whole = {"row", "frames", "attempts", "renderings", "chunks", "original_chunks"}
    flags = {"reused"}
    figures = (
        "_s",
        "_share",
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

    def kind(name: str) -> Any:  # noqa: ANN401  # the same
        if name in whole or name.endswith("_offset"):
            return pa.int64()
        if name in flags:
            return pa.bool_()
        return pa.float64() if name.endswith(figures) else pa.string()

    return pa.schema([(name, kind(name)) for name in row_of({}, 0)])
