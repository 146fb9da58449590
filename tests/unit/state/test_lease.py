"""Who may drive a state."""

from __future__ import annotations

import json
import multiprocessing
import threading
import time
from pathlib import Path

import psutil
import pytest

from lipwise_ray.errors import StateError
from lipwise_ray.state import layout
from lipwise_ray.state.lease import EXPIRY_S, DriverLease, holder
from lipwise_ray.state.store import LocalStore, read_json, to_json
from tests.support.waiting import until


def test_one_driver_at_a_time(tmp_path: Path) -> None:
    """A second driver is refused politely, by the name of the first; the lease ends with its holder's work."""
    store = LocalStore(tmp_path)
    with DriverLease(store, "first") as lease:
        assert lease.held
        with pytest.raises(
            StateError, match=r"in use by process \d+ on .* \(run first\); a state has one driver at a time"
        ):
            DriverLease(store, "second")
        assert (holder(store) or {}).get("run_id") == "first"
    assert holder(store) is None
    with DriverLease(store, "third") as lease:
        assert lease.epoch == 2


def _die_with_lease(root: str) -> None:
    import os

    DriverLease(LocalStore(Path(root)), "dead")
    os._exit(9)


def test_a_dead_process_of_this_machine_is_followed_at_once(tmp_path: Path) -> None:
    """Nobody waits for a beat of a process that is known to be gone."""
    child = multiprocessing.get_context("spawn").Process(target=_die_with_lease, args=(str(tmp_path),))
    child.start()
    child.join()
    begin = time.monotonic()
    with DriverLease(LocalStore(tmp_path), "next") as lease:
        assert lease.epoch == 2
    assert time.monotonic() - begin < EXPIRY_S / 2


def _elsewhere(store: LocalStore, epoch: int) -> None:
    store.create(layout.epoch(epoch), to_json({"run_id": "far", "host": "elsewhere", "pid": 1, "started": 0}))
    store.write(layout.beat(epoch), to_json({"beat": 1, "released": False}))


def test_a_driver_of_another_machine_is_watched(tmp_path: Path) -> None:
    """One whose beat stands still is followed after the expiry; one that beats is left alone."""
    store = LocalStore(tmp_path)
    _elsewhere(store, 1)
    said: list[str] = []
    with DriverLease(store, "next", wait=said.append, expiry_s=1.0) as lease:
        assert lease.epoch == 2
    assert "elsewhere" in said[0]
    _elsewhere(store, 3)
    timer = threading.Timer(0.6, lambda: store.write(layout.beat(3), to_json({"beat": 2, "released": False})))
    timer.start()
    with pytest.raises(StateError, match="elsewhere"):
        DriverLease(store, "late", expiry_s=5.0)


def test_a_stale_driver_notices(tmp_path: Path) -> None:
    """A driver that slept while another took over no longer holds the lease, and does not take it back."""
    store = LocalStore(tmp_path)
    lease = DriverLease(store, "slept", beat_s=0.1)
    told = threading.Event()
    lease.on_loss = told.set
    _elsewhere(store, lease.epoch + 1)
    until(lambda: not lease.held)
    assert told.wait(30)
    lease.release()
    assert read_json(store, layout.beat(lease.epoch + 1)) == {"beat": 1, "released": False}


def test_a_wrong_clock_changes_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No record of the lease holds a time of day, and a driver lives on when the clock of its machine is set."""
    with DriverLease(LocalStore(tmp_path), "run"):
        records = [json.loads(path.read_text()) for path in (tmp_path / layout.DRIVER).iterdir()]
        booted_s = psutil.boot_time()
        monkeypatch.setattr("psutil._pslinux.boot_time", lambda: booted_s + 3600)  # the kernel moves it with the clock
        with pytest.raises(StateError, match=r"in use by .*; a state has one driver at a time"):
            DriverLease(LocalStore(tmp_path), "second")
    assert not [value for record in records for value in record.values() if isinstance(value, float)]


def _race(arguments: tuple[str, int]) -> bool:
    root, number = arguments
    try:
        lease = DriverLease(LocalStore(Path(root)), str(number))
    except StateError:
        return False
    time.sleep(1.5)
    return lease.held


def test_of_many_drivers_one_gets_the_lease(tmp_path: Path) -> None:
    """Started at the same moment, exactly one drives."""
    with multiprocessing.get_context("spawn").Pool(4) as pool:
        won = pool.map(_race, [(str(tmp_path), n) for n in range(4)], chunksize=1)
    assert sum(won) == 1


def _held(store: LocalStore, **changes: object) -> None:
    """Leave the record and the beat of a driver that is this very process, with changes."""
    with DriverLease(store, "held") as lease:
        record = read_json(store, layout.epoch(lease.epoch)) or {}
    store.write(layout.epoch(lease.epoch), to_json({**record, **changes}))
    store.write(layout.beat(lease.epoch), to_json({"beat": 1, "released": False}))


def test_a_process_of_another_namespace_is_not_judged_by_its_number(tmp_path: Path) -> None:
    """In another container, or after another boot, a number that nobody has here says nothing: its beats decide."""
    store = LocalStore(tmp_path)
    for space in ("other-boot pid:[1]", ""):
        _held(store, pid=(1 << 22) + 1, space=space)
        said: list[str] = []
        newest = max(name for name in store.names(layout.DRIVER) if "beat" in name)
        timer = threading.Timer(0.3, store.write, (newest, to_json({"beat": 2, "released": False})))
        timer.start()
        with pytest.raises(StateError, match=r"in use by .*; a state has one driver at a time"):
            DriverLease(store, "second", wait=said.append, expiry_s=5.0)
        assert "waiting 5 s" in said[0]
        timer.join()
        with DriverLease(store, "third", expiry_s=0.2):
            pass


def test_a_damaged_record_of_the_holder_is_no_licence(tmp_path: Path) -> None:
    """Where it cannot be read who drives, a sign of life is waited for; a damaged beat that changes is one."""
    store = LocalStore(tmp_path)
    _held(store)
    store.write(layout.epoch(1), b'{"pid": -1}')
    timer = threading.Timer(0.3, lambda: store.write(layout.beat(1), b"\0"))
    timer.start()
    with pytest.raises(StateError, match="a driver whose record cannot be read"):
        DriverLease(store, "second", expiry_s=5.0)
    timer.join()
    store.write(f"{layout.DRIVER}/epoch-\N{SUPERSCRIPT TWO}0000000.json", b"{}")
    with DriverLease(store, "third", expiry_s=0.2) as lease:
        assert lease.epoch == 2


def test_a_process_that_ended_but_is_still_listed_is_dead(tmp_path: Path) -> None:
    """A driver that was killed and that nobody has waited for does not hold its state for ever."""
    store = LocalStore(tmp_path)
    child = multiprocessing.get_context("spawn").Process(target=_die_with_lease, args=(str(tmp_path),))
    child.start()
    until(lambda: psutil.Process(child.pid).status() == psutil.STATUS_ZOMBIE)
    assert holder(store) is None
    child.join()
