"""The number of a state's layout: written once, and what is newer is left alone."""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from lipwise_ray.errors import StateError
from lipwise_ray.state import layout
from lipwise_ray.state.format import LAYOUT, check_format, settle_format
from lipwise_ray.state.lease import holder
from lipwise_ray.state.shards import Shard, held
from lipwise_ray.state.store import LocalStore, read_json, to_json


@pytest.fixture
def store(tmp_path: Path) -> LocalStore:
    """A state in which nothing is yet."""
    return LocalStore(tmp_path / "s")


@pytest.mark.parametrize("shard", [None, Shard(2, 3)])
def test_whoever_takes_a_state_writes_its_layout_once(store: LocalStore, shard: Shard | None) -> None:
    """A new state and one of before there was a number get it with the first lease; it is never written again."""
    assert not check_format(store)
    with held(store, shard, "run"):
        pass
    assert read_json(store, layout.FORMAT) == {"layout": LAYOUT}
    path = store.root / layout.FORMAT
    written = path.stat().st_mtime_ns
    with held(store, shard, "again"):
        pass
    assert (check_format(store), path.stat().st_mtime_ns) == (True, written)


def test_a_folder_of_another_programs_runs_is_no_state(store: LocalStore) -> None:
    """Nobody takes it, so that cleaning removes nothing there; a run of before there was a number makes it one."""
    store.write("runs/detect/weights/best.pt", b"weights")
    with (
        pytest.raises(StateError, match="with another program's runs"),
        held(store, None, "r"),
    ):
        pass
    assert store.names("") == ["runs/detect/weights/best.pt"]
    store.write(layout.run_record("20260101T000000-a"), b"{}")
    settle_format(store)
    assert check_format(store)


def test_many_at_once_agree(store: LocalStore) -> None:
    """Drivers of shards that come together all find the number, whoever wrote it."""
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda _: settle_format(store), range(16)))
    assert read_json(store, layout.FORMAT) == {"layout": LAYOUT}


def test_a_newer_state_is_left_as_it_is(store: LocalStore) -> None:
    """Nobody takes it, and the message begins with what happened."""
    store.write(layout.FORMAT, to_json({"layout": LAYOUT + 1, "more": ["than", "we know"]}))
    with pytest.raises(StateError) as caught, held(store, None, "run"):
        pass
    assert caught.value.code == "newer_state"
    assert str(caught.value).startswith(
        f"{store.address}: was made by a newer lipwise-ray, with layout {LAYOUT + 1}; "
        f"this program knows layouts up to {LAYOUT}."
    )
    assert ([path.name for path in store.root.iterdir()], holder(store)) == ([layout.FORMAT], None)


@pytest.mark.parametrize(
    "data", [b"", b"{", b"[1]", b"{}", *(json.dumps({"layout": value}).encode() for value in ("1", True, 0, -1, 1.5))]
)
def test_a_damaged_number_is_told_of(store: LocalStore, data: bytes) -> None:
    """What is no record, has no number, or another than was written, is no layout at all: nothing is guessed."""
    store.write(layout.FORMAT, data)
    with pytest.raises(StateError, match=r"format\.json: holds no number of a layout") as caught:
        settle_format(store)
    assert caught.value.code == "damaged_format"
    store.write(layout.FORMAT, to_json({"layout": LAYOUT}).replace(b'"layout": 1', b'"layout": 9'))
    with pytest.raises(StateError) as caught:
        check_format(store)
    assert caught.value.code == "damaged_format"


def test_a_folder_in_its_place_is_told_of(store: LocalStore) -> None:
    """What cannot be read and cannot be made is damaged, too."""
    (store.root / layout.FORMAT).mkdir()
    with pytest.raises(StateError, match="cannot be read"):
        settle_format(store)
