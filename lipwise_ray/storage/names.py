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
    found: dict[str, list[str]] = {}
    try:
        with os.scandir(folder) as entries:
            for entry in entries:
                if not entry.name.isascii():
                    found.setdefault(normalize("NFC", entry.name), []).append(entry.name)
    except OSError:
        return {}
    return found


def same_name(path: Path, names: Callable[[Path], Names] = names_in) -> Path | None:
    """Return what is there under the same name, written in another way; None where that is nothing, or not clear.

    Args:
        path: An absolute path.
        names: Looks into a folder.
    """
    found = Path(path.anchor)
    for part in path.parts[1:]:
        step = found / part
        if not os.path.lexists(step):
            alike = () if part.isascii() else names(found).get(normalize("NFC", part), ())
            if len(alike) != 1:
                return None
            step = found / alike[0]
        found = step
    return found
