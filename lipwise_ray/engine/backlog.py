"""The backlog: a folder or prefix into which manifests are dropped, worked through night by night."""

from __future__ import annotations

import time
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path
from typing import Literal
from urllib.parse import quote

import numpy as np

from lipwise_ray.dubbing.ids import content_id
from lipwise_ray.dubbing.manifest import Manifest
from lipwise_ray.dubbing.records import READERS
from lipwise_ray.engine.driver import Report
from lipwise_ray.errors import LipwiseError, SetupError, StateError
from lipwise_ray.exit_codes import ExitCode, of_rows
from lipwise_ray.reports.write import write_night
from lipwise_ray.state import layout
from lipwise_ray.state.lease import DriverLease
from lipwise_ray.state.store import Store, as_json, open_store, read_json, to_json
from lipwise_ray.storage.address import is_local, whole_path
from lipwise_ray.storage.objects import Bucket
from lipwise_ray.values import Json

Status = Literal["waiting", "begun", "done", "refused"]
_LONGEST_WINDOW = timedelta(hours=16)
"""An end that is further away was meant for the night before."""

_CLOCK = "%H:%M"
_ASSUMED_CHUNK_S = 60.0
_SLOW = 95
_LATEST = 200


@dataclass(frozen=True, slots=True)
class Dropped:
    """A manifest of the backlog.

    Attributes:
        name: Its file's.
        address: Where it lies.
        changed_s: When it was dropped, as far as the place tells.
        tag: Changes with its contents.
        status: ``waiting``, ``begun`` by an earlier night, ``done``, or ``refused`` as a whole.
        record: What is known of it from earlier nights.
    """

    name: str
    address: str
    changed_s: float
    tag: str
    status: Status
    record: Json


