"""Settings as a run would have them: every key with its value, and the layer that has set it."""

from __future__ import annotations

import difflib
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from operator import attrgetter
from typing import Any, TypeAlias

from lipwise_ray.errors import SettingsError
from lipwise_ray.settings.layers import clipped, resolve_with_origins
from lipwise_ray.settings.reference import Setting, settings_of
from lipwise_ray.settings.renamed import RENAMED, Renames, new_name

DEFAULT = "default"
"""Layer of the keys that no layer sets."""

JsonValue: TypeAlias = str | int | float | bool | list[Any] | dict[str, Any] | None


@dataclass(frozen=True, slots=True)
class EffectiveSetting:
    """A key of a run.

    Attributes:
        setting: The key: its kind, default and text.
        value: Its value, as JSON has it.
        set_by: The layer: ``default``, a preset, a job file or an assignment.
    """

    setting: Setting
    value: JsonValue
    set_by: str

    @property
    def shown(self) -> str:
        """The value as TOML has it; ``-`` for nothing."""
        return "-" if self.value is None else json.dumps(self.value, ensure_ascii=False)


def effective_settings(layers: Iterable[tuple[str, Mapping[str, Any]]]) -> list[EffectiveSetting]:
    """Return every key with its value, in the order of the settings' reference.

    Args:
        layers: (where it comes from, nested values) in rising precedence.

    Raises:
        SettingsError: A key is unknown or a value impossible.
    """
    settings, origins = resolve_with_origins(layers)
    found: list[EffectiveSetting] = []
    for one in settings_of():
        section, _, key = one.name.rpartition(".")
        value = json.loads(attrgetter(section)(settings).model_dump_json(include={key}))[key]
        found.append(EffectiveSetting(one, value, origins.get(one.name, DEFAULT)))
    return found


def named(found: list[EffectiveSetting], name: str, renames: Renames = RENAMED) -> list[EffectiveSetting]:
    """Return the key of a name, or all keys of a section, with those of the sections in it.

    Args:
        found: All keys.
        name: With dots, such as ``encode.audio`` or ``detect.stride``. An old name gives the new one, with a warning.
        renames: Settings that got new names.

    Raises:
        SettingsError: There is neither a key nor a section of that name.
    """
    name = new_name(name, renames)
    kept = [one for one in found if one.setting.name == name or one.setting.name.startswith(f"{name}.")]
    if kept:
        return kept
    keys = [one.setting.name for one in found]
    sections = {key.rpartition(".")[0] for key in keys}
    known = sorted({*keys, *sections})
    last_parts = {key: key.rpartition(".")[2] for key in keys}
    near = difflib.get_close_matches(name, known, n=1)
    if not near and (part := difflib.get_close_matches(name.rpartition(".")[2], last_parts.values(), n=1)):
        near = [key for key, last in last_parts.items() if last == part[0]]
    meant = " or ".join(f'"{key}"' for key in near)
    hint = f" - did you mean {meant}?" if near else ""
    do = "" if near else f"Sections: {', '.join(sorted({one.partition('.')[0] for one in keys}))}"
    raise SettingsError("settings", "", got=f'unknown setting "{clipped(name)}"{hint}', do=do)
