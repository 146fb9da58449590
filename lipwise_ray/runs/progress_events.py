"""Events of a run for whoever watches it: one function is called with them, and the log `lipwise_ray` gets lines."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeAlias

from lipwise_ray.runs.report import Report
from lipwise_ray.scheduler.flow import Flow
from lipwise_ray.state.job_result import RowFailure
from lipwise_ray.state.row_outcome import RowOutcome
from lipwise_ray.storage.redact import redact

LOG = logging.getLogger("lipwise_ray")
LOG.addHandler(logging.NullHandler())  # quiet where a program sets up no logging


@dataclass(frozen=True, slots=True)
class ManifestRead:
    """A manifest was read and checked; its rows are about to be worked on."""

    rows: int


@dataclass(frozen=True, slots=True)
class RunStarted:
    """The engine is there; its workers are about to load their models.

    Attributes:
        run_id: Names the run in the state.
        engine: One line on where the work runs.
        rows: Rows of the manifest, or of the shard of it.
    """

    run_id: str
    engine: str
    rows: int


@dataclass(frozen=True, slots=True)
class RowStarted:
    """A row's first task was queued.

    Attributes:
        row: Its line in the manifest.
        id: Its name there.
    """

    row: int
    id: str


@dataclass(frozen=True, slots=True)
class RowProgress:
    """Progress of a row.

    Attributes:
        id: Its name in the manifest.
        stage: What is being done.
        frames_done: Frames of this stage that are done.
        frames_total: Frames that this stage has; 0 where it counts none.
        frames_rendered: Frames that this run has rendered of the row.
        job_id: Names its records in the state; empty before they are known.
    """

    id: str
    stage: str
    frames_done: int
    frames_total: int
    frames_rendered: int
    job_id: str = ""


@dataclass(frozen=True, slots=True)
class RowsProgress:
    """Progress of the rows at work, about twice a second.

    Attributes:
        rows: They.
        loading: Workers that fetch and load their models.
    """

    rows: tuple[RowProgress, ...]
    loading: int


@dataclass(frozen=True, slots=True)
class RowEnded:
    """A row is done or failed."""

    outcome: RowOutcome


@dataclass(frozen=True, slots=True)
class RunEnded:
    """A run has ended, and its report is written."""

    report: Report


@dataclass(frozen=True, slots=True)
class Note:
    """A note on a run: the terms of its checkpoints, for example."""

    text: str


@dataclass(frozen=True, slots=True)
class Problem:
    """A problem of a run as a whole."""

    text: str


@dataclass(frozen=True, slots=True)
class Message:
    """A message on a backlog's night: a manifest that is started, or refused."""

    text: str


Event: TypeAlias = (
    ManifestRead | RunStarted | RowStarted | RowsProgress | RowEnded | RunEnded | Note | Problem | Message
)
ProgressCallback: TypeAlias = Callable[[Event], object]
"""Takes events, in the thread that runs; what it raises ends the run."""


def ignore(event: Event) -> None:
    """Take no note of an event."""
    del event


def logged(progress: ProgressCallback) -> Callable[[Event], None]:
    """Return a function that writes events into the log too."""

    def tell(event: Event) -> None:
        _log(event)
        progress(event)

    return tell


def _log_row(outcome: RowOutcome) -> None:
    result = outcome.result
    if isinstance(result, RowFailure):
        LOG.warning("row %s failed [%s]: %s", outcome.row_id, result.code, redact(result.message))
    else:
        LOG.info("row %s is done: %s", outcome.row_id, redact(result.output))


def _log(event: Event) -> None:
    match event:
        case RunStarted(run_id, engine, rows):
            LOG.info("run %s on %s: %d rows", run_id, redact(engine), rows)
        case RowStarted(row, name):
            LOG.debug("row %s (line %d) is begun", name, row)
        case RowEnded(outcome):
            _log_row(outcome)
        case RunEnded(report):
            LOG.info("run %s: %d done, %d failed, %d left", report.run_id, report.done, report.failed, report.left)
        case Note(text) | Message(text):
            LOG.info("%s", redact(text))
        case Problem(text):
            LOG.error("%s", redact(text))
        case _:
            pass


class EventListener:
    """Turns the driver's calls into events.

    Args:
        tell: Takes them.
        rows: Rows of the run.
    """

    def __init__(self, tell: ProgressCallback, rows: int) -> None:
        self._tell = tell
        self._rows = rows

    def run_started(self, run_id: str, engine: str) -> None:
        """Report that the engine is there."""
        self._tell(RunStarted(run_id, engine, self._rows))

    def note(self, text: str) -> None:
        """Report a note on the run."""
        self._tell(Note(text))

    def problem(self, text: str) -> None:
        """Report a problem of the whole run."""
        self._tell(Problem(text))

    def row_started(self, row: int, row_id: str) -> None:
        """Report that a row is started."""
        self._tell(RowStarted(row, row_id))

    def row_ended(self, outcome: RowOutcome) -> None:
        """Report the outcome of a row."""
        self._tell(RowEnded(outcome))

    def tick(self, rows: list[tuple[str, Flow, int]], loading: int) -> None:
        """Report the progress of the running rows."""
        self._tell(RowsProgress(tuple(_progress_of(*row) for row in rows), loading))


def _progress_of(row_id: str, flow: Flow, in_flight: int) -> RowProgress:
    state = flow.progress
    return RowProgress(
        id=row_id,
        stage=state.stage,
        frames_done=min(state.done + in_flight, state.todo),
        frames_total=state.todo,
        frames_rendered=flow.tally.frames_rendered + (in_flight if state.stage == "rendering" else 0),
        job_id=flow.job_id,
    )
