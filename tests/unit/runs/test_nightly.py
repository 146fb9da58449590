"""A night of the backlog: which manifests it takes, in which order, and when it begins nothing more."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Generator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from lipwise_ray.errors import SettingsError, StateError, StorageError
from lipwise_ray.exit_codes import ExitCode
from lipwise_ray.pipeline.manifest.dub_rows import read_manifest
from lipwise_ray.pipeline.manifest.manifest import Manifest
from lipwise_ray.runs.night_record import NightRecord
from lipwise_ray.runs.nightly import Nightly, chunk_seconds, dropped, window_end
from lipwise_ray.runs.report import Report
from lipwise_ray.state import layout
from lipwise_ray.state.run_records import RunRecord
from lipwise_ray.state.shapes import record_of
from lipwise_ray.state.store import LocalStore, to_json

EVENING_S = datetime(2026, 3, 4, 22, 30).timestamp()  # noqa: DTZ001  # on the wall


@pytest.mark.parametrize(
    ("until", "opens", "day", "clock"),
    [("06:00", None, 5, "06:00"), ("23:15", None, 4, "23:15"), ("06:00", "22:00", 5, "06:00")],
)
def test_a_window_closes_at_the_next_such_time(until: str, opens: str | None, day: int, clock: str) -> None:
    """This night or the next morning, by the clock on the wall."""
    end = window_end(until, EVENING_S, opens)
    assert (end.day, f"{end:%H:%M}") == (day, clock)


@pytest.fixture
def berlin(monkeypatch: pytest.MonkeyPatch) -> Generator[None]:
    """This process is in Berlin."""
    monkeypatch.setenv("TZ", "Europe/Berlin")
    time.tzset()
    yield
    monkeypatch.undo()
    time.tzset()


@pytest.mark.usefixtures("berlin")
@pytest.mark.parametrize(("month", "day", "hours"), [(3, 28, 7), (10, 24, 9), (6, 1, 8)])
def test_a_window_closes_by_the_clock_on_the_wall_where_clocks_are_changed(month: int, day: int, hours: int) -> None:
    """From ten in the evening to six in the morning are seven hours in one night of the year, and nine in another."""
    evening_s = datetime(2026, month, day, 22, 0).timestamp()  # noqa: DTZ001  # on the wall
    for opens in (None, "21:00"):
        end = window_end("06:00", evening_s, opens)
        assert (end.timestamp() - evening_s, f"{end:%H:%M}") == (hours * 3600, "06:00")


@pytest.mark.parametrize(
    ("until", "opens", "code"),
    [
        ("22:00", None, "window_over"),
        ("06:00", "23:00", "window_over"),
        ("6 am", None, "bad_window"),
        ("", None, "bad_window"),
        ("06:00", "25:00", "bad_window"),
    ],
)
def test_a_night_outside_its_window_does_not_begin(until: str, opens: str | None, code: str) -> None:
    """One that was held up until the afternoon, or before it opens; what is no time of day is told apart."""
    with pytest.raises(StateError) as caught:
        window_end(until, EVENING_S, opens)
    assert caught.value.code == code


def _wall_s(hour: int, minute: int) -> float:
    return datetime(2026, 3, 5, hour, minute).timestamp()  # noqa: DTZ001  # on the wall


def test_windows() -> None:
    """Six in the morning is the next one; an end of more than sixteen hours ahead was last night's."""
    evening_s = _wall_s(22, 15)
    end = window_end("06:00", evening_s)
    assert (end.day, f"{end:%H:%M}") == (6, "06:00")
    assert window_end("23:30", evening_s).day == 5
    with pytest.raises(StateError, match="it is 06:01, and the next 06:00 is more than 16 hours ahead"):
        window_end("06:00", _wall_s(6, 1))


