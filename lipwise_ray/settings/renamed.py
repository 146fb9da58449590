"""Settings and columns that got new names: the old ones are read for a while, with a warning that names the new one."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias, cast

from lipwise_ray.errors import SettingsError


class OldNameWarning(FutureWarning):
    """A name was used that a coming version refuses."""


@dataclass(frozen=True, slots=True)
class Renamed:
    """A setting, or a column of manifests, that got a new name.

    Attributes:
        old: The name that it had: section and key with dots, or the column's.
        new: The name that it has.
        since: Version that knows the new name first.
        goes: Version that refuses the old one: the next minor one.
    """

    old: str
    new: str
    since: str
    goes: str

    def warn(self, what: str) -> None:
        """Warn of the old name; of equal warnings in a row Python shows the first.

        Args:
            what: The old name as it was found: a layer and its key, or a column.
        """
        text = f'{what} is called "{self.new}" since version {self.since}; version {self.goes} refuses the old name'
        warnings.warn(text, OldNameWarning, stacklevel=3)

    @property
    def conflict(self) -> str:
        """Finding where both names are used."""
        return f'"{self.old}" beside "{self.new}", its new name'


Renames: TypeAlias = tuple[Renamed, ...]
RENAMED: Renames = ()
"""Names of this version. One whose version has come is taken out, and with it what was written of it."""

_NOTHING = object()


def with_new_names(where: str, values: Mapping[str, Any], renames: Renames = RENAMED) -> Mapping[str, Any]:
    """Return a layer of settings with new names in place of old ones, in its retries too.

    Args:
        where: Name of the layer, for messages.
        values: Nested values.
        renames: Settings that got new names.

    Raises:
        SettingsError: A setting stands there by both names, or its new section is none.
    """
    for one in renames:
        values = _moved(where, values, one)
    retries = _found(values, ("gate", "retry"))
    if renames and isinstance(retries, list):
        attempts = [
            with_new_names(f"{where}: gate.retry {number}", cast("Mapping[str, Any]", changes), renames)
            if isinstance(changes, Mapping)
            else changes
            for number, changes in enumerate(cast("list[object]", retries), 1)
        ]
        values = _with(where, values, ("gate", "retry"), attempts)
    return values


def _moved(where: str, values: Mapping[str, Any], renamed: Renamed) -> Mapping[str, Any]:
    old, new = renamed.old.split("."), renamed.new.split(".")
    value = _found(values, old)
    if value is _NOTHING or len(old) == 1:  # a column alone
        return values
    if _found(values, new) is not _NOTHING:
        raise SettingsError("settings", where, got=renamed.conflict, do=f'Keep "{renamed.new}"')
    renamed.warn(f"{where}: {renamed.old}")
    return _with(where, _without(values, old), new, value)


def _found(values: object, path: Sequence[str]) -> object:
    for part in path:
        inner = cast("Mapping[str, object]", values) if isinstance(values, Mapping) else {}
        values = inner.get(part, _NOTHING)
    return values


def _without(values: Mapping[str, Any], path: Sequence[str]) -> dict[str, Any]:
    """Return values without one of them, and without sections in which nothing else was."""
    head, *rest = path
    inner = _without(values[head], rest) if rest else {}
    return {name: inner if name == head else one for name, one in values.items() if name != head or inner}


def _with(where: str, values: Mapping[str, Any], path: Sequence[str], value: object) -> dict[str, Any]:
    head, *rest = path
    if not rest:
        return {**values, head: value}
    inner = values.get(head, {})
    if not isinstance(inner, Mapping):
        raise SettingsError("settings", f"{where}: {head}", got=f"{inner!r} where a section belongs")
    return {**values, head: _with(where, cast("Mapping[str, Any]", inner), rest, value)}


def new_name(name: str, renames: Renames = RENAMED) -> str:
    """Return the name that a setting has now, with a warning where it had the one that is given.

    Args:
        name: Section and key, with dots.
        renames: Settings that got new names.
    """
    for one in renames:
        if one.old == name:
            one.warn(f'"{name}"')
            return one.new
    return name
