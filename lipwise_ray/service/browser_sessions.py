"""Sessions of browsers that gave the key once: cookies that tell nothing of it, and need no memory."""

from __future__ import annotations

import hashlib
import hmac
import re
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from http.cookies import CookieError, SimpleCookie

_HOLD_S = 30 * 86400
_VALUE = re.compile(r"(\d{1,12})\.([0-9a-f]{64})", re.ASCII)
_SAFE_METHODS = frozenset({"GET", "HEAD"})
_MOST_CHARACTERS = 8192


@dataclass(frozen=True, slots=True)
class BrowserSessions:
    """Makes the cookies of a service and checks them; with another key of the service none holds any more.

    Attributes:
        token: The service's key.
        clock: Seconds since 1970.
    """

    token: str
    clock: Callable[[], float] = time.time

    @property
    def name(self) -> str:
        """Name of the cookie: ports share cookies, services do not."""
        return f"lipwise_{self._signature('name')[:8]}"

    @property
    def hold_s(self) -> int:
        """Seconds for which one holds."""
        return _HOLD_S

    def value(self) -> str:
        """Return the value of a new cookie."""
        expires = int(self.clock()) + _HOLD_S
        return f"{expires}.{self._signature(str(expires))}"

    def holds(self, method: str, headers: Mapping[str, str]) -> bool:
        """Tell whether a request brings a cookie that holds, and was sent by a page of this service.

        Args:
            method: Of the request.
            headers: Of the request, with small letters.
        """
        return _is_own(method, headers) and self._is_ours(headers.get("cookie", ""))

    def _is_ours(self, sent: str) -> bool:
        if len(sent) > _MOST_CHARACTERS:
            return False
        try:
            cookie = SimpleCookie(sent).get(self.name)
        except CookieError:
            return False
        found = _VALUE.fullmatch(cookie.value) if cookie else None
        if found is None:
            return False
        known = self._signature(found[1])
        return hmac.compare_digest(known.encode(), found[2].encode()) and int(found[1]) > self.clock()

    def _signature(self, text: str) -> str:
        secret = hmac.new(self.token.encode(), b"browser sessions", hashlib.sha256).digest()
        return hmac.new(secret, text.encode(), hashlib.sha256).hexdigest()


def _is_own(method: str, headers: Mapping[str, str]) -> bool:
    """Tell whether a page of this service had a browser send a request, or a person its address.

    Over plain HTTP browsers do not say by which page they came: what changes something then has to name its origin,
    which is checked for every request.
    """
    came_from = headers.get("sec-fetch-site")
    if came_from in ("same-origin", "none"):
        return True
    is_safe = method in _SAFE_METHODS
    if came_from is not None:  # a link on another page may lead here, and nothing more
        return is_safe and headers.get("sec-fetch-mode") == "navigate"
    return is_safe or "origin" in headers
