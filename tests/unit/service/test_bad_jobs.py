"""Jobs that end every driver, and machines on which nothing works: the former end, the latter fail no backlog."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from lipwise_ray.exit_codes import ExitCode
from lipwise_ray.service import feed as feeding
from lipwise_ray.service.driver_process import DriverEnd
from lipwise_ray.service.row_queue import MOST_UNPROVEN
from lipwise_ray.service.wire import AddRow, RowBegan
from tests.unit.service.test_feed import Fed, ScriptedDriver, _done

KILLED, NOTHING_WORKS = DriverEnd.of(-9), DriverEnd.of(ExitCode.STOPPED)


@pytest.fixture
def fed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Fed]:
    """A feed that was started, whose pauses nobody waits for."""
    monkeypatch.setattr(feeding, "_LEAST_PAUSE_S", 0.001)
    monkeypatch.setattr(feeding, "_MOST_PAUSE_S", 0.001)
    fed = Fed(tmp_path)
    fed.feed.start()
    yield fed
    fed.feed.close(20)


def _sent(fed: Fed, driver: ScriptedDriver) -> list[str]:
    """Return the jobs that a driver was sent by now."""
    fed.settled(driver)
    sent: list[str] = []
    while not driver.heard.empty():
        message = driver.heard.get()
        assert isinstance(message, AddRow)
        sent.append(message.id)
    return sent


def _work(fed: Fed, breaks: Callable[[list[str]], DriverEnd | None], most: int) -> list[list[str]]:
    """Play up to so many drivers, each of which begins all that it is sent; return what was at work at their ends.

    Args:
        fed: The feed.
        breaks: Says how such jobs end their driver; None where they are done.
        most: Number of drivers.
    """
    ends: list[list[str]] = []
    while len(ends) < most:
        driver = fed.driver()
        while sent := _sent(fed, driver):
            fed.settled(driver, *(RowBegan(name, "r") for name in sent))
            end = breaks(sent)
            if end is not None:
                ends.append(sent)
                driver.end = end
                driver.end_input()
                break
            fed.settled(driver, *map(_done, sent))
        else:
            return ends
    return ends


def _by(end: DriverEnd) -> Callable[[list[str]], DriverEnd | None]:
    """Return the rule by which bad jobs end every driver so."""
    return lambda sent: end if any(name.startswith("bad") for name in sent) else None


def _statuses(fed: Fed, names: list[str]) -> dict[str, str]:
    return {name: fed.jobs.get(name).status for name in names}


@pytest.mark.parametrize("end", [KILLED, NOTHING_WORKS])
@pytest.mark.parametrize(
    "names",
    [
        [f"bad{number}" for number in range(9)] + ["good0"],
        [f"bad{number}" for number in range(7)] + ["good0", "bad7", "good1", "bad8", "bad9", "good2"],
        [f"{kind}{number}" for number in range(8) for kind in ("good", "bad")],
    ],
)
def test_many_bad_jobs_end_and_good_ones_are_done(fed: Fed, names: list[str], end: DriverEnd) -> None:
    """More of them than are given up unproven starve nobody, wherever the good ones stand among them."""
    for name in names:
        fed.add(name)
    _work(fed, _by(end), 80)
    assert _statuses(fed, names) == {name: "failed" if name.startswith("bad") else "completed" for name in names}


def test_a_good_job_that_comes_late_is_done(fed: Fed) -> None:
    """Though more bad ones are there than are given up unproven; it shows that it is they."""
    bad = [f"bad{number}" for number in range(8)]
    for name in bad:
        fed.add(name)
    _work(fed, _by(KILLED), 30)
    assert [*_statuses(fed, bad).values()].count("failed") == MOST_UNPROVEN
    fed.add("good")
    _work(fed, _by(KILLED), 30)
    assert fed.jobs.get("good").status == "completed"
    assert set(_statuses(fed, bad).values()) == {"failed"}


def test_a_short_outage_fails_no_job(fed: Fed) -> None:
    """Drivers that make way one after the other, for a GPU that comes back, are held against none of their jobs."""
    names = [f"j{number}" for number in range(4)]
    for name in names:
        fed.add(name)
    outage = iter([NOTHING_WORKS] * 7)
    ends = _work(fed, lambda _: next(outage, None), 20)
    assert len(ends) == 7
    assert set(_statuses(fed, names).values()) == {"completed"}


def test_a_long_outage_fails_no_backlog(fed: Fed) -> None:
    """A few jobs at most, whatever the number of drivers, and the others are done once the GPU is back."""
    names = [f"j{number}" for number in range(12)]
    for name in names:
        fed.add(name)
    outage = iter([NOTHING_WORKS] * 60)
    _work(fed, lambda _: next(outage, None), 80)
    statuses = [*_statuses(fed, names).values()]
    assert statuses.count("failed") <= MOST_UNPROVEN
    assert statuses.count("completed") == len(names) - statuses.count("failed")


def test_a_job_with_which_alone_nothing_works_ends(fed: Fed) -> None:
    """Where there is no other to show that it is the job, after some more drivers."""
    fed.add("bad")
    ends = _work(fed, _by(NOTHING_WORKS), 30)
    assert len(ends) == feeding._MOST_LOST + 1
    assert fed.jobs.get("bad").code == "driver_died"


def test_a_job_with_which_nothing_works_ends_soon_beside_others(fed: Fed) -> None:
    """Another that is done shows that the machine works."""
    for name in ("bad", "good"):
        fed.add(name)
    ends = _work(fed, _by(NOTHING_WORKS), 30)
    assert ends == [["bad", "good"]] * 2 + [["bad"]] * 2
    assert _statuses(fed, ["bad", "good"]) == {"bad": "failed", "good": "completed"}


@pytest.mark.parametrize(
    ("code", "how"), [(-9, "was killed by SIGKILL"), (-40, "was killed by signal 40"), (1, "ended with exit code 1")]
)
def test_the_words_for_an_end(code: int, how: str) -> None:
    """A signal without a name has its number."""
    assert DriverEnd.of(code) == DriverEnd(how)
