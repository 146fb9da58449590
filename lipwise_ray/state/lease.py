"""One driver a state: whoever holds the newest epoch and shows that it lives."""

from __future__ import annotations

import os
import re
import socket
import sys
import threading
import time
from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Literal, Self

import psutil

from lipwise_ray.errors import LipwiseError, StateError
from lipwise_ray.state import layout
from lipwise_ray.state.shapes import Beat, Epoch, read_typed, typed
from lipwise_ray.state.store import Store, as_json, to_json
from lipwise_ray.values import Json

BEAT_S = 5.0
EXPIRY_S = 30.0
"""A holder whose beat stands still for so long, on the clock of whoever waits for it, has lost the lease."""

_WAIT_S = 0.5
_SURE_SHARE = 0.6
_EPOCH = re.compile(r"epoch-\d{8,18}\.json", re.ASCII)
_BOOT = Path("/proc/sys/kernel/random/boot_id")
_ENDED = ("Z", "X")
Life = Literal["alive", "dead", "unknown"]


class DriverLease:
    """Held while a driver works on a state.

    Epochs only grow, and each is created by exactly one driver, so the newest epoch names the
    holder on every store that creates atomically. A holder writes a beat every few seconds; nobody's
    clock is compared with anybody else's. Where its process can be looked for, a dead holder is known at once.

    Args:
        store: The state.
        run_id: Shown to whoever finds the lease taken.
        wait: Called while waiting for an expired holder, with a line for people.
        beat_s: Seconds between beats.
        expiry_s: How long a beat may stand still.

    Raises:
        StateError: Another driver holds it and lives.
    """

    def __init__(
        self,
        store: Store,
        run_id: str,
        *,
        wait: Callable[[str], None] = lambda _: None,
        beat_s: float = BEAT_S,
        expiry_s: float = EXPIRY_S,
    ) -> None:
        self._store = store
        self._beat_s = beat_s
        self._expiry_s = expiry_s
        self._lost = threading.Event()
        self._ended = threading.Event()
        (previous,) = _watched([store], wait, expiry_s)
        self.epoch = previous.epoch + 1
        if not store.create(layout.epoch(self.epoch), to_json(_own_record(run_id))):
            raise _taken(store, self.epoch)
        self._beats = 0
        self.about: Json = {}
        """Facts about the holder that its next beat shows."""
        self.on_loss: Callable[[], None] = lambda: None
        """Called, by the thread of the beats, once another driver has taken over."""
        self._beat()
        for old in _epochs(store):
            if old < self.epoch:
                store.remove(layout.beat(old))
                if old < self.epoch - 1:  # the one before stays, in case this one's file is lost
                    store.remove(layout.epoch(old))
        self._thread = threading.Thread(target=self._keep, name="driver-lease", daemon=True)
        self._thread.start()

    @property
    def held(self) -> bool:
        """True while this driver may hand out work."""
        return not self._lost.is_set()

    @property
    def is_sure(self) -> bool:
        """True while others saw a beat lately, so that none of them can have taken over: else nothing is started."""
        return self.held and self.age_s < self._expiry_s * _SURE_SHARE

    @property
    def age_s(self) -> float:
        """Seconds since others could last see a beat."""
        return _clock_s() - self._seen_s

    def check(self) -> bool:
        """Check whether a newer driver has taken over; return whether this one still holds the lease."""
        if not self._lost.is_set() and _newest(self._store) > self.epoch:
            self._lost.set()
        return self.held

    def _beat(self) -> None:
        self._beats += 1
        begin_s = _clock_s()
        self._store.write(layout.beat(self.epoch), to_json({**self.about, "beat": self._beats, "released": False}))
        self._seen_s = begin_s

    def _keep(self) -> None:
        while not self._ended.wait(self._beat_s):
            with suppress(LipwiseError, OSError):  # what others cannot see then makes this driver unsure
                if not self.check():
                    self.on_loss()
                    return
                self._beat()

    def release(self) -> None:
        """Give the lease back."""
        self._ended.set()
        self._thread.join()
        if self.held:
            with suppress(LipwiseError):  # on a full disk: the process will be known as gone
                self._store.write(layout.beat(self.epoch), to_json({"beat": self._beats, "released": True}))

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.release()


def _clock_s() -> float:
    """Return seconds of a clock that nobody sets and that goes on while the machine sleeps, where there is one."""
    return time.clock_gettime(time.CLOCK_BOOTTIME) if sys.platform == "linux" else time.monotonic()


def holder(store: Store) -> Json | None:
    """Return the holder of a state's lease as far as its records tell, with its latest beat; None without one."""
    seen = _read_lease(store)
    if seen.is_free or _life(seen.record) == "dead":
        return None
    return {
        **(as_json(seen.beat) or {}),
        "run_id": seen.record.run_id,
        "host": seen.record.host,
        "pid": seen.record.pid,
    }


def refuse_if_held(stores: Iterable[Store], wait: Callable[[str], None] = lambda _: None) -> None:
    """Raise where a driver is at work; wait for a sign of life where its process cannot be looked for.

    Args:
        stores: The states, or shards of one.
        wait: Called with a line for people where it has to wait for a sign of life.

    Raises:
        StateError: One is.
    """
    _watched(stores, wait, EXPIRY_S)


