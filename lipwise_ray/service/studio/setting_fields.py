"""Fields for the settings that a single video may have of its own, made of the settings' own texts."""

from __future__ import annotations

import inspect
import re
from dataclasses import dataclass
from typing import Literal

from lipwise_ray.pipeline.manifest.setting_cells import SETTING_COLUMNS
from lipwise_ray.settings.model import Settings
from lipwise_ray.settings.reference import Setting, settings_of

FieldKind = Literal["choice", "number", "text", "toml"]
_CHOICE = re.compile(r"`([^`]*)`")
_SWITCH = "true or false"
_NUMBERS = ("whole number", "number")
_RANGE = re.compile(r"(?:, (?P<low>-?[\d.e+]+) to (?P<high>-?[\d.e+]+)|, from (?P<least>-?[\d.e+]+))$")
_DEPTH = 2


@dataclass(frozen=True, slots=True, kw_only=True)
class SettingField:
    """A field of a form.

    Attributes:
        name: The setting.
        kind: Kind of field; one of ``toml`` takes a list or table as TOML has it.
        about: Effect of the setting.
        default: Its default as TOML has it.
        takes: Values that it takes, in words.
        choices: Values of a ``choice``, as TOML has them.
        low, high: Bounds of a ``number``, or None.
        is_whole: A ``number`` has no decimals.
    """

    name: str
    kind: FieldKind
    about: str
    default: str
    takes: str
    choices: tuple[str, ...] = ()
    low: str | None = None
    high: str | None = None
    is_whole: bool = False


@dataclass(frozen=True, slots=True)
class SettingSection:
    """A section of the settings: its name, what it is about, and its fields."""

    name: str
    about: str
    fields: list[SettingField]


def setting_sections() -> list[SettingSection]:
    """Return the sections that have settings of single videos."""
    fields: dict[str, list[SettingField]] = {}
    for setting in settings_of():
        is_file = setting.name.endswith(".checkpoint")  # of the server's, which is a run's business
        if ".".join(setting.name.split(".")[:_DEPTH]) in SETTING_COLUMNS and not is_file:
            fields.setdefault(setting.name.partition(".")[0], []).append(_field(setting))
    return [SettingSection(name, _about(name), found) for name, found in fields.items()]


def _about(section: str) -> str:
    model = Settings.model_fields[section].annotation
    return inspect.cleandoc(model.__doc__ or "").partition("\n\n")[0] if isinstance(model, type) else ""


def _field(setting: Setting) -> SettingField:
    words, bounds = setting.kind, _RANGE.search(setting.kind)
    about = setting.about.replace("\\|", "|").replace("`", "")
    default = setting.default.strip("`")
    bare = words[: bounds.start()] if bounds else words
    is_text = default.startswith('"')
    choices = tuple(f'"{one}"' if is_text else one for one in _CHOICE.findall(words))
    if words == _SWITCH:
        choices = ("true", "false")
    if choices and (words == _SWITCH or not _CHOICE.sub("", words).strip(" ,")):
        return SettingField(name=setting.name, kind="choice", about=about, default=default, takes="", choices=choices)
    takes = words.replace("`", "")
    if bare in _NUMBERS:
        return SettingField(
            name=setting.name,
            kind="number",
            about=about,
            default=default,
            takes=takes,
            low=(bounds["low"] or bounds["least"]) if bounds else None,
            high=bounds["high"] if bounds else None,
            is_whole=bare == _NUMBERS[0],
        )
    kind: FieldKind = "text" if bare == "text" else "toml"
    return SettingField(name=setting.name, kind=kind, about=about, default=default, takes=takes)
