"""Facts about a role that networks have in a run: which settings ask for it, which rows need it, how it is loaded.

The roles themselves are in the package `roles`, a module each.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum
from operator import attrgetter
from typing import Generic

from lipwise_ray.models.loading import Model_co, ModelHost, ModelRecipe, ModelRequest
from lipwise_ray.nets.runtimes import TORCH, Runtime
from lipwise_ray.settings.model import Settings

NOTHING = "none"
"""Name in place of a checkpoint's where none is wanted."""

AUTO = "auto"
"""Setting's word for what is left to the machines."""


@dataclass(frozen=True, slots=True)
class RowFacts:
    """Facts about a row that, beside its settings, decide which networks it needs.

    Attributes:
        needs_detector: Its faces have to be looked for.
        tells_apart: People are told apart by their faces, where something can.
        seeks_speaker: Whose lips move decides who is dubbed.
        has_portraits: A portrait does.
        is_evaluated: It is a finished video that is measured, not one to be dubbed.
        has_reference: It is compared with another video.
        has_text: Speech is made for it.
        keeps_background: What its video's own audio holds beside voices is kept.
    """

    needs_detector: bool = False
    tells_apart: bool = False
    seeks_speaker: bool = False
    has_portraits: bool = False
    is_evaluated: bool = False
    has_reference: bool = False
    has_text: bool = False
    keeps_background: bool = False


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


def where_installed(name: str, instead: str, *, package: str = "", extra: str = "") -> Callable[[Machines], AutoChoice]:
    """Return the choice of ``auto`` for a role that a job can do without: a checkpoint where it is installed.

    Args:
        name: The checkpoint's, in the registry.
        instead: What is done without, for people.
        package: Module that it takes besides.
        extra: Extra that installs that.
    """

    def choose(machines: Machines) -> AutoChoice:
        missing = "" if machines.installed(name) else name
        if not missing and package and importlib.util.find_spec(package) is None:
            missing = f"the extra {extra}"
        return AutoChoice(NOTHING, f"{missing} is not installed: {instead}") if missing else AutoChoice(name)

    return choose


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
        is_open = attrgetter(self.setting)(settings) == AUTO and network not in self.float32_networks
        return is_open and not (self.float16_on_gpus and device.startswith("cuda"))


@dataclass(frozen=True, slots=True)
class ModelRole(Generic[Model_co]):
    """One role.

    Attributes:
        name: Its name in records.
        setting: The setting that names its checkpoint.
        file_setting: The setting that gives a file instead.
        networks: Those that its checkpoint may be of, as the registry names them; a user's own file is of the first.
        load: Says how its model is made for a task; None where the task's job does without.
        in_job_id: Part that it has in the id of a dubbed video; or the reason why it has none.
        needed: Tells whether a row needs it.
        order: Of two roles the one with the smaller number comes first in records, and is missed first.
        may_be_none: ``none`` may take the place of the name.
        auto: Says what ``auto`` stands for.
        requirement: Reads the settings, where that takes more than a name of the registry or a file.
        finds_speaker: Its records, one for both where two do, say who speaks.
        several_files: Its network may be of several files: records hold a list of them.
        dubs: Rows that are dubbed may need it.
        evaluates: Rows that are evaluated may need it; it counts in the ids of their figures.
        figure: Figure that an evaluation does without where the checkpoint is not installed; empty where it cannot.
        number_format: None where that is no question.
        is_preloaded: Render workers load its model before their first task; else whoever needs it does.
        runtime_networks: Those that other runtimes than torch compute too, on a CPU. In roles with a number format they
            decide the runtime of a job; in others they follow it.
        recommended: The registry's name of the one that a first user is to have; empty for none.
    """

    name: str
    setting: str
    file_setting: str
    networks: tuple[str, ...]
    load: Callable[[ModelRequest, ModelHost], ModelRecipe[Model_co] | None]
    in_job_id: InId | str
    needed: Callable[[Settings, RowFacts], bool] = lambda _settings, _facts: True
    order: int = 100
    may_be_none: bool = False
    auto: Callable[[Machines], AutoChoice] | None = None
    requirement: Callable[[Settings, Machines], Requirement] | None = None
    finds_speaker: bool = False
    several_files: bool = False
    dubs: bool = True
    evaluates: bool = False
    figure: str = ""
    number_format: NumberFormat | None = None
    runtime_networks: tuple[str, ...] = ()
    is_preloaded: bool = True
    recommended: str = ""

    def runtime(self, network: str, job_runtime: Runtime) -> Runtime:
        """Return the runtime of one of its networks, in a job of a runtime."""
        return job_runtime if network in self.runtime_networks else TORCH

    def required(self, settings: Settings, machines: Machines) -> Requirement:
        """Return the checkpoints that settings ask for."""
        return self.requirement(settings, machines) if self.requirement else self.required_by_name(settings, machines)

    def required_by_name(self, settings: Settings, machines: Machines) -> Requirement:
        """Return the checkpoint that the two settings ask for: a file, one by its name, or the choice of ``auto``."""
        name, file = attrgetter(self.setting, self.file_setting)(settings)
        if file is not None:
            return Requirement((Wanted(name, self.networks, file),))
        choice = self.auto(machines) if name == AUTO and self.auto else None
        name = choice.name if choice else name
        is_none = self.may_be_none and name == NOTHING
        return Requirement(() if is_none else (Wanted(name, self.networks),), choice)
