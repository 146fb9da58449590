"""How long a worker may stand still."""

from __future__ import annotations

import pytest

from lipwise_ray.pipeline.flows.task_kinds import KINDS
from lipwise_ray.scheduler.deadlines import Deadlines


@pytest.mark.parametrize(("kind", "limit_s"), [("render", 5.0), ("scan", 5.0), ("probe", 60.0), ("assemble", 60.0)])
def test_work_that_counts_frames_is_given_up_sooner(kind: str, limit_s: float) -> None:
    """Frames that stop coming show a worker that hangs; a task without frames may be quiet for long."""
    assert Deadlines(frames_s=5.0, quiet_s=60.0).limit_s(KINDS[kind]) == limit_s
