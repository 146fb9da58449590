"""Messages between a service and its process for short media work: JSON lines, an answer for each question."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, ClassVar, Literal, TypeAlias

from pydantic import ConfigDict, Field, TypeAdapter

from lipwise_ray.service.job_record import JsonObject
from lipwise_ray.service.wire import SentSettings
from lipwise_ray.state.shapes import STRICT

STILLS, PREVIEWS = "stills", "previews"
"""Folders of what is made, in that of the process."""


@dataclass(frozen=True, slots=True, kw_only=True)
class BeginSideWork(SentSettings):
    """First message.

    Attributes:
        folder: Folder for what is made; it is bounded.
    """

    __pydantic_config__: ClassVar[ConfigDict] = STRICT

    folder: str


@dataclass(frozen=True, slots=True)
class FacesWanted:
    """Faces of a frame are to be found.

    Attributes:
        video: Path or address of the video, which a client may name.
        at_s: Moment of the frame, in seconds from the first one; None for an early one that has a face.
        preset: Name of the preset by which they are found; empty for the service's.
    """

    __pydantic_config__: ClassVar[ConfigDict] = STRICT

    video: str
    at_s: float | None
    preset: str = ""
    kind: Literal["faces"] = "faces"


@dataclass(frozen=True, slots=True)
class PreviewWanted:
    """A few seconds of a row are to be made."""

    __pydantic_config__: ClassVar[ConfigDict] = STRICT

    columns: JsonObject
    at_s: float
    seconds: float
    kind: Literal["preview"] = "preview"


@dataclass(frozen=True, slots=True, kw_only=True)
class FrameFaces:
    """Faces of a frame, from left to right.

    Attributes:
        frame: Number of the frame.
        at_s: Moment of it, in seconds from the first one.
        seconds: Length of the video.
        width, height: Size of the shown frame in pixels.
        boxes: Left, top, right, bottom of each face in pixels of the shown frame.
        still: File name of the frame's picture, in the folder of stills.
    """

    __pydantic_config__: ClassVar[ConfigDict] = STRICT

    kind: Literal["frame_faces"] = "frame_faces"
    frame: int
    at_s: float
    seconds: float
    width: int
    height: int
    boxes: tuple[tuple[float, float, float, float], ...]
    still: str


@dataclass(frozen=True, slots=True)
class MadePreview:
    """A preview that is there.

    Attributes:
        key: Name of its folder among the previews.
        name: Name of its file.
        notes: What the whole output may show otherwise.
    """

    __pydantic_config__: ClassVar[ConfigDict] = STRICT

    key: str
    name: str
    notes: tuple[str, ...]
    kind: Literal["preview"] = "preview"


@dataclass(frozen=True, slots=True, kw_only=True)
class PreviewProgress:
    """Progress of a preview that is being made; any number of them come before its answer.

    Attributes:
        stage: What is being done.
        frames_done: Frames of this stage that are done.
        frames_total: Frames that this stage has; 0 where it counts none.
    """

    __pydantic_config__: ClassVar[ConfigDict] = STRICT

    kind: Literal["progress"] = "progress"
    stage: str
    frames_done: int
    frames_total: int


@dataclass(frozen=True, slots=True)
class SideFailure:
    """It could not be done; the fields are those of an error."""

    __pydantic_config__: ClassVar[ConfigDict] = STRICT

    code: str
    where: str
    must: str
    got: str
    do: str
    kind: Literal["failure"] = "failure"


SideQuestion: TypeAlias = FacesWanted | PreviewWanted
SideAnswer: TypeAlias = FrameFaces | MadePreview | SideFailure
SideReport: TypeAlias = SideAnswer | PreviewProgress
_BEGIN = TypeAdapter(BeginSideWork)
_QUESTION: TypeAdapter[SideQuestion] = TypeAdapter(Annotated[SideQuestion, Field(discriminator="kind")])
_REPORT: TypeAdapter[SideReport] = TypeAdapter(Annotated[SideReport, Field(discriminator="kind")])


def begin_side_work(sent: SentSettings, folder: str) -> BeginSideWork:
    """Return the first message, with the settings that others are told.

    Args:
        sent: Those.
        folder: Folder for what is made.
    """
    return BeginSideWork(
        presets=sent.presets, preset=sent.preset, layers=sent.layers, uploads=sent.uploads, folder=folder
    )


def side_line(message: BeginSideWork | SideQuestion | SideReport) -> bytes:
    """Return a message as a line."""
    return TypeAdapter(type(message)).dump_json(message) + b"\n"


def begin_of(line: bytes) -> BeginSideWork:
    """Return the first message.

    Raises:
        ValidationError: It is none.
    """
    return _BEGIN.validate_json(line)


def question_of(line: bytes) -> SideQuestion:
    """Return a question.

    Raises:
        ValidationError: It is none.
    """
    return _QUESTION.validate_json(line)


def report_in(line: bytes) -> SideReport:
    """Return an answer, or the progress towards one.

    Raises:
        ValidationError: It is none.
    """
    return _REPORT.validate_json(line)
