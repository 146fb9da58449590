"""A run of rows, on an engine that does what the test says."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from lipwise_ray.errors import (
    EngineError,
    SetupError,
    StorageError,
)
from lipwise_ray.pipeline.flows.dub import RowFlow
from lipwise_ray.pipeline.flows.task_kinds import ProbeResult
from lipwise_ray.runs.row_source import RowSource
from lipwise_ray.scheduler.ending import ASKED, CLOSED, Ending
from lipwise_ray.scheduler.engine import Outcome
from lipwise_ray.scheduler.metrics import FileSink, Meter
from lipwise_ray.scheduler.task import Lane
from lipwise_ray.settings.model import Settings
from lipwise_ray.state import layout
from lipwise_ray.state.job_result import DubResult
from lipwise_ray.state.local import LocalStore
from tests.support.rows import Rows


def _open(rows: Rows) -> list[dict[str, int]]:
    """Return, for each task handed out, the chunks of the jobs that were rendered and not yet assembled."""
    inside: dict[str, int] = {}
    seen: list[dict[str, int]] = []
    for task_id in rows.engine.log:
        kind, _, rest = task_id.partition(":")
        job = rest.partition("/")[0]
        if kind == "render":
            inside[job] = rows.chunks[int(job[1:])]
        elif kind == "assemble":
            inside.pop(job, None)
        seen.append(dict(inside))
    return seen


@given(st.lists(st.integers(1, 9), min_size=1, max_size=8), st.integers(1, 12))
@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_segments_that_wait_to_be_joined_are_bounded(
    tmp_path_factory: pytest.TempPathFactory, chunks: list[int], most: int
) -> None:
    """Videos are let in while their chunks fit, a longer one alone; all are done in the end, each chunk once."""
    rows = Rows(tmp_path_factory.mktemp("state"), chunks, most_chunks=most)
    rows.work()
    assert rows.run.totals["done"] == len(chunks)
    assert rows.run.totals["chunks_rendered"] == sum(chunks)
    assert len(rows.engine.log) == len(set(rows.engine.log))
    for inside in _open(rows):
        assert sum(inside.values()) <= most or len(inside) == 1, inside


def test_a_job_is_assembled_when_its_last_chunk_is_done(tmp_path: Path) -> None:
    """Not at the end of the run: the longest job is published before the others are rendered to their ends."""
    rows = Rows(tmp_path, [2, 6, 2], most_chunks=100)
    rows.work()
    order = [task for task in rows.engine.log if task.startswith(("render", "assemble"))]
    last_of_long = max(n for n, task in enumerate(order) if task.startswith("render:j1/"))
    assert order.index("assemble:j1/0") - last_of_long <= 2
    assert order.index("assemble:j1/0") < len(order) - 2


@pytest.mark.parametrize(("name", "left"), [("r1", 2), ("all", 2), (None, 0)])
def test_a_request_ends_what_it_names(name: str | None, left: int, tmp_path: Path) -> None:
    """A row by its id, also one that is called all; the whole run without an id."""
    rows = Rows(tmp_path, [1, 1, 1], most_chunks=100)
    rows.ids[1] = name or "r1"
    rows.store.write(layout.CANCEL_RUN if name is None else layout.cancel(name), b"{}")
    rows.work()
    assert rows.run.totals["done"] == left
    assert rows.run.cancelled == (name is None)
    assert [o.row_id for o in rows.listener.outcomes if o.record.get("code") == "cancelled"][:1] == [name or "r0"]


def test_a_late_request_does_not_mean_a_later_row(tmp_path: Path) -> None:
    """Of rows that are added meanwhile, one may come back because somebody wants it again: that one is done."""
    rows = Rows(tmp_path, [1, 1, 1], most_chunks=100, most_rows=1)
    rows.run.is_open = True
    rows.store.write(layout.cancel("r2"), b"{}")
    rows.work()
    assert rows.run.totals["done"] == 3


def test_as_many_rows_as_the_workers_need(tmp_path: Path) -> None:
    """Rows are begun as places come free, and no more than that wait in memory."""
    rows = Rows(tmp_path, [1] * 40, most_chunks=100, most_rows=3)
    rows.work()
    assert rows.run.totals["done"] == 40
    at_work: set[int] = set()
    for task in rows.engine.log:
        row = int(task.partition(":")[2].partition("/")[0].lstrip("j"))
        at_work.add(row)
        assert len(at_work) <= 3
        if task.startswith("assemble:"):
            at_work.remove(row)


def test_workers_that_load_are_told_of(tmp_path: Path) -> None:
    """Whoever looks at the state, the terminal and Prometheus see how many workers are not ready yet."""
    rows = Rows(tmp_path, [3], most_chunks=9)
    rows.engine.loading = 2
    seen: list[int] = []
    rows.listener.tick = lambda _, loading: seen.append(loading)  # type: ignore[method-assign]
    file = tmp_path / "run.prom"
    rows.run.dispatcher.meter = Meter([FileSink(file)], state_address="s", rows=1)
    rows.work()
    rows.run.dispatcher.meter.flush()
    assert set(seen) == {2}
    assert rows.run.lease.about["loading"] == 2
    assert 'lipwise_workers{state="loading",state_address="s"} 2.0' in file.read_text()
    assert 'lipwise_tasks_total{outcome="done",state_address="s",task="render"} 3.0' in file.read_text()


def test_models_that_do_not_load_are_a_wrong_setup_though_rows_were_probed(tmp_path: Path) -> None:
    """Nothing was rendered, and nothing will be until that is put right; a run that has rows done stops in order."""

    def broken(rows: Rows, render_attempts: int) -> Rows:
        want = rows.engine.want

        def wants(backlog: Mapping[Lane, int]) -> None:
            if rows.run.dispatcher.render_attempts >= render_attempts and rows.engine.log:
                raise SetupError("worker_start", "workers", got="did not start")
            want(backlog)

        rows.engine.want = wants  # type: ignore[method-assign]
        return rows

    rows = broken(Rows(tmp_path / "a", [1, 1], most_chunks=9), 0)
    with pytest.raises(SetupError):
        rows.work()
    assert rows.engine.log
    rows = broken(Rows(tmp_path / "b", [1, 1], most_chunks=9), 1)
    rows.work()
    assert rows.run.stopped == "worker_start"


def test_an_engine_that_ends_stops_the_run_in_order(tmp_path: Path) -> None:
    """What is done stays done, the rest is left for the same command, and people are told why."""
    rows = Rows(tmp_path, [1, 1, 1], most_chunks=10, most_rows=1)
    poll = rows.engine.poll

    def ends(timeout_s: float) -> list[Outcome]:
        if rows.run.totals["done"]:
            raise EngineError("ray_ended", "Ray at local", got="its raylet ended while the run was at work")
        return poll(timeout_s)

    rows.engine.poll = ends  # type: ignore[method-assign]
    rows.work()
    assert (rows.run.totals["done"], rows.run.totals["failed"]) == (1, 0)
    assert any("its raylet ended while the run was at work" in line for line in rows.listener.lines)


def test_no_row_is_refused_for_an_engine_that_ended(tmp_path: Path) -> None:
    """Where the engine ends while rows are begun, they are left for the same command, and not failed one by one."""
    rows = Rows(tmp_path, [1, 1], most_chunks=10)

    def ended(*_: Any) -> RowFlow:
        raise EngineError("ray_ended", "Ray at local", got="its raylet ended while the run was at work")

    there = iter([SimpleNamespace(line=1, id="r0", where="row 1", extra={})])
    waiting = SimpleNamespace(take=lambda _: next(there, None))
    source, work = SimpleNamespace(for_row=lambda row: Settings()), SimpleNamespace(flow=ended)
    held = [cast("Any", one) for one in (waiting, source, None, work, {})]
    jobs = RowSource(*held, rows.run, None).jobs()
    with rows.lease:
        rows.run.work(jobs, Ending(240.0))
    assert not rows.run.totals["failed"]
    assert any("its raylet ended while the run was at work" in line for line in rows.listener.lines)


def test_workers_that_cannot_be_had_any_more_stop_a_run_that_has_begun(tmp_path: Path) -> None:
    """The same command goes on, which is not what it ends with where nothing was begun."""
    rows, want = Rows(tmp_path, [3, 3], most_chunks=10), SetupError("worker_start", "workers", got="did not start")

    def wants(backlog: object) -> None:
        if not refuses_from_the_first or any(task.startswith("render") for task in rows.engine.log):
            raise want

    rows.engine.want = wants  # type: ignore[method-assign]
    refuses_from_the_first = True
    rows.work()
    assert rows.run.stopped == "worker_start"
    assert any("workers: did not start" in line for line in rows.listener.lines)
    rows, refuses_from_the_first = Rows(tmp_path / "other", [3], most_chunks=10), False
    rows.engine.want = wants  # type: ignore[method-assign]
    with pytest.raises(SetupError):
        rows.work()


def test_a_stop_ends_in_time_where_the_disk_refuses(tmp_path: Path) -> None:
    """Nothing can be written down any more while a task hangs: whoever asks for the end gets it all the same."""
    rows, now_s = Rows(tmp_path, [3], most_chunks=100), 0.0

    def refuses(*_: object) -> None:
        raise StorageError("disk_full", "state", got="no room")

    def poll(timeout_s: float) -> list[Outcome]:
        nonlocal now_s
        if not any(task.startswith("render") for task in rows.engine.log):
            return poll_now(timeout_s)
        rows.store.append = refuses  # type: ignore[method-assign]
        now_s += 60
        refuses()
        return []

    poll_now, rows.engine.poll = rows.engine.poll, poll
    rows.work(Ending(240.0, lambda: now_s > 0, lambda: False, lambda: now_s))
    assert rows.run.stopped == "disk_full"
    assert now_s == 360


@pytest.mark.parametrize("is_asked", [True, False])
def test_a_task_that_outlasts_a_stop(*, is_asked: bool, tmp_path: Path) -> None:
    """Whoever asks gets an end in time: what runs is given up for the next run. A window that closes lets it end."""
    rows, now_s = Rows(tmp_path, [3], most_chunks=100), 0.0

    def wish() -> bool:
        return any(task.startswith("render") for task in rows.engine.log)

    def poll(timeout_s: float) -> list[Outcome]:
        nonlocal now_s
        if not wish() or now_s > 500:
            return poll_now(timeout_s)
        now_s += 60
        return []

    poll_now, rows.engine.poll = rows.engine.poll, poll
    never = lambda: False  # noqa: E731  # short
    stop, is_over = (wish, never) if is_asked else (never, wish)
    rows.work(Ending(240.0, stop, is_over, lambda: now_s))
    assert rows.run.stopped == (ASKED if is_asked else CLOSED)
    assert now_s == (360 if is_asked else 540)
    assert bool(rows.run.dispatcher.running) is is_asked
    abandoned = [line for line in rows.store.log("runs/run/events.jsonl") if b"abandoned" in line]
    assert len(abandoned) == is_asked
    assert any("engine.stop_s" in line for line in rows.listener.lines) is is_asked


def test_rows_that_are_done_already_ask_little_of_the_store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Going on with a run costs two lines of its log and one record a row that was done, and reads nothing."""
    asked: Counter[str] = Counter()

    def counted(name: str) -> None:
        method = getattr(LocalStore, name)

        def call(self: LocalStore, *args: Any, **more: Any) -> Any:
            asked[name] += 1
            return method(self, *args, **more)

        monkeypatch.setattr(LocalStore, name, call)

    # Without names: what it is asked for is listed by the clock.
    for name in ("read", "write", "create", "append", "listing", "folders", "size", "fetch", "put_file"):
        counted(name)

    def going_on(count: int) -> Counter[str]:
        rows = Rows(tmp_path / str(count), [1] * count, most_chunks=9)
        done = DubResult(job_id="j", output="o", frames=1, chunks=1, bytes_total=1, sha256="0" * 64)
        rows.engine.answer = lambda task: ProbeResult(job_id="j", published=done)
        asked.clear()
        rows.work()
        assert rows.run.totals["done"] == count
        return Counter(asked)

    few, many = going_on(10), going_on(60)
    many.subtract(few)
    assert {name: more for name, more in many.items() if more} == {"write": 50, "append": 100}
