"""`make faults`: every fault, how often it was brought about, and what it cost. All zeros, or exit code 1.

Faults that meet the state's store are met with the state in a folder, and once more in a bucket. Words on the command
line choose rows by their names.
"""

from __future__ import annotations

import os
import sys
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from lipwise_ray.backends.ray.environment import guard_local_ray
from tests.integration.faults import nodes, strikes
from tests.integration.faults.chaos import ROWS, chaos
from tests.integration.faults.harness import Fault, Site, Tally
from tests.support.s3 import BUCKET, Line, s3_server

_FOLDER, _BUCKET = "", " in a bucket"
_BOTH = (_FOLDER, _BUCKET)
_BAD_LINES = {
    "each 5th request gets a 500": partial(Line, refuse_each=5, refusal=b"500 Internal Server Error", method=b""),
    "each 5th request gets a 503": partial(Line, refuse_each=5, method=b""),
    "each 7th answer is cut off": partial(Line, swallow_each=7, method=b""),
    "every answer is 0.1 s late": partial(Line, delay_s=0.1, method=b""),
}
_SEEDS = 10


@dataclass(frozen=True, slots=True)
class _Scenario:
    """Faults, and what is left to come out right.

    Attributes:
        strike: Runs the site, and brings about what is not injected.
        right: The rows that must be right.
        places: Where the state is.
        again: Chunks that have to be done twice.
    """

    name: str
    faults: tuple[Fault, ...] = ()
    strike: Callable[[Site], int] = strikes.run_again_and_again
    right: tuple[str, ...] = ("a", "b")
    places: tuple[str, ...] = (_FOLDER,)
    again: int = 0


def _scenarios() -> Iterator[_Scenario]:
    poison = Fault(strikes.CHUNK, "begin", "segv", times=100)
    yield _Scenario("a chunk segfaults every time", (poison,), right=("b",), places=_BOTH)
    for what in ("segv", "raise", "hang", "kill", "memory"):
        places = _BOTH if what == "kill" else (_FOLDER,)
        yield _Scenario(f"a chunk meets {what} in mid-encode", (Fault(strikes.CHUNK, "frame:4", what),), places=places)
    for what in ("segv", "raise", "hang", "memory"):
        fault, name = Fault(strikes.CHUNK, "frame:4", what), f"{what} while a segment is checked beside"
        yield _Scenario(name, (fault,), strike=strikes.checked_beside)
    yield _Scenario("a process goes bad for good", (Fault(strikes.CHUNK, "frame:4", "illegal"),))
    yield _Scenario("a GPU's memory gives out", (Fault(strikes.CHUNK, "frame:4", "gpu_memory"),))
    yield _Scenario("a row's state machine breaks", (Fault(r"^plan:a$", "advance", "raise"),), right=("b",))
    yield _Scenario(
        "a worker does not begin", (Fault("^init$", "begin", "hang"),), strike=strikes.workers_that_do_not_begin
    )
    yield _Scenario("SIGTERM to the whole group", strike=strikes.group_ended, places=_BOTH)
    for at, task in strikes.STEPS.items():
        yield _Scenario(f"the driver is killed: {at}", (Fault(task, at, "kill_driver"),), places=_BOTH)
    for name, strike in nodes.FAULTS.items():
        yield _Scenario(name, strike=strike)
    yield _Scenario("two drivers at once", strike=strikes.two_drivers, places=_BOTH)
    for hours in (-1, 1):
        yield _Scenario(f"the clock is set by {hours:+} h", strike=partial(strikes.clock_set, seconds=hours * 3600))
    yield _Scenario("a row is cancelled", strike=strikes.one_of_two_cancelled, right=("b",), places=_BOTH)
    yield _Scenario("segments and a marker are damaged", strike=strikes.damage, places=_BOTH, again=3)
    yield _Scenario("records hold wrong values", strike=strikes.wrong_values, places=_BOTH, again=strikes.AGAIN)
    yield _Scenario("the disk is full", strike=strikes.disk_full)
    for name, line_to in _BAD_LINES.items():
        yield _Scenario(name, strike=partial(strikes.bad_line, line_to=line_to), places=(_BUCKET,))
    for seed in range(_SEEDS):
        yield _Scenario(f"20 random faults, seed {seed}", chaos(seed), right=ROWS, places=_BOTH)


def _is_good(scenario: _Scenario, site: Site, name: str) -> bool:
    """Play a scenario, print its row, and tell whether it cost nothing."""
    site.inject(*scenario.faults)
    try:
        struck = scenario.strike(site) + site.hits
    except AssertionError as error:
        print(f"{name:48} {error}", flush=True)
        return False
    found = site.tally(*scenario.right, again=scenario.again)
    print(
        f"{name:48} {struck:8} {found.lost:6} {found.duplicated:10} {found.wrong:12} {found.other_sound:11} "
        f"{found.republished:11}",
        flush=True,
    )
    return found == Tally() and struck > 0


def main(words: list[str]) -> int:
    """Print the table."""
    guard_local_ray()
    print(
        f"{'fault':48} {'injected':>8} {'lost':>6} {'duplicated':>10} {'wrong frames':>12} {'other sound':>11} "
        f"{'republished':>11}"
    )
    bad = 0
    with s3_server(os.environ.__setitem__):
        for number, (scenario, place) in enumerate((one, place) for one in _scenarios() for place in one.places):
            name = scenario.name + place
            if not all(word in name for word in words):
                continue
            with tempfile.TemporaryDirectory() as folder:
                state = f"s3://{BUCKET}/{number}" if place == _BUCKET else ""
                site = Site(Path(folder), scenario.right if len(scenario.right) > 1 else ("a", "b"), state)
                bad += not _is_good(scenario, site, name)
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
