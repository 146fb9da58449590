"""Removing what is old from a state: what can be made again, what led to finished videos, and reports.

That a video is finished stays known, however old: a row is not done again because its state was cleaned.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import groupby
from typing import Literal

from lipwise_ray.state import layout
from lipwise_ray.state.speeds import MOST_RUNS
from lipwise_ray.state.store import Store
from lipwise_ray.storage.objects import Listed

Kind = Literal["scans", "sounds", "jobs", "unfinished jobs", "runs", "nights", "speeds"]


@dataclass(slots=True)
class Removed:
    """What was removed of a kind, or would be.

    Attributes:
        kind: Scans of videos, sounds, what led to finished or unfinished jobs, records of runs, of nights, and speeds.
        folders: Of how many videos, sounds, jobs, runs or nights.
        objects: How many records and files.
        bytes_total: Their size.
    """

    kind: Kind
    folders: int = 0
    objects: int = 0
    bytes_total: int = 0


def clean(
    store: Store,
    older_s: float,
    *,
    unfinished: bool = False,
    dry_run: bool = False,
    clock: Callable[[], float] = time.time,
) -> Iterator[Removed]:
    """Remove what nobody has written to for a while, and yield what was removed, kind by kind.

    A folder goes as a whole, by the latest of what lies in it. The latest run, the latest night and the speeds that are
    still read stay. Nobody may be at work on the state.

    Args:
        store: The state.
        older_s: How long nobody has.
        unfinished: Remove jobs without a result too: chunks that a later run would not have to render again.
        dry_run: Remove nothing, and tell what would be.
        clock: Seconds since 1970.

    Raises:
        StorageError: The store refuses.
    """
    before_s = clock() - older_s
    latest = {*store.folders(layout.RUNS)[-1:], *store.folders(layout.NIGHTS)[-1:]}
    latest |= {key.rpartition("/")[2] for key in store.names(layout.SPEEDS)[-MOST_RUNS:]}

    def whole(name: str, found: list[Listed]) -> list[Listed]:
        return [] if name in latest else found

    def of_ended(name: str, found: list[Listed]) -> list[Listed]:
        rest = [one for one in found if one.key != layout.result(name)]
        return rest if len(rest) < len(found) else []

    def of_unfinished(name: str, found: list[Listed]) -> list[Listed]:
        return [] if any(one.key == layout.result(name) for one in found) else found

    rules: list[tuple[Kind, str, Callable[[str, list[Listed]], list[Listed]]]] = [
        ("scans", layout.SCANS, whole),
        ("sounds", layout.SOUNDS, whole),
        ("jobs", layout.JOBS, of_ended),
        *([("unfinished jobs", layout.JOBS, of_unfinished)] if unfinished else []),
        ("runs", layout.RUNS, whole),
        ("nights", layout.NIGHTS, whole),
        ("speeds", layout.SPEEDS, whole),
    ]
    for kind, place, choose in rules:
        removed = Removed(kind)
        for name, group in groupby(store.listing(place), lambda one: one.key.split("/")[1]):
            found = list(group)
            gone = choose(name, found) if max(one.changed_s for one in found) <= before_s else []
            if not gone:
                continue
            removed.folders += 1
            removed.objects += len(gone)
            removed.bytes_total += sum(one.bytes_total for one in gone)
            if not dry_run:
                store.remove_all([one.key for one in gone])
                store.remove_empty(f"{place}/{name}")
        yield removed
