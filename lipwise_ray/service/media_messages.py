"""Messages between a service and its processes that look at files: what of which file, and what was found."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar, Literal, TypeAlias

from pydantic import ConfigDict, TypeAdapter

from lipwise_ray.service.asset_record import MediaFacts
from lipwise_ray.service.frame_count import FrameCount, FramesWanted
from lipwise_ray.service.row_estimate import EstimateWanted, RowEstimate
from lipwise_ray.state.shapes import STRICT


@dataclass(frozen=True, slots=True)
class RefusedMedia:
    """A file that is no media file, or that cannot be looked at; the fields are those of an error.

    Attributes:
        code, got, do, where: Of the error; its place may be a path of ours, and is told for rows alone.
        is_for_now: The machine is at fault, and not the file: later it may be looked at.
    """

    __pydantic_config__: ClassVar[ConfigDict] = STRICT

    code: str
    got: str
    do: str
    is_for_now: bool = False
    where: str = "the file"
    kind: Literal["refused"] = "refused"


MediaQuestion: TypeAlias = Path | FramesWanted | EstimateWanted
"""A path asks what the file is."""

MediaAnswer: TypeAlias = MediaFacts | FrameCount | RowEstimate | RefusedMedia
_QUESTION: TypeAdapter[MediaQuestion] = TypeAdapter(MediaQuestion)
_ANSWER: TypeAdapter[MediaAnswer] = TypeAdapter(MediaAnswer)


def media_question(question: MediaQuestion) -> bytes:
    """Return a question as a line."""
    return _QUESTION.dump_json(question) + b"\n"


def media_question_in(line: bytes) -> MediaQuestion:
    """Return a question.

    Raises:
        ValidationError: It is none.
    """
    return _QUESTION.validate_json(line)


def media_line(answer: MediaAnswer) -> bytes:
    """Return an answer as a line."""
    return _ANSWER.dump_json(answer) + b"\n"


def media_answer_in(line: bytes) -> MediaAnswer:
    """Return an answer.

    Raises:
        ValidationError: It is none.
    """
    return _ANSWER.validate_json(line)
