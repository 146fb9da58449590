"""Layers of settings: presets, job files and assignments, merged and checked."""

from __future__ import annotations

import difflib
import json
import tomllib
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, cast

from pydantic import BaseModel, ValidationError

from lipwise_ray.errors import SettingsError
from lipwise_ray.settings.model import Settings
from lipwise_ray.settings.unions import TEXT, UNION_TAG

_MOST_BYTES = 1 << 20
_MOST_LEVELS = 16
_MOST_SHOWN = 200
DECIDE_LOOK = ("lipsync", "detect", "faces", "source", "timing", "composite", "restore", "encode")
"""Sections that decide what a video looks like."""


def resolve(layers: Iterable[tuple[str, Mapping[str, Any]]]) -> Settings:
    """Merge layers of settings, later ones win, and check the result.

    Args:
        layers: (where it comes from, nested values) in rising precedence.

    Raises:
        SettingsError: A key is unknown or a value impossible; the message names every one.
    """
    return resolve_with_origins(layers)[0]


def resolve_with_origins(layers: Iterable[tuple[str, Mapping[str, Any]]]) -> tuple[Settings, dict[str, str]]:
    """Resolve layers as `resolve` does; return the settings and by key, with dots, the layer that has set it.

    Args:
        layers: As for `resolve`.

    Raises:
        SettingsError: As for `resolve`.
    """
    merged: dict[str, Any] = {}
    origin: dict[str, str] = {}
    for where, values in layers:
        _check_depth(values, where)
        _merge(merged, values, where, origin, "")
    settings = _checked(merged, origin)
    fallbacks(settings)
    return settings, origin


def fallbacks(settings: Settings) -> list[Settings]:
    """Return the settings of a row's further attempts, in the order in which they are tried.

    Raises:
        SettingsError: One of them is unknown, impossible, or not for one attempt to change.
    """
    found: list[Settings] = []
    for number, changes in enumerate(settings.gate.retry, 1):
        where = f"gate.retry {number}"
        odd = [name for name in changes if name not in DECIDE_LOOK]
        if odd or not changes:
            happened = f"one attempt cannot change {', '.join(odd)}" if odd else "changes nothing"
            raise SettingsError("settings", where, got=happened, do=f"It may change {', '.join(DECIDE_LOOK)}")
        merged = json.loads(settings.model_dump_json(exclude={"gate": {"retry"}}))
        origin: dict[str, str] = {}
        _merge(merged, changes, where, origin, "")
        found.append(_checked(merged, origin))
    return found


def _checked(merged: dict[str, Any], origin: dict[str, str]) -> Settings:
    try:
        return Settings.model_validate_json(json.dumps(merged, default=str))
    except ValidationError as error:
        problems = [_problem(dict(item), origin) for item in error.errors()]
    raise SettingsError("settings", "", got="; ".join(problems))


def _check_depth(values: object, where: str) -> None:
    """Refuse values within values within values: nothing here is that deep, and all that follows recurses.

    Raises:
        SettingsError: They are too deep.
    """
    level = [values]
    for _ in range(_MOST_LEVELS):
        inner = [cast("Mapping[str, object]", one).values() for one in level if isinstance(one, Mapping)]
        inner += [cast("list[object]", one) for one in level if isinstance(one, list)]
        level = [value for values in inner for value in values]
        if not level:
            return
    raise SettingsError(
        "too_deep", clipped(where), got=f"more than {_MOST_LEVELS} levels", do="Write section.key = value"
    )


def _merge(into: dict[str, Any], values: Mapping[str, Any], where: str, origin: dict[str, str], path: str) -> None:
    for key, value in values.items():
        name = f"{path}{key}"
        if isinstance(value, Mapping):
            branch = into.setdefault(key, {})
            if not isinstance(branch, dict):
                place = f"{origin.get(name, where)}: {name}"
                raise SettingsError("settings", place, got=f"{branch!r} where a section belongs")
            _merge(branch, cast("Mapping[str, Any]", value), where, origin, f"{name}.")
        else:
            into[key] = value
        origin[name] = where


def _problem(item: dict[str, Any], origin: dict[str, str]) -> str:
    path = [str(part) for part in item["loc"] if not str(part).startswith(UNION_TAG)]
    if not path:
        return f"settings: {in_words(item, '')}"
    name = ".".join(path)
    where = next((origin[n] for n in (name, ".".join(path[:-1]), path[0]) if n in origin), "settings")
    if item["type"] == "extra_forbidden":
        return f"{where}: {unknown_setting(path, _keys(path[:-1]))}"
    return f"{where}: {in_words(item, name)}{' or a number' if item['loc'][-1] == TEXT else ''}"


