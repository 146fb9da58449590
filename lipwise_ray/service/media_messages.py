"""Messages between a service and its process that looks at files: a path, and what the file is."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar, Literal, TypeAlias

from pydantic import ConfigDict, TypeAdapter

from lipwise_ray.service.asset_record import MediaFacts
from lipwise_ray.state.shapes import STRICT


@dataclass(frozen=True, slots=True)
class RefusedMedia:
    """A file that is no media file, or that cannot be looked at; the fields are those of an error.

    Attributes:
        code, got, do: Of the error.
        is_for_now: The machine is at fault, and not the file: later it may be looked at.
    """

    __pydantic_config__: ClassVar[ConfigDict] = STRICT

    code: str
    got: str
    do: str
    is_for_now: bool = False
    kind: Literal["refused"] = "refused"


MediaAnswer: TypeAlias = MediaFacts | RefusedMedia
_ANSWER: TypeAdapter[MediaAnswer] = TypeAdapter(MediaAnswer)


def media_question(file: Path) -> bytes:
    """Return the question after a file, as a line."""
    return json.dumps(str(file)).encode() + b"\n"


def media_file_in(line: bytes) -> Path:
    """Return the file that a question is after."""
    return Path(json.loads(line))


def media_line(answer: MediaAnswer) -> bytes:
    """Return an answer as a line."""
    return _ANSWER.dump_json(answer) + b"\n"


def media_answer_in(line: bytes) -> MediaAnswer:
    """Return an answer.

    Raises:
        ValidationError: It is none.
    """
    return _ANSWER.validate_json(line)
