"""File names that look the same: Unicode writes an accented letter in one or in two characters (NFC, NFD)."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from unicodedata import normalize

Names = Mapping[str, Sequence[str]]
"""Names of a folder that are not ASCII, by their composed form."""


def names_in(folder: Path) -> Names:
    """Return the names of a folder that can be written in several ways; none where it cannot be read."""
    spellings: dict[str, list[str]] = {}
    try:
        with os.scandir(folder) as entries:
            for entry in entries:
                if not entry.name.isascii():
                    spellings.setdefault(normalize("NFC", entry.name), []).append(entry.name)
    except OSError:
        return {}
    return spellings


def same_name(path: Path, names: Callable[[Path], Names] = names_in) -> Path | None:
    """Return the file that has the same name, written in another way; None where that is none, or not clear.

    Args:
        path: An absolute path.
        names: Looks into a folder.
    """
    parent = Path(path.anchor)
    for part in path.parts[1:]:
        step = parent / part
        if not os.path.lexists(step):
            alike = () if part.isascii() else names(parent).get(normalize("NFC", part), ())
            if len(alike) != 1:
                return None
            step = parent / alike[0]
        parent = step
    return parent
