"""Random faults, many in one run, from a seed."""

from __future__ import annotations

import random

from tests.integration.faults.harness import CHUNKS, Fault

ROWS = ("a", "b", "c", "d")
FAULTS = 20
_POINTS = ("begin", "frame:2", "frame:6", "after_segment", "after_marker")
_ACTIONS = ("segv", "raise", "kill", "memory", "hang", "kill_driver")
_WEIGHTS = (4, 5, 4, 2, 2, 2)


def chaos(seed: int, rows: tuple[str, ...] = ROWS, faults: int = FAULTS) -> tuple[Fault, ...]:
    """Return the faults of a seed: at most two on one chunk, so that no budget is spent."""
    rng = random.Random(seed)
    places = [rf"^render:{row}/{chunk}$" for row in rows for chunk in range(CHUNKS) for _ in range(2)]
    chosen = rng.sample(places, faults - len(rows))
    found = [Fault(place, rng.choice(_POINTS), *rng.choices(_ACTIONS, _WEIGHTS)) for place in chosen]
    found += [Fault(rf"^assemble:{row}", rng.choice(("begin", "stitch", "publish")), "kill") for row in rows]
    return tuple(found)
