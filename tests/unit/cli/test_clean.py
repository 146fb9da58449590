"""`lipwise-ray clean` leaves a state alone that somebody works on."""

from __future__ import annotations

from pathlib import Path

import pytest

from lipwise_ray.cli.clean import clean
from lipwise_ray.errors import StateError
from lipwise_ray.state import layout
from lipwise_ray.state.lease import DriverLease
from lipwise_ray.state.shards import Shard, place_of
from lipwise_ray.state.store import LocalStore


@pytest.mark.parametrize("who", ["night", "shard", "driver"])
def test_it_is_refused_while_somebody_is_at_work(who: str, tmp_path: Path) -> None:
    """Also between two manifests of a night, when no run is on; a dry run only looks."""
    store = LocalStore(tmp_path)
    store.write("runs/r/run.json", b"{}")
    store.write("sounds/a/mel.npy", b"mel")
    places = {"night": LocalStore(tmp_path / layout.NIGHT_LOCK), "shard": place_of(store, Shard(1, 2)), "driver": store}
    with DriverLease(places[who], "at-work"):
        clean(str(tmp_path), older="0h", dry_run=True)
        with pytest.raises(StateError, match="run at-work"):
            clean(str(tmp_path), older="0h")
        assert store.read("sounds/a/mel.npy") == b"mel"
    clean(str(tmp_path), older="0h")
    assert store.read("sounds/a/mel.npy") is None
