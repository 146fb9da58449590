"""Every setting with its values and its default, and with the presets side by side."""

from __future__ import annotations

import inspect
import json
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from docs.generate.markdown import MADE, code, prose, table
from lipwise_ray.resources import jobs_folder
from lipwise_ray.settings.layers import preset_names, resolve
from lipwise_ray.settings.model import Settings
from lipwise_ray.settings.reference import settings_of
from lipwise_ray.settings.renamed import RENAMED, Renames

_HEAD = """
In a job file a key stands in its section (`[detect]`, `stride = 2`). On the command line it is written as a whole:
`--set detect.stride=2`. Defaults are those of the preset `quality`. Unknown keys are errors.
`lipwise-ray settings` shows which values hold for a run, and which layer has set each of them.

## Presets side by side

`--preset NAME` takes one for a run, the column `preset` of a manifest for a row. `demo` is what `lipwise-ray demo`
uses, `nightly` is a job file for nights. A key that is not in this table is the same in all of them, and an empty cell
is the value of `quality`.
"""
_FIRST = "quality"


def page(renames: Renames = RENAMED) -> str:
    """Return the page.

    Args:
        renames: Names that settings and columns had.
    """
    return "".join([f"# Settings\n\n{MADE}", _HEAD, "\n", _presets(), *_sections(), _old_names(renames)])


def _old_names(renames: Renames) -> str:
    if not renames:
        return ""
    about = "They are read with a warning, as settings and as columns, until a version refuses them."
    rows = [[code(one.old), code(one.new), one.since, one.goes] for one in renames]
    return f"\n## Old names\n\n{about}\n\n" + table(["old name", "name", "since", "refused from"], rows)


def _presets() -> str:
    folder = jobs_folder()
    names = sorted(preset_names(folder), key=lambda name: (name != _FIRST, name))
    flat = {name: dict(_flat(_preset(folder / f"{name}.toml"))) for name in names}
    base = flat[_FIRST]
    changed = [key for key in base if any(values[key] != base[key] for values in flat.values())]
    rows = [[f"`{key}`", *(_cell(flat[name][key], base[key], name) for name in names)] for key in changed]
    return table(["key", *(f"`{name}`" for name in names)], rows)


def _cell(value: object, first: object, preset: str) -> str:
    return _shown(value) if preset == _FIRST or value != first else ""


def _preset(path: Path) -> dict[str, Any]:
    return resolve([(path.name, tomllib.loads(path.read_text("utf-8")))]).model_dump(mode="json")


def _sections() -> Iterator[str]:
    for name, field in Settings.model_fields.items():
        section = field.annotation
        assert isinstance(section, type)
        rows = [[f"`{one.name}`", one.kind, one.default, prose(one.about)] for one in settings_of(section, f"{name}.")]
        yield f"\n## {name}\n\n{prose(inspect.cleandoc(section.__doc__ or ''))}\n\n"
        yield table(["key", "value", "default", "effect"], rows)


def _flat(values: dict[str, Any], path: str = "") -> Iterator[tuple[str, Any]]:
    for name, value in values.items():
        if isinstance(value, dict) and value:
            yield from _flat(value, f"{path}{name}.")
        else:
            yield f"{path}{name}", value


def _shown(value: object) -> str:
    return "-" if value is None else f"`{json.dumps(value)}`"
