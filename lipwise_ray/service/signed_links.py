"""Links that need no key: they are signed, and hold for a while."""

from __future__ import annotations

import hashlib
import hmac
import math
import re
import time
from collections.abc import Callable
from typing import Literal
from urllib.parse import quote

from starlette.requests import Request

from lipwise_ray.errors import RequestError
from lipwise_ray.service.gate import HAS_KEY, own_path

LinkMethod = Literal["GET", "PUT"]
_STEP_S = 3600
_ANEW = "Ask for a new one"
_SECONDS = re.compile(r"\d{1,15}", re.ASCII)


class SignedLinks:
    """Makes links and checks them.

    Args:
        token: The service's key; with another one no earlier link holds.
        base_url: Address by which clients reach the service.
        hold_s: Seconds for which a link holds at least. It ends at a full hour, so that the links of one answer and of
            the next are the same.
        is_public: `base_url` was named by whoever runs the service; otherwise links are for the name that a client
            asks by.
        clock: Seconds since 1970.
    """

    def __init__(
        self,
        token: str,
        base_url: str,
        hold_s: float,
        *,
        is_public: bool = False,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._secret = hmac.new(token.encode(), b"links", hashlib.sha256).digest()
        self._base_url = base_url.rstrip("/")
        self._hold_s = hold_s
        self._is_public = is_public
        self._clock = clock

    def to(self, path: str, method: LinkMethod = "GET", request: Request | None = None) -> str:
        """Return a link.

        Args:
            path: Path of the address, not quoted.
            method: What it is for.
            request: The request that is answered; None where nobody asks.
        """
        expires = math.ceil((self._clock() + self._hold_s) / _STEP_S) * _STEP_S
        base = self._base_url if request is None or self._is_public else str(request.base_url).rstrip("/")
        return f"{base}{quote(path)}?expires={expires}&signature={self._signature(method, path, expires)}"

    def plain(self, path: str, request: Request) -> str:
        """Return the same address without a signature.

        Args:
            path: Path of the address, not quoted.
            request: The request that is answered.
        """
        base = self._base_url if self._is_public else str(request.base_url).rstrip("/")
        return f"{base}{quote(path)}"

    @property
    def hold_s(self) -> int:
        """Seconds for which a link holds at least."""
        return int(self._hold_s)

    def check(self, request: Request, method: LinkMethod | None = None) -> None:
        """Let a request through that brings the key, or came by a link that holds.

        Args:
            request: The request.
            method: What the link has to be for; by default the request's own method.

        Raises:
            RequestError: It did not.
        """
        if request.scope.get("state", {}).get(HAS_KEY) is True:
            return
        method = method or ("PUT" if request.method == "PUT" else "GET")
        expires, given = request.query_params.get("expires", ""), request.query_params.get("signature", "")
        whole = int(expires) if _SECONDS.fullmatch(expires) else 0
        known = self._signature(method, own_path(request.scope), whole)
        if not hmac.compare_digest(known.encode(), given.encode("utf-8", "replace")):
            raise RequestError(
                "link_refused", "the link", got="its signature is missing or wrong", do="Ask for it again"
            )
        if whole < self._clock():
            raise RequestError("link_refused", "the link", got="is no longer valid", do=_ANEW)

    def _signature(self, method: LinkMethod, path: str, expires: int) -> str:
        return hmac.new(self._secret, f"{method}\n{path}\n{expires}".encode(), hashlib.sha256).hexdigest()
