"""The roles that networks have in a run: which settings ask for them, which rows need them, what they decide.

This table is the only list of roles. Whoever looks for checkpoints, loads models, names a job or reads a task goes
through it. A new role is an entry here, its name in `RoleName`, and its loader among the worker's models; `Settings`
has its two settings.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum
from operator import attrgetter
from typing import Literal

from lipwise_ray.settings.model import Settings

RoleName = Literal["lipsync", "restorer", "upscaler", "parser", "judge", "embedder", "expert", "detector", "inception"]
"""Name of a role in records."""

PASSTHROUGH = "passthrough"
"""Name in place of a lip-sync network's where faces stay as they are."""

TINY_RESTORER = "tiny_restorer"
"""The bundled network that restores, as the registry names it."""

_SPANDREL = "spandrel"  # stands for all that it loads

_AUTO, _NOTHING = "auto", "none"


@dataclass(frozen=True, slots=True)
class RowFacts:
    """Facts about a row that, beside its settings, decide which networks it needs."""

    needs_detector: bool = False
    seeks_speaker: bool = False
    has_portraits: bool = False
    has_reference: bool = False


@dataclass(frozen=True, slots=True)
class Machines:
    """Machines that will load models: whether they have GPUs, which checkpoints they find.

    Attributes:
        have_gpu: Render workers get GPUs.
        installed: Tells whether a checkpoint of the registry's name is found there.
    """

    have_gpu: bool
    installed: Callable[[str], bool]


@dataclass(frozen=True, slots=True)
class Wanted:
    """A checkpoint that settings ask for: the registry's ``name``, or a ``file`` of the user's own.

    ``networks`` are those that it may be of; a user's own file is of the first.
    """

    name: str
    networks: tuple[str, ...]
    file: str | None = None


@dataclass(frozen=True, slots=True)
class AutoChoice:
    """Choice that ``auto`` stands for, and why where that is worth saying."""

    name: str
    why: str = ""


@dataclass(frozen=True, slots=True)
class Requirement:
    """Checkpoints that settings ask for in a role, and the choice where they leave it open."""

    wanted: tuple[Wanted, ...]
    choice: AutoChoice | None = None


class InId(Enum):
    """Part of a job's id that a checkpoint makes up."""

    HASH = "its hash, or null"
    HASH_WHERE_USED = "its hash; not a word where a job does without: what a new role takes, so that older ids stay"
    DETECTION = "within the id of the detection, beside the settings of that"


@dataclass(frozen=True, slots=True)
class NumberFormat:
    """Number format in which a role's network computes.

    Attributes:
        setting: The setting of its number format.
        float32_networks: Those that always compute in float32.
        float16_on_gpus: There ``auto`` is float16.
    """

    setting: str
    float32_networks: tuple[str, ...] = ()
    float16_on_gpus: bool = False

    def may_be_bfloat16(self, settings: Settings, network: str, device: str) -> bool:
        """Tell whether ``auto`` may be bfloat16, if the hardware has it."""
        is_open = attrgetter(self.setting)(settings) == _AUTO and network not in self.float32_networks
        return is_open and not (self.float16_on_gpus and device.startswith("cuda"))


def _by_name(role: ModelRole, settings: Settings, machines: Machines) -> Requirement:
    name, file = attrgetter(role.setting, role.file_setting)(settings)
    if file is not None:
        return Requirement((Wanted(name, role.networks, file),))
    choice = role.auto(machines) if name == _AUTO and role.auto else None
    name = choice.name if choice else name
    is_none = role.may_be_none and name == _NOTHING
    return Requirement(() if is_none else (Wanted(name, role.networks),), choice)


@dataclass(frozen=True, slots=True)
class ModelRole:
    """One role.

    Attributes:
        name: Its name in records.
        setting: The setting that names its checkpoint.
        file_setting: The setting that gives a file instead.
        networks: Those that its checkpoint may be of, as the registry names them; a user's own file is of the first.
        in_job_id: Part that it has in the id of a dubbed video; or the reason why it has none.
        needed: Tells whether a row needs it.
        may_be_none: ``none`` may take the place of the name.
        auto: Says what ``auto`` stands for.
        requirement: Reads the settings, where they are not names of the registry.
        several_files: Its network may be of several files: records hold a list of them.
        dubs: Rows that are dubbed may need it.
        evaluates: Rows that are evaluated may need it; it counts in the ids of their figures.
        figure: Figure that an evaluation does without where the checkpoint is not installed; empty where it cannot.
        number_format: None where that is no question.
    """

    name: RoleName
    setting: str
    file_setting: str
    networks: tuple[str, ...]
    in_job_id: InId | str
    needed: Callable[[Settings, RowFacts], bool] = lambda _settings, _facts: True
    may_be_none: bool = False
    auto: Callable[[Machines], AutoChoice] | None = None
    requirement: Callable[[ModelRole, Settings, Machines], Requirement] = _by_name
    several_files: bool = False
    dubs: bool = True
    evaluates: bool = False
    figure: str = ""
    number_format: NumberFormat | None = None