def _keys(path: list[str]) -> list[str]:
    model: type[BaseModel] = Settings
    for part in path:
        field = model.model_fields.get(part)
        kind = field.annotation if field else None
        if not (isinstance(kind, type) and issubclass(kind, BaseModel)):
            return []
        model = kind
    return list(model.model_fields)


def read_toml(path: Path, what: str = "job") -> dict[str, Any]:
    """Read a TOML file of settings.

    Args:
        path: The file.
        what: The option that names it.

    Raises:
        SettingsError: The file is missing, too large or not TOML.
    """
    do = f"Check --{what}"

    def missing(where: str, got: str) -> SettingsError:
        return SettingsError("no_job_file" if what == "job" else "no_prices", where, got=got, do=do)

    try:
        if path.exists() and not path.is_file():  # a pipe would be waited for, a device has no end
            raise missing(str(path), "a folder or a device, not a TOML file")
        with path.open("rb") as file:
            data = file.read(_MOST_BYTES + 1)
    except (OSError, ValueError) as error:
        got = "file not found" if isinstance(error, FileNotFoundError) else getattr(error, "strerror", None)
        got = (got or "a name that cannot be").lower()
        raise missing(ascii(str(path))[1:-1], got) from error
    if len(data) > _MOST_BYTES:
        raise SettingsError("bad_toml", str(path), got=f"larger than {_MOST_BYTES >> 10} KiB", do=do)
    try:
        return tomllib.loads(data.decode("utf-8-sig"))
    except (ValueError, RecursionError) as error:  # also whole numbers of thousands of digits
        happened = f"not TOML: {clipped(str(error))}"
        raise SettingsError("bad_toml", str(path), got=happened, do="Correct that line") from error


def parse_assignment(text: str) -> dict[str, Any]:
    """Read ``section.key=value`` as nested values; the value is TOML, or else a plain string.

    Raises:
        SettingsError: There is no ``=`` or no section.
    """
    name, equals, value = text.partition("=")
    parts = [part.strip() for part in name.split(".")]
    if not equals or len(parts) < 2 or not all(parts):  # noqa: PLR2004  # section and key
        raise SettingsError(
            "bad_set", f"--set {clipped(text)}", got="not section.key=value", do="For example --set detect.stride=2"
        )
    try:
        parsed: Any = tomllib.loads(f"v = {value}")["v"]
    except (ValueError, RecursionError):
        parsed = value
    for part in reversed(parts):
        parsed = {part: parsed}
    return parsed


def in_words(item: Mapping[str, Any], name: str) -> str:
    """Return the fault of a value by one of pydantic's errors: what it is, and then what it should be.

    Args:
        item: The error; of what a section is missing, or of several of its values together, the input is the section.
        name: The value's name.
    """
    expected = str(item["msg"]).removeprefix("Value error, ")
    if expected.startswith("Input should"):
        expected = f"it{expected.removeprefix('Input')}"
    elif expected[:2].istitle():
        expected = expected[0].lower() + expected[1:]
    value: object = item["input"]
    place = name if isinstance(value, Mapping) else f"{name} = {clipped(repr(value))}"
    return f"{place}: {expected}" if name else expected


def unknown_setting(path: Sequence[str], known: Sequence[str]) -> str:
    """Return the fault of a key that no setting has, and the one that is nearest to it.

    Args:
        path: The key, section by section.
        known: The keys of its section.
    """
    near = difflib.get_close_matches(path[-1], known, n=1)
    meant = ".".join([*path[:-1], near[0]]) if near else ""
    hint = f'did you mean "{meant}"?' if near else f"known here: {', '.join(known)}"
    return f'unknown setting "{".".join(path)}" - {hint}'


def clipped(text: str) -> str:
    """Return a text short enough for a message."""
    return text if len(text) <= _MOST_SHOWN else f"{text[:_MOST_SHOWN]}..."


def preset_names(folder: Path) -> list[str]:
    """Return the presets that a folder of TOML files offers."""
    return sorted(path.stem for path in folder.glob("*.toml"))


def read_preset(folder: Path, name: str) -> dict[str, Any]:
    """Return a preset's values.

    Raises:
        SettingsError: There is no preset of that name.
    """
    known = preset_names(folder)
    if name not in known:
        near = difflib.get_close_matches(name, known, n=1)
        hint = f' - did you mean "{near[0]}"?' if near else ""
        raise SettingsError("no_preset", "", got=f'unknown preset "{name}"{hint}', do=f"Known: {', '.join(known)}")
    return read_toml(folder / f"{name}.toml")
