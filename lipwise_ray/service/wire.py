"""Messages between a service and its driver process: JSON lines."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, ClassVar, Literal, TypeAlias

from pydantic import ConfigDict, Field, TypeAdapter

from lipwise_ray.runs.load_settings import LoadedSettings
from lipwise_ray.service.job_record import JsonObject
from lipwise_ray.state.shapes import STRICT


@dataclass(frozen=True, slots=True, kw_only=True)
class SentSettings:
    """Settings of a service, as its processes are told them first.

    Attributes:
        presets: Folder of preset files.
        preset: The service's preset.
        layers: Its job file and single settings, in rising precedence.
        uploads: The service's own folder of inputs.
    """

    __pydantic_config__: ClassVar[ConfigDict] = STRICT

    kind: Literal["begin"] = "begin"
    presets: str
    preset: str
    layers: tuple[tuple[str, JsonObject], ...]
    uploads: str

    @property
    def source(self) -> LoadedSettings:
        """The settings."""
        return LoadedSettings(Path(self.presets), self.preset, [*self.layers])


@dataclass(frozen=True, slots=True, kw_only=True)
class BeginDriver(SentSettings):
    """First message to a driver.

    Attributes:
        state, out: Addresses of state and outputs.
    """

    __pydantic_config__: ClassVar[ConfigDict] = STRICT

    state: str
    out: str


@dataclass(frozen=True, slots=True)
class AddRow:
    """A row is to be done, of this number in the records of runs; ``attempt`` comes back with its end."""

    __pydantic_config__: ClassVar[ConfigDict] = STRICT

    id: str
    attempt: int
    number: int
    priority: int
    columns: JsonObject
    kind: Literal["add"] = "add"


@dataclass(frozen=True, slots=True)
class CancelRow:
    """A row is not to be done any more."""

    __pydantic_config__: ClassVar[ConfigDict] = STRICT

    id: str
    kind: Literal["cancel"] = "cancel"


@dataclass(frozen=True, slots=True)
class PrioritiseRow:
    """A row has another priority."""

    __pydantic_config__: ClassVar[ConfigDict] = STRICT

    id: str
    priority: int
    kind: Literal["prioritise"] = "prioritise"


@dataclass(frozen=True, slots=True)
class DriverStands:
    """The driver is there, or works again; with a ``problem`` it does neither, and tries again."""

    __pydantic_config__: ClassVar[ConfigDict] = STRICT

    problem: str = ""
    kind: Literal["stands"] = "stands"


@dataclass(frozen=True, slots=True)
class RowBegan:
    """A row's first task is queued."""

    __pydantic_config__: ClassVar[ConfigDict] = STRICT

    id: str
    run_id: str
    kind: Literal["began"] = "began"


@dataclass(frozen=True, slots=True)
class RowWent:
    """A row went on: frames of its stage, as `RowProgress` has them; ``job_id`` is empty before it is known."""

    __pydantic_config__: ClassVar[ConfigDict] = STRICT

    id: str
    stage: str
    frames_done: int
    frames_total: int
    job_id: str = ""
    kind: Literal["went"] = "went"


@dataclass(frozen=True, slots=True, kw_only=True)
class RowOver:
    """A row has ended; every `AddRow` is answered by one, unless the driver ends before.

    Attributes:
        attempt: Of its `AddRow`.
        status: How it ended.
        run_id, job_id: Its records in the state; empty where it has none.
        output: Address of the finished video.
        duration_s: Duration of that.
        code, message: Reason for which it failed.
        task: Id of the task by which it failed.
        stage: Kind of that task.
        blame: Party at fault.
        verdict, reasons: Of the gate on the video.
    """

    __pydantic_config__: ClassVar[ConfigDict] = STRICT

    id: str
    attempt: int
    status: Literal["completed", "failed", "cancelled"]
    run_id: str = ""
    job_id: str = ""
    output: str | None = None
    duration_s: float | None = None
    code: str | None = None
    message: str | None = None
    task: str | None = None
    stage: str | None = None
    blame: str | None = None
    verdict: str | None = None
    reasons: tuple[str, ...] | None = None
    kind: Literal["over"] = "over"


ToDriver: TypeAlias = BeginDriver | AddRow | CancelRow | PrioritiseRow
FromDriver: TypeAlias = DriverStands | RowBegan | RowWent | RowOver

_TO_DRIVER: TypeAdapter[ToDriver] = TypeAdapter(Annotated[ToDriver, Field(discriminator="kind")])
_FROM_DRIVER: TypeAdapter[FromDriver] = TypeAdapter(Annotated[FromDriver, Field(discriminator="kind")])


def begin_driver(source: LoadedSettings, state: str, out: str, uploads: str) -> BeginDriver:
    """Return the first message to a driver.

    Args:
        source: The service's settings.
        state: Address of the state.
        out: Address of the outputs.
        uploads: Folder of inputs.
    """
    layers = tuple((where, _plain(values)) for where, values in source.layers)
    presets = str(source.presets)
    return BeginDriver(presets=presets, preset=source.preset, layers=layers, state=state, out=out, uploads=uploads)


def _plain(values: Mapping[str, object]) -> JsonObject:
    """Return settings as JSON values; dates, which no setting takes, as texts that the settings refuse."""
    return json.loads(json.dumps(values, default=str))


def to_driver(line: bytes) -> ToDriver:
    """Read a message to a driver.

    Raises:
        pydantic.ValidationError: It is none.
    """
    return _TO_DRIVER.validate_json(line)


def from_driver(line: bytes) -> FromDriver:
    """Read a message from a driver.

    Raises:
        pydantic.ValidationError: It is none.
    """
    return _FROM_DRIVER.validate_json(line)


def line_of(message: ToDriver | FromDriver) -> bytes:
    """Return a message as a line."""
    return TypeAdapter(type(message)).dump_json(message, ensure_ascii=True) + b"\n"
