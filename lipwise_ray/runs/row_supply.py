"""Supplies of a run's rows: a manifest's, all known before it starts, or a queue's, to which some are added."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from typing import Protocol

from lipwise_ray.pipeline.manifest.row_table import BadRow, Row
from lipwise_ray.state.shards import Shard


class WaitingRows(Protocol):
    """Rows that wait to be begun."""

    @property
    def is_open(self) -> bool:
        """True while rows may come though there is none now."""
        ...

    def take(self, at_work: Counter[str]) -> Row | None:
        """Return the next row; None where there is none now.

        Args:
            at_work: Rows at work by tenant.
        """
        ...


class RowSupply(Protocol):
    """A run's rows, as `Manifest` has them."""

    @property
    def name(self) -> str:
        """The manifest's path or address, or another name for people."""
        ...

    @property
    def sha256(self) -> str:
        """Hash of the manifest's bytes; empty for a queue."""
        ...

    @property
    def shard(self) -> Shard | None:
        """The part that these rows are of a manifest's; None for the whole."""
        ...

    @property
    def rows_total(self) -> int:
        """Number of rows in all shards."""
        ...

    @property
    def good(self) -> int:
        """Number of rows that can be done."""
        ...

    @property
    def bad(self) -> int:
        """Number of rows that cannot."""
        ...

    @property
    def is_open(self) -> bool:
        """True where rows may be added while the run is on."""
        ...

    @property
    def variants(self) -> Iterator[Row]:
        """Rows that differ in what decides settings and checkpoints, as far as they are known."""
        ...

    @property
    def outputs(self) -> Iterator[tuple[int, str, str]]:
        """Number, id and output of the rows that can be done."""
        ...

    @property
    def bad_rows(self) -> Iterator[BadRow]:
        """The rows that cannot."""
        ...

    def waiting(self, grown: Callable[[], None]) -> WaitingRows:
        """Return the good rows in the order in which they are to be begun.

        Args:
            grown: Called when there are more rows than before.
        """
        ...
