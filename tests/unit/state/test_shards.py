"""Several drivers share a state: a row is in one shard, and nobody holds what another has."""

from __future__ import annotations

import json
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from lipwise_ray.errors import SettingsError, StateError
from lipwise_ray.reports.write import write_report
from lipwise_ray.state import layout
from lipwise_ray.state.lease import DriverLease, holder
from lipwise_ray.state.overview import kept_runs, overview, shards_to_do
from lipwise_ray.state.shards import Shard, held, held_against_all, holders, place_of, refuse_if_any_held
from lipwise_ray.state.store import LocalStore, Store, read_json, to_json


def test_every_row_is_in_one_shard_and_shards_are_alike() -> None:
    """Of a thousand keys each belongs to exactly one of eight, about as many to each, always the same."""
    shards = [Shard(number, 8) for number in range(1, 9)]
    keys = [f"/footage/{number}.mp4" for number in range(1000)]
    owners = [[shard.number for shard in shards if shard.has(key)] for key in keys]
    assert all(len(found) == 1 for found in owners)
    assert min(Counter(found[0] for found in owners).values()) > 80
    assert Shard.parse("3/8") == Shard(3, 8)
    assert (str(Shard(3, 8)), Shard(3, 8).name) == ("3/8", "3-of-8")


@pytest.mark.parametrize("text", ["", "3", "0/8", "9/8", "3/0", "a/b", "-1/2", "1/99999"])
def test_what_is_no_shard(text: str) -> None:
    """A plain error."""
    with pytest.raises(SettingsError, match=r"--shard: '.*' is not a shard; one is NUMBER/COUNT"):
        Shard.parse(text)


def test_shards_of_one_count_go_together_and_nothing_else_does(tmp_path: Path) -> None:
    """Other shards may come; the same one, the whole state and shards of another count may not."""
    store = LocalStore(tmp_path)
    with held(store, Shard(1, 2), "one"), held(store, Shard(2, 2), "two"):
        assert sorted(str(found["run_id"]) for _, found in holders(store)) == ["one", "two"]
        for other in (Shard(1, 2), None, Shard(1, 3)):
            with (
                pytest.raises(StateError, match=r"in use by .*; a state has one driver at a time"),
                held(store, other, "late"),
            ):
                pass
        with pytest.raises(StateError):
            refuse_if_any_held(store)
    refuse_if_any_held(store)
    with held(store, None, "whole"):
        assert [found["run_id"] for _, found in holders(store)] == ["whole"]
        with pytest.raises(StateError), held(store, Shard(1, 2), "late"):
            pass
    with held(store, Shard(3, 3), "three"):
        pass


def _asleep(place: Store) -> DriverLease:
    """Return the lease of a driver whose process nobody can look for from here, and which gives no sign of life."""
    lease = DriverLease(place, "asleep", beat_s=3600)
    record = read_json(place, layout.epoch(lease.epoch)) or {}
    place.write(layout.epoch(lease.epoch), to_json({**record, "space": "elsewhere"}))
    return lease


def test_drivers_that_show_no_life_lose_their_leases_after_one_wait(tmp_path: Path) -> None:
    """Those of the whole state and of other counts: they are waited for together, and only once; each of them finds
    out, and those who come later wait for nobody.
    """
    store, said = LocalStore(tmp_path), list[str]()
    asleep = [_asleep(place) for place in (store, place_of(store, Shard(1, 3)), place_of(store, Shard(3, 3)))]
    begin_s = time.monotonic()
    with held(store, Shard(1, 2), "one", said.append, expiry_s=1.0):
        assert time.monotonic() - begin_s >= 1.0
        assert len(said) == 3
        assert [lease.check() for lease in asleep] == [False, False, False]
        with held(store, Shard(2, 2), "two", said.append):
            assert [found["run_id"] for _, found in holders(store)] == ["one", "two"]
    for lease in asleep:
        lease.release()  # what it does not hold stays as it is
    with held_against_all(store, "clean", said.append):
        pass
    assert len(said) == 3


def test_shards_that_come_at_once_do_not_hinder_each_other(tmp_path: Path) -> None:
    """All of them take the same lease from a driver that is gone; none takes that for a driver at work."""
    store = LocalStore(tmp_path)
    _asleep(store)

    def begin(number: int) -> str:
        with held(LocalStore(tmp_path), Shard(number, 4), str(number), expiry_s=0.6):
            return str(number)

    with ThreadPoolExecutor(4) as hands:
        assert list(hands.map(begin, range(1, 5))) == ["1", "2", "3", "4"]
    assert holder(store) is None


