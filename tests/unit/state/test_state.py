from __future__ import annotations

import errno
import multiprocessing
from pathlib import Path

import pytest

from lipwise_ray.errors import StateError, StorageError
from lipwise_ray.runs.run_inputs import state_address
from lipwise_ray.settings.model import Settings
from lipwise_ray.state import layout
from lipwise_ray.state.markers import ChunkMarker, commit, done_chunks, read_marker
from lipwise_ray.state.store import LocalStore, load_file, open_store, read_json
from lipwise_ray.storage.scratch import scratch_file


def _marker(store: LocalStore, attempt: str, tmp: Path, data: bytes = b"segment") -> ChunkMarker:
    key = layout.segment("job", 3, attempt)
    (tmp / "part").write_bytes(data)
    store.put_file(key, tmp / "part")
    return ChunkMarker(key, 10, 2, len(data), "0" * 64, 0, 0, "1", attempt, 1.0, {})


def test_records_are_whole_or_absent(tmp_path: Path) -> None:
    """Writing, reading, listing and removing by key."""
    store = LocalStore(tmp_path / "s")
    assert store.read("a/b.json") is None
    store.write("a/b.json", b"{}")
    store.write("a/b.json", b'{"x": 1}')
    assert read_json(store, "a/b.json") == {"x": 1}
    store.write("a/c.json", b"not json")
    assert read_json(store, "a/c.json") is None
    assert store.names("a") == ["a/b.json", "a/c.json"]
    store.remove("a/c.json")
    store.remove("a/c.json")
    assert store.names("a") == ["a/b.json"]


@pytest.mark.parametrize("has_links", [True, False])
def test_files_are_copied(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, *, has_links: bool) -> None:
    """On any disk; a copy stays when what it is of is removed, and of what is not there is none."""
    store = LocalStore(tmp_path / "s")

    def refused(*_: object) -> None:
        raise OSError(errno.EPERM, "no links here")

    if not has_links:
        monkeypatch.setattr("os.link", refused)
    (tmp_path / "part").write_bytes(b"segment")
    store.put_file("jobs/a/segments/0.mkv", tmp_path / "part")
    assert store.copy("jobs/a/segments/0.mkv", "jobs/b/segments/1.mkv")
    assert not store.copy("jobs/a/segments/9.mkv", "jobs/b/segments/2.mkv")
    store.remove("jobs/a/segments/0.mkv")
    assert store.read("jobs/b/segments/1.mkv") == b"segment"
    assert store.names("jobs") == ["jobs/b/segments/1.mkv"]


def test_whoever_may_read_records_may_read_files(tmp_path: Path) -> None:
    """Temporary files are their maker's alone; a state's are for all who work with it, as this user's umask says."""
    store = LocalStore(tmp_path / "s")
    store.write("jobs/a/record.json", b"{}")
    with scratch_file(tmp_path, "planned.jsonl") as temporary:
        store.put_file("jobs/a/planned.jsonl", temporary)
    record, file = (tmp_path / "s" / "jobs" / "a" / name for name in ("record.json", "planned.jsonl"))
    assert file.stat().st_mode == record.stat().st_mode
    assert store.names("jobs") == ["jobs/a/planned.jsonl", "jobs/a/record.json"]


def _create(arguments: tuple[str, int]) -> bool:
    root, number = arguments
    return LocalStore(Path(root)).create("marker.json", str(number).encode())


def test_exactly_one_of_many_creates_wins(tmp_path: Path) -> None:
    """Eight processes create the same record: one succeeds, and its record stays."""
    with multiprocessing.get_context("spawn").Pool(4) as pool:
        won = pool.map(_create, [(str(tmp_path), n) for n in range(8)])
    assert sum(won) == 1
    assert LocalStore(tmp_path).read("marker.json") == str(won.index(True)).encode()


def test_a_chunk_is_done_when_its_marker_names_a_whole_segment(tmp_path: Path) -> None:
    """A marker without its segment, or with one of another size, does not count."""
    store = LocalStore(tmp_path / "s")
    marker = _marker(store, "one", tmp_path)
    assert read_marker(store, "job", 3) is None
    assert commit(store, "job", 3, marker) == marker
    assert read_marker(store, "job", 3) == marker
    path = store.fetch(marker.segment)
    assert path is not None
    path.write_bytes(b"cut")
    assert read_marker(store, "job", 3) is None
    path.unlink()
    assert read_marker(store, "job", 3) is None
    store.write(layout.marker("job", 3), b"{}")
    assert read_marker(store, "job", 3) is None


def test_which_chunks_are_done(tmp_path: Path) -> None:
    """Those whose marker names a segment of its size; others are not asked for one by one."""
    store = LocalStore(tmp_path / "s")
    assert done_chunks(store, "job", 5) == []
    marker = commit(store, "job", 3, _marker(store, "one", tmp_path))
    store.write(layout.marker("job", 1), b"{}")
    assert done_chunks(store, "job", 5) == [3]
    assert done_chunks(store, "job", 3) == []
    store.remove(marker.segment)
    assert done_chunks(store, "job", 5) == []


