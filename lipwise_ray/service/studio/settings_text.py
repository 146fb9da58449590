"""Settings as a person writes them: TOML, whose keys are columns of a row."""

from __future__ import annotations

import json
import re
import tomllib
from collections.abc import Mapping
from typing import Any, cast

from pydantic import JsonValue

from lipwise_ray.errors import SettingsError
from lipwise_ray.pipeline.manifest.setting_cells import SETTING_COLUMNS
from lipwise_ray.service.job_record import JsonObject
from lipwise_ray.settings.renamed import RENAMED, Renames, with_new_names

_BARE_KEY = re.compile(r"[A-Za-z0-9_-]+")


def overrides_of(text: str, renames: Renames = RENAMED) -> JsonObject:
    """Return the columns that settings written as TOML stand for; tables become texts as TOML has them inline.

    Args:
        text: Such as ``[lipsync]`` and ``model = "wav2lip_gan"``, or ``lipsync.model = "wav2lip_gan"``.
        renames: Settings that got new names.

    Raises:
        SettingsError: It is no TOML, a value is in no section, or is none that a video may have of its own.
    """
    try:
        tree = tomllib.loads(text)
        json.dumps(tree, allow_nan=False)
    except tomllib.TOMLDecodeError as error:
        raise SettingsError(
            "bad_toml", "settings", got=f"not TOML: {error}", do='Write it as section.key = "value"'
        ) from error
    except (TypeError, ValueError) as error:
        got = "a date, a time or a number without bounds is among them, which no setting takes"
        raise SettingsError("bad_toml", "settings", got=got, do="Write a text, a number, true or false") from error
    columns: JsonObject = {}
    for section, values in with_new_names("settings", tree, renames).items():
        if not isinstance(values, Mapping):
            got = f'"{section}" is in no section'
            raise SettingsError("bad_toml", "settings", got=got, do="Write it as section.key")
        for key, value in cast("Mapping[str, Any]", values).items():
            columns[f"{section}.{key}"] = _inline(value) if isinstance(value, Mapping) else value
    for name in columns:
        if name not in SETTING_COLUMNS:
            got = f"{name} cannot be set for a single video"
            do = "lipwise-ray settings lists them; faces, pads, length and extend are columns"
            raise SettingsError("bad_toml", "settings", got=got, do=do)
    return columns


def text_of(columns: Mapping[str, JsonValue]) -> str:
    """Return the settings among a row's columns as `overrides_of` reads them, a line each.

    Args:
        columns: Those of the row; the ones with a dot in their name are settings.
    """
    return "".join(
        f"{name} = {_shown(value)}\n" for name, value in columns.items() if is_setting(name) and value is not None
    )


def is_setting(name: str) -> bool:
    """Tell whether a column is a setting."""
    return "." in name


def _shown(value: JsonValue) -> str:
    """Return a column's value as TOML: a table stands in it as `_inline` wrote it."""
    return str(value) if _is_table(value) else _inline(value)


def _is_table(value: JsonValue) -> bool:
    """Tell whether a cell is a table as TOML has it within a line; a text in braces, such as a pattern, is none."""
    if not isinstance(value, str) or "\n" in value:
        return False
    try:
        return isinstance(tomllib.loads(f"it = {value}")["it"], dict)
    except tomllib.TOMLDecodeError:
        return False


def _inline(value: Any) -> str:  # noqa: ANN401  # whatever TOML has
    """Return a value as TOML has it within a line, which is how a row's cell holds a table."""
    if isinstance(value, Mapping):
        pairs = cast("Mapping[str, Any]", value).items()
        return "{" + ", ".join(f"{_key(name)} = {_inline(one)}" for name, one in pairs) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(map(_inline, cast("list[Any]", value))) + "]"
    return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")


def _key(name: str) -> str:
    return name if _BARE_KEY.fullmatch(name) else _inline(name)
