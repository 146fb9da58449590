"""Objects over the real S3 protocol, and what a broken line must not do to them."""

from __future__ import annotations

import hashlib
import os
import time
from collections.abc import Callable, Generator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from lipwise_ray.errors import InputError, StorageError
from lipwise_ray.pipeline.inputs.whole_file import whole_file
from lipwise_ray.state.events import TaskFailed, TaskLeased
from lipwise_ray.state.lease import DriverLease, holder
from lipwise_ray.state.ledger import Ledger
from lipwise_ray.state.remote import RemoteStore
from lipwise_ray.storage import objects
from lipwise_ray.storage.cache import Cache
from lipwise_ray.storage.objects import Bucket
from tests.support.s3 import BUCKET, Line, point_to, s3_server
from tests.support.waiting import until


@pytest.fixture
def port(monkeypatch: pytest.MonkeyPatch) -> Generator[int]:
    """A server's port."""
    with s3_server(monkeypatch.setenv) as found:
        yield found


def _store(tmp_path: Path, prefix: str = "night/state") -> RemoteStore:
    return RemoteStore(f"s3://{BUCKET}/{prefix}", Cache(tmp_path / "cache"))


def test_records_files_and_names(port: int, tmp_path: Path) -> None:
    """A store in a bucket does what one in a folder does; two prefixes do not meet."""
    store, other = _store(tmp_path), _store(tmp_path, "night/state2")
    assert store.read("a/b.json") is None
    store.write("a/b.json", b"{}")
    store.write("a/b.json", b'{"x": 1}')
    store.write("ab/c.json", b"1")
    other.write("a/z.json", b"2")
    assert store.read("a/b.json") == b'{"x": 1}'
    assert store.names("a") == ["a/b.json"]
    assert store.read_all(["a/b.json", "none", "ab/c.json"]) == [b'{"x": 1}', None, b"1"]
    assert store.size("a/b.json") == 8
    assert store.size("none") is None
    store.remove("a/b.json")
    store.remove("a/b.json")
    assert store.names("a") == []
    assert port


def test_files_are_copied_by_the_store(port: int, tmp_path: Path) -> None:
    """A copy stays when what it is of is removed; of what is not there is none."""
    store = _store(tmp_path)
    (tmp_path / "f").write_bytes(b"segment")
    store.put_file("jobs/a/segments/0.mkv", tmp_path / "f")
    assert store.copy("jobs/a/segments/0.mkv", "jobs/b/segments/1.mkv")
    assert not store.copy("jobs/a/segments/9.mkv", "jobs/b/segments/2.mkv")
    store.remove("jobs/a/segments/0.mkv")
    copied = store.fetch("jobs/b/segments/1.mkv")
    assert copied is not None
    assert copied.read_bytes() == b"segment"
    assert store.names("jobs") == ["jobs/b/segments/1.mkv"]
    assert port


def test_large_files_go_and_come_whole(port: int, tmp_path: Path) -> None:
    """A file of several parts arrives with all its bytes; a new version is not mistaken for the cached one."""
    store = _store(tmp_path)
    body = os.urandom(12 << 20)
    for content in (body, body[::-1]):
        (tmp_path / "part").write_bytes(content)
        store.put_file("segments/1.mkv", tmp_path / "part")
        assert not (tmp_path / "part").exists()
        found = store.fetch("segments/1.mkv")
        assert found is not None
        assert found.read_bytes() == content
        assert store.fetch("segments/1.mkv") == found
    assert store.fetch("segments/2.mkv") is None
    assert port


def test_exactly_one_of_many_creates_wins(port: int, tmp_path: Path) -> None:
    """Sixteen callers create the same record: one succeeds, and its record stays."""
    store = _store(tmp_path)
    with ThreadPoolExecutor(16) as hands:
        won = list(hands.map(lambda n: store.create("marker.json", str(n).encode()), range(16)))
    assert sum(won) == 1
    assert store.read("marker.json") == str(won.index(True)).encode()
    assert port


