"""The driver process of a service: it has the run, the engine and the models, and ends with its standard input.

A program of its own, ``python -m lipwise_ray.service.driver``, which `driver_process` starts.
"""

from __future__ import annotations

import logging
import os
import signal
import sys
import threading
from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import replace
from types import FrameType
from typing import BinaryIO

from lipwise_ray.backends.factory import engine_for, make_engine
from lipwise_ray.backends.worker_config import WorkerConfig
from lipwise_ray.errors import LipwiseError, StorageError
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
from lipwise_ray.service.row_queue import QueuedRow, QueuedRows, RowQueue
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
        self._went: dict[str, RowProgress] = {}

    def _made(self, config: WorkerConfig) -> Engine:
        return make_engine(self._engine_settings, config, make_worker, self._note_problem)

    def stop(self) -> None:
        """BeginDriver nothing more: running tasks have `engine.stop_s` to end."""
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
                self._add(message)
            case CancelRow(row_id):
                queued = self._queue.cancel(row_id)
                if queued is not None:
                    self._say_cancelled(queued)
            case PrioritiseRow(row_id, priority):
                self._queue.prioritise(row_id, priority)
            case BeginDriver():
                pass

    def _add(self, message: AddRow) -> None:
        try:
            row = self._reader.row({**message.columns, "priority": message.priority})
        except Exception as error:  # noqa: BLE001  # whatever it is, it is this row's: others are to be heard
            failure = failure_of(error)
            self._say(
                RowOver(
                    id=message.id,
                    attempt=message.attempt,
                    status="failed",
                    code=failure.code,
                    message=failure.message,
                    blame=failure.blame,
                )
            )
        else:
            self._queue.add(replace(row, line=message.number), message.attempt)

    def _say_cancelled(self, queued: QueuedRow) -> None:
        self._say(RowOver(id=queued.row.id, attempt=queued.attempt, status=_CANCELLED))

    def work(self) -> None:
        """Work until the queue is closed. Between runs, and while nothing is to be done, nobody holds the state."""
        self._say(DriverStands())
        pause_s = _LEAST_PAUSE_S
        while self._queue.wait():
            problem = self._run()
            for queued in self._queue.put_back(nothing_works=self._stopped == NOTHING_WORKS):
                self._say_cancelled(queued)
            if problem and not self._queue.is_closed:
                _LOG.error("%s", problem)
                self._say(DriverStands(problem))
                self._queue.pause(pause_s)
                pause_s = min(_MOST_PAUSE_S, 2 * pause_s)
            else:
                pause_s = _LEAST_PAUSE_S
        self._engine.close()

    def _run(self) -> str:
        """Do one run, and return why it could not go to its end; empty where it did, or somebody stopped it."""
        self._problem = self._run_id = self._stopped = ""
        self._went.clear()
        begin = self._begin
        try:
            report = self._runner.dub_queue(QueuedRows(self._queue), begin.out, begin.state, self._engine)
        except LipwiseError as error:
            return str(error)
        self._stopped = report.stopped
        return "" if report.stopped in ("", ASKED, CANCELLED) else self._problem or report.stopped

    def _note_problem(self, text: str) -> None:
        self._tell(Problem(text))

    def _tell(self, event: Event) -> None:
        match event:
            case RunStarted(run_id):
                self._run_id = run_id
                self._say(DriverStands())
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
        queued = self._queue.ended(outcome.row_id, is_done=not isinstance(outcome.result, RowFailure))
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

    def end(number: int, frame: FrameType | None) -> None:
        del number, frame
        driver.stop()

    signal.signal(signal.SIGTERM, end)
    threading.Thread(target=driver.hear, args=(lines,), name="messages", daemon=True).start()
    driver.work()


if __name__ == "__main__":
    main()
