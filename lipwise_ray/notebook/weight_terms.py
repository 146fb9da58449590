"""Terms of the checkpoints that settings need, and their download once those are accepted."""

from __future__ import annotations

from dataclasses import dataclass, field

from lipwise_ray.models.fetch import pull
from lipwise_ray.models.registry import Registry, RegistryEntry
from lipwise_ray.notebook.html_table import html_table


@dataclass(frozen=True, slots=True)
class WeightTerms:
    """Terms of checkpoints; a notebook shows them as a table.

    Attributes:
        registry: Knows them.
        names: Of the registry.
    """

    registry: Registry
    names: tuple[str, ...]
    _entries: dict[str, RegistryEntry] = field(init=False, repr=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "_entries", {name: self.registry.entry(name) for name in self.names})

    def fetch(self, *, accepted: bool) -> list[str]:
        """Download those that are not there, and return their names.

        Args:
            accepted: The box is ticked: whoever runs the notebook accepts the terms above.

        Raises:
            SetupError: The terms of one need to be accepted first.
            WeightsError: No address gave the published file.
            StorageError: The disk is full.
        """
        lacking = [name for name in self.names if not self.registry.installed(name)]
        for name in lacking:
            pull(self.registry, name, accept_licence=accepted)
        return lacking

    def _repr_html_(self) -> str:
        rows = [
            (
                name,
                "there" if self.registry.installed(name) else _size(entry),
                entry.licence,
                entry.commercial + (f": {entry.reason}" if entry.reason else ""),
            )
            for name, entry in self._entries.items()
        ]
        return html_table(("Checkpoint", "Download", "Terms", "Commercial use"), rows)


def _size(entry: RegistryEntry) -> str:
    return f"{entry.bytes_total / 1e6:.0f} MB" if entry.bytes_total else "size unknown"