def dropped(backlog: str, store: Store) -> list[Dropped]:
    """Return the manifests of a backlog, the oldest first.

    Args:
        backlog: A folder or a prefix.
        store: The state that earlier nights left.

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
            raise StateError("no_backlog", backlog, "must be a folder with manifests", "nothing", "Make it")
        for path in folder.iterdir():
            if path.suffix.lower() in READERS and path.is_file() and not path.name.startswith("."):
                yield path.name, str(whole_path(path)), path.stat().st_mtime, content_id(path)
        return
    bucket = Bucket(backlog)
    for key, changed_s, tag in bucket.listing():
        if "/" not in key and Path(key).suffix.lower() in READERS:
            yield key, f"{bucket.address}/{key}", changed_s, tag


def _judged(found: list[tuple[str, str, float, str]], store: Store) -> Iterator[Dropped]:
    records = store.read_all([layout.backlog(quote(name, safe="")) for name, *_ in found])
    for (name, address, changed_s, tag), data in zip(found, records, strict=True):
        record = as_json(data) or {}
        status: Status = record.get("status", "waiting") if record.get("tag") == tag else "waiting"
        yield Dropped(name, address, changed_s, tag, status, record)


def window_end(until: str, now: datetime) -> datetime:
    """Return when a window closes.

    Args:
        until: ``HH:MM`` of this or the next day.
        now: The time, of the time zone that is meant.

    Raises:
        StateError: It is no time, or it is over.
    """
    try:
        clock = datetime.strptime(until, _CLOCK).time()  # noqa: DTZ007  # the zone is `now`'s
    except ValueError as error:
        raise StateError("bad_window", "--until", "must be a time of day such as 06:00", repr(until)) from error
    end = now.replace(hour=clock.hour, minute=clock.minute, second=0, microsecond=0)
    end = end if end > now else end + timedelta(days=1)
    if end - now > _LONGEST_WINDOW:
        got = f"it is {now:%H:%M}"
        raise StateError("window_over", f"--until {until}", "must be ahead, within 16 hours", got, "Begin earlier")
    return end


def chunk_seconds(store: Store) -> float:
    """Return how long a chunk takes at most, by the latest jobs of a state; a minute where there is none."""
    keys = [key for key in store.names("jobs") if key.endswith("/result.json")][-_LATEST:]
    each = [
        float(result["render_s"]) / max(1, int(result["chunks"]))
        for result in map(as_json, store.read_all(keys))
        if result and result.get("render_s") and result.get("chunks")
    ]
    return float(np.percentile(each, _SLOW)) if each else _ASSUMED_CHUNK_S


@dataclass(frozen=True, slots=True)
class Night:
    """What a night came to."""

    id: str
    done: int
    failed: int
    left: int
    """Rows of manifests that were begun, or not even that."""
    refused: int
    report: str

    def code_above(self, fail_above: float) -> ExitCode:
        """Return what the night ends with where a fraction of the rows may fail; a refused manifest may not."""
        code = of_rows(failed=self.failed, done=self.done, left=self.left, fail_above=fail_above)
        return ExitCode.ROWS_FAILED if self.refused and code is ExitCode.DONE else code


@dataclass(slots=True)
class Nightly:
    """Works through a backlog.

    Attributes:
        backlog: The folder or prefix.
        state: Where the state of all its manifests is.
        read: Reads a manifest, by its name and address.
        submit: Dubs a manifest: its name, its rows, and what says that no more is to be begun.
        say: Tells people.
        stop: Whether somebody asked to stop.
        end: When the window closes; None for never.
        keep: How many nights' reports stay.
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
    clock: Callable[[], float] = time.time
    _runs: list[Json] = field(default_factory=list[Json])

    def run(self) -> Night:
        """Work until all is done, or until the window closes.

        Raises:
            StateError: There is no backlog, or another night is at it.
        SetupError: Nothing could be begun.
            StorageError: The state cannot be written.
        """
        store = open_store(self.state)
        night_id = f"{time.strftime('%Y%m%dT%H%M%S')}-{uuid.uuid4().hex[:6]}"
        with DriverLease(open_store(f"{self.state.rstrip('/')}/{layout.NIGHT_LOCK}"), night_id, wait=self.say):
            refused = left = 0
            problem: SetupError | None = None
            for one, manifest in self._in_order(store):
                if manifest is None:
                    refused += 1
                elif self._is_over(store):
                    left += manifest.good + manifest.bad
                else:
                    try:
                        left += self._work_on(store, night_id, one, manifest)
                    except SetupError as error:  # of this manifest's settings or weights, or of everything
                        problem = error
                        refused += 1
                        self.say(f"REFUSED {one.name}: {error}")
                        self._record(store, one, {"status": "waiting", "message": str(error)})
            if problem is not None and not self._runs:
                raise problem
            done, failed = (sum(int(run[name]) for run in self._runs) for name in ("done", "failed"))
            record: Json = {
                "night": night_id,
                "backlog": self.backlog,
                "runs": self._runs,
                "done": done,
                "failed": failed,
                "left": left,
                "refused": refused,
            }
            store.write(f"{layout.night(night_id)}/night.json", to_json(record))
            report = write_night(store, night_id, [str(run["run_id"]) for run in self._runs], left)
            self._forget(store)
        return Night(night_id, done, failed, left, refused, report)

    def _in_order(self, store: Store) -> Iterator[tuple[Dropped, Manifest | None]]:
        """Yield what is not done with its rows, by priority and age; refused manifests come first, without any."""
        found: list[tuple[Dropped, Manifest]] = []
        for one in dropped(self.backlog, store):
            if one.status in ("done", "refused"):
                continue
            try:
                found.append((one, self.read(one.name, one.address)))
            except LipwiseError as error:
                self.say(f"REFUSED {one.name}: {error}")
                self._record(store, one, {"status": "refused", "message": str(error)})
                yield one, None
        yield from sorted(found, key=lambda item: (-item[1].priority, item[0].changed_s, item[0].name))

    def _is_over(self, store: Store) -> bool:
        return self.stop() or self._closes_before(chunk_seconds(store))

    def _closes_before(self, seconds: float) -> bool:
        return self.end is not None and self.clock() + seconds > self.end.timestamp()

    def _work_on(self, store: Store, night_id: str, one: Dropped, manifest: Manifest) -> int:
        """Dub a manifest as far as the window lets, and return how many of its rows are left."""
        chunk_s = chunk_seconds(store)
        self._record(store, one, {"status": "begun", "night": night_id})
        self.say(f"{one.name}: {manifest.good + manifest.bad} rows")
        report = self.submit(one.name, manifest, lambda: self.stop() or self._closes_before(chunk_s))
        told: Json = {"run_id": report.run_id, "done": report.done, "failed": report.failed, "left": report.left}
        self._record(store, one, {"status": "begun" if report.left else "done", "night": night_id, **told})
        self._runs.append({"manifest": one.name, **told})
        return report.left

    def _record(self, store: Store, one: Dropped, told: Json) -> None:
        record: Json = {"name": one.name, "tag": one.tag, **told}
        store.write(layout.backlog(quote(one.name, safe="")), to_json(record))

    def _forget(self, store: Store) -> None:
        """Remove the reports of nights before those that are kept."""
        nights = sorted({key.split("/")[1] for key in store.names(layout.NIGHTS)})
        for night_id in nights[: -self.keep] if self.keep else nights:
            for key in store.names(layout.night(night_id)):
                store.remove(key)


def night_record(store: Store, night_id: str) -> Json:
    """Return what a night recorded, for whoever is to be told of it."""
    return read_json(store, f"{layout.night(night_id)}/night.json") or {"night": night_id}
