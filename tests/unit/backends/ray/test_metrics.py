"""Figures on their way to Ray."""

from __future__ import annotations

from typing import Any

import pytest
from ray.util import metrics

from lipwise_ray.backends.ray.metrics import RaySink
from lipwise_ray.scheduler.metrics import METRICS, NIGHT_METRICS, STATE_LABEL

STATE = {STATE_LABEL: "s3://b/state"}


@pytest.fixture
def passed_on(monkeypatch: pytest.MonkeyPatch) -> list[tuple[Any, ...]]:
    """Take what Ray's own classes get, which need a running Ray to go further."""
    found: list[tuple[Any, ...]] = []
    for kind, name in (("Counter", "inc"), ("Gauge", "set"), ("Histogram", "observe")):

        def note(self: Any, value: float, tags: dict[str, str], *, kind: str = kind) -> None:
            assert set(tags) == set(self.info["tag_keys"])
            found.append((kind, self.info["name"], value, tags))

        monkeypatch.setattr(getattr(metrics, kind), name, note)
    return found


def test_each_figure_is_passed_on_as_its_kind(passed_on: list[tuple[Any, ...]]) -> None:
    """Counters grow, gauges are set, histograms observe, each with the state's address beside its own labels."""
    sink = RaySink()
    sink.add("lipwise_frames", 25.0, {**STATE, "task": "render"})
    sink.add("lipwise_frames", 0.0, {**STATE, "task": "render"})  # Ray refuses a counter that does not grow
    sink.add("lipwise_rows_left", 0.0, STATE)
    sink.add("lipwise_task_seconds", 2.5, {**STATE, "task": "render"})
    sink.flush()
    assert [one[:3] for one in passed_on] == [
        ("Counter", "lipwise_frames", 25.0),
        ("Gauge", "lipwise_rows_left", 0.0),
        ("Histogram", "lipwise_task_seconds", 2.5),
    ]


def test_every_figure_of_a_run_and_of_a_night_can_be_passed_on(passed_on: list[tuple[Any, ...]]) -> None:
    """None of the names that a meter uses is unknown to Ray, with the labels that the table gives it."""
    sink = RaySink()
    for name, metric in (METRICS | NIGHT_METRICS).items():
        sink.add(name, 1.0, dict.fromkeys(metric.all_labels, "x"))
    assert {one[1] for one in passed_on} == {*METRICS, *NIGHT_METRICS}
