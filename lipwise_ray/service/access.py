"""Keys, and the names and pages by which a browser came: whether a request is let in."""

from __future__ import annotations

import hashlib
import hmac
import ipaddress
from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import urlsplit

from lipwise_ray.errors import RequestError
from lipwise_ray.service.browser_sessions import BrowserSessions

_SAFE_METHODS = frozenset({"GET", "HEAD", "OPTIONS"})
_LOCAL_NAMES = frozenset({"localhost"})


def is_loopback(host: str) -> bool:
    """Tell whether a host's name or number reaches this machine alone."""
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return host.lower().rstrip(".") in _LOCAL_NAMES


@dataclass(frozen=True, slots=True)
class AccessRules:
    """Rules by which requests are let in.

    A page of another site can have a browser on this machine send requests here. Its own name, pointed here, is in
    ``Host`` then (DNS rebinding), and its address in ``Origin`` (forged requests): both are checked.

    Attributes:
        token: The key.
        needs_token: Every request has to bring the key; without, only this machine can reach the listener.
        public_host: The name, and port if it has one, by which a proxy is asked for this; None without a proxy.
    """

    token: str
    needs_token: bool
    public_host: str | None = None

    def check_page(self, method: str, headers: Mapping[str, str]) -> None:
        """Refuse what a page of another site had a browser send.

        Args:
            method: Of the request.
            headers: Of the request, with small letters.

        Raises:
            RequestError: It came by another name, or from another site's page.
        """
        host = headers.get("host")
        if host is not None and not self._is_ours(host):  # only HTTP/1.0 goes without, which no browser speaks
            raise RequestError(
                "host_not_ours",
                "the header Host",
                got=f"{host[:100]!r} is not a name of this service",
                do="Ask by 127.0.0.1 or localhost, or start it with --public-url",
            )
        origin = headers.get("origin")
        if origin is not None and not self._is_own(origin.rpartition("://")[2].lower(), host or ""):
            raise RequestError("foreign_page", "the header Origin", got=f"{origin[:100]!r} is another site")
        is_visit = method in _SAFE_METHODS and headers.get("sec-fetch-mode") == "navigate"
        if headers.get("sec-fetch-site") == "cross-site" and not is_visit:
            raise RequestError("foreign_page", "the request", got="a page of another site sent it")

    def has_token(self, headers: Mapping[str, str]) -> bool:
        """Tell whether a request may do everything: it brings the key, or needs none.

        Args:
            headers: Of the request, with small letters.
        """
        if not self.needs_token:
            return True
        kind, _, bearer = headers.get("authorization", "").partition(" ")
        return any(
            [*map(self.is_token, (bearer.strip() if kind.lower() == "bearer" else "", headers.get("x-api-key", "")))]
        )

    def is_token(self, given: str) -> bool:
        """Tell whether a text is the key."""
        # Digests are equally long, so that the time tells nothing of the key.
        return hmac.compare_digest(_digest(given), _digest(self.token))

    @property
    def sessions(self) -> BrowserSessions:
        """Sessions of browsers, which stand for the key."""
        return BrowserSessions(self.token)

    def _is_own(self, origin_host: str, host: str) -> bool:
        """Tell whether a page is of this service; proxies may ask by a name that their own clients do not know."""
        return origin_host == host.lower() or self._is_public(origin_host)

    def _is_public(self, host: str) -> bool:
        return self.public_host is not None and host.lower() == self.public_host.lower()

    def _is_ours(self, host: str) -> bool:
        if self._is_public(host):
            return True
        try:
            name = urlsplit(f"//{host}").hostname
        except ValueError:
            return False
        if name is None or "@" in host:
            return False
        # With a key the name proves nothing more: no other site's page has it.
        return self.needs_token or is_loopback(name)


def _digest(key: str) -> bytes:
    return hashlib.sha256(key.encode("utf-8", "surrogateescape")).digest()
