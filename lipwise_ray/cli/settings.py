"""`lipwise-ray settings`: every key, its value, and the layer that has set it."""

from __future__ import annotations

import json
import textwrap
from typing import TYPE_CHECKING, Annotated

import typer

import lipwise_ray
from lipwise_ray.cli import setup
from lipwise_ray.storage.redact import redact

if TYPE_CHECKING:
    from lipwise_ray.settings.effective import EffectiveSetting

_WIDTH = 110


def settings(
    name: Annotated[
        str | None,
        typer.Argument(help="A key or a section: detect.stride, encode.audio. Default: all.", metavar="[SECTION.KEY]"),
    ] = None,
    *,
    job: setup.Job = None,
    assignments: setup.Set = None,
    preset: setup.Preset = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print a JSON object per key.")] = False,
) -> None:
    """Show settings: value, the layer that has set it (preset, job file, --set), default, and what each does."""
    from lipwise_ray.settings.effective import effective_settings, named

    source = lipwise_ray.load_settings(preset, job=job, assignments=assignments or ())
    source.for_run()  # what it refuses besides, a run would refuse too
    found = effective_settings(source.layers_of_run())
    for one in found if name is None else named(found, name):
        typer.echo(redact(_record(one) if as_json else "\n".join(_lines(one))))


def _record(one: EffectiveSetting) -> str:
    told = one.setting
    default = None if told.default == "-" else json.loads(told.default.strip("`"))
    facts = {"key": told.name, "value": one.value, "set_by": one.set_by, "default": default, "kind": told.kind}
    return json.dumps({**facts, "choices": [*told.choices], "about": told.about})


def _lines(one: EffectiveSetting) -> list[str]:
    """Return the lines of a key: its value as --set takes it, who set it, and its text."""
    told = one.setting
    default = told.default.strip("`")
    beside = "" if one.shown == default else f", default {default}"
    lines = [f"{told.name} = {one.shown}", f"    {one.set_by}{beside}; {told.kind}"]
    return [*lines, *textwrap.wrap(told.about, _WIDTH, initial_indent="    ", subsequent_indent="    ")]
