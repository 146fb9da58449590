"""The backlog: a folder or prefix into which manifests are dropped, worked through night by night."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Final, Literal
from urllib.parse import quote

import numpy as np

from lipwise_ray.errors import EngineError, InputError, LipwiseError, MediaError, SetupError, StateError
from lipwise_ray.exit_codes import ExitCode, of_error, of_rows
from lipwise_ray.pipeline.manifest.formats import READERS
from lipwise_ray.pipeline.manifest.manifest import Manifest
from lipwise_ray.printable import on_one_line
from lipwise_ray.reports.report_parts import Costs
from lipwise_ray.reports.write import NightReport, write_night
from lipwise_ray.runs.night_record import NightRecord, code_word, earlier_nights, in_words, write_metrics
from lipwise_ray.runs.report import Report
from lipwise_ray.scheduler.ending import ASKED, CANCELLED, CLOSED
from lipwise_ray.scheduler.metrics import NightFacts
from lipwise_ray.state import layout
from lipwise_ray.state.format import settle_format
from lipwise_ray.state.ids import timed_id
from lipwise_ray.state.lease import DriverLease
from lipwise_ray.state.run_records import BacklogRecord, NightFigures, NightRun
from lipwise_ray.state.shapes import record_of, typed
from lipwise_ray.state.speeds import latest_speeds
from lipwise_ray.state.store import Store, as_json, open_store, to_json
from lipwise_ray.storage.address import is_local, whole_path
from lipwise_ray.storage.digest import content_id
from lipwise_ray.storage.objects import Bucket

Status = Literal["waiting", "left", "done", "refused"]
"""Of a manifest, in the words that rows have: left is what was begun and has not ended."""

_LONGEST_WINDOW = timedelta(hours=16)
"""An end that is further away was meant for the night before."""

_CLOCK = "%H:%M"
_LEFT_ONCE: Final = "begun"
"""Status of a manifest with rows left in records of earlier versions."""

_ENDS_ALL = ("head_lost", "lease_lost", CANCELLED)
"""Stops of a run that would stop that of every other manifest too; an embedded Ray is started anew."""

_ASSUMED_CHUNK_S = 60.0
_SLOW = 95


@dataclass(frozen=True, slots=True)
class Dropped:
    """A manifest of the backlog.

    Attributes:
        name: Its file's.
        address: Where it lies.
        changed_s: When it was dropped, as far as the place tells.
        tag: Changes with its contents.
        status: ``waiting``, ``left`` with rows to do by an earlier night, ``done``, or ``refused`` as a whole.
        record: What is known of it from earlier nights; None for nothing.
    """

    name: str
    address: str
    changed_s: float
    tag: str
    status: Status
    record: BacklogRecord | None


def dropped(backlog: str, store: Store | None) -> list[Dropped]:
    """Return the manifests of a backlog, the oldest first.

    Args:
        backlog: A folder or a prefix.
        store: The state that earlier nights left; None where there was none.

    Raises:
        StateError: There is no such folder.
        StorageError: The bucket cannot be read.
    """
    return sorted(_judged(list(_listed(backlog)), store), key=lambda one: (one.changed_s, one.name))


def _listed(backlog: str) -> Iterator[tuple[str, str, float, str]]:
    """Yield name, address, time and tag of each manifest."""
    if is_local(backlog):
        folder = whole_path(backlog)
        if not folder.is_dir():
            raise StateError("no_backlog", backlog, got="no such folder", do="Make it, and put manifests into it")
        for path in folder.iterdir():
            if path.suffix.lower() in READERS and path.is_file() and not path.name.startswith("."):
                yield path.name, str(path), *_when_and_what(path)
        return
    bucket = Bucket(backlog)
    for one in bucket.listing():
        if "/" not in one.key and Path(one.key).suffix.lower() in READERS:
            yield one.key, f"{bucket.address}/{one.key}", one.changed_s, one.tag


def _when_and_what(path: Path) -> tuple[float, str]:
    """Return a manifest's time and tag; of one that cannot be read none, so that reading it says why."""
    try:
        return path.stat().st_mtime, content_id(path)
    except (OSError, MediaError):
        return 0.0, ""


