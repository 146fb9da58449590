"""Lines of a log, as a file has them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import BinaryIO

_MOST_LINE_BYTES = 16 << 20
"""Of a log. A longer line was not written by this program, and is passed over."""


def lines_in(file: BinaryIO) -> Iterator[bytes]:
    """Yield the lines of a log, but for those that are longer than any that this program writes."""
    begins = True
    while line := file.readline(_MOST_LINE_BYTES):
        is_whole = line.endswith(b"\n") or len(line) < _MOST_LINE_BYTES
        if begins and is_whole:
            yield line.rstrip(b"\r\n")
        begins = line.endswith(b"\n")