def take_back(
    stores: Iterable[Store],
    run_id: str,
    wait: Callable[[str], None] = lambda _: None,
    expiry_s: float = EXPIRY_S,
) -> None:
    """Raise where a driver is at work, and take leases away from those that show no life.

    A newer epoch, which nobody holds, tells a driver that was only asleep that it has lost its lease, and tells
    others that they need not wait for it any more.

    Args:
        stores: The states, or shards of one; all are watched at once.
        run_id: Name of the run that takes them, for the record of the new epoch.
        wait: Called with a line for people where it has to wait for a sign of life.
        expiry_s: Seconds after which a driver whose beat stands still counts as dead.

    Raises:
        StateError: One is.
    """
    for lease in _watched(stores, wait, expiry_s):
        now = _read_lease(lease.store)  # others were looked at since
        if now == lease and not now.is_free:
            if now.store.create(layout.epoch(now.epoch + 1), to_json({**_own_record(run_id), "released": True})):
                continue
            now = _read_lease(lease.store)
        if not now.is_free:  # else it was given back, or somebody else has just done the same
            raise _taken(now.store, now.epoch)


def _own_record(run_id: str) -> Json:
    """Return this process's identity, as an epoch's record holds it."""
    return {
        "run_id": run_id,
        "host": socket.gethostname(),
        "pid": os.getpid(),
        "started": _started("self") or "",
        "space": _space(),
    }


def _epochs(store: Store) -> list[int]:
    names = (key.rsplit("/", 1)[-1] for key in store.names(layout.DRIVER))
    return sorted(int(name[6:-5]) for name in names if _EPOCH.fullmatch(name))


def _newest(store: Store) -> int:
    return max(_epochs(store), default=0)


def _watched(stores: Iterable[Store], wait: Callable[[str], None], expiry_s: float) -> list[_Seen]:
    """Return leases that nobody holds, or whose holder is dead or shows no life; all are waited for at the same time.

    Raises:
        StateError: A holder lives.
    """
    leases = [_read_lease(store) for store in stores]
    silent: list[int] = []
    for number, lease in enumerate(leases):
        life = "dead" if lease.is_free else _life(lease.record)
        if life == "alive":
            raise _taken(lease.store, lease.epoch)
        if life == "unknown":
            wait(f"{_who(lease.record)} held the state; waiting {expiry_s:g} s for a sign of life")
            silent.append(number)
    begin_s = time.monotonic()
    while silent and time.monotonic() - begin_s < expiry_s:
        time.sleep(_WAIT_S)
        for number in list(silent):
            now = _read_lease(leases[number].store)
            if not now.is_free and now != leases[number]:  # any change is life, also one that cannot be understood
                raise _taken(now.store, now.epoch)
            if now.is_free:
                leases[number] = now
                silent.remove(number)
    return leases


@dataclass(frozen=True, slots=True)
class _Seen:
    """A lease as it was seen: its newest epoch, 0 for none, with its record and its beat."""

    store: Store
    epoch: int
    record: Epoch
    beat: bytes | None

    @property
    def is_free(self) -> bool:
        """True where nobody holds it: nobody ever did, or it was given back."""
        return not self.epoch or self.record.released or _is_released(as_json(self.beat))


def _read_lease(store: Store) -> _Seen:
    newest = _newest(store)
    record = read_typed(store, layout.epoch(newest), Epoch) if newest else None
    return _Seen(store, newest, record or Epoch(), store.read(layout.beat(newest)) if newest else None)


def _is_released(beat: Json | None) -> bool:
    found = typed(beat, Beat)
    return found is not None and found.released


def _life(record: Epoch) -> Life:
    """Tell whether the holder's process lives, as far as a process with its number means the same here."""
    if not record.space or record.space != _space():
        return "unknown"
    if not psutil.pid_exists(record.pid):
        return "dead"
    started = _started(str(record.pid))
    if started is None:  # somebody else's, which this system does not show
        return "unknown"
    return "alive" if started == record.started else "dead"


def _space() -> str:
    """Return the id of the space in which a process number means one process; empty where that is unknown.

    On Linux that is the PID namespace of a kernel since it was booted: containers may share a host's name. Elsewhere it
    is the host.
    """
    if sys.platform != "linux":
        return f"host {socket.gethostname()}"
    try:
        if Path("/proc/self").readlink().name != str(os.getpid()):
            return ""  # another namespace's processes are shown
        return f"{_BOOT.read_text(encoding='ascii').strip()} {Path('/proc/self/ns/pid').readlink()}"
    except OSError:
        return ""


def _started(pid: str) -> str | None:
    """Return the start of a process, by which it differs from others that get its number, whatever the clock says.

    Args:
        pid: Its number, or ``self``.

    Returns:
        None where it is not shown; empty for one that has ended and is still listed.
    """
    if sys.platform != "linux":  # there a process keeps the time that it was begun with
        try:
            return f"{psutil.Process(None if pid == 'self' else int(pid)).create_time():.2f}"
        except psutil.Error:
            return None
    try:
        boot = _BOOT.read_text(encoding="ascii").strip()
        facts = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace").rpartition(")")[2].split()
    except OSError:
        return None
    return "" if facts[0] in _ENDED else f"{boot} {facts[19]}"


def _who(record: Epoch) -> str:
    if not record.host:
        return "a driver whose record cannot be read"
    return f"process {record.pid} on {record.host} (run {record.run_id})"


def _taken(store: Store, epoch: int) -> StateError:
    record = read_typed(store, layout.epoch(max(epoch, _newest(store))), Epoch) or Epoch()
    return StateError(
        "state_in_use",
        store.address,
        got=f"in use by {_who(record)}",
        must="a state has one driver at a time",
        do="Wait for it, or give this run a --state of its own",
    )
