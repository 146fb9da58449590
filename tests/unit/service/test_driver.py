"""The driver's part of a service, without its process: what it hears, and what it leaves for the run."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest

from lipwise_ray.errors import StorageError
from lipwise_ray.runs.progress_events import RowEnded, RowProgress, RowsProgress
from lipwise_ray.service.driver import Driver
from lipwise_ray.service.wire import AddRow, BeginDriver, CancelRow, FromDriver
from lipwise_ray.state import layout
from lipwise_ray.state.job_result import RowFailure
from lipwise_ray.state.row_outcome import RowOutcome
from tests.support.service import quiet_settings


class Heard:
    """A driver whose lines the test reads."""

    def __init__(self, folder: Path) -> None:
        source = quiet_settings()
        self.uploads = folder / "uploads"
        self.uploads.mkdir()
        for name in ("v.mp4", "s.wav"):
            (self.uploads / name).touch()
        self.says: list[FromDriver] = []
        begin = BeginDriver(
            presets=str(source.presets),
            preset=source.preset,
            layers=tuple((where, dict(values)) for where, values in source.layers),
            state=str(folder / "state"),
            out=str(folder / "out"),
            uploads=str(self.uploads),
        )
        self.driver = Driver(begin, self.says.append)

    def add(self, name: str) -> None:
        """Hand it a row."""
        files = {"video": str(self.uploads / "v.mp4"), "audio": str(self.uploads / "s.wav")}
        self.driver._take(AddRow(name, 1, 1, 0, {"id": name, "output": f"{name}.mp4", **files}))

    def go(self, name: str) -> None:
        """Let the run tell how far a row is."""
        self.driver._tell(RowsProgress((RowProgress(name, "rendering", 1, 2, 1, "j"),), 0))


@pytest.fixture
def heard(tmp_path: Path) -> Heard:
    """A driver."""
    return Heard(tmp_path)


def test_a_request_that_could_not_be_left_is_left_later(heard: Heard, monkeypatch: pytest.MonkeyPatch) -> None:
    """A disk that refuses once loses no wish; what came too late is taken away, for the row may come again."""
    store, refusals = heard.driver._store, iter([True])
    write = store.write

    def writes(key: str, data: bytes) -> None:
        if next(refusals, False):
            raise StorageError("state_write", key, got="no room")
        write(key, data)

    monkeypatch.setattr(store, "write", writes)
    heard.add("a")
    assert heard.driver._queue.take(Counter(), 0.0) is not None
    heard.driver._take(CancelRow("a"))
    heard.go("a")
    assert store.names(layout.CONTROL) == []
    heard.go("a")
    assert store.names(layout.CONTROL) == [layout.cancel("a")]
    failure = RowFailure(code="not_media", message="is no video")
    heard.driver._tell(RowEnded(RowOutcome(row=1, row_id="a", job_id="j", result=failure, seconds=1.0)))
    assert store.names(layout.CONTROL) == []
