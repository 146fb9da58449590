"""Settings of a single row: columns that are called like them, ``SECTION.KEY``."""

from __future__ import annotations

import json
from collections.abc import Mapping
from functools import lru_cache
from typing import Any

from lipwise_ray.errors import SettingsError
from lipwise_ray.pipeline.manifest.row_validation import Cells
from lipwise_ray.settings.layers import DECIDE_LOOK, parse_assignment, resolve
from lipwise_ray.settings.model import Settings

_HAVE_COLUMNS = frozenset({"faces.select", "faces.pads", "timing.length", "timing.extend"})
_FILE = "checkpoint"
"""Ending of keys that name files, which are of a run: paths in a manifest go by its folder, these do not."""

_MOST_KNOWN = 1024


def _columns() -> frozenset[str]:
    sections = {name: Settings.model_fields[name].annotation for name in DECIDE_LOOK}
    keys = (f"{name}.{key}" for name, section in sections.items() for key in getattr(section, "model_fields", ()))
    return frozenset(key for key in keys if not key.endswith(_FILE)) - _HAVE_COLUMNS


SETTING_COLUMNS = _columns()
"""Settings that a row may have of its own: those that decide what its video looks like."""


def read_settings(cells: Cells, values: Mapping[str, object], overrides: dict[str, dict[str, Any]]) -> None:
    """Put the row's own settings into those that its other columns make.

    Args:
        cells: Reads the row.
        values: Its cells as they were read.
        overrides: Settings by section, which get them; an empty cell leaves them.
    """
    for name, value in values.items():
        if name not in SETTING_COLUMNS or value is None or value == "":
            continue
        try:
            section, key, setting = _setting(name, json.dumps(value))
        except SettingsError as error:
            cells.wrong(name, error.happened, error.do)
        else:
            overrides.setdefault(section, {})[key] = setting


@lru_cache(_MOST_KNOWN)
def _setting(name: str, value: str) -> tuple[str, str, Any]:
    """Return section, key and value of one setting.

    Args:
        name: The column.
        value: The cell as JSON: a text is read as the command line's ``--set`` reads it.

    Raises:
        SettingsError: The value cannot be.
    """
    given: object = json.loads(value)
    section, _, key = name.partition(".")
    nested = parse_assignment(f"{name}={given}") if isinstance(given, str) else {section: {key: given}}
    resolve([("the row", nested)])
    return section, key, nested[section][key]
