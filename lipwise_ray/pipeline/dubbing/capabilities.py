"""Capabilities of a worker, and the ways in which a job can be done: by which encoder, in which number format."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from operator import attrgetter
from pathlib import Path
from typing import ClassVar

from pydantic import ConfigDict

from lipwise_ray.errors import SettingsError
from lipwise_ray.media.encode import opening_encoders
from lipwise_ray.media.join import codecs_for, container_for
from lipwise_ray.models.checkpoints import Checkpoints
from lipwise_ray.models.role import AUTO
from lipwise_ray.nets.bfloat16 import has_bfloat16
from lipwise_ray.nets.runtimes import OPENVINO, TORCH, Runtime, computes_in
from lipwise_ray.roles.table import ROLES
from lipwise_ray.settings.model import Settings
from lipwise_ray.state.ids import Identity
from lipwise_ray.state.shapes import STRICT

BFLOAT16 = "bfloat16"
"""Among what a worker can do: computing in that format in hardware."""

RUNTIME = "runtime"
"""Key of the runtime in a job's identity."""

_BY_THE_VIDEO = "auto"  # encoders that every worker has


@dataclass(frozen=True, slots=True)
class RenderCapabilities:
    """Capabilities of a worker that renders; it reports them when it begins.

    Attributes:
        encoders: Encoders that really open there.
        bfloat16: True where its device has that format in hardware; None where no network runs.
        gpu: Its GPU, empty without one.
        runtimes: Runtimes beside torch that load there: those that jobs have asked for.
        runtime_problem: The reason why there is none where the settings leave the runtime open and one is installed.
        fallback: The reason why faces are cropped and blended on the CPU though there is a GPU; empty where they are
            not, and without one.
    """

    encoders: tuple[str, ...]
    bfloat16: bool | None = None
    gpu: str = ""
    runtimes: tuple[Runtime, ...] = ()
    runtime_problem: str = ""
    fallback: str = ""

    @property
    def offers(self) -> frozenset[str]:
        """Needs of tasks that the worker meets."""
        return frozenset({*self.encoders, *self.runtimes, *([BFLOAT16] if self.bfloat16 is not False else [])})


def capabilities_of(
    device: str, checkpoints: Sequence[Checkpoints], runtimes: Sequence[Runtime] = (), runtime_problem: str = ""
) -> RenderCapabilities:
    """Return the abilities of this process on a device.

    Args:
        device: ``cpu`` or ``cuda``.
        checkpoints: Those of the jobs to come: torch is loaded, and asks the GPU, only where one of them needs it.
        runtimes: Runtimes beside torch that load here.
        runtime_problem: The reason why there is none, where one was tried.
    """
    if not device.startswith("cuda"):
        has = has_bfloat16(device)
        return RenderCapabilities(opening_encoders(), has, "", tuple(runtimes), runtime_problem)
    roles = [role.name for role in ROLES.values() if role.number_format]
    if "torch" not in sys.modules and not any(role in one for one in checkpoints for role in roles):
        return RenderCapabilities(opening_encoders(), None, "")
    import torch

    return RenderCapabilities(opening_encoders(), has_bfloat16(device), torch.cuda.get_device_name(0))


@dataclass(frozen=True, slots=True)
class Choice:
    """A way to do a job, the same for all its chunks.

    Attributes:
        codec: Value that `encode.codec` is taken to have.
        encoder: The encoder that it means; empty before the video is known where that decides.
        bfloat16: True where number formats that are left to themselves may be bfloat16; None where none is.
        runtime: Computes its networks where several can.
    """

    __pydantic_config__: ClassVar[ConfigDict] = STRICT

    codec: str
    encoder: str = ""
    bfloat16: bool | None = None
    runtime: Runtime = TORCH

    @property
    def needs(self) -> frozenset[str]:
        """Capabilities that a worker must have."""
        runtime = [] if self.runtime == TORCH else [self.runtime]
        return frozenset({*filter(None, [self.encoder]), *runtime, *([BFLOAT16] if self.bfloat16 else [])})

    def same(self, other: Choice) -> bool:
        """Tell whether another is the same way."""
        return (self.codec, self.bfloat16, self.runtime) == (other.codec, other.bfloat16, other.runtime)

    def settings(self, settings: Settings) -> Settings:
        """Return settings with this choice's codec."""
        if settings.encode.codec == self.codec:
            return settings
        return settings.model_copy(update={"encode": settings.encode.model_copy(update={"codec": self.codec})})

    def identity(self, identity: Identity, device: str) -> Identity:
        """Return the identity of a job that is done this way.

        The number format counts where it is not what each kind of device had before it counted: bfloat16 on CUDA,
        float32 on a CPU. So does the runtime: torch.

        Args:
            identity: Of the job before the choice.
            device: ``cpu`` or ``cuda``.
        """
        decisive = identity["settings"]
        decisive = {**decisive, "encode": {**decisive["encode"], "codec": self.codec}}
        is_usual = self.bfloat16 is None or self.bfloat16 == device.startswith("cuda")
        return {
            **identity,
            "settings": decisive,
            **({} if is_usual else {BFLOAT16: self.bfloat16}),
            **({} if self.runtime == TORCH else {RUNTIME: self.runtime}),
        }


