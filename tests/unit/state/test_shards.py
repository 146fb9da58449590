"""Several drivers share a state: a row is in one shard, and nobody holds what another has."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest

from lipwise_ray.errors import SettingsError, StateError
from lipwise_ray.state.shards import Shard, held, holders, refuse_if_any_held
from lipwise_ray.state.store import LocalStore


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
    with pytest.raises(SettingsError, match="--shard: must be NUMBER/COUNT"):
        Shard.parse(text)


def test_shards_of_one_count_go_together_and_nothing_else_does(tmp_path: Path) -> None:
    """Other shards may come; the same one, the whole state and shards of another count may not."""
    store = LocalStore(tmp_path)
    with held(store, Shard(1, 2), "one"), held(store, Shard(2, 2), "two"):
        assert sorted(str(found["run_id"]) for _, found in holders(store)) == ["one", "two"]
        for other in (Shard(1, 2), None, Shard(1, 3)):
            with pytest.raises(StateError, match="must have one driver at a time"), held(store, other, "late"):
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
