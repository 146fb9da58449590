"""Removal of old records from a state: those that can be made again, those that led to finished videos, and reports.

That a video is finished stays known, however old: a row is not done again because its state was cleaned. What was
measured in a video stays too: a figure over several videos needs it, and nobody would measure a finished one again.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import groupby
from pathlib import PurePosixPath
from typing import Literal

from lipwise_ray.errors import EngineError
from lipwise_ray.state import layout
from lipwise_ray.state.attempts import jobs_over
from lipwise_ray.state.ids import ID_CHARACTERS
from lipwise_ray.state.job_result import DubResult
from lipwise_ray.state.last_uses import LastUses, last_uses
from lipwise_ray.state.overview import kept_runs
from lipwise_ray.state.shapes import typed
from lipwise_ray.state.speeds import MOST_RUNS
from lipwise_ray.state.store import Store, as_json
from lipwise_ray.storage.objects import Listed

_AT_A_TIME = 64
_LEAST_LEASE_S = 24 * 3600.0
"""So long, at least, a driver that was asleep finds that its lease was taken from it."""

Kind = Literal["scans", "sounds", "speech", "jobs", "unfinished jobs", "runs", "nights", "speeds", "shards"]


@dataclass(slots=True)
class Removed:
    """Records of a kind that were removed, or would be.

    Attributes:
        kind: Scans of videos, sounds, speech of texts, what led to finished or unfinished jobs, records of runs, of
            nights, speeds, and leases of shards.
        folders: Number of videos, sounds, texts, jobs, runs, nights or shards.
        objects: Number of records and files.
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
    by_runs: bool = False,
    dry_run: bool = False,
    is_held: Callable[[], bool] = lambda: True,
    clock: Callable[[], float] = time.time,
) -> Iterator[Removed]:
    """Remove records that nobody has written to for a while, and yield their numbers, kind by kind.

    A folder goes as a whole, by the latest of what lies in it. The latest run with those of the other shards of its
    rows, the latest night and the speeds that are still read stay. Nobody may be at work on the state
    (`shards.held_against_all`).

    Args:
        store: The state.
        older_s: Seconds for which nobody has.
        unfinished: Remove jobs without a result too: chunks that a later run would not have to render again.
        by_runs: Age is counted from the last run that used a record, whenever its file was written; from then only
            where no run's record names it, or a run without an end may have written it. A state that was copied keeps
            its ages so, and what a newer run found there stays, however old.
        dry_run: Remove nothing, and tell what would be.
        is_held: Tells whether nobody else can have begun to work on the state meanwhile; asked before each removal.
        clock: Seconds since 1970.

    Raises:
        EngineError: Somebody can have: this machine was asleep, say.
        StorageError: The store refuses.
    """
    now_s = clock()
    before_s, leases_before_s = now_s - older_s, now_s - max(older_s, _LEAST_LEASE_S)
    latest = {*kept_runs(store), *store.folders(layout.NIGHTS)[-1:]}
    latest |= {key.rpartition("/")[2] for key in store.names(layout.SPEEDS)[-MOST_RUNS:]}
    over = _lost_attempts(store)
    is_old = _Ages(last_uses(store) if by_runs else LastUses(), before_s)

    def whole(name: str, found: list[Listed]) -> list[Listed]:
        return found if name not in latest and is_old(name, found) else []

    def of_ended(name: str, found: list[Listed]) -> list[Listed]:
        kept = (layout.result(name), f"{layout.measures(name)}/")
        is_ended = name in over or any(one.key == layout.result(name) for one in found)
        return [one for one in found if not one.key.startswith(kept)] if is_ended and is_old(name, found) else []

    def of_unfinished(name: str, found: list[Listed]) -> list[Listed]:
        is_ended = name in over or any(one.key == layout.result(name) for one in found)
        return found if not is_ended and is_old(name, found) else []

    def of_leases(_: str, found: list[Listed]) -> list[Listed]:
        return found if _is_older(found, leases_before_s) else []

    rules: list[tuple[Kind, str, Callable[[str, list[Listed]], list[Listed]]]] = [
        ("scans", layout.SCANS, whole),
        ("sounds", layout.SOUNDS, whole),
        ("speech", layout.SPEECH, lambda name, found: _but_record(name, whole(name, found))),
        ("jobs", layout.JOBS, of_ended),
        *([("unfinished jobs", layout.JOBS, of_unfinished)] if unfinished else []),
        ("runs", layout.RUNS, whole),
        ("nights", layout.NIGHTS, whole),
        ("speeds", layout.SPEEDS, whole),
        ("shards", layout.SHARDS, of_leases),
    ]
    for kind, place, choose in rules:
        removed = Removed(kind)
        for name, group in groupby(store.listing(place), lambda one: one.key.split("/")[1]):
            gone = choose(name, list(group))
            if not gone:
                continue
            removed.folders += 1
            removed.objects += len(gone)
            removed.bytes_total += sum(one.bytes_total for one in gone)
            if not dry_run:
                if not is_held():
                    do = "Run the same command again"
                    raise EngineError(
                        "lease_unsure",
                        store.address,
                        got="its lease could not be renewed while it was cleaned, so another driver may be at work",
                        do=do,
                    )
                store.remove_all([one.key for one in gone])
                store.remove_empty(f"{place}/{name}")
        yield removed


@dataclass(frozen=True, slots=True)
class _Ages:
    """Tells whether a folder was last used before a time; where no run's record names it or a file in it, written.

    What a run without an end may have written counts as used then: no record names it yet.
    """

    uses: LastUses
    before_s: float

    def __call__(self, name: str, found: list[Listed]) -> bool:
        times = self.uses.times
        names = (name, *(PurePosixPath(one.key).stem[:ID_CHARACTERS] for one in found)) if times else ()
        used_s = max((times[one] for one in names if one in times), default=None)
        if used_s is None or max(one.changed_s for one in found) >= self.uses.unended_s:
            return _is_older(found, self.before_s) and (used_s or 0.0) <= self.before_s
        return used_s <= self.before_s


def _is_older(found: list[Listed], before_s: float) -> bool:
    return max(one.changed_s for one in found) <= before_s


def _but_record(name: str, found: list[Listed]) -> list[Listed]:
    """Return the speech of a text without its record, by which what was published with it is known."""
    return [one for one in found if one.key != layout.speech_record(name)]


def _lost_attempts(store: Store) -> set[str]:
    """Return the jobs of attempts at rows that are over; most of them have no result of their own."""
    keys = [f"{layout.JOBS}/{name}/result.json" for name in store.folders(layout.JOBS)]
    over: set[str] = set()
    for start in range(0, len(keys), _AT_A_TIME):
        for data in store.read_all(keys[start : start + _AT_A_TIME]):
            result = typed(as_json(data), DubResult)
            if result is not None and result.attempts:
                over.update(jobs_over([(one.verdict, one.job_id) for one in result.attempts]))
    return over
