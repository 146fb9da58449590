"""Following a run on a cluster to its end, through tunnels that close, heads that go away and laptops that sleep."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from contextlib import suppress
from typing import Protocol

from lipwise_ray.backends.ray.job_lines import JobLine
from lipwise_ray.errors import DisconnectedError, EngineError, SetupError

NO_RUN = "no_run"
"""The code of a run that a cluster does not know."""

_POLL_S, _LONGEST_POLL_S = 1.0, 15.0
_PATIENCE_S = 600.0
"""So long a cluster may stay out of reach, by a clock that stands still while this machine sleeps."""

_QUIET_S = 60.0
"""After so long without a word the line is opened anew: one that broke during a sleep never says so."""

_MOST_MISSED = 2


class Followed(Protocol):
    """The jobs of a cluster, as far as they are followed."""

    address: str

    def must_find(self, name: str) -> JobLine:
        """Return a job by its submission id.

        Raises:
            SetupError: There is none, or the cluster is out of reach.
        """
        ...

    def logs(self, name: str) -> str:
        """Return the log of a job so far.

        Raises:
            SetupError: The cluster is out of reach.
        """
        ...

    def tail(self, name: str) -> AsyncIterator[str]:
        """Yield the log of a job: what is there, then what comes."""
        ...


def follow(
    jobs: Followed,
    name: str,
    say: Callable[[str], None],
    tell: Callable[[str], None],
    *,
    clock: Callable[[], float] = time.monotonic,
    sleep: Callable[[float], None] = time.sleep,
) -> JobLine:
    """Pass on a job's output until it has ended.

    Args:
        jobs: The cluster's jobs.
        name: The job's submission id.
        say: Takes what the job prints.
        tell: Takes what is to be known of the following itself.
        clock: Seconds for which this machine was awake.
        sleep: Waits.

    Raises:
        DisconnectedError: The cluster stays out of reach; the run may go on there.
        EngineError: The cluster was started anew, and the run's driver ended with the old one.
    """
    log, lost_s, missed, wait_s = _LogStream(say), None, 0, _POLL_S
    while True:
        asyncio.run(log.follow(jobs.tail(name)))
        try:
            job = jobs.must_find(name)
            if job.ended:
                _take_the_rest(jobs, name, log)
                return job
            if lost_s is not None:
                tell(f"{jobs.address} is within reach again")
            lost_s, missed, wait_s = None, 0, _POLL_S
        except SetupError as error:
            missed = missed + 1 if error.code == NO_RUN else 0
            if missed == _MOST_MISSED:
                raise _gone(name, jobs.address) from error
            if lost_s is None:
                lost_s = clock()
                tell(f"{error} It is asked again for {_PATIENCE_S / 60:.0f} minutes; the run goes on there.")
            if clock() - lost_s > _PATIENCE_S:
                raise _disconnected(name, jobs.address, error) from error
            wait_s = min(2 * wait_s, _LONGEST_POLL_S)
        sleep(wait_s)


def _take_the_rest(jobs: Followed, name: str, log: _LogStream) -> None:
    """Pass on the end of a log; how the run ended is known also where nobody can give it."""
    try:
        log.take(0, jobs.logs(name))
    except SetupError as error:
        if error.code == "unreachable":
            raise


def _gone(name: str, address: str) -> EngineError:
    return EngineError(
        "run_gone",
        name,
        got=f"the cluster at {address} was started anew and no longer knows this run",
        do="Its driver ended with the old cluster. Run the same command again: what is done stays done",
    )


def _disconnected(name: str, address: str, error: SetupError) -> DisconnectedError:
    return DisconnectedError(
        "out_of_reach",
        address,
        got=f"the connection was lost while the run was followed ({error.happened})",
        do=f"The run may still be at work there; follow it again: {how_to_follow(name, address)}",
    )


def how_to_follow(name: str, address: str) -> str:
    """Return the command that follows a run.

    Args:
        name: Id of the run.
        address: The cluster's dashboard.
    """
    return f"lipwise-ray logs {name} --follow --address {address}"


class _LogStream:
    """Printed output of a job, passed on once."""

    def __init__(self, say: Callable[[str], None]) -> None:
        self._say = say
        self._said = 0

    async def follow(self, lines: AsyncIterator[str]) -> None:
        """Pass on the output, until the job or the connection ends, or nothing comes for long."""
        import aiohttp

        seen = 0
        broken = (StopAsyncIteration, RuntimeError, OSError, TimeoutError, aiohttp.ClientError)
        with suppress(*broken):
            while True:
                text = await asyncio.wait_for(anext(lines), _QUIET_S)
                self.take(seen, text)
                seen += len(text)

    def take(self, seen: int, text: str) -> None:
        """Pass on the part of a text that is new; the text begins after so many characters of the log."""
        fresh = text[max(0, self._said - seen) :]
        if fresh:
            self._say(fresh)
            self._said = seen + len(text)
