"""The backlog, night by night: in order, within the window, nothing twice, one report a night."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import threading
import time
from collections.abc import Callable
from datetime import datetime, timedelta
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import pytest

from lipwise_ray.backends.factory import make_engine
from lipwise_ray.errors import StorageError
from lipwise_ray.models.registry import Registry
from lipwise_ray.pipeline.manifest.dub_rows import read_manifest
from lipwise_ray.pipeline.manifest.manifest import Manifest
from lipwise_ray.pipeline.tasks.worker import Worker
from lipwise_ray.reports.write import write_night
from lipwise_ray.resources import jobs_folder, models_folder
from lipwise_ray.runs import nightly
from lipwise_ray.runs.nightly import Nightly, chunk_seconds, dropped
from lipwise_ray.runs.report import Report
from lipwise_ray.runs.settings_source import SettingsSource
from lipwise_ray.runs.submit import work_through
from lipwise_ray.runs.work import Dubbing
from lipwise_ray.settings.layers import parse_assignment, preset_names
from lipwise_ray.state import layout
from lipwise_ray.state.lease import holder
from lipwise_ray.state.speeds import JobSpeed, write_speeds
from lipwise_ray.state.store import LocalStore, as_json, open_store
from lipwise_ray.storage.objects import Bucket
from tests.conftest import ROOT
from tests.support.dub import BARE, PASSTHROUGH, QUICK, Quiet, command, run, settings_arguments, write_manifest
from tests.support.s3 import BUCKET, s3_server
from tests.support.waiting import until

DEMO = ROOT / "manifests" / "demo"
TOLD = ('engine.kind="inline"', PASSTHROUGH, QUICK, *BARE, 'detect.detector="tiny"', "chunk.length_s=0.4")
ZONE = datetime.now().astimezone().tzinfo


def _drop(folder: Path, name: str, rows: int, *, priority: int = 0, age_s: float = 0.0, **changes: Any) -> Path:
    """Put a manifest into a backlog, as if it had lain there for a while."""
    folder.mkdir(exist_ok=True)
    row = {"video": DEMO / "presenter.mp4", "audio": DEMO / "presenter.m4a", "end": 0.8, "length": "video", **changes}
    path = write_manifest(
        folder / f"{name}.csv",
        [{**row, "id": f"{name}{n}", "output": f"{n}.mp4", "start": n / 10, "priority": priority} for n in range(rows)],
    )
    os.utime(path, (time.time() - age_s,) * 2)
    return path


def _night(folder: Path, *arguments: str | Path, **environment: str) -> Any:
    return run("backlog", "run", folder / "in", *arguments, *settings_arguments(*TOLD), **environment)


def _nights(folder: Path) -> list[dict[str, Any]]:
    paths = sorted(folder.glob("in.out.state/nights/*/night.json"))
    return [as_json(path.read_bytes()) or {} for path in paths]


def _statuses(folder: Path) -> dict[str, str]:
    done = run("backlog", "status", folder / "in", "--json")
    assert done.returncode == 0, done.stderr
    return {one["name"]: one["status"] for one in map(json.loads, done.stdout.splitlines())}


def test_a_night_takes_what_is_new(tmp_path: Path) -> None:
    """The highest priority first, then the oldest; what is no manifest is refused once; the next night has nothing."""
    _drop(tmp_path / "in", "young", 1)
    _drop(tmp_path / "in", "old", 1, age_s=500)
    _drop(tmp_path / "in", "urgent", 1, priority=9)
    (tmp_path / "in" / "odd.csv").write_text("id,movie\n1,2\n")
    (tmp_path / "in" / "notes.txt").write_text("no manifest")
    assert set(_statuses(tmp_path).values()) == {"waiting"}
    done = _night(tmp_path, "--notify", f"sh -c 'cat > {tmp_path}/told'")
    assert done.returncode == 1, done.stderr
    (night,) = _nights(tmp_path)
    assert [one["manifest"] for one in night["runs"]] == ["urgent.csv", "old.csv", "young.csv"]
    assert (night["done"], night["failed"], night["left"], night["refused"]) == (3, 0, 0, 1)
    assert json.loads((tmp_path / "told").read_text()) == night
    assert (tmp_path / "in.out" / "urgent" / "0.mp4").is_file()
    assert "REFUSED odd.csv" in done.stderr
    assert _statuses(tmp_path) == {"odd.csv": "refused", "old.csv": "done", "young.csv": "done", "urgent.csv": "done"}
    page = tmp_path / "in.out.state" / "nights" / night["night"] / "report.html"
    assert f"report:  {page}" in done.stderr
    assert all(f"{name}0" in page.read_text() for name in ("urgent", "old", "young"))
    assert "odd.csv" in page.read_text()
    assert night["exit_code"] == 1
    assert (night["report"], night["refused_manifests"].keys()) == (str(page), {"odd.csv"})
    assert any("odd.csv was refused" in reason for reason in night["reasons"])
    _drop(tmp_path / "in", "young", 2)  # dropped again, with one row more
    again = _night(tmp_path)
    assert again.returncode == 0, again.stderr
    _drop(tmp_path / "in", "wrong", 1, faces="index:9")
    assert _night(tmp_path, "--exit-zero").returncode == 0
    assert _nights(tmp_path)[-1]["failed"] == 1
    assert [(one["manifest"], one["done"]) for one in _nights(tmp_path)[1]["runs"]] == [("young.csv", 2)]
    assert "already done" in again.stderr


def _nightly(folder: Path, **more: Any) -> Nightly:
    """Return a night in this process, as the command puts it together."""
    source = SettingsSource(jobs_folder(), "quality", [(f"--set {text}", parse_assignment(text)) for text in TOLD])
    out, registry = folder / "in.out", Registry(models_folder() / "registry.toml", folder / "no-models")

    def read(name: str, address: str) -> Manifest:
        return read_manifest(Path(address), str(out / Path(name).stem), preset_names(jobs_folder()))

    def dub(name: str, manifest: Manifest, is_over: Callable[[], bool]) -> Report:
        return work_through(
            manifest,
            source,
            registry,
            Dubbing(str(out / Path(name).stem), f"{out}.state"),
            state=f"{out}.state",
            make_engine=lambda config: make_engine(source.for_run().engine, config, Worker),
            listener=Quiet(),
            is_over=is_over,
        )

    return Nightly(str(folder / "in"), f"{out}.state", read, dub, lambda text: None, **more)


def test_the_window_closes_in_the_middle(tmp_path: Path) -> None:
    """Three manifests, and time for some: the second night finishes the rest, and nothing is done twice."""
    for number, name in enumerate(("a", "b", "c")):
        _drop(tmp_path / "in", name, 4, age_s=900 - number)
    end = datetime(2026, 3, 6, 6, 0, tzinfo=ZONE)

    def clock() -> float:
        """Every finished video takes an hour of the night."""
        return end.timestamp() - 3600 * (6 - len(list(tmp_path.glob("in.out/*/*.mp4")))) - 90

    first = _nightly(tmp_path, end=end, clock=clock).run()
    made = {path: path.stat().st_mtime_ns for path in (tmp_path / "in.out").glob("*/*.mp4")}
    assert 6 <= len(made) < 12
    assert (first.done, first.left, first.exit_code) == (len(made), 12 - len(made), 3)
    second = _nightly(tmp_path).run()
    assert (second.left, second.exit_code) == (0, 0)
    assert len(list((tmp_path / "in.out").glob("*/*.mp4"))) == 12
    assert {path: path.stat().st_mtime_ns for path in made} == made
    nights = _nights(tmp_path)
    assert len(nights) == 2
    assert "a.csv" not in [one["manifest"] for one in nights[1]["runs"]]
    assert set(_statuses(tmp_path).values()) == {"done"}
    assert len(list(tmp_path.glob("in.out.state/nights/*/report.html"))) == 2


@pytest.mark.slow
def test_a_crash_in_the_night(tmp_path: Path) -> None:
    """Killed in the middle: the next night goes on, renders no chunk again, and writes its report."""
    _drop(tmp_path / "in", "a", 6)
    process = subprocess.Popen(
        command("backlog", "run", tmp_path / "in", *settings_arguments(*TOLD)), stderr=subprocess.DEVNULL
    )
    until(lambda: len(list(tmp_path.glob("in.out.state/jobs/*/chunks/*.json"))) >= 5, 120, longest_pause_s=0.02)
    process.send_signal(signal.SIGKILL)
    process.wait()
    chunks = len(list(tmp_path.glob("in.out.state/jobs/*/chunks/*.json")))
    assert _statuses(tmp_path) == {"a.csv": "left"}
    done = _night(tmp_path)
    assert done.returncode == 0, done.stderr
    rendered = int(done.stderr.split(" chunks rendered")[0].rsplit(" ", 1)[1])
    assert rendered == sum(_chunks(tmp_path)) - chunks
    assert len(_nights(tmp_path)) == 1


def _chunks(folder: Path) -> list[int]:
    return [int(json.loads(path.read_bytes())["chunks"]) for path in folder.glob("in.out.state/jobs/*/result.json")]


def test_a_manifest_that_cannot_begin(tmp_path: Path) -> None:
    """Weights that one manifest needs and that are not there cost the others nothing; it waits for another night."""
    _drop(tmp_path / "in", "far", 1, age_s=500, faces="like:" + str(DEMO / "still.png"))
    _drop(tmp_path / "in", "near", 1)
    done = _night(tmp_path)
    assert done.returncode == 1, done.stderr
    assert "REFUSED far.csv: model sface: not installed" in done.stderr
    assert _statuses(tmp_path) == {"far.csv": "waiting", "near.csv": "done"}
    alone = _night(tmp_path)
    assert alone.returncode == 2
    assert "error: model sface: not installed" in alone.stderr


@pytest.mark.slow
def test_two_nights_at_once(tmp_path: Path) -> None:
    """The second one is refused, and says who is at it; the first goes on."""
    _drop(tmp_path / "in", "a", 6)
    night = command("backlog", "run", tmp_path / "in", *settings_arguments(*TOLD))
    process = subprocess.Popen(night, stderr=subprocess.PIPE, text=True)
    until(lambda: list(tmp_path.glob("in.out.state/night-lock/driver/epoch-*")), 60)
    second = _night(tmp_path)
    assert second.returncode == 2
    assert f"process {process.pid}" in second.stderr
    _, told = process.communicate(timeout=120)
    assert process.returncode == 0, told


@pytest.mark.parametrize(
    ("arguments", "word"),
    [
        (("--until", "6 o'clock"), '--until: "6 o\'clock" is not a time of day'),
        (("--until", ""), "--until: '' is not a time of day"),
        (("--from", ""), "--from: no --until beside it"),
        (("--until", (datetime.now(ZONE) - timedelta(hours=2)).strftime("%H:%M")), "is more than 16 hours ahead"),
        (("--webhook", "hooks.host/secret"), "--webhook or LIPWISE_WEBHOOK: not an http or https address"),
    ],
)
def test_what_cannot_be_asked(tmp_path: Path, arguments: tuple[str, ...], word: str) -> None:
    """Told at once, with the code of wrong usage."""
    (tmp_path / "in").mkdir()
    done = _night(tmp_path, *arguments)
    assert done.returncode == 2
    assert word in done.stderr
    missing = run("backlog", "run", tmp_path / "none", *settings_arguments(*TOLD))
    assert missing.returncode == 2
    assert "no such folder. Make it, and put manifests into it" in missing.stderr


def test_looking_at_a_backlog_makes_nothing(tmp_path: Path) -> None:
    """Before its first night, and where there is none: a slip in its name leaves no folder behind."""
    _drop(tmp_path / "in", "a", 1)
    assert _statuses(tmp_path) == {"a.csv": "waiting"}
    assert run("backlog", "status", tmp_path / "none").returncode == 2
    assert [path.name for path in tmp_path.iterdir()] == ["in"]


def test_a_command_that_is_empty_is_told_of(tmp_path: Path) -> None:
    """As a variable that nobody set leaves it; the night itself is none the worse."""
    (tmp_path / "in").mkdir()
    done = _night(tmp_path, "--notify", " ")
    assert done.returncode == 0, done.stderr
    assert "error: --notify: did not run: it is empty." in done.stderr


def test_who_is_told(tmp_path: Path) -> None:
    """A webhook gets the record; one that does not answer, and a command that fails, are no failure of the night."""
    got: list[dict[str, Any]] = []

    class Hook(BaseHTTPRequestHandler):
        def do_POST(self) -> None:  # the library's name
            got.append(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
            self.send_response(200 if len(got) == 1 else 500)
            self.end_headers()

        def log_message(self, *arguments: Any) -> None:
            """Stay quiet."""

    server = HTTPServer(("127.0.0.1", 0), Hook)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        _drop(tmp_path / "in", "a", 1)
        address = f"http://127.0.0.1:{server.server_port}/night"
        first = _night(tmp_path, "--webhook", address)
        assert first.returncode == 0, first.stderr
        assert [one["done"] for one in got] == [1]
        second = _night(tmp_path, "--webhook", address, "--notify", "false")
        assert second.returncode == 0, second.stderr
        assert "--webhook: no answer" in second.stderr
        assert "--notify: ended with code 1" in second.stderr
    finally:
        server.shutdown()


def test_nights_that_fail_as_a_whole_are_told(tmp_path: Path) -> None:
    """No backlog, settings that are none, weights that are not there: the record says with which code, and why."""
    told = tmp_path / "told"
    teller = ("--notify", f"sh -c 'cat > {told}'", "--notify-on", "failure")

    def record() -> dict[str, Any]:
        found = dict(json.loads(told.read_text()))
        told.unlink()
        return found

    assert run("backlog", "run", tmp_path / "none", *teller, *settings_arguments(*TOLD)).returncode == 2
    assert "no such folder. Make it, and put manifests into it" in record()["reasons"][0]
    _drop(tmp_path / "in", "a", 1)
    assert _night(tmp_path, *teller, "--set", "lipsync.modell='x'").returncode == 2
    assert "modell" in record()["reasons"][0]
    absent = _night(tmp_path, *teller, "--set", "restore.model='gfpgan_1_4'", "--set", f"paths.models='{tmp_path}'")
    assert absent.returncode == 2
    last = record()
    assert (last["exit_code"], last["refused"]) == (2, 1)
    assert "not installed" in last["reasons"][0]
    assert last == _nights(tmp_path)[-1]
    metrics = tmp_path / "m.prom"
    assert _night(tmp_path, *teller, "--set", f"engine.metrics_file='{metrics}'").returncode == 0
    assert not told.exists()  # a good night, and only failures are asked for
    figures = (tmp_path / "m-night.prom").read_text()
    place = f'state_address="{tmp_path}/in.out.state"'
    assert f"lipwise_night_exit_code{{{place}}} 0.0" in figures
    assert f"lipwise_night_running{{{place}}} 0.0" in figures
    assert f'lipwise_night_rows{{state="done",{place}}} 1.0' in figures
    assert f"lipwise_night_last_success_timestamp_seconds{{{place}}}" in figures


def test_a_crash_is_told_and_what_was_done_stands_in_its_record(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A fault of the program itself ends the night with code 4 in its record, beside the manifests that were done; it
    is written while no other night may begin.
    """
    held: list[bool] = []

    def written_by_its_holder(store: Any, *rest: Any) -> Any:
        held.append(holder(open_store(f"{store.address}/{layout.NIGHT_LOCK}")) is not None)
        return write_night(store, *rest)

    monkeypatch.setattr(nightly, "write_night", written_by_its_holder)
    _drop(tmp_path / "in", "first", 1, priority=1)
    _drop(tmp_path / "in", "second", 1)
    night = _nightly(tmp_path)
    dub = night.submit

    def breaks(name: str, *rest: Any) -> Report:
        if name == "second.csv":
            raise ZeroDivisionError("broken")
        return dub(name, *rest)

    night.submit = breaks
    with pytest.raises(ZeroDivisionError) as caught:
        night.run()
    assert held == [True]
    record = night.failed(caught.value)
    assert (record.exit_code, record.done, record.is_good) == (4, 1, False)
    assert record.reasons == ("ZeroDivisionError: broken",)
    (written,) = _nights(tmp_path)
    assert written["exit_code"] == 4
    assert Path(record.report).is_file()


