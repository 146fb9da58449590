"""How often and how long a request is tried again."""

from __future__ import annotations

import time
from datetime import timedelta
from email.utils import formatdate

import pytest
from urllib3 import HTTPResponse
from urllib3.exceptions import MaxRetryError, ProtocolError
from urllib3.util import retry

from lipwise_ray.storage.plain_http import answered
from lipwise_ray.storage.retries import RetryPolicy, SlowestPace
from lipwise_ray.storage.timed_retries import TimedRetries
from tests.support.flaky_site import Answer, flaky_site

QUICK = RetryPolicy(tries=4, total_s=30.0, first_wait_s=0.001, longest_wait_s=0.01)


@pytest.mark.parametrize("status", [408, 425, 429, 500, 502, 503, 504])
def test_a_passing_fault_is_tried_again(status: int) -> None:
    """A server that is busy twice gives its file the third time."""
    with flaky_site(b"body", Answer(status), Answer(status)) as site:
        with answered("GET", site.url, TimedRetries.of(QUICK)) as answer:
            assert (answer.status, answer.read()) == (200, b"body")
        assert len(site.asked) == 3


@pytest.mark.parametrize("status", [400, 401, 403, 404, 410, 416, 451])
def test_a_final_answer_is_taken(status: int) -> None:
    """Nobody asks again for what is not there, or is not given."""
    with flaky_site(b"body", Answer(status)) as site:
        with answered("GET", site.url, TimedRetries.of(QUICK)) as answer:
            assert answer.status == status
        assert len(site.asked) == 1


def test_a_connection_that_is_reset_is_made_again() -> None:
    """A server that hangs up without a word is asked once more."""
    with flaky_site(b"body", Answer(is_silent=True)) as site:
        with answered("GET", site.url, TimedRetries.of(QUICK)) as answer:
            assert answer.read() == b"body"
        assert len(site.asked) == 2


def test_the_last_answer_is_what_the_caller_gets() -> None:
    """A server that stays busy is asked as often as the policy says, and its status is told."""
    with flaky_site(b"body", *[Answer(503)] * 9) as site:
        with answered("GET", site.url, TimedRetries.of(QUICK)) as answer:
            assert answer.status == 503
        assert len(site.asked) == 4


def test_time_ends_the_tries_too() -> None:
    """However many are left, none begins when the time is over."""
    policy = RetryPolicy(tries=100, total_s=0.0, first_wait_s=0.001, longest_wait_s=0.01)
    with flaky_site(b"body", *[Answer(503)] * 9) as site:
        with answered("GET", site.url, TimedRetries.of(policy)) as answer:
            assert answer.status == 503
        assert len(site.asked) == 1


@pytest.mark.parametrize(("only_safe", "status", "times"), [(True, 503, 1), (False, 200, 2)])
def test_what_was_sent_is_sent_again_only_where_that_does_no_harm(*, only_safe: bool, status: int, times: int) -> None:
    """A POST that the server may have acted on is repeated for those alone who say so; its body is whole each time."""
    with flaky_site(b"", Answer(503)) as site:
        with answered("POST", site.url, TimedRetries.of(QUICK, only_safe=only_safe), body=b"night") as answer:
            assert answer.status == status
        assert site.sent == [b"night"] * times


def _started(longest_wait_s: float, total_s: float = 1000.0) -> TimedRetries:
    return TimedRetries.of(RetryPolicy(tries=9, total_s=total_s, first_wait_s=1.0, longest_wait_s=longest_wait_s))


def _asking(retry_after: str) -> HTTPResponse:
    return HTTPResponse(status=503, headers={"Retry-After": retry_after})


@pytest.mark.parametrize(
    ("retry_after", "seconds"),
    [("3", 3.0), ("3600", 20.0), ("0", 0.0), (formatdate(0, usegmt=True), 0.0), ("soon", None), ("-1", None)],
)
def test_a_server_is_heard_within_bounds(retry_after: str, seconds: float | None) -> None:
    """It may ask for a wait in seconds or by date; a long one is cut, and what cannot be read is left out."""
    assert _started(20.0).get_retry_after(_asking(retry_after)) == seconds


def test_a_date_to_come_again_is_heard() -> None:
    """As caches and gateways send it."""
    asked_s = _started(20.0).get_retry_after(_asking(formatdate(time.time() + 3600, usegmt=True)))
    assert asked_s == 20.0


def test_no_wait_outlasts_the_time_that_is_left() -> None:
    """Neither a server's nor one's own."""
    retries = _started(20.0, total_s=5.0)
    assert 4.0 < (retries.get_retry_after(_asking("60")) or 0) <= 5.0
    for _ in range(7):
        retries = retries.increment("GET", "/", error=ProtocolError())
    assert 4.0 < retries.get_backoff_time() <= 5.0


def test_a_server_that_asks_for_a_moment_gets_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """``Retry-After`` is obeyed, not only read."""
    slept: list[float] = []
    with flaky_site(b"body", Answer(429, {"Retry-After": "3"})) as site:
        policy = RetryPolicy(tries=2, total_s=30.0, first_wait_s=0.001, longest_wait_s=5.0)
        monkeypatch.setattr(retry.time, "sleep", slept.append)
        with answered("GET", site.url, TimedRetries.of(policy)) as answer:
            assert answer.status == 200
    assert slept == [3.0]


def test_waits_double_and_are_drawn_by_chance() -> None:
    """The second try comes at once; no two workers that failed together come back together for long."""
    waits: list[list[float]] = []
    for _ in range(20):
        retries, drawn = _started(6.0), []
        for _ in range(5):
            retries = retries.increment("GET", "/", error=ProtocolError())
            drawn.append(retries.get_backoff_time())
        waits.append(drawn)
    for drawn in waits:
        assert drawn[0] == 0
        assert 1 <= drawn[1] <= 2 <= drawn[2] <= 3
        assert 4 <= drawn[3] <= 5
        assert drawn[4] == 6
    assert len({drawn[1] for drawn in waits}) > 10


def test_tries_end_with_their_cause() -> None:
    """Whoever goes through a body by hand gets the last error, not a count."""
    retries = TimedRetries.of(RetryPolicy(tries=2, total_s=9.0, first_wait_s=0.1, longest_wait_s=1.0))
    retries = retries.increment("GET", "/", error=ProtocolError("first"))
    with pytest.raises(MaxRetryError) as caught:
        retries.increment("GET", "/", error=ProtocolError("second"))
    assert str(caught.value.reason) == "second"


def test_object_stores_follow_the_same_policy() -> None:
    """Obstore takes tries, time and waits from it."""
    told = RetryPolicy(tries=5, total_s=20.0, first_wait_s=0.1, longest_wait_s=5.0).of_store()
    assert told["max_retries"] == 4
    assert told["retry_timeout"] == timedelta(seconds=20)
    assert told["backoff"]["init_backoff"] == timedelta(milliseconds=100)
    assert told["backoff"]["max_backoff"] == timedelta(seconds=5)


def test_a_slow_download_is_told_from_a_fast_one() -> None:
    """A slow beginning is forgiven; after it the mean counts."""
    pace = SlowestPace(after_s=60.0, bytes_a_second=1000)
    assert pace.is_kept(0, 60.0)
    assert not pace.is_kept(60_999, 61.0)
    assert pace.is_kept(61_000, 61.0)
