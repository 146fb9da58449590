"""Settings of a single row: columns that are called like them, ``SECTION.KEY``."""

from __future__ import annotations

import json
from collections.abc import Mapping
from decimal import Decimal
from functools import lru_cache
from typing import Any, cast

from lipwise_ray.errors import SettingsError
from lipwise_ray.pipeline.manifest.row_validation import Cells
from lipwise_ray.settings.layers import DECIDE_LOOK, parse_assignment, resolve
from lipwise_ray.settings.model import Settings

_HAVE_COLUMNS = frozenset({"faces.select", "faces.pads", "timing.length", "timing.extend"})
_OF_THE_RUN = ("checkpoint", "batch_frames", "batch_faces", "still_rate")
"""Endings of keys that are of a run. Paths in a manifest go by its folder, those of checkpoints do not; batches are of
the machine; and pictures in a row are one video, whose index all rows share, at one rate."""

_SIGN = frozenset({"marking.label", "marking.label_text", "marking.label_corner", "marking.label_s"})
"""Of marks the sign alone is a row's, whose watchers read another language; its font is of the run."""

_RUN: Mapping[str, Any] = {"marking": {"label_font": "the run's"}}
"""Settings of the run by which a cell may be right that is wrong without; all of its row's settings say which it is."""

_MOST_KNOWN = 1024


def _columns() -> frozenset[str]:
    sections = {name: Settings.model_fields[name].annotation for name in DECIDE_LOOK}
    keys = (f"{name}.{key}" for name, section in sections.items() for key in getattr(section, "model_fields", ()))
    return frozenset(key for key in keys if not key.endswith(_OF_THE_RUN)) - _HAVE_COLUMNS | _SIGN


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
        if name not in SETTING_COLUMNS or value is None or (isinstance(value, str) and not value.strip()):
            continue
        try:
            section, key, setting = _setting(name, _as_json(value))
        except SettingsError as error:
            cells.wrong(name, error.happened, error.do)
        else:
            overrides.setdefault(section, {})[key] = setting


def _as_json(value: object) -> str:
    """Return a cell as JSON; whole numbers have no decimals, whatever a spreadsheet or a table's column made of them.

    Raises:
        SettingsError: JSON has no such value.
    """
    if isinstance(value, str):
        return json.dumps(value.strip())
    if isinstance(value, float) and value.is_integer():
        return str(int(value))
    try:
        return json.dumps(value, default=_number)
    except (TypeError, ValueError) as error:
        got = f"a {type(value).__name__} is not a value for a setting"
        raise SettingsError("bad_value", "", got=got, do="Write a number or a text") from error


def _number(value: object) -> int | float:
    """Return a number of a table's column of decimals.

    Raises:
        TypeError: The value is no such number.
    """
    if not isinstance(value, Decimal) or not value.is_finite():
        raise TypeError
    return int(value) if value == value.to_integral_value() else float(value)


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
    resolve([("the run", _RUN), ("the row", nested)])
    setting = nested[section][key]
    inner = cast("Mapping[str, object]", setting) if isinstance(setting, Mapping) else {}
    if odd := [one for one in inner if one.endswith(_OF_THE_RUN)]:
        got = f"a row has no {', '.join(odd)} of its own"
        raise SettingsError("bad_value", name, got=got, do="Name a model of the registry, or a preset with the file")
    return section, key, setting