def test_a_night_whose_store_is_gone_is_over_in_its_figures(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its record cannot be written, its file beside the machine's node_exporter can: it ended, and how."""

    def gone(*_: Any) -> Any:
        raise StorageError("storage", "s3://bucket", got="no answer", do="Try again")

    monkeypatch.setattr(nightly, "dropped", gone)
    monkeypatch.setattr(nightly, "write_night", gone)
    (tmp_path / "in").mkdir()
    night = _nightly(tmp_path, metrics_file=str(tmp_path / "m.prom"))
    with pytest.raises(StorageError):
        night.run()
    figures = (tmp_path / "m-night.prom").read_text()
    place = f'state_address="{tmp_path}/in.out.state"'
    assert f"lipwise_night_running{{{place}}} 0.0" in figures
    assert f"lipwise_night_exit_code{{{place}}} 2.0" in figures


def test_old_nights_are_forgotten(tmp_path: Path) -> None:
    """`--keep 2` leaves two nights' reports, the latest."""
    (tmp_path / "in").mkdir()
    for number in range(3):
        folder = tmp_path / "in.out.state" / "nights" / f"2026010{number + 1}T000000"
        folder.mkdir(parents=True)
        (folder / "night.json").write_text("{}")
    assert _night(tmp_path, "--keep", "2").returncode == 0
    left = sorted(path.name for path in (tmp_path / "in.out.state" / "nights").iterdir() if any(path.iterdir()))
    assert len(left) == 2
    assert left[0] == "20260103T000000"


def test_a_chunks_time_is_measured(tmp_path: Path) -> None:
    """By the slow ones of the latest jobs; a minute is assumed where there is none."""
    store = LocalStore(tmp_path)
    assert chunk_seconds(store) == 60
    write_speeds(store, "run", [JobSpeed(9, 5, 10.0 * number) for number in range(1, 20)])
    assert 30 < chunk_seconds(store) < 38


def test_a_backlog_in_a_bucket(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A prefix of a real S3 protocol server: dropped, dubbed, known as done, and new again with other contents."""
    with s3_server(monkeypatch.setenv):
        backlog, out = f"s3://{BUCKET}/in", tmp_path / "out"
        bucket = Bucket(backlog)
        text = _drop(tmp_path / "here", "a", 1).read_bytes()
        bucket.write("a.csv", text)
        bucket.write("deeper/b.csv", text)
        first = run("backlog", "run", backlog, "--out", out, *settings_arguments(*TOLD))
        assert first.returncode == 0, first.stderr
        assert (out / "a" / "0.mp4").is_file()
        store = LocalStore(Path(f"{out}.state"))
        assert [(one.name, one.status) for one in dropped(backlog, store)] == [("a.csv", "done")]
        bucket.write("a.csv", text + b"\n")
        assert [one.status for one in dropped(backlog, store)] == ["waiting"]