def test_a_night_that_was_held_up_does_not_begin_in_the_afternoon() -> None:
    """With a time from which on it may begin, a night begins between the two and at no other time of day."""
    for hour, day in ((22, 6), (23, 6), (0, 5), (5, 5)):
        assert window_end("06:00", _wall_s(hour, 5), "22:00").day == day
    for hour in (6, 14, 21):
        with pytest.raises(StateError, match=r"--from 22:00: it is \d\d:05, outside the window from 22:00 to 06:00"):
            window_end("06:00", _wall_s(hour, 5), "22:00")
    assert window_end("18:00", _wall_s(9, 0), "08:00").day == 5
    with pytest.raises(StateError, match="--from 08:00"):
        window_end("18:00", _wall_s(7, 0), "08:00")


class _Backlog:
    """A folder of manifests, and a night over it whose runs the test decides."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.state = folder / "in", folder / "state"
        self.folder.mkdir()
        (folder / "v.mp4").touch()
        self.begun: list[str] = []
        self.said: list[str] = []
        self.left: dict[str, int] = {}
        self.failed: dict[str, int] = {}
        self.stopped = ""

    def drop(self, name: str, *, age_s: float, priority: int = 0) -> None:
        path = self.folder / name
        lines = ["id,video,audio,output,priority", f"{path.stem},../v.mp4,../v.mp4,{path.stem}.mp4,{priority}"]
        path.write_text("\n".join(lines))
        os.utime(path, (1e9 - age_s, 1e9 - age_s))

    def _read(self, name: str, address: str) -> Manifest:
        return read_manifest(Path(address), str(self.folder.parent / "out" / name), ["quality"])

    def _submit(self, name: str, manifest: Manifest, is_over: Callable[[], bool]) -> Report:
        del is_over
        self.begun.append(name)
        run_id = f"run-{name}-{len(self.begun)}"
        record = RunRecord(run_id=run_id, manifest=name, rows=1)
        LocalStore(self.state).write(layout.run_record(run_id), to_json(record_of(record)))
        rows = manifest.good + manifest.bad
        left, failed = self.left.get(name, 0), self.failed.get(name, 0)
        counts = {"done": rows - left - failed, "failed": failed, "left": left, "frames": 0, "seconds": 1.0}
        return Report(run_id=run_id, chunks_rendered=0, chunks_reused=0, stopped=self.stopped if left else "", **counts)

    def night(self, **more: Any) -> NightRecord:
        told = {"submit": self._submit, **more}
        return Nightly(str(self.folder), str(self.state), self._read, say=self.said.append, **told).run()

    def statuses(self) -> dict[str, str]:
        return {one.name: one.status for one in dropped(str(self.folder), LocalStore(self.state))}


def test_the_highest_priority_goes_first_then_the_oldest(tmp_path: Path) -> None:
    """What is done is not done again; a file that is dropped again with other contents is new."""
    backlog = _Backlog(tmp_path)
    for name, age_s, priority in (("young.csv", 1, 0), ("old.csv", 500, 0), ("urgent.csv", 0, 9)):
        backlog.drop(name, age_s=age_s, priority=priority)
    (backlog.folder / "notes.txt").write_text("no manifest")
    record = backlog.night()
    assert backlog.begun == ["urgent.csv", "old.csv", "young.csv"]
    assert (record.exit_code, record.done, record.reasons) == (ExitCode.DONE, 3, ())
    assert set(backlog.statuses().values()) == {"done"}
    backlog.drop("old.csv", age_s=0, priority=1)
    backlog.night()
    assert backlog.begun[3:] == ["old.csv"]


def test_a_manifest_that_cannot_be_read_is_refused_and_the_others_are_done(tmp_path: Path) -> None:
    """The night is no good one, and says which manifest it was and why; it is not tried again while it is the same."""
    backlog = _Backlog(tmp_path)
    backlog.drop("fine.csv", age_s=1)
    (backlog.folder / "odd.csv").write_text("id,movie\n1,2\n")
    record = backlog.night()
    assert (record.exit_code, record.refused, record.done) == (ExitCode.ROWS_FAILED, 1, 1)
    assert 'unknown column "movie"' in record.refused_manifests["odd.csv"]
    assert any(line.startswith("REFUSED odd.csv") for line in backlog.said)
    assert backlog.statuses() == {"fine.csv": "done", "odd.csv": "refused"}
    assert backlog.night().is_good


def test_a_manifest_that_could_not_be_fetched_is_read_again_the_next_night(tmp_path: Path) -> None:
    """A store that refuses, settings that do not fit and a file that was away for a moment say nothing of its rows."""
    backlog = _Backlog(tmp_path)
    backlog.drop("a.csv", age_s=1)
    faults = [
        lambda: StorageError("download", "s3://in/a.csv", got="cannot be read"),
        lambda: SettingsError("settings", "s3", got="no credentials"),
    ]
    for fault in faults:

        def away(*_: str, fault: Callable[[], Exception] = fault) -> Manifest:
            raise fault()

        record = Nightly(str(backlog.folder), str(backlog.state), away, backlog._submit, backlog.said.append).run()
        assert (record.exit_code, record.refused) == (ExitCode.ROWS_FAILED, 1)
        assert backlog.statuses() == {"a.csv": "waiting"}

    def moved(name: str, address: str) -> Manifest:
        path = Path(address)
        path.rename(tmp_path / "elsewhere")
        try:
            return backlog._read(name, address)
        finally:
            (tmp_path / "elsewhere").rename(path)

    assert Nightly(str(backlog.folder), str(backlog.state), moved, backlog._submit, backlog.said.append).run().refused
    assert backlog.night().is_good
    assert backlog.begun == ["a.csv"]


def test_rows_that_are_left_are_taken_up_by_the_next_night(tmp_path: Path) -> None:
    """A window that closes is no failure of its own, but the night says that there is more to do."""
    backlog = _Backlog(tmp_path)
    backlog.drop("long.csv", age_s=1)
    backlog.left["long.csv"] = 1
    record = backlog.night()
    assert (record.exit_code, record.left) == (ExitCode.STOPPED, 1)
    assert record.reasons == ("1 rows are left for another night",)
    assert backlog.statuses() == {"long.csv": "left"}
    backlog.left.clear()
    assert backlog.night().is_good
    assert backlog.begun == ["long.csv", "long.csv"]


def test_nothing_is_begun_that_would_not_end_in_time(tmp_path: Path) -> None:
    """With less time than a chunk takes at most; without earlier jobs that is taken to be a minute."""
    backlog = _Backlog(tmp_path)
    backlog.drop("late.csv", age_s=1)
    now = EVENING_S
    for left_s, begun in ((30, []), (90, ["late.csv"])):
        backlog.night(end=datetime.fromtimestamp(now + left_s, UTC), clock=lambda: now)
        assert backlog.begun == begun
    assert chunk_seconds(LocalStore(backlog.state)) == 60


def test_a_run_that_somebody_cancels_ends_the_night(tmp_path: Path) -> None:
    """The manifests after it stay as they are, and the night says what ended it."""
    backlog = _Backlog(tmp_path)
    backlog.drop("first.csv", age_s=9)
    backlog.drop("second.csv", age_s=1)
    backlog.left["first.csv"], backlog.stopped = 1, "cancelled"
    record = backlog.night()
    assert backlog.begun == ["first.csv"]
    assert (record.left, record.stopped) == (2, "cancelled")
    assert backlog.statuses() == {"first.csv": "left", "second.csv": "waiting"}


def test_settings_that_no_manifest_can_be_done_with_end_the_night(tmp_path: Path) -> None:
    """The error is raised, its record is kept, and the manifests wait for settings that are right."""
    backlog = _Backlog(tmp_path)
    backlog.drop("a.csv", age_s=1)

    def refuse(*_: Any) -> Report:
        raise SettingsError("settings", "lipsync.model", got="is not known")

    with pytest.raises(SettingsError):
        backlog.night(submit=refuse)
    assert backlog.statuses() == {"a.csv": "waiting"}
    assert len(list(backlog.state.glob("nights/*/night.json"))) == 1
    with pytest.raises(StateError) as caught:
        Nightly(str(tmp_path / "none"), str(backlog.state), backlog._read, backlog._submit, backlog.said.append).run()
    assert caught.value.code == "no_backlog"
