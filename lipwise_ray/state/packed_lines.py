"""Lines of logs by number, packed in a file of `TMPDIR`: a million of them take no memory, and little of the disk."""

from __future__ import annotations

import sqlite3
import zlib
from collections import OrderedDict
from collections.abc import Iterator

_LINES_A_PIECE = 32
"""Packed together, as lines of a log are much alike: one alone takes four times as much. To read one all are
unpacked."""
_LEVEL = 1
_REPLACE, _IGNORE = "INSERT OR REPLACE INTO places VALUES (?, ?)", "INSERT OR IGNORE INTO places VALUES (?, ?)"
_MOST_UNPACKED = 64


class PackedLines:
    """Lines by number, in a database of the disk that is gone with its connection.

    Args:
        latest_counts: Of several lines of a number the last one that was added counts; else the first one does.

    Raises:
        sqlite3.Error: The disk is full, here or later.
    """

    def __init__(self, *, latest_counts: bool) -> None:
        self._base = sqlite3.connect("", isolation_level=None)
        self._base.execute("CREATE TABLE places (number INTEGER PRIMARY KEY, place INT)")
        self._base.execute("CREATE TABLE pieces (number INTEGER PRIMARY KEY, packed BLOB)")
        self._base.execute("BEGIN")
        self._entry = _REPLACE if latest_counts else _IGNORE
        self._waiting: list[tuple[int, bytes]] = []
        self._pieces = 0
        self._unpacked: OrderedDict[int, list[bytes]] = OrderedDict()
        """The latest pieces that were asked for: lines are mostly read in the order in which they were written."""

    def add(self, number: int, line: bytes) -> None:
        """Take a line in.

        Args:
            number: Its number, of 64 bits with a sign.
            line: The line, without its end.
        """
        self._waiting.append((number, line))
        if len(self._waiting) >= _LINES_A_PIECE:
            self._write()

    def _write(self) -> None:
        if not self._waiting:
            return
        first = self._pieces * _LINES_A_PIECE
        places = [(number, first + place) for place, (number, _) in enumerate(self._waiting)]
        if self._base.executemany(self._entry, places).rowcount:  # else all of them are here already
            packed = zlib.compress(b"\n".join(line for _, line in self._waiting), _LEVEL)
            self._base.execute("INSERT INTO pieces VALUES (?, ?)", (self._pieces, packed))
            self._pieces += 1
        self._waiting.clear()

    def get(self, number: int) -> bytes | None:
        """Return the line of a number, None where there is none."""
        self._write()
        found = self._base.execute("SELECT place FROM places WHERE number = ?", (number,)).fetchone()
        return self._at(found[0]) if found else None

    def in_order(self) -> Iterator[bytes]:
        """Yield the lines in the order of their numbers."""
        self._write()
        for (place,) in self._base.execute("SELECT place FROM places ORDER BY number"):
            yield self._at(place)

    def _at(self, place: int) -> bytes:
        piece, line = divmod(place, _LINES_A_PIECE)
        lines = self._unpacked.get(piece)
        if lines is None:
            (packed,) = self._base.execute("SELECT packed FROM pieces WHERE number = ?", (piece,)).fetchone()
            lines = self._unpacked[piece] = zlib.decompress(packed).split(b"\n")
            if len(self._unpacked) > _MOST_UNPACKED:
                self._unpacked.popitem(last=False)
        return lines[line]

    def close(self) -> None:
        """Give the disk back."""
        self._base.close()
