"""The columns of a row's background."""

from __future__ import annotations

import math
from typing import Any

from lipwise_ray.pipeline.manifest.background import KEEP
from lipwise_ray.pipeline.manifest.row_validation import Cells
from lipwise_ray.settings.sound import LEAST_GAIN_DB, MOST_GAIN_DB

BACKGROUND_COLUMNS = ("background", "background_gain_db")


def read_background(cells: Cells, text: dict[str, str], overrides: dict[str, dict[str, Any]]) -> str | None:
    """Return a row's background: an address, ``keep``, or None.

    Args:
        cells: Reads the row.
        text: Its cells by column.
        overrides: Settings by section, which get the gain.
    """
    background, gain = (text.get(name, "") for name in BACKGROUND_COLUMNS)
    if gain:
        _read_gain(cells, gain, overrides)
        if not background:
            cells.wrong("background_gain_db", f"a gain of {gain[:40]!r} without a background", "Fill in background")
    if background.lower() == KEEP:
        return KEEP
    return cells.file("background", background) if background else None


def _read_gain(cells: Cells, text: str, overrides: dict[str, dict[str, Any]]) -> None:
    try:
        gain_db = float(text)
    except ValueError:
        gain_db = math.nan
    if LEAST_GAIN_DB <= gain_db <= MOST_GAIN_DB:
        overrides.setdefault("mix", {})["background_gain_db"] = gain_db
        return
    do = f"Write decibels from {LEAST_GAIN_DB:g} to {MOST_GAIN_DB:g}"
    cells.wrong("background_gain_db", f"{text[:40]!r} is not a gain", do)