def _key(name: str) -> str:
    return layout.backlog(quote(name, safe="", errors="surrogateescape"))  # names need not be UTF-8


def _judged(found: list[tuple[str, str, float, str]], store: Store | None) -> Iterator[Dropped]:
    records = store.read_all([_key(name) for name, *_ in found]) if store else [None] * len(found)
    for (name, address, changed_s, tag), data in zip(found, records, strict=True):
        record = typed(as_json(data), BacklogRecord)
        known = record.status if record and record.tag == tag else "waiting"
        status: Status = "left" if known == _LEFT_ONCE else known
        yield Dropped(name, address, changed_s, tag, status, record)


def window_end(until: str, now_s: float, opens: str | None = None) -> datetime:
    """Return the time at which a window closes, by this machine's clock.

    Args:
        until: ``HH:MM`` of this or the next day, also where the clocks are changed before it.
        now_s: The time, in seconds since 1970.
        opens: ``HH:MM`` before ``until`` from which on a night may begin, so that one that was held up (by a machine
            that was off, a full cluster) does not begin in the afternoon. None where within 16 hours will do.

    Raises:
        StateError: One is no time, or it is not between them.
    """
    now = datetime.fromtimestamp(now_s)  # noqa: DTZ006  # by the clock on the wall, whose offset changes in some nights
    end = _at(until, "--until", now)
    end = end if end > now else end + timedelta(days=1)
    if opens is not None:
        begin = _at(opens, "--from", end)
        begin = begin if begin < end else begin - timedelta(days=1)
        if now < begin:
            raise StateError(
                "window_over",
                f"--from {opens}",
                got=f"it is {now:%H:%M}, outside the window from {opens} to {until}",
                do="Start within the window",
            )
    elif end - now > _LONGEST_WINDOW:
        raise StateError(
            "window_over",
            f"--until {until}",
            got=f"it is {now:%H:%M}, and the next {until} is more than 16 hours ahead",
            do="Start earlier",
        )
    return end.astimezone()


def _is_of_contents(error: LipwiseError) -> bool:
    """Tell whether a manifest is refused for what is in it, so that the next night need not read it again."""
    cause = error.__cause__
    is_of_the_system = isinstance(cause, OSError) and cause.errno is not None  # a reader's own have no number
    return isinstance(error, InputError) and not is_of_the_system


def _at(clock: str, option: str, day: datetime) -> datetime:
    try:
        found = datetime.strptime(clock, _CLOCK).time()  # noqa: DTZ007  # the zone is the day's
    except ValueError as error:
        raise StateError(
            "bad_window", option, got=f"{clock!r} is not a time of day", do="Write it as in 06:00"
        ) from error
    return day.replace(hour=found.hour, minute=found.minute, second=0, microsecond=0)


def chunk_seconds(store: Store) -> float:
    """Return the longest time of a chunk, by the latest jobs of a state; a minute where there is none."""
    each = [one.render_s / one.chunks for one in latest_speeds(store)]
    return float(np.percentile(each, _SLOW)) if each else _ASSUMED_CHUNK_S


