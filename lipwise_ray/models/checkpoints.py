"""Checkpoints as a run uses them: one file, and those of all roles of a row."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any

from pydantic import BeforeValidator, GetCoreSchemaHandler, TypeAdapter
from pydantic_core import CoreSchema, core_schema

from lipwise_ray.models.roles import ROLES, RoleName
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
    """The checkpoints of a row, by their roles.

    pydantic reads and writes them as the record that tasks and results hold: a role without a checkpoint is left out,
    and one whose network may be of several files holds a list.
    """

    by_role: Mapping[RoleName, tuple[Checkpoint, ...]] = field(default_factory=dict[RoleName, tuple[Checkpoint, ...]])

    def one(self, role: RoleName) -> Checkpoint | None:
        """Return the checkpoint of a role whose network is of one file, None where the row does without."""
        found = self.all(role)
        return found[0] if found else None

    def needed(self, role: RoleName) -> Checkpoint:
        """Return the same of a role that the row cannot do without."""
        (found,) = self.all(role)
        return found

    def all(self, role: RoleName) -> tuple[Checkpoint, ...]:
        """Return all files of a role's network."""
        return self.by_role.get(role, ())

    def __contains__(self, role: RoleName) -> bool:
        return bool(self.all(role))

    def __iter__(self) -> Iterator[Checkpoint]:
        """Yield the files of all roles."""
        return (one for several in self.by_role.values() for one in several)

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
        record = handler.generate_schema(dict[RoleName, Checkpoint | list[Checkpoint] | None])
        read = core_schema.no_info_after_validator_function(_from_record, record)
        return core_schema.json_or_python_schema(
            json_schema=read,
            python_schema=core_schema.union_schema([core_schema.is_instance_schema(cls), read]),
            serialization=core_schema.plain_serializer_function_ser_schema(_to_record),
        )


def _from_record(record: dict[RoleName, Checkpoint | list[Checkpoint] | None]) -> Checkpoints:
    files: dict[RoleName, tuple[Checkpoint, ...]] = {}
    for role, several in record.items():
        if isinstance(several, list) != ROLES[role].several_files and several is not None:
            raise ValueError(f"{role}: not {'a list' if ROLES[role].several_files else 'one checkpoint'}")
        if several:
            files[role] = tuple(several) if isinstance(several, list) else (several,)
    return Checkpoints(files)


def _to_record(checkpoints: Checkpoints) -> Json:
    found: Json = {}
    for role, several in checkpoints.by_role.items():
        records = [one.record() for one in several]
        found[role] = records if ROLES[role].several_files else records[0]
    return found


_CHECKPOINT = TypeAdapter(Checkpoint)
_CHECKPOINTS = TypeAdapter(Checkpoints)