def _auto_restorer(machines: Machines) -> AutoChoice:
    name = "gfpgan_1_4"
    if not machines.installed(name):
        return AutoChoice(_NOTHING, f"{name} is not installed")
    return AutoChoice(name) if machines.have_gpu else AutoChoice(_NOTHING, f"workers have no GPU for {name}")


def _auto_scorer(machines: Machines) -> AutoChoice:
    name = "syncnet_v2"
    if machines.installed(name):
        return AutoChoice(name)
    return AutoChoice("tiny_judge", f"{name} is not installed: figures are no LSE")


def _detector_requirement(_: ModelRole, settings: Settings, machines: Machines) -> Requirement:
    name, file = settings.detect.detector, settings.detect.checkpoint
    if name == "tiny":
        return Requirement((Wanted("tiny_detector", ("tiny_detector",), file),))
    choice = None
    if name == "auto":
        is_heavy = file is None and machines.have_gpu and machines.installed("s3fd") and machines.installed("fan_2d")
        is_heavy = is_heavy and importlib.util.find_spec("face_alignment") is not None
        choice = AutoChoice("s3fd" if is_heavy else "yunet")
        name = choice.name
    if name == "s3fd":
        return Requirement((Wanted("s3fd", ("s3fd",)), Wanted("fan_2d", ("fan_2d",))), choice)
    return Requirement((Wanted("yunet", ("yunet",), file),), choice)


_TABLE = (
    ModelRole(
        "lipsync",
        "lipsync.model",
        "lipsync.checkpoint",
        networks=("wav2lip",),
        in_job_id=InId.HASH,
        needed=lambda settings, _: settings.lipsync.model != PASSTHROUGH,
        number_format=NumberFormat("lipsync.precision", float16_on_gpus=True),
    ),
    ModelRole(
        "restorer",
        "restore.model",
        "restore.checkpoint",
        networks=(_SPANDREL, TINY_RESTORER),
        in_job_id=InId.HASH,
        may_be_none=True,
        auto=_auto_restorer,
        number_format=NumberFormat("restore.precision", float32_networks=(TINY_RESTORER,)),
    ),
    ModelRole(
        "upscaler",
        "restore.upscale.model",
        "restore.upscale.checkpoint",
        networks=(_SPANDREL,),
        in_job_id=InId.HASH,
        may_be_none=True,
        number_format=NumberFormat("restore.precision"),
    ),
    ModelRole(
        "parser",
        "composite.parser",
        "composite.parser_checkpoint",
        networks=("bisenet",),
        in_job_id=InId.HASH,
        needed=lambda settings, _: settings.composite.mask != "box",
        may_be_none=True,
        number_format=NumberFormat("lipsync.precision", float16_on_gpus=True),
    ),
    ModelRole(
        "judge",
        "score.judge",
        "score.checkpoint",
        networks=("syncnet", "lipsync_expert"),
        in_job_id="it looks at finished videos: its records are named after it, and no frame depends on them",
        may_be_none=True,
        auto=_auto_scorer,
        evaluates=True,
    ),
    ModelRole(
        "embedder",
        "faces.embedder",
        "faces.embedder_checkpoint",
        networks=("sface",),
        in_job_id=InId.HASH_WHERE_USED,
        needed=lambda _, row: row.has_portraits or row.has_reference,
        evaluates=True,
        figure="identity_distance",
    ),
    ModelRole(
        "expert",
        "faces.expert",
        "faces.expert_checkpoint",
        networks=("lipsync_expert",),
        in_job_id=InId.HASH,
        needed=lambda _, row: row.seeks_speaker,
    ),
    ModelRole(
        "detector",
        "detect.detector",
        "detect.checkpoint",
        networks=("yunet", "s3fd", "fan_2d", "tiny_detector"),
        in_job_id=InId.DETECTION,
        needed=lambda _, row: row.needs_detector,
        requirement=_detector_requirement,
        several_files=True,
        evaluates=True,
    ),
    ModelRole(
        "inception",
        "score.inception",
        "score.inception_checkpoint",
        networks=("inception",),
        in_job_id="no dubbing needs it",
        needed=lambda _, row: row.has_reference,
        dubs=False,
        evaluates=True,
        figure="fid",
    ),
)

ROLES: dict[RoleName, ModelRole] = {role.name: role for role in _TABLE}
"""The roles by their names, in the order in which records list them."""
