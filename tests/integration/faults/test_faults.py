"""Faults in real processes on an embedded Ray: nothing is lost, published half, or done twice.

Where it makes a difference they are met with the state in a folder, and once more in a bucket.
"""

from __future__ import annotations

import signal
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from tests.integration.faults import strikes
from tests.integration.faults.chaos import FAULTS, ROWS, chaos
from tests.integration.faults.harness import CHUNKS, Fault, Site, end_of, wait_for
from tests.support.dub import INLINE, run
from tests.support.s3 import BUCKET, s3_server

POISON = r"^render:a/2$"


@pytest.fixture
def site(tmp_path: Path) -> Site:
    """A site with its state in a folder."""
    return Site(tmp_path)


@pytest.fixture(params=[pytest.param("folder", marks=pytest.mark.slow), "bucket"])
def state(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """Where a state is: in a folder, and once more in a bucket."""
    if request.param == "folder":
        yield str(tmp_path / "out.state")
        return
    with s3_server(monkeypatch.setenv):
        yield f"s3://{BUCKET}/nights/out.state"


@pytest.fixture
def anywhere(tmp_path: Path, state: str) -> Site:
    """A site with its state in a folder, and once more in a bucket."""
    return Site(tmp_path, state=state)


@pytest.mark.slow
@pytest.mark.parametrize("state", ["folder", "bucket"], indirect=True)
def test_a_chunk_that_segfaults_is_quarantined(anywhere: Site) -> None:
    """Its budget is spent, its row fails with the letter's place, everything else is done; a rerun does not try again,
    `reproduce` meets the same end, and `retry` finishes the row.
    """
    anywhere.inject(Fault(POISON, "begin", "segv", times=100))
    done = anywhere.run()
    assert done.returncode == 1, done.stderr
    assert anywhere.hits == 3
    anywhere.check("b")
    (letter,) = anywhere.letters()
    assert [attempt["blame"] for attempt in letter["attempts"]] == ["crash"] * 3
    assert all("Segmentation fault" in attempt["log"] for attempt in letter["attempts"])
    assert "FAILED a: worker" in done.stderr
    assert f"quarantine/render-{letter['job_id']}-2.json" in done.stderr

    status = run("status", anywhere.state)
    assert f"quarantined {letter['task']}" in status.stdout
    again = anywhere.run(INLINE)  # which the chunk would end
    assert again.returncode == 1
    assert anywhere.hits == 3
    assert "is in quarantine" in again.stderr
    alone = run(*letter["reproduce"].split()[1:], afresh=True, **anywhere.environment)
    assert alone.returncode in (-11, 139)
    assert "Segmentation fault" in alone.stderr

    anywhere.inject()
    retried = run("retry", anywhere.state, **anywhere.environment)
    assert retried.returncode == 0, retried.stderr
    assert "1 tasks out of quarantine" in retried.stdout
    anywhere.check("a", "b")
    assert not anywhere.letters()


@pytest.mark.slow
def test_a_chunk_in_quarantine_may_show_its_original_frames(site: Site) -> None:
    """With `on_quarantine = passthrough` the row is done and says which chunk was left as it was filmed."""
    site.inject(Fault(POISON, "frame:5", "raise", times=3))
    done = site.run('engine.on_quarantine="passthrough"')
    assert done.returncode == 0, done.stderr
    assert "1 chunks in quarantine show their original lips" in done.stderr
    site.check("a", "b")
    assert sorted(result["original_chunks"] for result in site.results()) == [[], [2]]
    (letter,) = site.letters()
    assert {attempt["blame"] for attempt in letter["attempts"]} == {"application"}
    assert len({attempt["worker"] for attempt in letter["attempts"]}) == len(letter["attempts"]) >= 3
    assert "RuntimeError: injected" in letter["attempts"][0]["detail"]


@pytest.mark.slow
def test_a_chunk_that_hangs_is_ended_and_tried_again(site: Site) -> None:
    """A worker that stops in mid-frame is noticed by its counter, killed, and its chunk rendered by another."""
    site.inject(Fault(POISON, "frame:4", "hang"))
    done = site.run("engine.stall_s=3")
    assert done.returncode == 0, done.stderr
    site.check("a", "b")
    assert [event["blame"] for event in site.events("failed")] == ["stalled"]
    assert len(site.events("stalled")) == 1


@pytest.mark.slow  # one that hangs is killed in `make test`
def test_a_worker_killed_in_mid_encode_leaves_nothing(anywhere: Site) -> None:
    """No part of a segment becomes visible, the frames are those of an undisturbed run, and the next driver sweeps."""
    anywhere.inject(Fault(POISON, "frame:7", "kill"), Fault(r"^assemble:b", "stitch", "kill"))
    done = anywhere.run()
    assert done.returncode == 0, done.stderr
    assert anywhere.hits == 2
    anywhere.check("a", "b")
    assert np.array_equal(anywhere.frames("a"), anywhere.frames("b"))
    assert list(anywhere.scratch.rglob("*-segment.mkv"))
    anywhere.inject()
    assert anywhere.run(INLINE).returncode == 0
    anywhere.check("a", "b")


def test_out_of_memory_is_tried_with_smaller_batches(site: Site) -> None:
    """The first time costs half the batch; the run goes on."""
    site.inject(Fault(POISON, "begin", "memory", times=2))
    done = site.run(INLINE)
    assert done.returncode == 0, done.stderr
    site.check("a", "b")
    assert [event["blame"] for event in site.events("failed")] == ["memory"] * 2


@pytest.mark.slow
@pytest.mark.parametrize("engine", [(INLINE,), pytest.param((), id="ray")])
def test_a_driver_killed_at_every_step_is_followed_by_another(anywhere: Site, engine: tuple[str, ...]) -> None:
    """One driver after another dies a step further on; the last finishes, and no chunk that was done is done again."""
    anywhere.inject(*(Fault(task, at, "kill_driver") for at, task in strikes.STEPS.items()))
    for number, step in enumerate(strikes.STEPS, 1):
        finished = anywhere.markers()
        killed = anywhere.run(*engine)
        assert killed.returncode == -signal.SIGKILL, killed.stderr
        assert anywhere.hits == number, step
        assert finished.items() <= anywhere.markers().items()
    finished = anywhere.markers()
    assert len(finished) >= CHUNKS
    anywhere.inject()
    last = anywhere.run(*engine)
    assert last.returncode == 0, last.stderr
    anywhere.check("a", "b")
    assert finished.items() <= anywhere.markers().items()
    leased = [e["task"] for e in anywhere.events("leased") if e["task"].startswith("render:")]
    # The segment that was not committed, and a chunk of the other row whenever assembling was struck beside it.
    assert len(leased) <= 2 * CHUNKS + 3


@pytest.mark.slow
def test_two_drivers_at_once(site: Site) -> None:
    """The second is refused with the first one's name; the first is not disturbed."""
    assert strikes.two_drivers(site) == 1
    site.check("a", "b")


@pytest.mark.slow
@pytest.mark.parametrize("seconds", [-3600, 3600])
def test_the_clock_is_set_during_a_run(site: Site, seconds: int) -> None:
    """Set back or forward by an hour, it costs no chunk, and a second driver is refused as before."""
    strikes.clock_set(site, seconds)
    site.check("a", "b")
    noted = [event["time"] for event in site.events()]
    assert abs(noted[-1] - noted[0] - seconds) < 600


@pytest.mark.slow
def test_one_of_two_jobs_can_be_cancelled(anywhere: Site) -> None:
    """`cancel STATE ROW` ends that row while it waits for a slow chunk; the other one is finished."""
    strikes.one_of_two_cancelled(anywhere)
    anywhere.check("b")
    nobody = run("cancel", anywhere.state, "a")
    assert nobody.returncode == 2
    assert "no driver is at work" in nobody.stderr


@pytest.mark.slow
def test_a_row_that_waits_can_be_cancelled(site: Site) -> None:
    """The wish for a row that was not begun is kept until its turn comes: nothing of it is done."""
    site.inject(Fault(r"^render:a/0$", "frame:2", "hang"))
    going = site.begin("engine.stall_s=8", "engine.active_rows=1")
    wait_for(lambda: site.hits, going)
    for row in ("b", "a"):
        asked = run("cancel", site.state, row)
        assert asked.returncode == 0, asked.stderr
    errors = end_of(going, 1)
    assert "FAILED a: row a: was cancelled" in errors
    assert "FAILED b: row b: was cancelled" in errors
    assert not [event for event in site.events("leased") if event["task"] == "probe:3"]
    assert not (site.out / "b.mkv").exists()


def test_damaged_segments_and_markers_are_done_again(anywhere: Site) -> None:
    """A segment that was cut, one with a changed byte, and a marker that is no JSON cost only themselves."""
    again = strikes.damage(anywhere)
    assert again
    anywhere.check("a", "b", again=again)


@pytest.mark.slow
def test_records_of_wrong_values_are_made_again(anywhere: Site) -> None:
    """What is JSON, has a checksum that fits, and cannot be, counts as missing; only chunks of such markers are done
    again.
    """
    assert strikes.wrong_values(anywhere) > len(strikes.WRONG)
    anywhere.check("a", "b", again=strikes.AGAIN)


def test_a_disk_that_fills_up_stops_the_run_cleanly(site: Site) -> None:
    """Where files may not grow, no row is published in part; with room the same command finishes."""
    assert strikes.disk_full(site) == 1
    site.check("a", "b")


@pytest.mark.slow
def test_random_faults_in_one_run(site: Site) -> None:
    """A few of them, struck in any order: in the end both rows are right, and no chunk was done twice."""
    site.inject(*chaos(3, site.rows, 6))
    assert site.run_to_the_end("engine.stall_s=4", workers=2) == 0
    assert site.hits >= 3
    site.check("a", "b")


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(2))  # `make faults` has ten
def test_twenty_random_faults_in_one_run(seed: int, tmp_path: Path, state: str) -> None:
    """Whatever is struck and in whatever order: in the end all rows are right, and no chunk was done twice."""
    site = Site(tmp_path, ROWS, state)
    site.inject(*chaos(seed))
    assert site.run_to_the_end("engine.stall_s=4", workers=2) == 0
    assert site.hits >= FAULTS // 2
    site.check(*ROWS)


def test_nothing_works(tmp_path: Path) -> None:
    """When most of the latest tasks fail the run stops with one error, and quarantines nothing."""
    site = Site(tmp_path, tuple(f"r{n}" for n in range(14)))
    site.inject(Fault(r"^probe:", "begin", "raise", times=1000))
    done = site.run(INLINE, "engine.active_rows=14")
    assert done.returncode == 3, done.stderr
    assert "most of the latest tasks failed" in done.stderr
    assert not site.letters()