def test_folders_and_what_lies_in_them(tmp_path: Path) -> None:
    """All of a folder comes together, with sizes; one that is empty can be removed, one that is not cannot."""
    store = LocalStore(tmp_path)
    for key in ("a/2/x.json", "a/1/y/z.json", "a/1/x.json", "b.json"):
        store.write(key, b"{}")
    assert store.folders("a") == ["1", "2"]
    assert store.folders("none") == []
    assert [(one.key, one.bytes_total) for one in store.listing("a")] == [
        ("a/1/x.json", 2),
        ("a/1/y/z.json", 2),
        ("a/2/x.json", 2),
    ]
    store.remove_all(["a/1/y/z.json", "a/1/none"])
    store.remove_empty("a/1")
    assert store.names("a") == ["a/1/x.json", "a/2/x.json"]
    assert not (tmp_path / "a" / "1" / "y").exists()


def test_a_folder_that_cannot_be_read_is_no_empty_one(tmp_path: Path) -> None:
    """A link in a circle hides no folder beside it; one in the place of the whole is told of."""
    store = LocalStore(tmp_path)
    store.write("a/1/x.json", b"{}")
    for name in ("a/loop", "b"):
        (tmp_path / name).symlink_to(tmp_path / name)
    assert store.folders("a") == ["1"]
    with pytest.raises(StorageError, match=r"b: cannot be read: .*[Ss]ymbolic links"):
        store.folders("b")


@pytest.mark.parametrize("address", ["~/s", "./~/s"])
def test_the_home_folder_is_put_in_where_it_is_meant(
    address: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A state is where its address says, as runs take it, and nowhere else."""
    home, here = tmp_path / "home", tmp_path / "here"
    here.mkdir()
    monkeypatch.chdir(here)
    monkeypatch.setenv("HOME", str(home))
    place = (home if address.startswith("~") else here / "~") / "s"
    store = open_store(state_address(address, Settings(), "out"))
    for one in (store, open_store(address)):
        one.create("a/x.json", b"{}")
        one.write("a/y.json", b"{}")
        assert one.address == str(place)
        assert one.names("a") == ["a/x.json", "a/y.json"]
    assert sorted(path.name for path in tmp_path.rglob("*.json")) == ["x.json", "y.json"]


def test_the_second_attempt_gives_way(tmp_path: Path) -> None:
    """Two attempts of a chunk: the first commit stays, the other's segment goes."""
    store = LocalStore(tmp_path / "s")
    first, second = _marker(store, "one", tmp_path), _marker(store, "two", tmp_path)
    commit(store, "job", 3, first)
    assert commit(store, "job", 3, second) == first
    assert store.fetch(second.segment) is None
    assert store.fetch(first.segment) is not None


def test_a_marker_whose_segment_is_gone_is_replaced(tmp_path: Path) -> None:
    """A chunk rendered again after its segment was lost is committed."""
    store = LocalStore(tmp_path / "s")
    first = commit(store, "job", 3, _marker(store, "one", tmp_path))
    store.remove(first.segment)
    second = _marker(store, "two", tmp_path)
    assert commit(store, "job", 3, second) == second
    assert read_marker(store, "job", 3) == second


def test_states_that_cannot_be_used(tmp_path: Path) -> None:
    """A file where the folder should be, and an address of another kind, are clear errors."""
    (tmp_path / "file").touch()
    with pytest.raises(StateError):
        open_store(str(tmp_path / "file"))
    with pytest.raises(
        StateError, match=r"ftp://host/x: unknown scheme ftp; a state is a folder or an address of s3, gs or az"
    ):
        open_store("ftp://user:word@host/x")


def test_a_full_disk_is_worth_another_attempt(tmp_path: Path) -> None:
    """A refused write is a StorageError that names the file."""
    import resource
    import signal

    store = LocalStore(tmp_path)
    old = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, limits[1]))
    try:
        with pytest.raises(StorageError, match=r"log\.jsonl"):
            store.append("log.jsonl", b"x" * 5000)
        with pytest.raises(StorageError, match=r"record"):
            store.write("record", b"x" * 5000)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
        signal.signal(signal.SIGXFSZ, old)
    assert store.read("record") is None


def test_a_copy_that_is_lost_says_nothing_of_the_file(tmp_path: Path) -> None:
    """It is fetched once more; the file stays, however often that happens, and a damaged one is removed."""
    store, asked = LocalStore(tmp_path), list[Path]()
    store.write("scans/v/index.npz", b"whole")

    def load(path: Path) -> bytes:
        asked.append(path)
        if len(asked) != 2:
            raise FileNotFoundError(errno.ENOENT, "gone", str(path))
        return path.read_bytes()

    assert load_file(store, "scans/v/index.npz", load) == b"whole"
    assert load_file(store, "scans/v/index.npz", load) is None
    assert store.read("scans/v/index.npz") == b"whole"

    def starve(_: Path) -> None:
        raise OSError(errno.EMFILE, "too many open files")

    assert load_file(store, "scans/v/index.npz", starve) is None
    assert store.read("scans/v/index.npz") == b"whole"

    def refuse(_: Path) -> None:
        raise ValueError

    assert load_file(store, "scans/v/index.npz", refuse) is None
    assert store.read("scans/v/index.npz") is None
