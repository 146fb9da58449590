"""Values that a JSON schema allows, in words."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from docs.generate.markdown import code

_WORDS = {"string": "text", "integer": "whole number", "boolean": "true or false", "null": "`null`"}


def link(title: str) -> str:
    """Return a link to an object's section of the same page."""
    return f"[{title}](#{title.lower()})"


def kind_of(schema: Mapping[str, Any]) -> str:
    """Return the values that a schema allows, as Markdown; objects that have names are links."""
    if "$ref" in schema:
        return link(schema["$ref"].rpartition("/")[2])
    if "const" in schema or "enum" in schema:
        return ", ".join(code(json.dumps(one)) for one in schema.get("enum", [schema.get("const")]))
    if several := schema.get("anyOf", schema.get("oneOf")):
        return " or ".join(dict.fromkeys(kind_of(one) for one in several))
    kind = str(schema.get("type", "any"))
    if kind == "array":
        return f"list of {kind_of(schema['items'])}" if schema.get("items") else "list"
    return _object(schema) if kind == "object" else _WORDS.get(kind, kind)


def _object(schema: Mapping[str, Any]) -> str:
    if "properties" in schema:
        return f"object of {', '.join(map(code, schema['properties']))}"
    inner = schema.get("additionalProperties")
    return f"object of {kind_of(inner)}" if isinstance(inner, dict) and inner else "object"
