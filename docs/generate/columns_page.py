"""Columns of manifests: which there are by the source, what each means by the texts beside this file."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from pathlib import Path

from docs.generate.markdown import MADE, code, table
from lipwise_ray.pipeline.manifest.dub_rows import DUBBED
from lipwise_ray.pipeline.manifest.evaluation_rows import EVALUATED
from lipwise_ray.pipeline.manifest.formats import READERS, Columns

_TEXTS = Path(__file__).with_name("columns.toml")
_HEAD = """
A manifest is a table, a row a video to be made: {formats}. A column that is not known is an error, for it may be a slip
of the pen; with `manifest.extra = "keep"` such columns go into the results (`extra`) and mean nothing else. An empty
cell is a cell that is not there. `lipwise-ray validate` finds every problem of every row before anything starts.
"""


def page() -> str:
    """Return the page.

    Raises:
        ValueError: A column has no text, or a text no column.
    """
    texts: dict[str, dict[str, str]] = tomllib.loads(_TEXTS.read_text("utf-8"))
    formats = ", ".join(code(ending) for ending in READERS)
    settings = ", ".join(code(name) for name in sorted(DUBBED.settings))
    return "\n".join(
        [
            f"# Manifest columns\n\n{MADE}{_HEAD.format(formats=formats)}",
            "## Rows to be dubbed\n",
            _columns(DUBBED, texts["dub"]),
            "## Settings of a row\n",
            "A column that is called like a setting, `SECTION.KEY`, sets it for the row alone. Those that decide what",
            f"a video looks like may stand there: {settings}.\n",
            "## Rows to be evaluated\n",
            "Of `lipwise-ray evaluate`:\n",
            _columns(EVALUATED, texts["evaluate"]),
        ]
    )


def _columns(columns: Columns, texts: Mapping[str, str]) -> str:
    names = [*columns.required, *columns.optional]
    if different := {*names} ^ {*texts}:
        raise ValueError(f"{_TEXTS.name}: columns and texts differ: {', '.join(sorted(different))}")
    return table(["column", "needed", "meaning"], [[code(name), _needed(name, columns), texts[name]] for name in names])


def _needed(name: str, columns: Columns) -> str:
    if name not in columns.required:
        return ""
    others = [one[name] for one in (columns.instead, columns.or_instead) if name in one]
    return f"this or {' or '.join(map(code, others))}" if others else "yes"
