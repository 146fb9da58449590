"""Which inputs may be read, what is kept of them here, and what is never shown."""

from __future__ import annotations

import os
import threading
import time
from pathlib import Path

import pytest

from lipwise_ray.errors import InputError, StorageError
from lipwise_ray.storage.address import Policy, bucket_and_key, normal, scheme_of
from lipwise_ray.storage.cache import Cache, machine_folder


def test_addresses_have_one_spelling(tmp_path: Path) -> None:
    """Schemes and slashes do not make another address; names may hold spaces and colons."""
    assert scheme_of("/a/b:c.mp4") == scheme_of("a b.mp4") == "file"
    assert normal("S3://bucket/a//b/") == normal("s3://bucket/a//b") == "s3://bucket/a//b"
    assert bucket_and_key("s3://bucket/a folder/v.mp4") == ("s3://bucket", "a folder/v.mp4")
    assert bucket_and_key("gs://bucket") == ("gs://bucket", "")
    assert normal(f"{tmp_path}/x/../v.mp4") == str(tmp_path.resolve() / "v.mp4")


@pytest.mark.parametrize(
    ("address", "code"),
    [
        ("ftp://host/v.mp4", "scheme_refused"),
        ("http://169.254.169.254/latest", "scheme_refused"),
        ("gs://other/v.mp4", "scheme_refused"),
        ("s3://bucket/in-other/v.mp4", "place_refused"),
        ("s3://bucket/in/../other/v.mp4", "place_refused"),
        ("s3://bucket/in", "place_refused"),
        ("s3://bucket/in/./v.mp4", "place_refused"),
        ("s3://bucket/in//v.mp4", "place_refused"),
        ("/etc/passwd", "place_refused"),
    ],
)
def test_what_lies_elsewhere_is_refused(address: str, code: str) -> None:
    """Neither another scheme, nor another bucket, prefix or folder, nor a way up."""
    policy = Policy(("file", "s3"), ("s3://bucket/in", "/footage"))
    with pytest.raises(InputError) as caught:
        policy.check(address)
    assert caught.value.code == code


def test_a_link_out_of_a_root_is_refused(tmp_path: Path) -> None:
    """It is where a file is that counts, not how it is called."""
    (tmp_path / "root").mkdir()
    (tmp_path / "secret.mp4").touch()
    (tmp_path / "root" / "fine.mp4").touch()
    (tmp_path / "root" / "link.mp4").symlink_to(tmp_path / "secret.mp4")
    policy = Policy(roots=(str(tmp_path / "root"),))
    policy.check(str(tmp_path / "root" / "fine.mp4"))
    with pytest.raises(InputError, match="lies under none of"):
        policy.check(str(tmp_path / "root" / "link.mp4"))


