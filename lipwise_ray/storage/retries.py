"""How often, and for how long, what goes over a network is tried again: one policy for each of its clients."""

from __future__ import annotations

import math
import ssl
import time
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Self

from urllib3 import BaseHTTPResponse, Retry
from urllib3.exceptions import InvalidHeader
from urllib3.util.ssl_match_hostname import CertificateError

if TYPE_CHECKING:
    from obstore.store import RetryConfig

TRANSIENT_STATUSES = frozenset((408, 425, 429, *range(500, 600)))
"""Answers that may be others in a moment. All others, 404 among them, are final."""

_DRAWN_UP_TO = 4
"""obstore draws each wait between the first one and so many times the last one; with 2 they would hardly grow."""


@dataclass(frozen=True, slots=True)
class RetryPolicy:
    """Bounds on the tries of one request.

    A refused, cut or silent connection is tried again, and so are answers of `TRANSIENT_STATUSES`. The second try comes
    at once, later ones after waits that double and are drawn by chance, so that many workers that failed together do
    not come back together. A server may ask for another wait (``Retry-After``), up to the longest one: it does not
    decide for how long a worker sleeps. A certificate that is not trusted is final.

    Attributes:
        tries: Of the request in all.
        total_s: No try begins later than this after the first one.
        first_wait_s: Wait before the third try.
        longest_wait_s: No wait is longer.
    """

    tries: int
    total_s: float
    first_wait_s: float
    longest_wait_s: float

    def started(self, *, only_safe: bool = True) -> TimedRetries:
        """Return the tries of a request that begins now, for urllib3; what they end with is an answer if there is one.

        Args:
            only_safe: Whatever may have been done already is not asked for twice: a POST that was sent is not.
        """
        return TimedRetries(
            self.tries - 1,
            redirect=0,
            allowed_methods=Retry.DEFAULT_ALLOWED_METHODS if only_safe else None,
            status_forcelist=TRANSIENT_STATUSES,
            backoff_factor=self.first_wait_s / 2,
            backoff_jitter=self.first_wait_s,
            backoff_max=self.longest_wait_s,
            raise_on_status=False,
            end_s=time.monotonic() + self.total_s,
        )

    def of_store(self) -> RetryConfig:
        """Return the same bounds for obstore, which knows by itself what is transient."""
        return {
            "max_retries": self.tries - 1,
            "retry_timeout": timedelta(seconds=self.total_s),
            "backoff": {
                "init_backoff": timedelta(seconds=self.first_wait_s),
                "max_backoff": timedelta(seconds=self.longest_wait_s),
                "base": _DRAWN_UP_TO,
            },
        }


class TimedRetries(Retry):
    """urllib3's tries, which end by the clock too.

    Args:
        given: urllib3's own.
        end_s: Time of `time.monotonic` after which no try begins.
        named: urllib3's own.
    """

    def __init__(self, *given: Any, end_s: float = math.inf, **named: Any) -> None:
        super().__init__(*given, **named)
        self._end_s = end_s

    def new(self, **kw: Any) -> Self:
        """Return the same with other values; urllib3 calls it after each try."""
        return super().new(end_s=self._end_s, **kw)

    def increment(self, method: str | None = None, url: str | None = None, *given: Any, **named: Any) -> Self:
        """Return what is left after a try that failed.

        Args:
            method: Of the request.
            url: Of the request.
            given: urllib3's own.
            named: urllib3's own: ``response``, ``error``.

        Raises:
            MaxRetryError: Nothing is left, or trying again mends nothing.
        """
        left = self.new(total=0) if is_untrusted(named.get("error")) else self
        return super(TimedRetries, left).increment(method, url, *given, **named)

    def is_exhausted(self) -> bool:
        """Tell whether tries or time are used up."""
        return super().is_exhausted() or self._left_s() <= 0

    def get_backoff_time(self) -> float:
        """Return the seconds to wait where the server asks for none."""
        return min(super().get_backoff_time(), self._left_s())

    def get_retry_after(self, response: BaseHTTPResponse) -> float | None:
        """Return the seconds for which a server asks, within the bounds; None where it says nothing that can be read.

        Args:
            response: Its answer.
        """
        try:
            asked_s = super().get_retry_after(response)
        except InvalidHeader:
            return None
        return None if asked_s is None else min(asked_s, float(self.backoff_max), self._left_s())

    def _left_s(self) -> float:
        return max(0.0, self._end_s - time.monotonic())


@dataclass(frozen=True, slots=True)
class SlowestPace:
    """Speed below which a download is given up: a server that drips holds nobody up for ever.

    Attributes:
        after_s: Time that every download has.
        bytes_a_second: Bytes a second, from its beginning, that are needed after it.
    """

    after_s: float
    bytes_a_second: float

    def is_kept(self, count: int, seconds: float) -> bool:
        """Tell whether so many bytes in so many seconds are enough."""
        return seconds <= self.after_s or count >= seconds * self.bytes_a_second


SLOWEST = SlowestPace(after_s=60.0, bytes_a_second=10_000)


def is_untrusted(error: BaseException | None) -> bool:
    """Tell whether a certificate was refused, which trying again does not mend."""
    while error is not None:
        if isinstance(error, ssl.SSLCertVerificationError | CertificateError):
            return True
        error = getattr(error, "reason", None) or error.__cause__ or error.__context__
    return False


def fault_of(error: BaseException) -> str:
    """Return the kind and message of a failed transfer, without urllib3's names of its own objects."""
    cause = getattr(error, "reason", None) or error
    return f"{type(cause).__name__}: {str(cause).rpartition('>: ')[2] or cause}"[:200]