def first_choice(settings: Settings) -> tuple[Choice]:
    """Return the codec that the settings name first, for tasks without a choice."""
    return (Choice(settings.encode.codecs[0]),)


@dataclass(frozen=True, slots=True)
class Choices:
    """The ways in which a job can be done, the preferred first.

    Attributes:
        possible: Those that a worker can.
        known: All that the settings allow: whatever was finished in one of them stays finished.
    """

    possible: tuple[Choice, ...]
    known: tuple[Choice, ...]


def choose(
    settings: Settings,
    checkpoints: Checkpoints,
    output: str,
    device: str,
    workers: Sequence[RenderCapabilities],
    *,
    are_all: bool,
) -> Choices:
    """Return the ways in which a job can be done.

    bfloat16 is used where every worker has it in hardware, so that all of them can work; as long as none has told
    anything, GPUs count as having it and processors as not. A runtime beside torch is used where every worker has it.

    Args:
        settings: The job's.
        checkpoints: Its checkpoints.
        output: Its file's name.
        device: ``cpu`` or ``cuda``.
        workers: Capabilities that workers have reported so far.
        are_all: No other worker is about to tell.

    Raises:
        SettingsError: No codec fits the container, no worker can encode with any, or the runtime that is asked for
            lacks the number format that is.
    """
    container = container_for(Path(output))
    codecs = codecs_for(settings.encode.codecs, container)
    formats: list[bool | None] = [None]
    runtimes = _runtimes(settings, checkpoints, device, workers)
    if _leaves_format_open(settings, checkpoints, device, runtimes.known[0]):
        reported = [one.bfloat16 for one in workers if one.bfloat16 is not None]
        has = all(reported) if reported else device.startswith("cuda")
        formats = [True, False] if has else [False, True]
    choices = tuple(
        Choice(codec, "" if codec == _BY_THE_VIDEO else codec, one, runtime)
        for codec in codecs
        for one in formats
        for runtime in runtimes.known
    )
    usable = tuple(
        choice
        for choice in choices
        if not (choice.bfloat16 and formats[0] is False) and choice.runtime in runtimes.possible
    )
    if not workers or not are_all:
        return Choices(usable, choices)
    possible = tuple(
        choice for choice in usable if not choice.encoder or any(choice.encoder in one.encoders for one in workers)
    )
    if possible:
        return Choices(possible, choices)
    gpus = ", ".join(sorted({one.gpu or "no GPU" for one in workers}))
    encoders = ", ".join(sorted({name for one in workers for name in one.encoders}))
    raise SettingsError(
        "no_encoder",
        f"encode.codec = {', '.join(settings.encode.codecs)}",
        got="no worker can open such an encoder",
        must=f"the {len(workers)} workers ({gpus}) have {encoders}",
        do="Name further choices, for example encode.codec = ['h264_nvenc', 'libx264']",
    )


@dataclass(frozen=True, slots=True)
class _Runtimes:
    """Runtimes of a job's networks, the preferred first: those that every worker has, and all that may be."""

    possible: tuple[Runtime, ...]
    known: tuple[Runtime, ...]


def _runtimes(
    settings: Settings, checkpoints: Checkpoints, device: str, workers: Sequence[RenderCapabilities]
) -> _Runtimes:
    """Return the runtimes that a job's networks may be computed by; a name is taken at its word.

    Raises:
        SettingsError: The one that is named lacks the number format that is.
    """
    precisions = [
        attrgetter(role.number_format.setting)(settings)
        for role in ROLES.values()
        if role.number_format and any(one.network in role.runtime_networks for one in checkpoints.all(role.name))
    ]
    named = settings.engine.cpu_runtime
    if device.startswith("cuda") or not precisions or named == TORCH:
        return _Runtimes((TORCH,), (TORCH,))
    if named != AUTO:
        lacking = [one for one in precisions if not computes_in(named, one)]
        if lacking:
            raise SettingsError(
                "runtime_format",
                f"engine.cpu_runtime = {named}",
                got=f"it does not compute in {lacking[0]}, which a network is to",
                do="Choose another number format, or another runtime",
            )
        return _Runtimes((named,), (named,))
    if not any(computes_in(OPENVINO, one) for one in precisions):
        return _Runtimes((TORCH,), (TORCH,))
    all_have = bool(workers) and all(OPENVINO in one.runtimes for one in workers)
    return _Runtimes((OPENVINO, TORCH) if all_have else (TORCH,), (OPENVINO, TORCH))


def _leaves_format_open(settings: Settings, checkpoints: Checkpoints, device: str, runtime: Runtime) -> bool:
    """Tell whether bfloat16 may be what ``auto`` is for one of a job's networks."""
    return any(
        role.number_format.may_be_bfloat16(settings, checkpoint.network, device)
        for role in ROLES.values()
        if role.number_format
        for checkpoint in checkpoints.all(role.name)
        if checkpoint.network not in role.runtime_networks or computes_in(runtime, BFLOAT16)
    )
