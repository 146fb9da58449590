"""The file of a batch: a request a line."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, JsonValue, TypeAdapter

from lipwise_ray.errors import RequestError
from lipwise_ray.service.sync_api.request import GenerationRequest, RequestPart, checked

MOST_LINES = 500
MOST_BYTES = 5 << 20
_MOST_SHOWN = 20


class BatchLine(RequestPart):
    """A line: a request, and the client's own name for it."""

    request_id: Annotated[str, Field(min_length=1, max_length=255)]
    endpoint: Literal["/v2/generate"]
    payload: dict[str, JsonValue]


def batch_lines(data: bytes) -> list[tuple[str, GenerationRequest]]:
    """Return the requests of a batch, each with the client's name for it.

    Args:
        data: JSON lines.

    Raises:
        RequestError: It is too large, has too many lines or none, a name appears twice, or a line is no request; the
            first twenty such lines are named.
    """
    check_size(len(data))
    lines = [(number, line) for number, line in enumerate(data.splitlines(), 1) if line.strip()]
    if not 1 <= len(lines) <= MOST_LINES:
        raise RequestError("bad_request", "input", got=f"{len(lines)} lines", must=f"it has from 1 to {MOST_LINES}")
    found: dict[str, GenerationRequest] = {}
    faults = LineFaults()
    for number, text in lines:
        with faults.of(f"line {number}"):
            line = checked(TypeAdapter(BatchLine), text, "line")
            request = checked(TypeAdapter(GenerationRequest), TypeAdapter(JsonValue).dump_json(line.payload), "payload")
            if line.request_id in found:
                raise RequestError("invalid_request", "request_id", got=f"{line.request_id!a} appears twice")
            found[line.request_id] = request
    faults.end()
    return [*found.items()]


def check_size(size: int) -> None:
    """Refuse a file that is too large.

    Args:
        size: Its bytes.

    Raises:
        RequestError: It is.
    """
    if size > MOST_BYTES:
        raise RequestError("body_too_large", "input", got=f"{size} bytes", must=f"at most {MOST_BYTES} are taken")


class LineFaults:
    """Faults of the lines of a batch, told together."""

    def __init__(self) -> None:
        self._texts: list[str] = []
        self._first: RequestError | None = None
        self._where = ""

    def of(self, where: str) -> LineFaults:
        """Note faults under a place from now on: ``with faults.of("line 3"):``."""
        self._where = where
        return self

    def __enter__(self) -> None:
        """Begin a line."""

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> bool:
        """Note what a line raised; errors of the disk and the like pass."""
        if not isinstance(error, RequestError):
            return False
        self._first = self._first or error
        self._texts.append(f"{self._where}: {str(error).rstrip('.')}")
        return True

    def end(self) -> None:
        """Raise what was noted, if anything was.

        Raises:
            RequestError: Lines are wrong; its code is that of the first.
        """
        if self._first is not None:
            more = len(self._texts) - _MOST_SHOWN
            further = [f"and {more} more lines"] if more > 0 else []
            raise RequestError(self._first.code, "input", got="; ".join([*self._texts[:_MOST_SHOWN], *further]))
