"""Files of web servers: only of hosts that a run names, and never of addresses inside a network."""

from __future__ import annotations

import ipaddress
import socket
import time
from collections.abc import Callable, Generator
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from urllib.parse import urljoin, urlsplit

import certifi
import urllib3
from urllib3.exceptions import HTTPError, LocationParseError
from urllib3.util import Url, parse_url

from lipwise_ray.errors import InputError, MediaError, StorageError
from lipwise_ray.storage.address import WEB, Policy, shown
from lipwise_ray.storage.objects import ObjectInfo
from lipwise_ray.storage.retries import SLOWEST, TRANSIENT_STATUSES, RetryPolicy
from lipwise_ray.storage.timed_retries import TimedRetries, fault_of, is_untrusted

_MOST_REDIRECTS = 5
_MOST_PLACES, _KNOCK_S = 4, 5.0
_TIMEOUT = urllib3.Timeout(connect=10, read=60)
_RETRIES = RetryPolicy(tries=6, total_s=60.0, first_wait_s=1.0, longest_wait_s=8.0)
_BLOCK_BYTES = 1 << 20
_NOT_THERE = (404, 410)
_PAGES = (
    *("text/html", "application/xhtml+xml", "application/vnd.apple.mpegurl", "application/x-mpegurl"),
    *("audio/mpegurl", "audio/x-mpegurl", "application/dash+xml", "application/vnd.ms-sstr+xml"),
)
"""Types of what leads to videos and is none: pages, playlists, manifests."""

_OK = 200
_GLOBAL_UNICAST = ipaddress.ip_network("2000::/3")
_OF_ONE_NETWORK = tuple(
    ipaddress.ip_network(text)
    for text in (
        "192.0.0.0/24",  # protocol assignments; 192.0.0.192 is Oracle's metadata service
        "192.88.99.0/24",  # relays to IPv6, given up by RFC 7526
        "192.31.196.0/24",  # AS112, RFC 7535
        "192.52.193.0/24",  # AMT relays, RFC 7450
        "192.175.48.0/24",  # AS112, RFC 7534
        "100.64.0.0/10",  # carriers' own; 100.100.100.200 is Alibaba's metadata service
        "168.63.129.16/32",  # Azure's platform
        "161.26.0.0/16",  # IBM's platform
        "166.8.0.0/14",  # the same
        "2001::/23",  # protocol assignments, Teredo among them
        "2001:db8::/32",  # for documents
        "3fff::/20",  # the same, RFC 9637
        "2620:4f:8000::/48",  # AS112
    )
)
"""Networks that some version of Python calls global though they lead to a platform's own services, or nowhere."""
_EMBEDDING = ipaddress.ip_network("64:ff9b::/96")  # IPv4 addresses behind a translator, RFC 6052

Resolve = Callable[[str, int], list[str]]
"""From a host and a port to the addresses that may be connected to; raises where there are none."""


class WebFile:
    """A file of a web server.

    Each step of a redirection has to be allowed by itself. A host's name is looked up once, its addresses are
    checked, and the connection goes to what was checked: a name that changes its mind in between gains nothing.

    Args:
        address: ``http://`` or ``https://``, maybe signed.
        policy: Which addresses may be read.
        most_bytes: A longer file is not taken.
        resolve: Looks names up.
    """

    def __init__(self, address: str, policy: Policy, most_bytes: int, resolve: Resolve | None = None) -> None:
        self._address = address
        self._policy = policy
        self._most_bytes = most_bytes
        self._resolve = resolve or public_addresses

    def facts(self) -> ObjectInfo | None:
        """Return size and tag, as the server states them; None where there is no such file.

        Asks as if for the file and hangs up: signed addresses often refuse other requests.

        Raises:
            InputError: It may not be read.
            StorageError: The server refused or cannot be reached.
        """
        with self._answer() as answer:
            return None if answer.status in _NOT_THERE else _facts(answer)

    def is_file(self) -> bool:
        """Tell whether the server gives a file of its own: no page, no playlist, and no refusal of whoever asks.

        Raises:
            InputError: It may not be asked.
            StorageError: It cannot be reached.
        """
        try:
            with self._answer() as answer:
                kind = answer.headers.get("Content-Type", "").partition(";")[0].strip().lower()
                return answer.status == _OK and kind not in _PAGES
        except MediaError as error:
            if error.code != "web_refused":
                raise
            return False

    def download(self, target: Path, on_block: Callable[[], None] = lambda: None) -> ObjectInfo | None:
        """Write the file to `target`; None where there is none.

        Args:
            target: The file.
            on_block: Called after each block.

        Raises:
            InputError: It may not be read, or is too long.
            StorageError: The server refused, or gave fewer bytes than it stated.
        """
        with self._answer() as answer:
            if answer.status in _NOT_THERE:
                return None
            coding = answer.headers.get("Content-Encoding", "identity")
            if coding != "identity":  # what arrives would not be what its size and tag are stated of
                raise MediaError(
                    "web_refused",
                    shown(self._address),
                    got=f"the server sends it coded as {coding}, which was not asked for",
                )
            done, begun_s = 0, time.monotonic()
            with target.open("wb") as file:
                for block in answer.stream(_BLOCK_BYTES, decode_content=False):
                    done += file.write(block)
                    on_block()
                    if done > self._most_bytes:
                        raise too_large(self._address, done, self._most_bytes)
                    after_s = time.monotonic() - begun_s
                    if not SLOWEST.is_kept(done, after_s):
                        raise StorageError(
                            "web_slow",
                            shown(self._address),
                            got=f"comes too slowly: {done} bytes in {after_s:.0f} s",
                            do="Run again later",
                        )
            return _facts(answer)

    @contextmanager
    def _answer(self) -> Generator[urllib3.BaseHTTPResponse]:
        address = self._address
        for _ in range(_MOST_REDIRECTS + 1):
            self._policy.check(address)
            with self._asked(address) as answer:
                further = answer.get_redirect_location()
                if not further:
                    yield answer
                    return
            try:
                address = urljoin(address, further)
            except ValueError as error:
                raise MediaError(
                    "no_address", shown(self._address), got=f"redirects to {further}, which is not an address"
                ) from error
        raise MediaError(
            "redirects",
            shown(self._address),
            got=f"redirects more than {_MOST_REDIRECTS} times, at last to {shown(address)}",
        )

    @contextmanager
    def _asked(self, address: str) -> Generator[urllib3.BaseHTTPResponse]:
        url = plain_url(address)
        host = (url.host or "").strip("[]")
        port = url.port or (443 if url.scheme == "https" else 80)
        try:
            with self._connected(url, host, port) as pool, closing(_ask(pool, url)) as answer:
                _check_status(answer, address)
                yield answer
        except HTTPError as error:
            if is_untrusted(error):
                raise MediaError(
                    "untrusted_host", shown(address), got=f"its certificate is not trusted: {fault_of(error)}"
                ) from error
            raise _unreachable(address, fault_of(error)) from error

    def _connected(self, url: Url, host: str, port: int) -> urllib3.HTTPConnectionPool:
        """Return connections to an address of the host that answers, the last one where none does."""
        places = self._resolve(host, port)[:_MOST_PLACES]
        for place in places[:-1]:
            with suppress(OSError), socket.create_connection((place, port), _KNOCK_S):
                return _pool(url.scheme, place, port, host)
        return _pool(url.scheme, places[-1], port, host)


