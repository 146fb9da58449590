"""Calls to other people's web servers: never inside a network, and never onwards."""

from __future__ import annotations

import http.client
import socket
import ssl
import threading
from collections.abc import Generator, Mapping
from contextlib import closing, contextmanager, suppress

import certifi
from urllib3.util import Url

from lipwise_ray.errors import InputError, MediaError, StorageError
from lipwise_ray.storage.address import shown
from lipwise_ray.storage.web import Resolve, plain_url, public_addresses

_MOST_PLACES, _KNOCK_S = 4, 5.0
_CALL_S = 15.0
"""Of a whole call: a server that gives a letter now and then does not hold it up."""


def check_callable(address: str) -> None:
    """Refuse an address that can never be called; its host's name is looked up when it is.

    Raises:
        InputError: It is no plain http or https address.
    """
    _callable(address)


def _callable(address: str) -> Url:
    url = plain_url(address)
    if "@" in (url.netloc or ""):
        raise InputError("place_refused", shown(address), got="a user or password in the address")
    if not url.host:
        raise MediaError("no_address", shown(address), got="not a plain http or https address", do="Check the address")
    return url


def post(address: str, body: bytes, headers: Mapping[str, str], resolve: Resolve | None = None) -> int:
    """Send a body once and return the status of the answer, of which no more is read.

    The host's name is looked up once and the connection goes to what was checked. A redirection is not followed: the
    place was named by whoever is called.

    Args:
        address: ``http://`` or ``https://``.
        body: The body.
        headers: Beside those that every request has.
        resolve: Looks names up; by default `public_addresses`.

    Raises:
        InputError: The address is none, or leads into a network.
        StorageError: The server cannot be reached, or does not answer in time.
    """
    url = _callable(address)
    host = (url.host or "").strip("[]")
    port = url.port or (443 if url.scheme == "https" else 80)
    places = (resolve or public_addresses)(host, port)[:_MOST_PLACES]
    try:
        with _connected(places, port) as plain, _speaking(plain, url, host) as connection:
            sent = {"Host": str(url.netloc), "User-Agent": "lipwise-ray", "Connection": "close", **headers}
            connection.request("POST", url.request_uri, body, sent)
            return connection.getresponse().status
    except (OSError, ValueError, http.client.HTTPException) as error:
        raise StorageError(
            "web_unreachable", shown(address), got=f"cannot be called: {type(error).__name__}", do="Check the address"
        ) from error


@contextmanager
def _connected(places: list[str], port: int) -> Generator[socket.socket]:
    """Yield a connection to the first of some addresses that answers."""
    for place in places[:-1]:
        with suppress(OSError):
            found = socket.create_connection((place, port), _KNOCK_S)
            break
    else:
        found = socket.create_connection((places[-1], port), _KNOCK_S)
    with found:
        found.settimeout(_CALL_S)
        yield found


@contextmanager
def _speaking(plain: socket.socket, url: Url, host: str) -> Generator[http.client.HTTPConnection]:
    """Yield HTTP over a connection, which is cut when a call takes too long; over https it has to prove the name."""
    wire = plain
    if url.scheme == "https":
        context = ssl.create_default_context(cafile=certifi.where())
        # The handshake comes later: it counts as part of the call.
        wire = context.wrap_socket(plain, server_hostname=host, do_handshake_on_connect=False)
    with wire, closing(http.client.HTTPConnection(host)) as connection:
        connection.sock = wire
        # The plain socket's own way: the other one forgets that there was encryption, and reads on.
        cut = threading.Timer(_CALL_S, _cut, (wire,))
        cut.daemon = True
        cut.start()
        try:
            if isinstance(wire, ssl.SSLSocket):
                wire.do_handshake()
            yield connection
        finally:
            cut.cancel()


def _cut(wire: socket.socket) -> None:
    with suppress(OSError):
        socket.socket.shutdown(wire, socket.SHUT_RDWR)
