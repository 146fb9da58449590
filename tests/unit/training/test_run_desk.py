"""What passes between a run's first worker and the program that started it."""

from __future__ import annotations

from lipwise_ray.training.run_desk import RunDesk
from lipwise_ray.training.watching import RunProgress, TrainingResult


def test_lines_are_fetched_once_and_a_stop_stays() -> None:
    """Each line comes to people once, the progress is the latest, and the worker hears of a stop with its next step."""
    desk, first, second = RunDesk(), RunProgress(1, 9, {}, 1.0, 8.0), RunProgress(2, 9, {}, 1.0, 7.0)
    desk.say("goes on from step 0")
    assert not desk.moved(first)
    assert not desk.moved(second)
    assert desk.news() == (["goes on from step 0"], second)
    assert desk.news() == ([], second)
    desk.stop()
    assert desk.moved(second)
    assert desk.moved(second)
    assert desk.result() is None
    desk.end(TrainingResult(2, {}, 0, interrupted=True))
    assert desk.result() == TrainingResult(2, {}, 0, interrupted=True)
