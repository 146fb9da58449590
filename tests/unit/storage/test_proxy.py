"""The way of a downloader to the network: which hosts it leads to, and whom it serves."""

from __future__ import annotations

import socket
from collections.abc import Generator

import pytest
import urllib3

from lipwise_ray.errors import InputError
from lipwise_ray.storage.address import Policy
from lipwise_ray.storage.proxy import REFUSED_STATUS, GuardedProxy
from tests.support.video_site import VideoSite, clip, serving


@pytest.fixture
def site() -> Generator[VideoSite]:
    with serving() as site:
        yield site


def _status(proxy: GuardedProxy, address: str, method: str = "GET") -> int:
    with urllib3.ProxyManager(proxy.address, proxy_headers=_login(proxy)) as manager:
        return manager.request(method, address, retries=False, redirect=False).status


def _login(proxy: GuardedProxy) -> dict[str, str]:
    return urllib3.make_headers(proxy_basic_auth=proxy.address.removeprefix("http://").rpartition("@")[0])


def test_a_named_host_is_reached_and_its_bytes_counted(site: VideoSite) -> None:
    """Its file arrives whole, on a connection that ends with it."""
    with (
        GuardedProxy(site.policy, site.resolve) as proxy,
        urllib3.ProxyManager(proxy.address, proxy_headers=_login(proxy)) as manager,
    ):
        for _ in range(2):
            answer = manager.request("GET", f"{site.root}/v.mp4", retries=False)
            assert answer.data == clip("mp4")
            assert answer.headers["Connection"] == "close"
        assert proxy.bytes_total > 2 * len(clip("mp4"))
        assert proxy.refusals == []


@pytest.mark.parametrize(
    ("address", "code"),
    [
        ("http://other.test/", "host_refused"),
        ("http://127.0.0.1:{port}/v.mp4", "private_address"),
        ("http://video.test:1/", "host_refused"),
        ("http://user:pw@video.test:{port}/", "place_refused"),
    ],
)
def test_other_hosts_are_refused(site: VideoSite, address: str, code: str) -> None:
    """By name, by port, and by where a name leads; the answer is none that a site gives."""
    with GuardedProxy(site.policy, site.resolve) as proxy:
        assert _status(proxy, address.format(port=site.port)) == REFUSED_STATUS
    assert [error.code for error in proxy.refusals] == [code]
    assert isinstance(proxy.refusals[0], InputError)
    assert site.asked == []


def _tunnel(proxy: GuardedProxy, target: str, word: str) -> tuple[socket.socket, bytes]:
    connection = socket.create_connection(("127.0.0.1", proxy.port), timeout=20)
    connection.sendall(f"CONNECT {target} HTTP/1.1\r\nHost: {target}\r\nProxy-Authorization: {word}\r\n\r\n".encode())
    return connection, connection.recv(1000).partition(b"\r\n")[0]


def test_a_tunnel_leads_to_a_named_host_only(site: VideoSite) -> None:
    """Whatever is said in it: what is checked is the host that was asked for, and https has to be allowed."""
    with GuardedProxy(site.policy, site.resolve) as proxy:
        word = _login(proxy)["proxy-authorization"]
        connection, answer = _tunnel(proxy, f"video.test:{site.port}", word)
        with connection:
            assert b" 200 " in answer
            connection.sendall(b"GET /gone HTTP/1.0\r\n\r\n")
            assert b" 404 " in connection.recv(1000)
        for target in ("other.test:443", f"127.0.0.1:{site.port}", "[::1]:443", "nonsense:port"):
            connection, answer = _tunnel(proxy, target, word)
            connection.close()
            assert str(REFUSED_STATUS).encode() in answer
    plain = Policy(("http",), hosts=site.policy.hosts)
    with GuardedProxy(plain, site.resolve) as proxy:
        connection, answer = _tunnel(proxy, f"video.test:{site.port}", _login(proxy)["proxy-authorization"])
        connection.close()
        assert str(REFUSED_STATUS).encode() in answer


def test_nobody_else_of_this_machine_is_served(site: VideoSite) -> None:
    """Who does not know the password learns nothing."""
    with GuardedProxy(site.policy, site.resolve) as proxy:
        connection, answer = _tunnel(proxy, f"video.test:{site.port}", "Basic eDp5")
        connection.close()
        assert b" 407 " in answer
        with urllib3.ProxyManager(f"http://127.0.0.1:{proxy.port}") as manager:
            assert manager.request("GET", f"{site.root}/v.mp4", retries=False).status == 407
    assert site.asked == []
