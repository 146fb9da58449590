"""Checks of the machine that a notebook runs on: those of `lipwise-ray doctor`."""

from __future__ import annotations

from dataclasses import dataclass

from lipwise_ray.cli.doctor import check_here
from lipwise_ray.cli.node_checks import NodeCheck
from lipwise_ray.notebook.html_table import html_table
from lipwise_ray.runs.load_settings import LoadedSettings
from lipwise_ray.storage.redact import redact


@dataclass(frozen=True, slots=True)
class MachineChecks:
    """Checks of a machine; a notebook shows them as a table.

    Attributes:
        checks: They.
    """

    checks: tuple[NodeCheck, ...]

    @property
    def is_ready(self) -> bool:
        """True where nothing is missing."""
        return all(good for good, _, _ in self.checks)

    def __repr__(self) -> str:
        return "\n".join(f"{_mark(good):7} {name:10} {text}" for good, name, text in self._lines())

    def _repr_html_(self) -> str:
        table = html_table(("", "What", "Found, and what to do"), [(_mark(g), n, t) for g, n, t in self._lines()])
        missing = "Do what the lines marked MISSING say, then run this cell again."
        end = "This machine can do it." if self.is_ready else missing
        return f"{table}<p><b>{end}</b></p>"

    def _lines(self) -> list[NodeCheck]:
        return [(good, name, redact(text)) for good, name, text in self.checks]


def check_machine(settings: LoadedSettings) -> MachineChecks:
    """Return the checks of this machine for settings: packages, GPU, disk, encoder, checkpoints.

    Args:
        settings: What `load_settings` returned.
    """
    return MachineChecks(tuple(check_here(settings.for_run(), computes=True)))


def _mark(good: bool) -> str:  # noqa: FBT001  # a check's outcome
    return "ok" if good else "MISSING"
