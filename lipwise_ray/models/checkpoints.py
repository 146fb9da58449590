"""Checkpoints as a run uses them: one file, and those of all roles of a row."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any

from pydantic import BeforeValidator, GetCoreSchemaHandler, TypeAdapter
from pydantic_core import CoreSchema, core_schema

from lipwise_ray.models.terms import Commercial, commercial_of
from lipwise_ray.values import Json

_OWN_FILE = "a file of your own: its terms are not known here"


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """A checkpoint on this machine.

    Attributes:
        name: The registry's, or ``custom``.
        network: Network whose code loads it.
        path: The file.
        sha256: Of its bytes.
        licence: Its terms; empty for a user's own.
        commercial: Permission for commercial use under them.
        reason: Reason why they do not permit it, or why that is unclear.
        made_for: The only images that the network was made for; empty for photographed ones.
    """

    name: str
    network: str
    path: Path
    sha256: str
    licence: str = ""
    commercial: Annotated[Commercial, BeforeValidator(commercial_of)] = "unclear"
    reason: str = _OWN_FILE
    made_for: str = ""

    def record(self) -> Json:
        """Return JSON values."""
        return _CHECKPOINT.dump_python(self, mode="json")


@dataclass(frozen=True, slots=True)
class Checkpoints:
    """The checkpoints of a row, by the names of their roles.

    pydantic reads and writes them as the record that tasks and results hold: a role without a checkpoint is left out.

    Attributes:
        by_role: A role's checkpoint; of a role whose network may be of several files a tuple, which records hold as a
            list.
    """

    by_role: Mapping[str, Checkpoint | tuple[Checkpoint, ...]] = field(
        default_factory=dict[str, Checkpoint | tuple[Checkpoint, ...]]
    )

    def one(self, role: str) -> Checkpoint | None:
        """Return the checkpoint of a role whose network is of one file, None where the row does without."""
        found = self.all(role)
        return found[0] if found else None

    def needed(self, role: str) -> Checkpoint:
        """Return the same of a role that the row cannot do without."""
        (found,) = self.all(role)
        return found

    def all(self, role: str) -> tuple[Checkpoint, ...]:
        """Return all files of a role's network."""
        found = self.by_role.get(role, ())
        return found if isinstance(found, tuple) else (found,)

    def __contains__(self, role: str) -> bool:
        return bool(self.all(role))

    def __iter__(self) -> Iterator[Checkpoint]:
        """Yield the files of all roles."""
        return (one for role in self.by_role for one in self.all(role))

    def record(self) -> Json:
        """Return JSON values."""
        return _CHECKPOINTS.dump_python(self)

    @staticmethod
    def of(record: Json) -> Checkpoints:
        """Read the record that `record` returned.

        Raises:
            pydantic.ValidationError: It is not one of checkpoints.
        """
        return _CHECKPOINTS.validate_python(record)

    @classmethod
    def __get_pydantic_core_schema__(cls, _: Any, handler: GetCoreSchemaHandler) -> CoreSchema:  # noqa: ANN401  # pydantic's
        record = handler.generate_schema(dict[str, Checkpoint | list[Checkpoint] | None])
        read = core_schema.no_info_after_validator_function(_from_record, record)
        return core_schema.json_or_python_schema(
            json_schema=read,
            python_schema=core_schema.union_schema([core_schema.is_instance_schema(cls), read]),
            serialization=core_schema.plain_serializer_function_ser_schema(_to_record),
        )


def _from_record(record: dict[str, Checkpoint | list[Checkpoint] | None]) -> Checkpoints:
    return Checkpoints(
        {role: tuple(of) if isinstance(of, list) else of for role, of in record.items() if of is not None}
    )


def _to_record(checkpoints: Checkpoints) -> Json:
    return {
        role: [one.record() for one in of] if isinstance(of, tuple) else of.record()
        for role, of in checkpoints.by_role.items()
    }


_CHECKPOINT = TypeAdapter(Checkpoint)
_CHECKPOINTS = TypeAdapter(Checkpoints)
