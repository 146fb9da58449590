"""The driver process of a service: it has the run, the engine and the models, and ends with its standard input.

A program of its own, ``python -m lipwise_ray.service.driver``, which `driver_process` starts.
"""

from __future__ import annotations

import logging
import os
import signal
import sqlite3
import sys
import threading
from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import replace
from types import FrameType
from typing import BinaryIO

from lipwise_ray.backends.factory import engine_for, make_engine
from lipwise_ray.backends.ray import last_exit
from lipwise_ray.backends.worker_config import WorkerConfig
from lipwise_ray.errors import LipwiseError, SetupError, StorageError
from lipwise_ray.exit_codes import ExitCode
from lipwise_ray.pipeline.tasks.make_worker import make_worker
from lipwise_ray.runs.kept_engine import KeptEngine
from lipwise_ray.runs.progress_events import (
    Event,
    Problem,
    RowEnded,
    RowProgress,
    RowsProgress,
    RowStarted,
    RunStarted,
    logged,
)
from lipwise_ray.runs.run_rows import RowsRunner
from lipwise_ray.scheduler.ending import ASKED, CANCELLED, NOTHING_WORKS
from lipwise_ray.scheduler.engine import Engine, failure_of
from lipwise_ray.scheduler.task import Failure
from lipwise_ray.service.held_rows import HeldRows
from lipwise_ray.service.row_queue import QueuedRows, RowQueue
from lipwise_ray.service.row_reader import ClientPolicy, RowReader
from lipwise_ray.service.upload_reading import with_uploads
from lipwise_ray.service.wire import (
    AddRow,
    BeginDriver,
    CancelRow,
    DriverStands,
    FromDriver,
    PrioritiseRow,
    RowBegan,
    RowOver,
    RowWent,
    ToDriver,
    line_of,
    to_driver,
)
from lipwise_ray.state import layout
from lipwise_ray.state.job_result import RowFailure
from lipwise_ray.state.row_outcome import RowOutcome
from lipwise_ray.state.store import open_store

_LOG = logging.getLogger("lipwise_ray")
_CANCELLED = "cancelled"
_LEAST_PAUSE_S, _MOST_PAUSE_S = 2.0, 60.0
_ASSUMED_ROWS = 2  # as of a manifest: a service is none for a single row