def test_a_lost_answer_does_not_turn_a_winner_into_a_loser(
    port: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The server created the record and its answer got lost: asked again it says "there already", yet it is ours."""
    with Line(port, swallow=1) as line:
        point_to(line.port, monkeypatch.setenv)
        objects.opened.cache_clear()
        store = _store(tmp_path)
        assert store.create("marker.json", b"mine")
        assert line.hits == 1
        assert not store.create("marker.json", b"other")


def test_a_busy_store_is_borne_with(port: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Five refusals in a row are waited out, for a record, and for the parts of a file."""
    with Line(port, refuse=5) as line:
        point_to(line.port, monkeypatch.setenv)
        objects.opened.cache_clear()
        store = _store(tmp_path)
        store.write("a.json", b"1")
        line.refuse = 5
        (tmp_path / "part").write_bytes(b"x" * (11 << 20))
        store.put_file("a.mkv", tmp_path / "part")
        assert line.hits == 10
        assert store.size("a.mkv") == 11 << 20


def test_a_driver_that_cannot_be_seen_begins_nothing(
    port: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """While the store refuses its beats a driver is not sure of its lease, which it has not lost: it goes on later."""
    with Line(port) as line:
        point_to(line.port, monkeypatch.setenv)
        objects.opened.cache_clear()
        with DriverLease(_store(tmp_path), "run", beat_s=0.1, expiry_s=2.0) as lease:
            assert lease.is_sure
            line.refuse = 1 << 30
            until(lambda: not lease.is_sure)
            assert lease.held
            line.refuse = 0
            until(lambda: lease.is_sure)
        assert holder(_store(tmp_path)) is None


def test_logs_are_written_in_parts_and_read_as_one(port: int, tmp_path: Path) -> None:
    """Lines count once flushed; the order is kept over parts and over drivers."""
    store = _store(tmp_path)
    lines = [f"{n:05d} ".encode() + b"x" * 600 for n in range(500)]
    for number, line in enumerate(lines):
        store.append("runs/1/events.jsonl", line)
        if number % 100 == 99:
            store.flush()
    later = _store(tmp_path)
    later.append("runs/1/events.jsonl", b"last")
    assert list(store.log("runs/1/events.jsonl")) == lines
    later.flush()
    assert list(store.log("runs/1/events.jsonl")) == [*lines, b"last"]
    assert len(store.names("runs/1/events.jsonl")) == 3
    assert port


@pytest.fixture
def line(port: int, monkeypatch: pytest.MonkeyPatch) -> Generator[Line]:
    """The line to a server, on which requests are counted."""
    with Line(port) as found:
        point_to(found.port, monkeypatch.setenv)
        objects.opened.cache_clear()
        yield found


def _asked(line: Line, call: Callable[[], object]) -> list[str]:
    line.asked.clear()
    call()
    return [one.split()[0] for one in line.asked]


def test_every_copy_asks_once(line: Line, tmp_path: Path) -> None:
    """Also one that this machine has, which is not sent again; and not at all where its key never changes."""
    one, other = _store(tmp_path), RemoteStore(f"s3://{BUCKET}/night/state", Cache(tmp_path / "elsewhere"))
    for key, again in (("runs/1/planned.jsonl", ["GET"]), ("scans/v/d/chunk-00000.npz", [])):
        (tmp_path / "part").write_bytes(b"first")
        assert _asked(line, lambda key=key: one.put_file(key, tmp_path / "part")) == ["PUT"]
        assert _asked(line, lambda key=key: one.fetch(key)) == again  # whoever made it has it
        assert _asked(line, lambda key=key: other.fetch(key)) == ["GET"]
        assert _asked(line, lambda key=key: other.fetch(key)) == again
        found = other.fetch(key)
        assert found is not None
        found.unlink()  # it made room
        assert _asked(line, lambda key=key: other.fetch(key)) == ["GET"]
        (tmp_path / "part").write_bytes(b"second")
        one.put_file(key, tmp_path / "part")
        other.forget(key)
        found = other.fetch(key)
        assert found is not None
        assert found.read_bytes() == b"second"
        one.remove_all([key])
        other.forget(key)
        assert other.fetch(key) is None


def test_records_that_never_change_are_asked_for_once(line: Line, tmp_path: Path) -> None:
    """What is not there yet is asked for again, and what this process wrote is known."""
    one, other = _store(tmp_path), _store(tmp_path)
    key, changes = "jobs/j/plan.json", "jobs/j/result.json"
    assert _asked(line, lambda: [other.read(key) for _ in range(2)]) == ["GET", "GET"]
    assert one.create(key, b"1")
    one.write(changes, b"1")
    assert _asked(line, lambda: [one.read(key), other.read(key), other.read(key)]) == ["GET"]
    assert _asked(line, lambda: [one.read(changes), one.read(changes)]) == ["GET", "GET"]
    assert not other.create(key, b"2")
    assert other.read(key) == b"1"
    one.write(key, b"3")
    assert one.read(key) == b"3"


def test_a_log_of_many_lines_that_may_wait_has_parts(line: Line, tmp_path: Path) -> None:
    """One that grows fast is written before it is large: a part that nobody could read would block whoever reads it."""
    store = _store(tmp_path)
    for number in range(8):
        store.append("runs/r/reused.jsonl", b"%d" % number + b"x" * (100 << 10), may_wait=True)
        store.flush()
    assert len(store.names("runs/r/reused.jsonl")) >= 3
    store.flush(everything=True)
    assert [text[:1] for text in store.log("runs/r/reused.jsonl")] == [b"%d" % number for number in range(8)]


def test_lines_that_may_wait_do(line: Line, tmp_path: Path) -> None:
    """A job's lines are in its run's events too: they are written when everything is."""
    store = _store(tmp_path)
    store.append("runs/1/events.jsonl", b"line")
    store.append("jobs/j/attempts.jsonl", b"line", may_wait=True)
    assert _asked(line, store.flush) == ["PUT"]
    assert (list(store.log("runs/1/events.jsonl")), list(store.log("jobs/j/attempts.jsonl"))) == ([b"line"], [])
    assert _asked(line, lambda: store.flush(everything=True)) == ["PUT"]
    assert list(store.log("jobs/j/attempts.jsonl")) == [b"line"]
    assert _asked(line, lambda: store.flush(everything=True)) == []


def test_a_traceback_outlives_a_killed_driver(line: Line, tmp_path: Path) -> None:
    """What is in no run's events is written with them, and what waited before it too; what follows may wait again."""
    ledger, other = Ledger(_store(tmp_path), "1"), _store(tmp_path)
    ledger.note("t", "j", TaskLeased(attempt=1, worker="w", node="n"))
    assert not _asked(line, lambda: None)
    failure = {"blame": "application", "code": "internal", "message": "m", "detail": "Traceback ..."}
    ledger.note("t", "j", TaskFailed(attempt=1, worker="w", node="n", **failure))
    assert _asked(line, ledger.flush) == ["PUT", "PUT"]
    assert [b"Traceback" in one for one in other.log("jobs/j/attempts.jsonl")] == [False, True]
    assert [b"Traceback" in one for one in other.log("runs/1/events.jsonl")] == [False, False]
    ledger.note("t", "j", TaskLeased(attempt=2, worker="w", node="n"))
    assert _asked(line, ledger.flush) == ["PUT"]
    assert len(list(other.log("jobs/j/attempts.jsonl"))) == 2


def test_a_sound_that_was_removed_is_not_taken_from_a_copy(port: int, tmp_path: Path) -> None:
    """An attempt on another machine removed it as suspect: the next one looks what is there, and finds nothing."""
    one, other = _store(tmp_path), RemoteStore(f"s3://{BUCKET}/night/state", Cache(tmp_path / "elsewhere"))
    key = f"jobs/j/sound/encoded/{hashlib.sha256(b'sound').hexdigest()}.m4a"
    (tmp_path / "part").write_bytes(b"sound")
    one.put_file(key, tmp_path / "part")
    folder = "jobs/j/sound/encoded"
    assert whole_file(other, folder, key) is not None
    one.remove_all([key])
    assert whole_file(other, folder) is None
    assert port


def test_folders_are_listed_without_what_lies_in_them(line: Line, tmp_path: Path) -> None:
    """One request names them, another one lists a folder, and one removes it, however much there is."""
    store = _store(tmp_path)
    for number in range(20):
        store.write(f"runs/{number % 2}/rows/{number}.json", b"{}")
    found: list[list[str]] = []
    assert _asked(line, lambda: found.append(store.folders("runs"))) == ["GET"]
    assert found == [["0", "1"]]
    listed = list(store.listing("runs/0"))
    assert sorted(one.key for one in listed) == [
        f"runs/0/rows/{number}.json" for number in sorted(map(str, range(0, 20, 2)))
    ]
    assert all(one.bytes_total == 2 and abs(one.changed_s - time.time()) < 60 for one in listed)
    assert _asked(line, lambda: store.remove_all([one.key for one in listed])) == ["POST"]
    assert store.folders("runs") == ["1"]


def test_what_a_store_refuses_is_said_in_one_line(port: int, tmp_path: Path) -> None:
    """No bucket, for every kind of request: the address, what failed, the store's answer."""
    bucket = Bucket("s3://no-such-bucket/x")
    for call in (lambda: bucket.write("a", b""), lambda: bucket.names("a"), lambda: bucket.create("a", b"1")):
        with pytest.raises(
            StorageError, match=r"^s3://no-such-bucket/x/a: cannot be (written|listed): .*(such bucket|404)"
        ) as caught:
            call()
        assert "\n" not in str(caught.value)
    assert bucket.read("a") is None
    assert port
    assert tmp_path


@pytest.mark.parametrize("key", ["a\nb.mp4", "a//b.mp4", "a/../b.mp4", "a\udcff.mp4"])
def test_a_name_that_no_object_can_have_is_the_users(key: str, port: int) -> None:
    """Nothing is tried again for it, and no fault of the program."""
    bucket = Bucket(f"s3://{BUCKET}")
    for ask in (bucket.facts, bucket.names, bucket.read):
        with pytest.raises(InputError, match="no object can have a name with control characters"):
            ask(key)
    assert port
