"""Following a run on a cluster: tunnels that close, heads that go away."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field

import pytest

from lipwise_ray.backends.ray.following import NO_RUN, follow
from lipwise_ray.backends.ray.job_lines import JobLine
from lipwise_ray.errors import DisconnectedError, EngineError, SetupError
from lipwise_ray.exit_codes import ExitCode, of_error

_RUNS = JobLine("night", "RUNNING", "", None, 1.0, has_run=True)
_DONE = JobLine("night", "SUCCEEDED", "", 0, 1.0, has_run=True)
_CLOSED = SetupError("unreachable", "http://h:8265", got="cannot be reached: Connection refused")


@dataclass
class _Cluster:
    """A cluster that answers as it is told to; a clock that only waiting moves."""

    answer: Callable[[float], JobLine | SetupError]
    address: str = "http://h:8265"
    now_s: float = 0.0
    said: list[str] = field(default_factory=list[str])
    told: list[str] = field(default_factory=list[str])

    async def tail(self, name: str) -> AsyncIterator[str]:
        if isinstance(self.answer(self.now_s), SetupError):
            raise OSError("closed")
        yield "one\n"

    def must_find(self, name: str) -> JobLine:
        found = self.answer(self.now_s)
        if isinstance(found, SetupError):
            raise found
        return found

    def logs(self, name: str) -> str:
        self.must_find(name)
        return "one\ntwo\n"

    def sleep(self, seconds: float) -> None:
        self.now_s += seconds

    def follow(self) -> JobLine:
        return follow(self, "night", self.said.append, self.told.append, clock=lambda: self.now_s, sleep=self.sleep)


@pytest.mark.parametrize("seconds", [21, 300])
def test_a_tunnel_that_closes_for_a_while(seconds: float) -> None:
    """The run is followed on; nothing it prints is lost or shown twice, and what happens is told once."""
    cluster = _Cluster(lambda now: _RUNS if now < 5 else _CLOSED if now < 5 + seconds else _DONE)
    assert cluster.follow().exit_code is ExitCode.DONE
    assert "".join(cluster.said) == "one\ntwo\n"
    assert len(cluster.told) == 1
    assert "the run goes on there" in cluster.told[0]


def test_a_cluster_that_stays_away_leaves_the_runs_fate_open() -> None:
    """The exit code is not that of a run that never began; the message says how to follow it again."""
    cluster = _Cluster(lambda now: _RUNS if now < 5 else _CLOSED)
    with pytest.raises(DisconnectedError, match="lipwise-ray logs night --follow --address http://h:8265") as caught:
        cluster.follow()
    assert of_error(caught.value) is ExitCode.DISCONNECTED
    assert 600 < cluster.now_s < 700


def test_a_head_that_was_started_anew_has_ended_the_run() -> None:
    """It knows no run of before, whose driver went with it: the same command goes on."""
    unknown = SetupError(NO_RUN, "night", got="no such run on h")
    cluster = _Cluster(lambda now: _RUNS if now < 5 else _CLOSED if now < 30 else unknown)
    with pytest.raises(EngineError, match=r"no longer knows this run.* Run the same command again") as caught:
        cluster.follow()
    assert of_error(caught.value) is ExitCode.STOPPED


@pytest.mark.parametrize(
    ("line", "code"),
    [
        (JobLine("n", "FAILED", "", None, 1.0, has_run=True), ExitCode.STOPPED),  # its head or node was lost
        (JobLine("n", "FAILED", "", None, 1.0), ExitCode.CANNOT_START),
        (JobLine("n", "FAILED", "", -9, 1.0, has_run=True), ExitCode.STOPPED),
        (JobLine("n", "STOPPED", "", None, 1.0, has_run=True), ExitCode.STOPPED),
        *((JobLine("n", "FAILED", "", int(code), 1.0, has_run=True), code) for code in map(ExitCode, range(1, 6))),
    ],
)
def test_what_a_driver_over_there_ended_with(line: JobLine, code: ExitCode) -> None:
    """Its own code; a driver that was lost in the middle is no run that never began."""
    assert line.exit_code is code
    assert line.did_nothing is (code is ExitCode.CANNOT_START)