@dataclass(slots=True)
class Nightly:
    """Works through a backlog.

    Attributes:
        backlog: The folder or prefix.
        state: Where the state of all its manifests is.
        read: Reads a manifest, by its name and address.
        submit: Dubs a manifest: its name, its rows, and what says that the window leaves no time to begin more.
        say: Tells people.
        stop: Whether somebody asked to stop.
        end: When the window closes; None for never.
        keep: How many nights' reports stay.
        fail_above: Fraction of the rows that may fail.
        costs: What GPU seconds cost; None where no prices are known.
        metrics_file: Of the runs; the night's figures are written beside it. None for no such file.
        clock: Seconds since 1970.
    """

    backlog: str
    state: str
    read: Callable[[str, str], Manifest]
    submit: Callable[[str, Manifest, Callable[[], bool]], Report]
    say: Callable[[str], None]
    stop: Callable[[], bool] = lambda: False
    end: datetime | None = None
    keep: int = 30
    fail_above: float = 0.0
    costs: Costs | None = None
    metrics_file: str | None = None
    clock: Callable[[], float] = time.time
    _id: str = field(default_factory=timed_id)
    _runs: list[NightRun] = field(default_factory=list[NightRun])
    _refused: dict[str, str] = field(default_factory=dict[str, str])
    _left: int = 0
    _began_s: float = 0.0
    _failure: NightRecord | None = None
    _stopped: str = ""
    """Reason for which a run ended early, other than the window and whoever asks."""
    _success_s: float | None = None

    def run(self) -> NightRecord:
        """Work until all is done, or until the window closes.

        Raises:
            StateError: There is no backlog, or another night is at it, or the state is a newer program's.
            SetupError: Nothing could be begun.
            StorageError: The state cannot be written.
        """
        self._began_s = self.clock()
        store = open_store(self.state)
        settle_format(store)
        with DriverLease(open_store(f"{self.state.rstrip('/')}/{layout.NIGHT_LOCK}"), self._id, wait=self.say) as lease:
            try:
                return self._work_through(store, lease)
            except BaseException as error:
                self._record_failure(store, lease, error)
                raise

    @property
    def facts(self) -> NightFacts:
        """Figures of it while it is on."""
        return NightFacts(self._began_s, self._success_s)

    def _show(self, latest: NightFigures | None, *, is_running: bool) -> None:
        """Write figures for Prometheus; that this fails is no failure of the night."""
        if self.metrics_file:
            try:
                write_metrics(whole_path(self.metrics_file), self.state, self.facts, latest, is_running=is_running)
            except LipwiseError as error:
                self.say(f"error: {error}")

    def _work_through(self, store: Store, lease: DriverLease) -> NightRecord:
        earlier = earlier_nights(store)
        self._success_s = earlier.success_s
        self._show(earlier.latest, is_running=True)
        problem: SetupError | None = None
        for one, manifest in self._in_order(store):
            if not lease.check():
                raise EngineError(
                    "night_lost",
                    self.state,
                    got="another night, or `lipwise-ray clean`, took this state over",
                    do="The next night goes on where this one stopped",
                )
            if self._stopped in _ENDS_ALL or self._is_over(store):
                self._left += manifest.good + manifest.bad
                continue
            try:
                self._left += self._work_on(store, one, manifest)
            except SetupError as error:  # of this manifest's settings or weights, or of everything
                problem = error
                self._refuse(one, str(error))
                self._record(store, BacklogRecord(name=one.name, tag=one.tag, status="waiting", message=str(error)))
        if problem is not None and not self._runs:
            raise problem
        return self._end(store)

    def _record_failure(self, store: Store, lease: DriverLease, error: BaseException) -> None:
        """Write what can be written of a night that ends with an error, while no other night may write."""
        try:
            if lease.check():  # else the records are another night's
                self._failure = self._end(store, error)
        except LipwiseError as problem:  # the state itself is what failed, perhaps
            self.say(f"error: the night's record: {problem}")
            self._show(self.failed(error).figures, is_running=False)

    def failed(self, error: BaseException) -> NightRecord:
        """Return the record of a night that `run` ended with an error; what could be written of it is written."""
        return self._failure or self._summed(error, NightReport("", 0.0))

    def _end(self, store: Store, error: BaseException | None = None) -> NightRecord:
        """Write the night's report and record; `error` is what ended it."""
        runs = [run.run_id for run in self._runs]
        report = write_night(store, self._id, runs, self._left, self._refused, self.costs)
        record = self._summed(error, report)
        store.write(f"{layout.night(self._id)}/night.json", to_json(record_of(record)))
        self._forget(store)
        if record.is_good:
            self._success_s = record.ended
        self._show(record.figures, is_running=False)
        return record

    def _summed(self, error: BaseException | None, report: NightReport) -> NightRecord:
        done, failed = sum(run.done for run in self._runs), sum(run.failed for run in self._runs)
        if error is not None:
            code = of_error(error)
        else:
            code = of_rows(failed=failed, done=done, left=self._left, fail_above=self.fail_above)
            code = ExitCode.ROWS_FAILED if self._refused and code is ExitCode.DONE else code
        stopped = self._stopped or (ASKED if self._left and self.stop() else "")
        causes = (
            (error, in_words(error)),
            (stopped == ASKED, "it was asked to stop"),
            (stopped not in ("", ASKED), f"a run ended early: {stopped}"),
            (failed, f"{failed} of {failed + done} rows failed"),
            (self._left, f"{self._left} rows are left for another night"),
        )
        reasons = [text for is_so, text in causes if is_so]
        reasons += [f"{name} was refused: {why}" for name, why in self._refused.items()]
        return NightRecord(
            night=self._id,
            backlog=self.backlog,
            exit_code=int(code),
            reasons=tuple(reasons),
            began=self._began_s,
            ended=self.clock(),
            done=done,
            failed=failed,
            left=self._left,
            refused=len(self._refused),
            refused_manifests=dict(self._refused),
            runs=tuple(self._runs),
            report=report.place,
            gpu_s=report.gpu_s,
            costs=tuple(self.costs(report.gpu_s, report.gpu_s) if self.costs else ()),
            stopped=stopped or code_word(error),
        )

    def _refuse(self, one: Dropped, why: str) -> None:
        self._refused[on_one_line(one.name)] = why  # tables hold no name that is not UTF-8
        self.say(f"REFUSED {one.name}: {why}")

    def _in_order(self, store: Store) -> list[tuple[Dropped, Manifest]]:
        """Return the manifests to do with their rows, by priority and age; those that cannot be read are refused."""
        found: list[tuple[Dropped, Manifest]] = []
        for one in dropped(self.backlog, store):
            if one.status in ("done", "refused"):
                continue
            try:
                found.append((one, self.read(one.name, one.address)))
            except LipwiseError as error:
                self._refuse(one, str(error))
                status = "refused" if _is_of_contents(error) else "waiting"
                self._record(store, BacklogRecord(name=one.name, tag=one.tag, status=status, message=str(error)))
        return sorted(found, key=lambda item: (-item[1].priority, item[0].changed_s, item[0].name))

    def _is_over(self, store: Store) -> bool:
        return self.stop() or self._closes_before(chunk_seconds(store))

    def _closes_before(self, seconds: float) -> bool:
        return self.end is not None and self.clock() + seconds > self.end.timestamp()

    def _work_on(self, store: Store, one: Dropped, manifest: Manifest) -> int:
        """Dub a manifest as far as the window lets, and return how many of its rows are left."""
        chunk_s = chunk_seconds(store)
        started = BacklogRecord(name=one.name, tag=one.tag, status="left", night=self._id)
        self._record(store, started)
        self.say(f"{one.name}: {manifest.good + manifest.bad} rows")
        report = self.submit(one.name, manifest, lambda: self._closes_before(chunk_s))
        run = NightRun(
            manifest=one.name, run_id=report.run_id, done=report.done, failed=report.failed, left=report.left
        )
        self._runs.append(run)
        ended = replace(started, run_id=run.run_id, done=run.done, failed=run.failed, left=run.left)
        self._record(store, ended if report.left else replace(ended, status="done"))
        self._stopped = report.stopped if report.stopped not in ("", CLOSED) else self._stopped
        return report.left

    def _record(self, store: Store, record: BacklogRecord) -> None:
        store.write(_key(record.name), to_json(record_of(record)))

    def _forget(self, store: Store) -> None:
        """Remove the reports of nights before those that are kept."""
        nights = store.folders(layout.NIGHTS)
        for night_id in nights[: -self.keep] if self.keep else nights:
            store.remove_all(store.names(layout.night(night_id)))
            store.remove_empty(layout.night(night_id))
