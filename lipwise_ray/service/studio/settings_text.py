"""Settings as a person writes them: TOML, whose keys are columns of a row."""

from __future__ import annotations

import json
import tomllib
from collections.abc import Mapping
from typing import Any, cast

from pydantic import JsonValue

from lipwise_ray.errors import SettingsError
from lipwise_ray.service.job_record import JsonObject


def overrides_of(text: str) -> JsonObject:
    """Return the columns that settings written as TOML stand for; lists and tables keep their shape.

    Args:
        text: Such as ``[lipsync]`` and ``model = "wav2lip_gan"``, or ``lipsync.model = "wav2lip_gan"``.

    Raises:
        SettingsError: It is no TOML, or a value stands in no section.
    """
    try:
        tree = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise SettingsError(
            "bad_toml", "settings", got=f"not TOML: {error}", do='Write it as section.key = "value"'
        ) from error
    columns: JsonObject = {}
    for section, values in tree.items():
        if not isinstance(values, Mapping):
            got = f'"{section}" stands in no section'
            raise SettingsError("bad_toml", "settings", got=got, do="Write it as section.key")
        columns |= _flat(cast("Mapping[str, Any]", values), section)
    return columns


def _flat(values: Mapping[str, Any], path: str) -> JsonObject:
    flat: JsonObject = {}
    for name, value in values.items():
        here = f"{path}.{name}"
        flat |= _flat(cast("Mapping[str, Any]", value), here) if isinstance(value, Mapping) else {here: value}
    return flat


def text_of(columns: Mapping[str, JsonValue]) -> str:
    """Return the settings among a row's columns as `overrides_of` reads them, a line each.

    Args:
        columns: Those of the row; the ones with a dot in their name are settings.
    """
    return "".join(f"{name} = {_value(value)}\n" for name, value in columns.items() if is_setting(name))


def is_setting(name: str) -> bool:
    """Tell whether a column is a setting."""
    return "." in name


def _value(value: JsonValue) -> str:
    """Return a value as TOML; its texts and numbers are those of JSON."""
    match value:
        case dict():
            return "{" + ", ".join(f"{json.dumps(name)} = {_value(one)}" for name, one in value.items()) + "}"
        case list():
            return "[" + ", ".join(map(_value, value)) + "]"
        case _:
            return json.dumps(value, ensure_ascii=False)
