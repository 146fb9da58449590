"""Lines that tell of a preview while it is being made."""

from __future__ import annotations

import threading
from collections.abc import Callable

import pytest

from lipwise_ray.service.side_messages import PreviewProgress
from lipwise_ray.service.studio import preview_stream
from lipwise_ray.service.studio.preview_stream import _lines


def test_progress_is_told_while_it_goes_on() -> None:
    """The first line is there before the preview is; the last one is what came of it."""
    is_read = threading.Event()

    def make(tell: Callable[[PreviewProgress], object], is_wanted: Callable[[], bool]) -> dict[str, object]:
        assert is_wanted()
        tell(PreviewProgress(stage="rendering", frames_done=3, frames_total=9))
        assert is_read.wait(20)
        return {"video": "/a.mp4"}

    lines = _lines(make)
    assert next(lines) == '{"stage": "rendering", "done": 3, "total": 9}\n'
    is_read.set()
    assert list(lines) == ['{"video": "/a.mp4"}\n']


def test_a_preview_that_nobody_waits_for_is_made_to_its_end(monkeypatch: pytest.MonkeyPatch) -> None:
    """An empty line now and then finds out who is gone; the work goes on, as it is kept."""
    monkeypatch.setattr(preview_stream, "_KNOWN_EVERY_S", 0.01)
    may_end, has_ended = threading.Event(), threading.Event()
    wanted: list[bool] = []

    def make(tell: Callable[[PreviewProgress], object], is_wanted: Callable[[], bool]) -> dict[str, object]:
        del tell
        may_end.wait(20)
        wanted.append(is_wanted())
        has_ended.set()
        return {}

    lines = _lines(make)
    assert next(lines) == "\n"
    lines.close()  # type: ignore[attr-defined]  # a generator, as a client's end closes it
    may_end.set()
    assert has_ended.wait(20)
    assert wanted == [False]