class Driver:
    """Runs the rows of a queue, run after run.

    Args:
        begin: Settings and places.
        say: Takes its messages, from any of its threads.
    """

    def __init__(self, begin: BeginDriver, say: Callable[[FromDriver], None]) -> None:
        self._begin = begin
        self._say = say
        self._queue = RowQueue()
        self._held = HeldRows(self._take_in, self._refuse, self._note_held)
        source = begin.source
        settings = source.for_run()
        self._reader = RowReader(source, ClientPolicy.of(settings.paths, begin.uploads), begin.out)
        self._store = open_store(begin.state)
        self._engine = KeptEngine(self._made)
        allowed = with_uploads(source, begin.uploads)
        self._runner = RowsRunner(allowed, None, logged(self._tell), lambda: self._queue.is_closed)
        self._engine_settings = engine_for(settings.engine, _ASSUMED_ROWS, is_attended=False)
        self._run_id = ""
        self._problem = self._stopped = ""
        self._nothing_works = False
        self._rows = QueuedRows(self._queue)
        self._standing = threading.Lock()
        self._run_problem = self._held_problem = ""
        self._went: dict[str, RowProgress] = {}

    def _made(self, config: WorkerConfig) -> Engine:
        return make_engine(self._engine_settings, config, make_worker, self._note_problem)

    def stop(self) -> None:
        """Begin nothing more: running tasks have `engine.stop_s` to end."""
        self._held.close()
        self._queue.close()

    def hear(self, lines: Iterable[bytes]) -> None:
        """Take messages until there are no more: then whoever sent them is gone, and this stops."""
        try:
            for line in lines:
                self._take(to_driver(line))
        finally:
            self.stop()

    def _take(self, message: ToDriver) -> None:
        match message:
            case AddRow():
                self._held.offer(message)
            case CancelRow(row_id):
                queued = self._held.cancel(row_id) or self._queue.cancel(row_id)
                if queued is not None:
                    self._say_cancelled(row_id, queued.attempt)
            case PrioritiseRow(row_id, priority):
                self._held.prioritise(row_id, priority)
                self._queue.prioritise(row_id, priority)
            case BeginDriver():
                pass

    def _take_in(self, message: AddRow) -> None:
        row = self._reader.row({**message.columns, "priority": message.priority})
        self._queue.add(replace(row, line=message.number), message.attempt)

    def _refuse(self, message: AddRow, error: Exception) -> None:
        self._say_failed(message.id, message.attempt, failure_of(error))

    def _say_failed(self, row_id: str, attempt: int, failure: Failure) -> None:
        self._say(
            RowOver(
                id=row_id,
                attempt=attempt,
                status="failed",
                code=failure.code,
                message=failure.message,
                blame=failure.blame,
            )
        )

    def _say_cancelled(self, row_id: str, attempt: int) -> None:
        self._say(RowOver(id=row_id, attempt=attempt, status=_CANCELLED))

    def _note_held(self, problem: str) -> None:
        with self._standing:
            self._held_problem = problem
            self._say_standing()

    def _say_standing(self) -> None:
        self._say(DriverStands(self._run_problem or self._held_problem))

    def work(self) -> ExitCode:
        """Work until the queue is closed. Between runs, and while nothing is to be done, nobody holds the state.

        Returns:
            ``STOPPED`` where nothing works in this process any more, and another one may do better.
        """
        self._say_standing()
        pause_s = _LEAST_PAUSE_S
        code = ExitCode.DONE
        while code is ExitCode.DONE and self._queue.wait():
            problem = self._run()
            left = self._queue.put_back(nothing_works=self._nothing_works)
            for queued in left.cancelled:
                self._say_cancelled(queued.row.id, queued.attempt)
            for queued in left.given_up:
                self._say_failed(queued.row.id, queued.attempt, Failure("application", "nothing_works", problem))
            if self._queue.is_closed:
                break
            self._note_run_problem(problem)
            if not problem:
                pause_s = _LEAST_PAUSE_S
            elif self._stopped == NOTHING_WORKS and self._engine_settings.kind == "inline":
                code = ExitCode.STOPPED  # the engine's GPU is this process's own, and may be lost to it alone
            else:
                self._queue.pause(pause_s)
                pause_s = min(_MOST_PAUSE_S, 2 * pause_s)
        self._engine.close()
        return code

    def _note_run_problem(self, problem: str) -> None:
        if problem:
            _LOG.error("%s", problem)
        with self._standing:
            if problem != self._run_problem:
                self._run_problem = problem
                self._say_standing()

    def _run(self) -> str:
        """Do one run, and return why it could not go to its end; empty where it did, or somebody stopped it."""
        self._problem = self._run_id = ""
        self._nothing_works = False
        self._rows = QueuedRows(self._queue)
        self._went.clear()
        begin = self._begin
        try:
            report = self._runner.dub_queue(self._rows, begin.out, begin.state, self._engine)
        except LipwiseError as error:
            self._stopped = error.code
            # Workers elsewhere load models behind the run's back, and end it by them: that may be a row's fault.
            is_elsewhere = bool(self._run_id) and self._engine_settings.kind != "inline"
            self._nothing_works = is_elsewhere and isinstance(error, SetupError)
            return str(error)
        except (OSError, sqlite3.Error, MemoryError) as error:  # this machine's fault: no row's, and no reason to end
            self._stopped = "machine"
            return failure_of(error).message
        self._stopped = report.stopped
        self._nothing_works = report.stopped == NOTHING_WORKS
        return "" if report.stopped in ("", ASKED, CANCELLED) else self._problem or report.stopped

    def _note_problem(self, text: str) -> None:
        self._tell(Problem(text))

    def _tell(self, event: Event) -> None:
        match event:
            case RunStarted(run_id):
                self._run_id = run_id
                if self._stopped != NOTHING_WORKS:  # else a row that is done shows that the problem is over
                    self._note_run_problem("")
                if self._rows.first is not None:  # its models are loaded now, which may end this process
                    self._say(RowBegan(self._rows.first.id, run_id))
            case RowStarted(_, row_id):
                self._say(RowBegan(row_id, self._run_id))
            case RowsProgress(rows):
                self._tell_of(rows)
            case RowEnded(outcome):
                self._end(outcome)
            case Problem(text):
                self._problem = text
            case _:
                pass

    def _tell_of(self, rows: tuple[RowProgress, ...]) -> None:
        for row in rows:
            if self._went.get(row.id) != row:
                self._went[row.id] = row
                self._say(RowWent(row.id, row.stage, row.frames_done, row.frames_total, row.job_id))
        for row_id in self._queue.unwanted([row.id for row in rows]):
            with suppress(StorageError):  # it is told the next time; the run may meet the fault too, and says so
                self._store.write(layout.cancel(row_id), b"{}")
                self._queue.note_told(row_id)

    def _end(self, outcome: RowOutcome) -> None:
        if self._queue.was_told(outcome.row_id):  # perhaps too late: the same row may be asked for again in this run
            with suppress(StorageError):
                self._store.remove(layout.cancel(outcome.row_id))
        is_done = not isinstance(outcome.result, RowFailure)
        if is_done:
            self._note_run_problem("")
        queued = self._queue.ended(outcome.row_id, is_done=is_done)
        self._went.pop(outcome.row_id, None)
        if queued is None:
            return
        result = outcome.result
        if isinstance(result, RowFailure):
            over = RowOver(
                id=outcome.row_id,
                attempt=queued.attempt,
                status=_CANCELLED if result.code == _CANCELLED else "failed",
                run_id=self._run_id,
                job_id=outcome.job_id or "",
                code=result.code,
                message=result.message,
                task=result.task,
                stage=result.stage,
                blame=result.blame,
            )
        else:
            over = RowOver(
                id=outcome.row_id,
                attempt=queued.attempt,
                status="completed",
                run_id=self._run_id,
                job_id=outcome.job_id or "",
                output=result.output,
                duration_s=result.video_s,
                verdict=result.gate.verdict if result.gate else None,
                reasons=result.gate.reasons if result.gate else None,
            )
        self._say(over)


