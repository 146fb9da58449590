"""Tables and texts in Markdown."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence

_ROLE = re.compile(r"``(.*?)``")
_ATTRIBUTES = re.compile(r"^Attributes:\n((?:(?: {4}.*)?\n?)*)", re.MULTILINE)
_ENTRY = re.compile(r"^ {4}(\w[\w, ]*): *((?:.*\n?)(?: {8}.*\n?)*)", re.MULTILINE)
_PLACEHOLDER = re.compile(r"<(?=[\w/])")

MADE = "<!-- Made from the source by `python -m docs.generate`: do not edit. -->\n"
"""First line of a generated page, after its title."""


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Return a table.

    Args:
        head: Titles of its columns.
        rows: Cells as Markdown; line breaks become spaces.
    """
    lines = [_row(head), _row(["---"] * len(head)), *map(_row, rows)]
    return "\n".join(lines) + "\n"


def _row(cells: Sequence[str]) -> str:
    return f"| {' | '.join(' '.join(cell.split()).replace('|', chr(92) + '|') for cell in cells)} |"


def code(text: object) -> str:
    """Return a text as code; nothing for an empty one."""
    return f"`{text}`" if str(text) else ""


def prose(text: str) -> str:
    """Return a text of a docstring: its code in single quotes, its brackets as what they are."""
    parts = _ROLE.sub(r"`\1`", " ".join(text.split())).split("`")
    parts[::2] = [_PLACEHOLDER.sub(r"\\<", part).replace("*", "\\*").replace("_", "\\_") for part in parts[::2]]
    return "`".join(parts)


def sentence(text: str) -> str:
    """Return a text with a full stop, and a capital where it begins with a word."""
    if not (text := text.strip()):
        return ""
    return f"{text[:1].upper()}{text[1:]}{'' if text.endswith(('.', '?', '!', ':')) else '.'}"


def attributes(docstring: str) -> Iterator[tuple[str, str]]:
    """Yield name and text of what a docstring's section ``Attributes`` describes, each name by itself."""
    section = _ATTRIBUTES.search(docstring)
    for entry in _ENTRY.finditer(section[1] if section else ""):
        for name in entry[1].split(","):
            yield name.strip(), " ".join(entry[2].split())
