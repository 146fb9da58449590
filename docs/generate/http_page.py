"""The service's HTTP API, by its own OpenAPI document."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from docs.generate.markdown import MADE, code, prose, sentence, table
from docs.generate.openapi import openapi_document
from docs.generate.schema_kind import kind_of

_HEAD = """
`lipwise-ray serve` answers at these addresses; `/openapi.json` of a service is the document that this page is made of.
The `x-api-key` header holds the service's key. A refused request is answered with a
[problem](#problemanswer), whose code is one of the [error codes](errors.md).

"""
_TITLES = {
    "200": "done",
    "201": "made",
    "202": "part of it arrived",
    "204": "done, no body",
    "206": "a part of the file",
}


def page() -> str:
    """Return the page."""
    document = openapi_document()
    parts = [f"---\ntocdepth: 3\n---\n\n# HTTP API\n\n{MADE}{_HEAD}", "## Addresses\n\n"]
    for path, methods in document["paths"].items():
        for method, operation in methods.items():
            parts += _operation(f"{method.upper()} {path}", operation)
    parts.append("## Objects\n\n")
    for name, schema in sorted(document["components"]["schemas"].items()):
        parts += _object(name, schema)
    return "".join(parts)


def _operation(title: str, operation: Mapping[str, Any]) -> Iterator[str]:
    yield f"### `{title}`\n\n{prose(operation.get('description', ''))}\n\n"
    parameters = [
        [code(one["name"]), one["in"], kind_of(one["schema"]), prose(one.get("description", ""))]
        for one in operation.get("parameters", [])
    ]
    if parameters:
        yield f"{table(['parameter', 'in', 'value', 'meaning'], parameters)}\n"
    for media, content in operation.get("requestBody", {}).get("content", {}).items():
        yield f"Body, `{media}`:{_body(content.get('schema', {}))}"
    answers = [
        [code(status), _TITLES.get(status) or str(answer.get("description", "")), ", ".join(_contents(answer))]
        for status, answer in sorted(operation["responses"].items())
    ]
    yield f"{table(['status', 'meaning', 'body'], answers)}\n"


def _body(schema: Mapping[str, Any]) -> str:
    if "properties" not in schema:
        return f" {kind_of(schema)}.\n\n"
    return f"\n\n{_fields(schema)}\n"


def _contents(answer: Mapping[str, Any]) -> Iterator[str]:
    for media, content in answer.get("content", {}).items():
        yield kind_of(content["schema"]) if content.get("schema") else code(media)


def _object(name: str, schema: Mapping[str, Any]) -> Iterator[str]:
    yield f"### {name}\n\n{prose(sentence(schema.get('description', '')))}\n\n"
    if "properties" in schema:
        yield f"{_fields(schema)}\n"


def _fields(schema: Mapping[str, Any]) -> str:
    needed = set(schema.get("required", []))
    rows = [
        [code(name), kind_of(one), "needed" if name in needed else "", prose(one.get("description", ""))]
        for name, one in schema["properties"].items()
    ]
    return table(["field", "value", "", "meaning"], rows)
