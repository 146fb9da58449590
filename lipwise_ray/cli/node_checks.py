"""Checks of `doctor` on every node of a cluster: GPU, disk, checkpoints, the places of a run, the clock."""

from __future__ import annotations

import os
import secrets
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Protocol

from lipwise_ray.errors import LipwiseError
from lipwise_ray.settings.model import Settings
from lipwise_ray.storage.address import is_local, shown

NodeCheck = tuple[bool, str, str]
"""A check's outcome (True for good), its name, and its message."""

_SHOWN = ("gpu", "disk", "encoder", "weights", "note")
"""Names of the good checks that are shown; of the others all are."""

_MOST_SKEW_S = 30.0
"""Stores refuse requests that are minutes off, and windows close by the driver's clock."""


class NodeChecker(Protocol):
    """Checks this machine for a job; one that computes nothing only has drivers on it."""

    def __call__(self, settings: Settings, *, computes: bool) -> Iterator[NodeCheck]:
        """Yield the checks."""
        ...


@dataclass(frozen=True, slots=True)
class CheckedNode:
    """The checks of one node.

    Attributes:
        findings: The checks of that machine.
        gpus: How many torch sees there.
    """

    findings: list[NodeCheck]
    gpus: int


@dataclass(frozen=True, slots=True)
class Probe:
    """A place that every node has to read and write.

    Attributes:
        place: A folder, or a prefix in a bucket.
        mark: Names what lies there for the time of the question.
    """

    place: str
    mark: str

    @property
    def _key(self) -> str:
        return f"doctor/{self.mark}"

    def lay_out(self) -> str:
        """Write the files that the nodes look for; return the reason why they cannot be written, or an empty text."""
        from lipwise_ray.state.store import open_store

        try:
            open_store(self.place).write(f"{self._key}/here", b"1")
        except LipwiseError as error:
            return str(error)
        return ""

    def remove(self) -> None:
        """Leave nothing behind."""
        from lipwise_ray.state.store import open_store

        with suppress(LipwiseError):
            store = open_store(self.place)
            for key in store.names(self._key):
                store.remove(key)
        if is_local(self.place):
            with suppress(OSError):
                for folder in (self._key, "doctor"):
                    (Path(self.place) / folder).rmdir()

    def check(self) -> NodeCheck:
        """Check the place from this node."""
        from lipwise_ray.state.store import open_store

        name = shown(self.place)
        if is_local(self.place) and not (Path(self.place) / self._key / "here").is_file():
            return (
                False,
                "place",
                f"{name}: is not a folder that this node shares with the driver. Mount it, or use a bucket",
            )
        mine = f"{self._key}/{secrets.token_hex(8)}"
        try:
            store = open_store(self.place)
            store.write(mine, b"1")
            is_there = {mine, f"{self._key}/here"} <= set(store.names(self._key)) and store.read(mine) == b"1"
            store.remove(mine)
        except LipwiseError as error:
            return False, "place", str(error)
        return (
            is_there,
            "place",
            f"{name}: read, written and listed" if is_there else f"{name}: is not listed as written",
        )


def everywhere(
    address: str,
    settings: Settings,
    places: list[str],
    check: NodeChecker,
) -> Iterator[NodeCheck]:
    """Check every node of a cluster.

    Args:
        address: Of its Ray, not of its dashboard.
        settings: What a job needs.
        places: What all nodes have to read and write: where the state is and where outputs go.
        check: Tells what this machine is like.

    Raises:
        SetupError: The cluster cannot be reached.
    """
    from lipwise_ray.backends.ray.every_node import ask_every_node

    probes = [Probe(place, secrets.token_hex(8)) for place in dict.fromkeys(places)]
    try:
        for probe in probes:
            if problem := probe.lay_out():
                yield False, "place", f"driver: {problem}"
        for answer in ask_every_node(address, partial(_on_this_node, settings, probes, check)):
            if answer.value is None:
                yield False, "node", f"{answer.node}: no answer: {answer.problem}"
                continue
            yield True, "node", f"{answer.node}: {answer.gpus:g} GPUs of Ray's"
            for good, name, text in answer.value.findings:
                if not good or name in (*_SHOWN, "place"):
                    yield good, name, f"{answer.node}: {text}"
            if answer.gpus and not answer.value.gpus:
                yield False, "gpu", f"{answer.node}: Ray has {answer.gpus:g} there, torch sees none in its processes"
            is_near = abs(answer.skew_s) <= _MOST_SKEW_S
            hint = "" if is_near else ". Let NTP or chrony set it"
            yield is_near, "clock", f"{answer.node}: {answer.skew_s:+.1f} s off the driver's{hint}"
    finally:
        for probe in probes:
            probe.remove()


def _on_this_node(settings: Settings, probes: list[Probe], check: NodeChecker) -> CheckedNode:
    if not os.environ.get("CUDA_VISIBLE_DEVICES", "none"):  # Ray hides GPUs from whatever reserves none
        del os.environ["CUDA_VISIBLE_DEVICES"]
    from lipwise_ray.backends.ray.every_node import computes_here

    computes = computes_here()
    findings = [*check(settings, computes=computes), *(probe.check() for probe in probes)]
    if not computes:  # the image of heads has no torch
        return CheckedNode(findings, 0)
    import torch  # after the variable is gone

    return CheckedNode(findings, torch.cuda.device_count())
