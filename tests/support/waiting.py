"""Waiting for what comes soon."""

from __future__ import annotations

import time
from collections.abc import Callable


def until(holds: Callable[[], object], seconds: float = 30.0, longest_pause_s: float = 0.1) -> None:
    """Ask again until something is so; fail where it is not by then."""
    deadline_s, pause_s = time.monotonic() + seconds, 0.01
    while not holds():
        assert time.monotonic() < deadline_s
        time.sleep(pause_s)
        pause_s = min(2 * pause_s, longest_pause_s)
