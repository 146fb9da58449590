"""An engine that runs borrow."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any, cast

from lipwise_ray.backends.worker_config import WorkerConfig
from lipwise_ray.runs.kept_engine import KeptEngine
from lipwise_ray.runs.row_supply import RowSupply, WaitingRows
from lipwise_ray.service.row_queue import QueuedRows, RowQueue


class _Closable:
    def __init__(self) -> None:
        self.is_closed = False

    def close(self) -> None:
        self.is_closed = True


def test_an_engine_stays_while_nothing_speaks_against_it(tmp_path: Path) -> None:
    """Another configuration, or a task that is still in hand, ends it."""
    made: list[_Closable] = []

    def make(config: WorkerConfig) -> Any:
        assert config.device == "cpu"
        made.append(_Closable())
        return made[-1]

    kept, config = KeptEngine(make), WorkerConfig(state=str(tmp_path), scratch=str(tmp_path), device="cpu", threads=1)
    first = kept.lend(config)
    kept.take_back(first, True)
    assert kept.lend(config) is first
    second = kept.lend(replace(config, threads=2))
    assert [one.is_closed for one in made] == [True, False]
    kept.take_back(second, False)
    assert made[1].is_closed
    third = cast("_Closable", kept.lend(config))
    kept.close()
    kept.close()
    assert third.is_closed


def test_a_queue_supplies_a_run() -> None:
    """It is open, has no shard and no bad rows, and gives itself as what waits."""
    rows = QueuedRows(RowQueue())
    supply: RowSupply = rows
    waiting: WaitingRows = supply.waiting(lambda: None)
    assert waiting.is_open
    assert (supply.shard, supply.good, supply.bad, list(supply.bad_rows)) == (None, 1, 0, [])