def test_nothing_is_cleaned_while_a_night_is_on(tmp_path: Path) -> None:
    """Between two of its manifests nobody holds the state; and no night begins while it is cleaned."""
    store = LocalStore(tmp_path)
    night = LocalStore(tmp_path / layout.NIGHT_LOCK)
    with (
        DriverLease(night, "night"),
        pytest.raises(StateError, match="run night"),
        held_against_all(store, "clean"),
    ):
        pass
    with held_against_all(store, "clean"):
        for place in (night, store):
            with pytest.raises(StateError, match="run clean"):
                DriverLease(place, "late")
    with DriverLease(night, "night"):
        pass


def _run(store: Store, name: str, shard: str | None, begun: float, done: int, failed: int = 0, **more: object) -> None:
    told = {"manifest": "m.csv", "manifest_sha256": "m", "out": "/out", "rows": 4, "rows_total": 12, **more}
    told |= {"shard": shard} if shard else {}
    store.write(layout.run_record(name), to_json({"run_id": name, "begun": begun, **told}))
    for row in range(done + failed):
        status = "done" if row < done else "failed"
        published = {"output": "/out/a.mp4", "frames": 9, "chunks": 1, "bytes_total": 5, "sha256": "0" * 64}
        record = {"status": status, "row": row, "row_id": f"{name}-{row}", "job_id": "a", **published}
        store.write(layout.row(name, row, status), to_json(record))


def test_the_shards_of_a_manifest_are_shown_together(tmp_path: Path) -> None:
    """The latest run of each, of the same rows and outputs alone; one that nobody has begun is named, and its rows are
    left.
    """
    store = LocalStore(tmp_path)
    _run(store, "a", "3/3", 0.0, 4, out="/elsewhere")
    _run(store, "b", "3/3", 1.0, 4, manifest_sha256="of others")
    _run(store, "c", "1/3", 2.0, 1)
    _run(store, "d", "2/3", 3.0, 2, failed=1)
    _run(store, "e", "1/3", 4.0, 4)
    found = overview(str(tmp_path))
    assert (found.rows, found.done, found.failed, found.left, found.not_begun) == (12, 6, 1, 5, ["3/3"])
    assert shards_to_do(store) == ["2/3", "3/3"]
    assert kept_runs(store) == {"d", "e"}
    _run(store, "f", None, 5.0, 4)
    assert shards_to_do(store) == []


def test_what_is_long_ago_is_not_shown_with_it(tmp_path: Path) -> None:
    """A driver that is begun again goes with those that were begun with it, in whatever order; another day's do not."""
    store, day_s = LocalStore(tmp_path), 86_400.0
    _run(store, "a", "3/3", 0.0, 4)
    _run(store, "b", "2/3", day_s, 4)
    _run(store, "c", "1/3", day_s + 5, 1)
    _run(store, "d", "1/3", day_s + 3600, 4)
    found = overview(str(tmp_path))
    assert (found.done, found.not_begun) == (8, ["3/3"])


def test_few_runs_are_looked_at(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A shard that nobody has begun is not looked for in all that a state ever did."""
    store, asked = LocalStore(tmp_path), list[str]()
    for number in range(600):
        _run(store, f"r{number:03d}", None, float(number), 0, manifest_sha256="of others")
    _run(store, "s", "1/2", 600.0, 4)
    read = LocalStore.read
    monkeypatch.setattr(LocalStore, "read", lambda self, key: asked.append(key) or read(self, key))
    assert overview(str(tmp_path)).not_begun == ["2/2"]
    assert len(asked) < 330


def test_a_run_that_is_named_is_shown_alone(tmp_path: Path) -> None:
    """The report of a driver's end has its own rows; without a name all shards' latest are one report."""
    store = LocalStore(tmp_path)
    _run(store, "a", "1/3", 0.0, 3)
    _run(store, "b", "2/3", 1.0, 4)
    _run(store, "c", "1/3", 2.0, 4)

    def rows(name: str | None) -> list[str]:
        write_report(store, name, tmp_path / "report")
        lines = (tmp_path / "report" / "results.jsonl").read_text().splitlines()
        return [json.loads(line)["row_id"] for line in lines]

    assert rows("a") == ["a-0", "a-1", "a-2"]
    assert sorted(rows(None)) == sorted([f"{name}-{row}" for name in "bc" for row in range(4)] + ["shard 3/3"])
