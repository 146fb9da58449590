"""What OpenAPI's document says of bodies that the routes read themselves: JSON and forms."""

from __future__ import annotations

from typing import Any

from fastapi import FastAPI

from lipwise_ray.service.sync_api.request import GenerationRequest
from lipwise_ray.values import Json

_REF = "#/components/schemas/{model}"
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


_JSON: dict[str, Any] = {"application/json": {"$ref": _REF.format(model="GenerationRequest")}}
GENERATION_BODY = _body(**_JSON, **{"multipart/form-data": _FORM})
COST_BODY = GENERATION_BODY
BATCH_BODY = _body(**{"multipart/form-data": _BATCH_FORM})


def describe_bodies(app: FastAPI) -> None:
    """Have an application's OpenAPI document say what a request for a generation is.

    Args:
        app: The application.
    """
    usual = app.openapi

    def document() -> Json:
        found = usual()
        schemas = found.setdefault("components", {}).setdefault("schemas", {})
        if GenerationRequest.__name__ not in schemas:
            schema = GenerationRequest.model_json_schema(ref_template=_REF)
            schemas |= schema.pop("$defs")
            schemas[GenerationRequest.__name__] = schema
        return found

    app.openapi = document  # as FastAPI's own documents say
