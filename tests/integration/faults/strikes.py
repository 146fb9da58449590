"""Faults that one run alone does not show: more drivers, people, disks, damage, bad lines, wrong clocks.

Tests and the table bring them about. Each function sees the fault answered, leaves nothing running, and returns how
many faults there were besides those that are injected.
"""

from __future__ import annotations

import os
import re
import signal
import subprocess
from collections import Counter
from collections.abc import Callable

from lipwise_ray.state.store import as_json, to_json
from tests.integration.faults.harness import CHUNKS, Fault, Site, end_of, wait_for
from tests.support.dub import INLINE, run
from tests.support.s3 import Line

CHUNK = r"^render:a/1$"
STEPS = {
    "before_lease": r"^render:",
    "after_segment": CHUNK,
    "after_marker": CHUNK,
    "stitch": r"^assemble:a",
    "publish": r"^assemble:a",
}
"""Points at which a driver is killed, and the task that is under way."""

_SMALL_BYTES = 60_000
AGAIN = 2
"""Chunks whose markers hold wrong values."""


def run_again_and_again(site: Site) -> int:
    """Run until the rows have ended, however often the driver dies."""
    site.run_to_the_end("engine.stall_s=4", workers=2)
    return 0


def checked_beside(site: Site) -> int:
    """Run until the rows have ended, each segment decoded while it is written."""
    site.run_to_the_end("engine.stall_s=4", "engine.verify_segments=beside", workers=2)
    return 0


def two_drivers(site: Site) -> int:
    """The second is refused with the first one's name; the first is not disturbed."""
    first = site.begin(INLINE)
    wait_for(lambda: site.store.names("driver"), first)
    _see_second_refused(site, first)
    end_of(first)
    return 1


def clock_set(site: Site, seconds: int) -> int:
    """The clock is set while chunks are rendered: the driver goes on, and still holds the state."""
    site.inject(Fault(CHUNK, "frame:4", f"clock:{seconds}"))
    first = site.begin()
    wait_for(lambda: site.hits, first)
    _see_second_refused(site, first)
    end_of(first)
    return 0


def _see_second_refused(site: Site, first: subprocess.Popen[str]) -> None:
    first.send_signal(signal.SIGSTOP)  # it lives, and does not end meanwhile
    try:
        second = site.run()
    finally:
        first.send_signal(signal.SIGCONT)
    assert second.returncode == 2, second.stderr
    assert re.search(rf"in use by process {first.pid} on .*; a state has one driver at a time", second.stderr)


def one_of_two_cancelled(site: Site) -> int:
    """A row is given up while it waits for a slow chunk; the other one is finished."""
    site.inject(Fault(r"^render:a/0$", "frame:2", "hang"))
    going = site.begin("engine.stall_s=20", workers=2)
    wait_for((site.out / "b.mkv").exists, going)
    asked = run("cancel", site.state, "a")
    assert asked.returncode == 0, asked.stderr
    assert "FAILED a: row a: was cancelled" in end_of(going, 1)
    return 1


def damage(site: Site) -> int:
    """Of a job that waits to be assembled a segment is cut, one gets a changed byte, and a marker is no JSON: only
    these chunks are done again.
    """
    site.inject(Fault(r"^assemble:", "begin", "kill_driver"))
    assert site.run(INLINE).returncode == -signal.SIGKILL
    site.inject()
    before = site.markers()
    ((job, chunks),) = Counter(key.split("/")[1] for key in before).most_common(1)
    assert chunks == CHUNKS
    cut, changed, *_ = site.records("jobs", f"jobs/{job}/segments/*").items()
    site.store.write(cut[0], cut[1][: len(cut[1]) // 2])
    middle = len(changed[1]) // 2
    site.store.write(changed[0], changed[1][:middle] + bytes([changed[1][middle] ^ 0xFF]) + changed[1][middle + 1 :])
    site.store.write(f"jobs/{job}/chunks/00002.json", b"{")
    done = site.run(INLINE)
    assert done.returncode == 0, done.stderr
    after = site.markers()
    assert [key for key in before if after[key] != before[key]] == [f"jobs/{job}/chunks/{n:05d}.json" for n in range(3)]
    return 3


WRONG = {
    "sounds/*/sound.json": {"samples": -1},
    "jobs/*/plan.json": {"chunks": [[0, 1 << 60]]},
    "jobs/*/chunks/00000.json": {"frames": "10"},
    "jobs/*/chunks/00001.json": {"segment": "jobs/another/segments/0.x.mkv"},
    "runs/*/run.json": {"rows": "many"},
}
"""Records by key, and a value in each that is JSON and cannot be: of another type, or out of bounds."""


def wrong_values(site: Site) -> int:
    """While jobs wait to be assembled, records come to hold wrong values, with checksums that fit: each counts as
    missing and is made again, chunks whose marker is none are rendered again, and nothing is given up.
    """
    site.inject(Fault(r"^assemble:", "begin", "kill_driver"))
    assert site.run(INLINE).returncode == -signal.SIGKILL
    site.inject()
    struck = chunks = 0
    for pattern, wrong in WRONG.items():
        for key, data in site.records(pattern.partition("/")[0], pattern).items():
            record = as_json(data)
            assert record is not None
            site.store.write(key, to_json({**record, **wrong}))
            struck += 1
            chunks += "/chunks/" in key
    assert chunks == AGAIN, chunks
    done = site.run(INLINE)
    assert done.returncode == 0, done.stderr
    assert "Traceback" not in done.stderr
    assert not site.letters()
    return struck


def disk_full(site: Site) -> int:
    """Where files may not grow, nothing is published or given up; with room the same command finishes."""
    full = site.run(INLINE, most_bytes=_SMALL_BYTES)
    assert full.returncode in (1, 3), full.stderr
    assert not [path for path in site.out.rglob("*") if path.is_file()]
    assert not site.letters()
    done = site.run(INLINE)
    assert done.returncode == 0, done.stderr
    return 1


def bad_line(site: Site, line_to: Callable[[int], Line]) -> int:
    """All requests go over a bad line to the server's port: the run bears with it."""
    with line_to(int(os.environ["AWS_ENDPOINT_URL"].rpartition(":")[2])) as line:
        site.variables["AWS_ENDPOINT_URL"] = f"http://127.0.0.1:{line.port}"
        done = site.run(workers=2)
    assert done.returncode == 0, done.stderr
    assert line.hits, f"none of {line.seen} requests was hit"
    return line.hits


def workers_that_do_not_begin(site: Site) -> int:
    """The first one stops on its way: it is named, another one takes its place, and the run goes on."""
    done = site.run("engine.start_s=30")
    assert done.returncode == 0, done.stderr
    assert "It is tried once more" in done.stderr
    return 0


def group_ended(site: Site) -> int:
    """SIGTERM to the whole process group, as supervisors send it: the run drains, and the same command goes on."""
    first = site.begin()
    wait_for(site.markers, first)
    os.killpg(first.pid, signal.SIGTERM)
    end_of(first, 3)
    done = site.run()
    assert done.returncode == 0, done.stderr
    return 1
