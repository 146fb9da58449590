"""A retry policy as urllib3 follows it, and the words for what its tries end with."""

from __future__ import annotations

import math
import ssl
import time
from typing import Any, Self

from urllib3 import BaseHTTPResponse, Retry
from urllib3.exceptions import InvalidHeader
from urllib3.util.ssl_match_hostname import CertificateError

from lipwise_ray.storage.retries import TRANSIENT_STATUSES, RetryPolicy


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

    @classmethod
    def of(cls, policy: RetryPolicy, *, only_safe: bool = True) -> Self:
        """Return the tries of a request that begins now; what they end with is an answer if there is one.

        Args:
            policy: Its bounds.
            only_safe: Whatever may have been done already is not asked for twice: a POST that was sent is not.
        """
        return cls(
            policy.tries - 1,
            redirect=0,
            allowed_methods=Retry.DEFAULT_ALLOWED_METHODS if only_safe else None,
            status_forcelist=TRANSIENT_STATUSES,
            backoff_factor=policy.first_wait_s / 2,
            backoff_jitter=policy.first_wait_s,
            backoff_max=policy.longest_wait_s,
            raise_on_status=False,
            end_s=time.monotonic() + policy.total_s,
        )

    def new(self, **kw: Any) -> Self:
        """Return the same with other values; urllib3 calls it after each try."""
        return super().new(end_s=self._end_s, **kw)

    def increment(self, method: str | None = None, url: str | None = None, *given: Any, **named: Any) -> Self:
        """Return the tries that are left after one that failed.

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
