"""HTTP with servers that whoever runs this names: mirrors, publishers of checkpoints, receivers of notices, metadata.

What others name, in manifests and requests, goes through `web` and `posting`, which check where an address leads.
"""

from __future__ import annotations

import os
from collections.abc import Generator, Mapping
from contextlib import closing, contextmanager
from pathlib import Path
from urllib.parse import unquote, urljoin
from urllib.request import getproxies, proxy_bypass

import certifi
import urllib3
from urllib3.exceptions import HTTPError, LocationParseError
from urllib3.util import Url, make_headers, parse_url

from lipwise_ray.storage.retries import RetryPolicy
from lipwise_ray.storage.timed_retries import TimedRetries

_MOST_REDIRECTS = 10
_KEEPING_THE_METHOD = (307, 308)
_SEE_ELSEWHERE = 303
_BUNDLES = ("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE")
"""Variables by which networks that open TLS name their own certificates."""

_PATIENT = urllib3.Timeout(connect=10, read=60)


@contextmanager
def answered(
    method: str,
    address: str,
    retries: urllib3.Retry,
    *,
    headers: Mapping[str, str] | None = None,
    body: bytes | None = None,
) -> Generator[urllib3.BaseHTTPResponse]:
    """Yield a server's answer, its body unread, after redirections.

    The environment's proxies and certificates count, and so do user and password of the address or, without them, of
    the user's ``.netrc``.

    Args:
        method: ``GET``, ``POST``...
        address: ``http://`` or ``https://``.
        retries: Bounds on the tries, from `TimedRetries.of`.
        headers: Beside those that every request has.
        body: Sent with the request.

    Raises:
        HTTPError: urllib3's own: no answer came within the bounds, or the address is none.
    """
    for _ in range(_MOST_REDIRECTS):
        url = parse_url(address)
        with (
            _pools(url) as pools,
            closing(_asked(pools, method, url, retries, {**_login(url), **(headers or {})}, body, _PATIENT)) as answer,
        ):
            further = answer.get_redirect_location()
            if not further:
                yield answer
                return
        try:
            address = urljoin(address, further)
        except ValueError as error:
            raise LocationParseError(further) from error
        if answer.status == _SEE_ELSEWHERE or (method == "POST" and answer.status not in _KEEPING_THE_METHOD):
            method, body = "GET", None
    raise HTTPError(f"redirected more than {_MOST_REDIRECTS} times")


@contextmanager
def answered_nearby(
    method: str, address: str, policy: RetryPolicy, headers: Mapping[str, str], timeout_s: float
) -> Generator[urllib3.BaseHTTPResponse]:
    """Yield the answer of a service of this machine's own network: by no proxy, and led nowhere else.

    Args:
        method: ``GET`` or ``PUT``.
        address: ``http://``.
        policy: Bounds on the tries.
        headers: Beside those that every request has.
        timeout_s: Wait for the connection, and for each piece of the answer.

    Raises:
        HTTPError: urllib3's own: no answer came within the bounds.
    """
    timeout = urllib3.Timeout(timeout_s)
    with (
        urllib3.PoolManager() as pools,
        closing(_asked(pools, method, parse_url(address), TimedRetries.of(policy), headers, None, timeout)) as answer,
    ):
        yield answer


def _asked(
    pools: urllib3.PoolManager,
    method: str,
    url: Url,
    retries: urllib3.Retry,
    headers: Mapping[str, str],
    body: bytes | None,
    timeout: urllib3.Timeout,
) -> urllib3.BaseHTTPResponse:
    sent = {"User-Agent": "lipwise-ray", "Accept-Encoding": "identity", **headers}
    plain = url._replace(auth=None, fragment=None).url  # a proxy would read them
    return pools.urlopen(
        method, plain, headers=sent, body=body, retries=retries, timeout=timeout, redirect=False, preload_content=False
    )


def _pools(url: Url) -> urllib3.PoolManager:
    """Return connections to a host, by the proxy that the environment names for it."""
    named = next((os.environ[name] for name in _BUNDLES if os.environ.get(name)), certifi.where())
    file, folder = (None, named) if Path(named).is_dir() else (named, None)
    proxies, host = getproxies(), url.netloc or ""
    proxy = proxies.get(url.scheme or "") or proxies.get("all")
    if not proxy or proxy_bypass(host):
        return urllib3.PoolManager(ca_certs=file, ca_cert_dir=folder)
    proxy = proxy if "://" in proxy else f"http://{proxy}"
    auth = parse_url(proxy).auth
    login = make_headers(proxy_basic_auth=unquote(auth)) if auth else None
    return urllib3.ProxyManager(proxy, proxy_headers=login, ca_certs=file, ca_cert_dir=folder)


def _login(url: Url) -> dict[str, str]:
    """Return the header by which a user is known to a host; empty without one."""
    if url.auth:
        return make_headers(basic_auth=unquote(url.auth))
    import netrc

    try:
        known = netrc.netrc(os.environ.get("NETRC")).authenticators((url.host or "").strip("[]"))
    except (OSError, netrc.NetrcParseError):
        return {}
    return make_headers(basic_auth=f"{known[0]}:{known[2]}") if known else {}
