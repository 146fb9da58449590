"""`make faults`: every fault, how often it was injected, and what it cost. All zeros, or exit code 1."""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

from lipwise_ray.engine.factory import guard_local_ray
from tests.integration.faults.chaos import ROWS, chaos
from tests.integration.faults.harness import Fault, Site, Tally

_CHUNK = r"^render:a/1$"
_SEEDS = 10


def _scenarios() -> Iterator[tuple[str, tuple[Fault, ...], tuple[str, ...]]]:
    """Yield a name, faults, and the rows that must come out right."""
    yield "a chunk segfaults every time", (Fault(_CHUNK, "begin", "segv", times=100),), ("b",)
    for what in ("segv", "raise", "hang", "kill", "memory"):
        yield f"a chunk meets {what} in mid-encode", (Fault(_CHUNK, "frame:4", what),), ("a", "b")
    for task, at in (
        ("^render:", "before_lease"), (_CHUNK, "after_segment"), (_CHUNK, "after_marker"), ("^assemble:a", "stitch"),
        ("^assemble:a", "publish"),
    ):  # fmt: skip
        yield f"the driver is killed: {at}", (Fault(task, at, "kill_driver"),), ("a", "b")
    for seed in range(_SEEDS):
        yield f"20 random faults, seed {seed}", chaos(seed), ROWS


def main() -> int:
    """Print the table."""
    guard_local_ray()
    print(f"{'fault':36} {'injected':>8} {'lost':>6} {'duplicated':>10} {'wrong frames':>12}")
    bad = 0
    for name, faults, rows in _scenarios():
        with tempfile.TemporaryDirectory() as folder:
            site = Site(Path(folder), rows if len(rows) > 1 else ("a", *rows))
            site.inject(*faults)
            site.run_to_the_end("engine.stall_s=4", workers=2)
            found = site.tally(*rows)
            print(f"{name:36} {site.hits:8} {found.lost:6} {found.duplicated:10} {found.wrong:12}", flush=True)
            bad += found != Tally() or not site.hits
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())
