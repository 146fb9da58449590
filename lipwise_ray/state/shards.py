"""Several drivers on one state: each works on a shard of a manifest's rows and holds a lease of its own.

Scans, sounds, jobs, dead letters and checkpoints are everybody's. A driver of the whole state and those of its shards
refuse each other, and so do shards of another count: a row would be in two hands.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Generator, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from lipwise_ray.errors import SettingsError
from lipwise_ray.state import layout
from lipwise_ray.state.format import settle_format
from lipwise_ray.state.lease import EXPIRY_S, DriverLease, holder, refuse_if_held, take_back
from lipwise_ray.state.store import Store, open_store
from lipwise_ray.values import Json

_TEXT = re.compile(r"(\d{1,4})/(\d{1,4})", re.ASCII)
_NAME = re.compile(r"(\d{1,4})-of-(\d{1,4})", re.ASCII)


@dataclass(frozen=True, slots=True)
class Shard:
    """A part of a manifest: of `count` parts the one of that number, from 1 on."""

    number: int
    count: int

    @staticmethod
    def parse(text: str) -> Shard:
        """Read ``3/8``.

        Raises:
            SettingsError: It is not a shard.
        """
        found = _TEXT.fullmatch(text)
        if found is None or not 1 <= int(found[1]) <= int(found[2]):
            raise SettingsError(
                "bad_shard",
                "--shard",
                got=f"{text[:40]!r} is not a shard",
                must="one is NUMBER/COUNT, from 1/COUNT to COUNT/COUNT",
                do="For example 3/8",
            )
        return Shard(int(found[1]), int(found[2]))

    def __str__(self) -> str:
        return f"{self.number}/{self.count}"

    @property
    def name(self) -> str:
        """Name of its folders, such as ``3-of-8``."""
        return f"{self.number}-of-{self.count}"

    def has(self, key: str) -> bool:
        """Tell whether a key belongs to this shard; it belongs to exactly one of them."""
        digest = hashlib.sha256(key.encode("utf-8", "surrogatepass")).digest()
        return int.from_bytes(digest[:8]) % self.count == self.number - 1


def place_of(store: Store, shard: Shard | None) -> Store:
    """Return the store with a driver's lease and the requests to it: that of a shard, or of the whole state."""
    return open_store(f"{store.address}/{layout.SHARDS}/{shard.name}") if shard else store


@contextmanager
def held(
    store: Store,
    shard: Shard | None,
    run_id: str,
    wait: Callable[[str], None] = lambda _: None,
    expiry_s: float = EXPIRY_S,
) -> Generator[DriverLease]:
    """Hold a state, or a shard of it.

    Leases of drivers that show no life are taken from them, all after the same wait. Whoever comes takes its own lease
    first and then looks for others again: of two that come at once at least one gives way.

    Args:
        store: The state.
        shard: The shard; None for the whole state.
        run_id: Name of the run, shown to others that find the lease taken.
        wait: Called with a line for people where it has to wait for a sign of life.
        expiry_s: Seconds after which a driver whose beat stands still counts as dead.

    Raises:
        StateError: Another driver holds it, the whole of it, or a shard of another count, and lives; or the state is
            of a layout that this program does not know.
    """
    settle_format(store)
    place = place_of(store, shard)
    take_back([place, *_rivals(store, shard)], run_id, wait, expiry_s)
    with DriverLease(place, run_id, wait=wait) as lease:
        take_back(_rivals(store, shard), run_id, wait, expiry_s)
        yield lease


@contextmanager
def held_against_all(
    store: Store, run_id: str, wait: Callable[[str], None] = lambda _: None
) -> Generator[Callable[[], bool]]:
    """Hold a state so that neither a run nor a night begins.

    Args:
        store: The state.
        run_id: Name of the holder, shown to others that find the lease taken.
        wait: Called with a line for people where it has to wait for a sign of life.

    Yields:
        A function that tells whether it is still held.

    Raises:
        StateError: A driver is at work on it or a shard of it, or a night is on.
    """
    night = open_store(f"{store.address}/{layout.NIGHT_LOCK}")
    take_back([night, *places(store)], run_id, wait)
    with DriverLease(night, run_id, wait=wait) as first, held(store, None, run_id, wait) as second:
        yield lambda: first.is_sure and second.is_sure


def refuse_if_any_held(store: Store, wait: Callable[[str], None] = lambda _: None) -> None:
    """Raise where a driver is at work, on the whole state or a shard of it.

    Args:
        store: The state.
        wait: Called with a line for people where it has to wait for a sign of life.

    Raises:
        StateError: One is.
    """
    refuse_if_held(places(store), wait)


def holders(store: Store) -> list[tuple[Store, Json]]:
    """Return the drivers at work on a state or its shards: the store of requests to each, and `lease.holder` of it."""
    return [(place, found) for place in places(store) if (found := holder(place)) is not None]


def is_at_work(store: Store, shard: str) -> bool:
    """Tell whether somebody works on a shard, such as ``3/8``; its run's record is written once a worker has begun."""
    return holder(place_of(store, Shard.parse(shard))) is not None


def places(store: Store) -> Iterator[Store]:
    """Yield the stores in which leases may be: the state, and all shards that it ever had."""
    yield store
    for shard in _shards(store):
        yield place_of(store, shard)


def _shards(store: Store) -> Iterator[Shard]:
    """Yield the shards that a state ever had."""
    for name in store.folders(layout.SHARDS):
        if found := _NAME.fullmatch(name):
            yield Shard(int(found[1]), int(found[2]))


def _rivals(store: Store, shard: Shard | None) -> Iterator[Store]:
    if shard is not None:
        yield store
    for other in _shards(store):
        if shard is None or other.count != shard.count:
            yield place_of(store, other)
