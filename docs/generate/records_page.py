"""The records that other programs read: of runs, and of comparisons of lip models."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

from docs.generate.markdown import MADE, attributes, code, prose, sentence, table
from docs.generate.schema_kind import kind_of, link
from lipwise_ray.state.schemas import FOLDER, schemas

_HEAD = """
What a run leaves for other programs. The JSON schemas themselves come with the package, in
`lipwise_ray/state/schemas`. Later versions may add fields; none changes its name or its meaning.

"""
_WHERE = {
    "result.json": "One for each finished job: `STATE/jobs/JOB/result.json`.",
    "events.jsonl": "What happened in a run, a JSON object a line: `STATE/runs/RUN/events.jsonl`.",
    "report.json": "The end of a run: `STATE/runs/RUN/report.json`.",
    "rows.csv": "A line for each row and model of `evaluate sweep`: `OUT/rows.csv`. Empty cells are null.",
    "summary.csv": "A line for each group, model and figure of `evaluate sweep`: `OUT/summary.csv`.",
}


def page() -> str:
    """Return the page."""
    found = {path.name.split(".")[0]: json.loads(text) for path, text in schemas().items()}
    parts = [f"# Records\n\n{MADE}{_HEAD}"]
    for name, where in _WHERE.items():
        schema = found[name.split(".")[0]]
        firsts = [kind_of(one) for one in schema.get("anyOf", [])]
        parts.append(
            f"## {name}\n\n{where} Schema: `lipwise_ray/state/{FOLDER.name}/{name.split('.')[0]}.schema.json`.\n\n"
        )
        parts.append(f"It is one of: {', '.join(firsts)}.\n\n" if firsts else "")
        records = schema.get("$defs", {})
        ours = [title for title in records if link(title) in firsts]
        for title in dict.fromkeys([*ours, *records]):
            parts += _record(title, records[title])
        if "properties" in schema:
            parts += _fields(schema)
    return "".join(parts)


def _record(title: str, schema: Mapping[str, Any]) -> Iterator[str]:
    if "properties" not in schema:
        return
    text = schema.get("description", "")
    yield f"### {title}\n\n{prose(text.partition(chr(10) * 2)[0])}\n\n"
    yield from _fields(schema)


def _fields(schema: Mapping[str, Any]) -> Iterator[str]:
    about = dict(attributes(schema.get("description", "")))
    needed = set(schema.get("required", []))
    rows = [
        [
            code(name),
            kind_of(one),
            "always" if name in needed else "",
            prose(sentence(about.get(name, ""))),
        ]
        for name, one in schema["properties"].items()
    ]
    yield f"{table(['field', 'value', 'there', 'meaning'], rows)}\n"