def _own_output() -> BinaryIO:
    """Return standard output for messages alone: whatever else writes there, libraries too, goes to standard error."""
    own = os.fdopen(os.dup(1), "wb", buffering=0)
    os.dup2(2, 1)
    return own


def stop_at_sigterm(driver: Driver) -> None:
    """Let SIGTERM stop a driver. A thread does it: the main one may hold a lock for which whoever has the other waits.

    Args:
        driver: The driver.
    """

    def end(number: int, frame: FrameType | None) -> None:
        del number, frame
        threading.Thread(target=driver.stop, name="stop", daemon=True).start()

    signal.signal(signal.SIGTERM, end)


def main() -> None:
    """Run as a service's driver."""
    output, lock = _own_output(), threading.Lock()
    logging.basicConfig(level=logging.INFO, stream=sys.stderr, format="%(asctime)s %(levelname)s %(message)s")

    def say(message: FromDriver) -> None:
        with lock, suppress(BrokenPipeError):  # its reader is gone: so is the other end of the input
            output.write(line_of(message))

    lines = os.fdopen(os.dup(0), "rb")  # not Python's own, whose lock the interpreter wants at its end
    begin = to_driver(lines.readline())
    assert isinstance(begin, BeginDriver)  # as `driver_process` begins
    driver = Driver(begin, say)

    stop_at_sigterm(driver)
    threading.Thread(target=driver.hear, args=(lines,), name="messages", daemon=True).start()
    last_exit.end(driver.work())


if __name__ == "__main__":
    main()
