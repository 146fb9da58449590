"""Encoders leave the machine's schedule alone."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from lipwise_ray.media.encode import opening_encoders


@pytest.mark.skipif(not Path("/proc/self/task").is_dir(), reason="threads are listed on Linux alone")
@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() != 0, reason="only root's threads can be made real-time")
def test_trying_the_encoders_makes_no_thread_a_real_time_one() -> None:
    """SVT-AV1 asks for the highest priority where root runs it; workers, and what they start, stay ordinary."""
    before = os.sched_getscheduler(0)
    assert "libsvtav1" in opening_encoders()
    assert {os.sched_getscheduler(int(thread.name)) for thread in Path("/proc/self/task").iterdir()} == {before}