def _pool(scheme: str | None, place: str, port: int, host: str) -> urllib3.HTTPConnectionPool:
    """Return connections to a checked address; over https it has to prove the host's name."""
    if scheme != "https":
        return urllib3.HTTPConnectionPool(place, port, timeout=_TIMEOUT)
    return urllib3.HTTPSConnectionPool(
        place, port, timeout=_TIMEOUT, server_hostname=host, assert_hostname=host, ca_certs=certifi.where()
    )


def _ask(pool: urllib3.HTTPConnectionPool, url: Url) -> urllib3.BaseHTTPResponse:
    headers = {"Host": str(url.netloc), "Accept-Encoding": "identity", "User-Agent": "lipwise-ray"}
    retries = TimedRetries.of(_RETRIES)
    return pool.urlopen("GET", url.request_uri, headers=headers, retries=retries, redirect=False, preload_content=False)


def too_large(address: str, size: int, most_bytes: int) -> MediaError:
    """Return the error for an input with too many bytes."""
    return MediaError(
        "too_large",
        shown(address),
        got=f"has {size / 1e9:.3g} GB",
        must=f"at most {most_bytes / 1e9:g} GB are allowed",
        do="See limits.gb",
    )


def public_addresses(host: str, port: int) -> list[str]:
    """Return a host's addresses if all of them are of the public network.

    Raises:
        InputError: One is not.
        StorageError: The name cannot be looked up now.
    """
    try:
        addresses = [str(entry[4][0]) for entry in socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)]
    except (OSError, UnicodeError) as error:
        why = getattr(error, "strerror", None) or str(error)
        raise StorageError(
            "no_host", host, got=f"the name cannot be looked up: {why}", do="Check the address"
        ) from error
    private = [place for place in addresses if not is_public(place)]
    if private:
        raise InputError(
            "private_address",
            host,
            got=f"leads to {private[0]}, which is not of the public network",
            do="Copy the file to a folder or a bucket instead",
        )
    return addresses


def is_public(place: str) -> bool:
    """Tell whether a numeric address belongs to the public network; what embeds another one is as that one."""
    address = ipaddress.ip_address(place)
    if isinstance(address, ipaddress.IPv6Address):
        inner = address.ipv4_mapped or address.sixtofour
        if inner is None and address in _EMBEDDING:
            inner = ipaddress.IPv4Address(int(address) & 0xFFFFFFFF)
        if inner is not None:
            return is_public(str(inner))
        if address not in _GLOBAL_UNICAST:
            return False
    return address.is_global and not address.is_multicast and not any(address in network for network in _OF_ONE_NETWORK)


def plain_url(address: str) -> Url:
    """Return an address's parts, as the connection will be made; the policy must have read them the same.

    Raises:
        MediaError: It is no plain http or https address.
    """
    try:
        url = parse_url(address)
    except LocationParseError:
        url = None
    if url is None or url.scheme not in WEB or (url.netloc or "").lower() != urlsplit(address).netloc.lower():
        raise MediaError("no_address", shown(address), got="not a plain http or https address", do="Check the address")
    return url


def _facts(answer: urllib3.BaseHTTPResponse) -> ObjectInfo:
    stated = answer.headers.get("Content-Length", "")
    tag = answer.headers.get("ETag") or answer.headers.get("Last-Modified") or ""
    return ObjectInfo(int(stated) if stated.isdigit() else None, tag)


def _check_status(answer: urllib3.BaseHTTPResponse, address: str) -> None:
    if answer.status == _OK or answer.status in _NOT_THERE or answer.get_redirect_location():
        return
    if answer.status in TRANSIENT_STATUSES:
        raise _unreachable(address, f"it answers with status {answer.status}")
    do = "Check the address, and until when its signature holds"
    raise MediaError("web_refused", shown(address), got=f"answered with status {answer.status}", do=do)


def _unreachable(address: str, why: str) -> StorageError:
    return StorageError(
        "web_unreachable", shown(address), got=f"cannot be read: {why}", do="Check the address and the network"
    )
