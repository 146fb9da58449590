"""The records that other programs read: fields of `result.json`, `events.jsonl` and `report.json`."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

from docs.generate.markdown import MADE, attributes, code, prose, sentence, table
from lipwise_ray.state.schemas import FOLDER, schemas

_HEAD = """
What a run leaves for other programs. The JSON schemas themselves come with the package, in
`lipwise_ray/state/schemas`. Later versions may add fields; none changes its name or its meaning.

"""
_WHERE = {
    "result.json": "One for each finished job: `jobs/JOB/result.json` in the state.",
    "events.jsonl": "What happened in a run, a JSON object a line: `runs/RUN/events.jsonl` in the state.",
    "report.json": "The end of a run: `runs/RUN/report.json` in the state.",
}


def page() -> str:
    """Return the page."""
    found = {path.name.split(".")[0]: json.loads(text) for path, text in schemas().items()}
    parts = [f"# Records\n\n{MADE}{_HEAD}"]
    for name, where in _WHERE.items():
        schema = found[name.split(".")[0]]
        firsts = [_kind(one) for one in schema.get("anyOf", [])]
        parts.append(f"## {name}\n\n{where} Schema: `{FOLDER.name}/{name.split('.')[0]}.schema.json`.\n\n")
        parts.append(f"It is one of: {', '.join(firsts)}.\n\n" if firsts else "")
        ours = [title for title in schema["$defs"] if f"{_link(title)}" in firsts]
        for title in dict.fromkeys([*ours, *schema["$defs"]]):
            parts += _record(title, schema["$defs"][title])
    return "".join(parts)


def _record(title: str, schema: Mapping[str, Any]) -> Iterator[str]:
    if "properties" not in schema:
        return
    text = schema.get("description", "")
    about = dict(attributes(text))
    yield f"### {title}\n\n{prose(text.partition(chr(10) * 2)[0])}\n\n"
    needed = set(schema.get("required", []))
    rows = [
        [code(name), _kind(one), "always" if name in needed else "", prose(sentence(about[name])) if name in about else ""]
        for name, one in schema["properties"].items()
    ]
    yield f"{table(['field', 'value', 'there', 'meaning'], rows)}\n"


def _link(title: str) -> str:
    return f"[{title}](#{title.lower()})"


def _kind(schema: Mapping[str, Any]) -> str:
    if "$ref" in schema:
        return _link(schema["$ref"].rpartition("/")[2])
    if "const" in schema:
        return code(json.dumps(schema["const"]))
    if "enum" in schema:
        return ", ".join(code(json.dumps(one)) for one in schema["enum"])
    if "anyOf" in schema:
        return " or ".join(dict.fromkeys(_kind(one) for one in schema["anyOf"]))
    match schema.get("type"):
        case "array":
            return f"list of {_kind(schema['items'])}" if "items" in schema else "list"
        case "object":
            inner = schema.get("additionalProperties")
            return f"object of {_kind(inner)}" if isinstance(inner, dict) and inner else "object"
        case "null":
            return "`null`"
        case None:
            return "any"
        case kind:
            return {"string": "text", "integer": "whole number", "boolean": "true or false"}.get(str(kind), str(kind))