def test_a_folder_that_somebody_laid_out_is_not_used(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Among everybody's temporary files only this user's own folder is taken, and only this user sees into it."""
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    folder = machine_folder()
    assert folder.stat().st_mode & 0o777 == 0o700
    assert machine_folder() == folder
    folder.rmdir()
    (tmp_path / "elsewhere").mkdir()
    folder.symlink_to(tmp_path / "elsewhere")
    with pytest.raises(StorageError, match="somebody else's, or a link"):
        Cache().get("v", lambda part: True)
    assert not list((tmp_path / "elsewhere").iterdir())


def _filler(size: int) -> object:
    def fill(part: Path) -> bool:
        part.write_bytes(b"x" * size)
        return True

    return fill


def test_the_cache_keeps_within_its_bound_but_not_at_the_cost_of_what_is_in_use(tmp_path: Path) -> None:
    """The longest unused copies go first; those asked for lately stay, even above the bound."""
    cache = Cache(tmp_path / "c", most_bytes=250)
    for number in range(3):
        path = cache.get(f"old-{number}", _filler(100))  # type: ignore[arg-type]
        assert path is not None
        os.utime(path, (time.time() - 7200 + number,) * 2)
    for number in range(3):
        assert cache.get(f"new-{number}", _filler(100)) is not None  # type: ignore[arg-type]
    kept = sorted(path.name for path in (tmp_path / "c").iterdir() if not path.name.startswith("."))
    assert kept == ["new-0", "new-1", "new-2"]


def test_what_was_made_here_is_kept_but_goes_first(tmp_path: Path) -> None:
    """A file that is handed over is this machine's copy, and the first to make room until somebody asks for it."""
    cache = Cache(tmp_path / "c", most_bytes=250)
    for name in ("asked", "unasked"):
        (tmp_path / "made").write_bytes(b"x" * 100)
        assert cache.keep(name, tmp_path / "made").read_bytes() == b"x" * 100
        assert not (tmp_path / "made").exists()
    assert cache.get("asked", lambda part: False) is not None
    assert cache.get("new", _filler(100)) is not None  # type: ignore[arg-type]
    assert sorted(path.name for path in (tmp_path / "c").iterdir() if path.name[0] != ".") == ["asked", "new"]


def test_many_ask_and_one_fetches(tmp_path: Path) -> None:
    """Eight threads want one file: it is made once, and a failed attempt leaves nothing behind."""
    made: list[int] = []

    def fill(part: Path) -> bool:
        made.append(1)
        time.sleep(0.05)
        part.write_bytes(b"whole")
        return True

    def broken(part: Path) -> bool:
        part.write_bytes(b"ha")
        raise StorageError("store_refused", "s3://b/k", got="cannot be read: 503")

    cache = Cache(tmp_path / "c")
    with pytest.raises(StorageError):
        cache.get("v", broken)
    waits: list[int] = []
    threads = [threading.Thread(target=lambda: cache.get("v", fill, lambda: waits.append(1))) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(made) == 1
    assert waits, "those who wait must show that they do"
    assert (tmp_path / "c" / "v").read_bytes() == b"whole"
    assert not list((tmp_path / "c").glob("*.part"))


@pytest.mark.parametrize("name", ["~no-such-user/x", "loop/x", "a\0b", "\udc80x"])
def test_a_path_that_leads_nowhere_is_a_plain_error(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Users that are not there, links in a circle, and names that no file can have."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "loop").symlink_to("loop")
    with pytest.raises(InputError) as caught:
        normal(name)
    assert caught.value.code == "bad_path"
    str(caught.value).encode()


def test_a_copy_that_is_asked_for_meanwhile_does_not_make_room(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Copies are looked at again right before they go: of two old ones that which is used in between stays."""
    folder = tmp_path / "cache"
    folder.mkdir()
    for number, name in enumerate(("used", "old")):
        (folder / name).write_bytes(b"x" * 100)
        os.utime(folder / name, (number, number))
    (tmp_path / "new").write_bytes(b"x" * 100)
    now_s = time.time()

    def clock() -> float:
        if (folder / "new").exists():  # the files are listed by now, or about to be
            os.utime(folder / "used")
        return now_s

    with monkeypatch.context() as patched:
        patched.setattr("lipwise_ray.storage.cache.time.time", clock)
        Cache(folder, most_bytes=150).keep("new", tmp_path / "new")
    assert (folder / "used").exists()
    assert not (folder / "old").exists()


def test_nothing_is_left_of_what_could_not_be_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A disk that fills while a file is copied keeps no part of it."""

    def full(path: Path, part: Path) -> None:
        part.write_bytes(path.read_bytes()[:2])
        raise OSError(28, "No space left on device")

    (tmp_path / "new").write_bytes(b"whole")
    monkeypatch.setattr("lipwise_ray.storage.cache.shutil.move", full)
    with pytest.raises(StorageError, match=r"cannot be used as this user.s own folder: no space left"):
        Cache(tmp_path / "cache").keep("new", tmp_path / "new")
    assert not list((tmp_path / "cache").iterdir())
