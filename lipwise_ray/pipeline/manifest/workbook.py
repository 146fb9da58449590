"""Rows of an Excel workbook (.xlsx), its first sheet, read row by row."""

from __future__ import annotations

import warnings
import zipfile
from collections.abc import Iterator
from datetime import datetime, time, timedelta
from pathlib import Path
from typing import Any

from lipwise_ray.errors import ManifestError, blamed_on_file

_MOST_BYTES = 128 << 20  # of what is packed in it: the texts of all cells are held in memory
_MOST_FILES = 10_000
_MOST_ROWS = 1 << 20  # Excel's own bound; a row may say that it has any number
_ERROR = "e"


def sheet_rows(path: Path) -> Iterator[tuple[int, list[str], str]]:
    """Yield number and texts of each row that is not empty, and the error that a cell of it shows; empty for none.

    A formula counts by the value that was saved with it. Whole numbers have no decimals, dates and times are written as
    ISO 8601 has them.

    Raises:
        ManifestError: It is no workbook, or is packed too tightly.
    """
    import openpyxl

    line = 0

    def fault(got: str) -> ManifestError:
        where = f"{path}, row {line}" if line else str(path)
        happened = f"not a whole Excel workbook: {got}"
        return ManifestError("manifest_xlsx", where, got=happened, do="Save it again, or as CSV")

    try:
        with blamed_on_file(fault):
            _check_size(path, fault)
            # What it has beside cells (styles, checks, pictures) is of no interest here.
            warnings.filterwarnings("ignore", category=UserWarning, module=r"openpyxl\.")
            book = openpyxl.load_workbook(path, read_only=True, data_only=True, keep_links=False)
            try:
                sheet: Any = book.worksheets[0]
                sheet.reset_dimensions()  # what the file says of its size need not be true
                for line, cells in enumerate(sheet.iter_rows(), 1):  # messages name it
                    if line > _MOST_ROWS:
                        raise fault(f"more than {_MOST_ROWS} rows")
                    texts = [_text(cell.value) for cell in cells]
                    if any(texts):
                        shown = (
                            f"the error {cell.value} in cell {cell.coordinate}" for cell in cells if _is_error(cell)
                        )
                        yield line, texts, next(shown, "")
            finally:
                book.close()
    except OSError as error:
        raise fault(str(error)) from error


def _check_size(path: Path, fault: Any) -> None:  # noqa: ANN401  # makes an error of words
    with zipfile.ZipFile(path) as archive:
        parts = archive.infolist()
    unpacked = sum(part.file_size for part in parts)
    if unpacked > _MOST_BYTES or len(parts) > _MOST_FILES:
        raise fault(f"{unpacked >> 20} MiB in {len(parts)} parts, where {_MOST_BYTES >> 20} MiB are read")


def _is_error(cell: Any) -> bool:  # noqa: ANN401  # openpyxl states no types
    return cell.data_type == _ERROR


def _text(value: object) -> str:
    if isinstance(value, bool):
        value = str(value).lower()
    elif isinstance(value, float) and value.is_integer():
        value = int(value)
    elif isinstance(value, datetime) and value.time() == time():
        value = value.date()
    elif isinstance(value, timedelta):
        value = _clock(value)
    return "" if value is None else str(value).strip()


def _clock(value: timedelta) -> str:
    seconds, micros = divmod(round(value.total_seconds() * 1_000_000), 1_000_000)
    text = f"{seconds // 3600}:{seconds // 60 % 60:02}:{seconds % 60:02}"
    return f"{text}.{micros:06}".rstrip("0") if micros else text
