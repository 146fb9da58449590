"""Bodies that the routes read themselves, as OpenAPI's document describes them: JSON and forms."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, cast

from lipwise_ray.service.sync_api.request import GenerationRequest

_FORM = {
    "type": "object",
    "properties": {
        "model": {"type": "string"},
        "webhookUrl": {"type": "string"},
        "outputFileName": {"type": "string"},
        "input": {"type": "string", "description": "JSON: inputs beside the files."},
        "options": {"type": "string", "description": "JSON: the options."},
        "segments": {"type": "string", "description": "JSON: the segments."},
        "video": {"type": "string", "format": "binary"},
        "audio": {"type": "string", "format": "binary"},
    },
    "required": ["model"],
    "additionalProperties": False,
}
_BATCH_FORM = {
    "type": "object",
    "properties": {
        "input": {"type": "string", "format": "binary", "description": "JSON lines: request_id, endpoint, payload."},
        "webhook_url": {"type": "string"},
        "dry_run": {"type": "string", "enum": ["true", "false"]},
    },
    "required": ["input"],
    "additionalProperties": False,
}


def _body(**schemas: Any) -> dict[str, Any]:  # FastAPI takes a plain tree
    content = {kind: {"schema": schema} for kind, schema in schemas.items()}
    return {"requestBody": {"required": True, "content": content}}


def _whole(schema: object, known: Mapping[str, object]) -> object:
    """Return a JSON schema with its definitions in place of references to them: none of ours is within itself."""
    if isinstance(schema, list):
        return [_whole(one, known) for one in cast("list[object]", schema)]
    if not isinstance(schema, dict):
        return schema
    tree = cast("dict[str, object]", schema)
    if "$ref" in tree:
        return _whole(known[str(tree["$ref"]).rpartition("/")[2]], known)
    return {name: _whole(one, known) for name, one in tree.items() if name not in ("$defs", "discriminator")}


_SCHEMA = GenerationRequest.model_json_schema()
GENERATION_BODY = _body(**{"application/json": _whole(_SCHEMA, _SCHEMA["$defs"]), "multipart/form-data": _FORM})
BATCH_BODY = _body(**{"multipart/form-data": _BATCH_FORM})
