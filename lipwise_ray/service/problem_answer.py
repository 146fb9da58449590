"""Faults of requests, as the document of the API describes their answers."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel, ConfigDict, Field

_ANYWHERE = (401, 403, 429, 500, 503)
"""Statuses that any address may answer with: keys, pages of others, numbers of requests, the server's own state."""


class ProblemAnswer(BaseModel):
    """Fault of a request, in the shape that all of them have."""

    model_config = ConfigDict(frozen=True, serialize_by_alias=True)

    message: str | list[str]
    status_code: int = Field(serialization_alias="statusCode")
    error_code: str | None = Field(default=None, serialization_alias="errorCode")


def problem_responses(*statuses: int) -> dict[int | str, dict[str, Any]]:  # FastAPI takes a plain tree
    """Return the descriptions of an address's faults.

    Args:
        statuses: Those that it has beside the ones of all addresses.
    """
    return {status: {"model": ProblemAnswer} for status in (*statuses, *_ANYWHERE)}
