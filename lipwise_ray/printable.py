"""Text from inputs, fit for a terminal and a page: what moves a cursor or turns words around is spelt out."""

from __future__ import annotations

import re

# C0 but tab and line feed, DEL, C1; marks and overrides of direction; line and paragraph separators; lone surrogates.
_UNPRINTABLE = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ufeff\ud800-\udfff]"
)
_LINE_ENDS = re.compile("[\t\n]")


def printable(text: str) -> str:
    """Return a text with control characters and marks of direction spelt out as by Python; lines and tabs stay."""
    return _UNPRINTABLE.sub(_spelt, text)


def on_one_line(text: str) -> str:
    """Return a name as `printable` does, with its line ends and tabs spelt out too."""
    return _LINE_ENDS.sub(_spelt, printable(text))


def _spelt(found: re.Match[str]) -> str:
    return found[0].encode("unicode_escape").decode()
