"""Logs of a state that was moved between a folder, where each is one file, and a bucket, where it has parts."""

from __future__ import annotations

from io import BytesIO
from pathlib import Path

import pytest

from lipwise_ray.state import layout
from lipwise_ray.state.log_lines import lines_in
from lipwise_ray.state.remote import RemoteStore
from lipwise_ray.state.store import LocalStore
from lipwise_ray.storage.cache import Cache
from lipwise_ray.storage.objects import Bucket
from tests.support.s3 import BUCKET, s3_server

LOG = layout.attempts("job")


def test_lines_of_a_file() -> None:
    """Each without its end, a half-written one too."""
    assert list(lines_in(BytesIO(b'{"a": 1}\r\n\n{"b'))) == [b'{"a": 1}', b"", b'{"b']


def test_logs_go_with_a_state_into_a_bucket_and_back(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Lines that were written there and here are all read, on both sides, and more can be added."""
    here = LocalStore(tmp_path / "here")
    here.append(LOG, b"1")
    with s3_server(monkeypatch.setenv):
        there = RemoteStore(f"s3://{BUCKET}/s", Cache(tmp_path / "cache"))
        bucket = Bucket(f"s3://{BUCKET}/s")
        bucket.write(LOG, (here.root / LOG).read_bytes())
        assert list(there.log(LOG)) == [b"1"]
        there.append(LOG, b"2")
        there.flush(everything=True)
        assert list(there.log(LOG)) == [b"1", b"2"]
        (part,) = there.names(LOG)
        back = LocalStore(tmp_path / "back")  # where a file and a folder of one name cannot both be
        (back.root / part).parent.mkdir(parents=True)
        (back.root / part).write_bytes(bucket.read(part) or b"")
        for line in (b"3", b"4"):
            back.append(LOG, line)
        assert list(back.log(LOG)) == [b"2", b"3", b"4"]
        for key in back.names(LOG):
            bucket.write(key, (back.root / key).read_bytes())
        assert list(there.log(LOG)) == [b"1", b"2", b"3", b"4"]
