"""Policy by which whatever goes over a network is tried again, whichever client carries it."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING

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
