"""HTTP with servers that whoever runs this names: redirections, proxies, certificates, users."""

from __future__ import annotations

import base64
import http.client
import ssl
import threading
from collections.abc import Generator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from urllib3.exceptions import HTTPError, MaxRetryError, NewConnectionError

from lipwise_ray.storage.plain_http import answered, answered_nearby
from lipwise_ray.storage.retries import RetryPolicy
from lipwise_ray.storage.timed_retries import TimedRetries, fault_of, is_untrusted
from tests.support.certificates import certificate
from tests.support.flaky_site import Answer, flaky_site

QUICK = RetryPolicy(tries=3, total_s=30.0, first_wait_s=0.001, longest_wait_s=0.01)


@pytest.fixture(autouse=True)
def environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in ("http_proxy", "https_proxy", "all_proxy", "no_proxy", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)
    monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))


def _to(place: str, status: int = 302) -> Answer:
    return Answer(status, {"Location": place})


def _basic(login: str) -> str:
    return f"Basic {base64.b64encode(login.encode()).decode()}"


def test_redirections_are_followed_over_hosts() -> None:
    """Publishers hand files over to their storage, by relative addresses too."""
    with flaky_site(b"whole") as storage, flaky_site(b"", _to("/other?x=1"), _to(f"{storage.url}/file")) as site:
        with answered("GET", f"{site.url}/net.pth", TimedRetries.of(QUICK), headers={"Range": "bytes=2-"}) as answer:
            assert (answer.status, answer.read()) == (206, b"ole")
        assert [path for _, path, _ in site.asked] == ["/net.pth", "/other?x=1"]
        assert [path for _, path, _ in storage.asked] == ["/file"]


def test_redirections_end() -> None:
    """Two addresses that lead to each other are a fault, and so is one that leads to a file of this machine."""
    with flaky_site(b"", *[_to("/again")] * 30) as site:
        with pytest.raises(HTTPError, match="redirected more than"), answered("GET", site.url, TimedRetries.of(QUICK)):
            pass
        site.script = [_to("file:///etc/passwd")]
        with pytest.raises(HTTPError), answered("GET", site.url, TimedRetries.of(QUICK)):
            pass


@pytest.mark.parametrize(("status", "method", "body"), [(303, "GET", b""), (302, "GET", b""), (307, "POST", b"night")])
def test_a_post_is_led_on_as_browsers_do(status: int, method: str, body: bytes) -> None:
    """What was posted goes on only where the server says that the method stays."""
    with flaky_site(b"", _to("/there", status)) as site:
        with answered("POST", site.url, TimedRetries.of(QUICK), body=b"night") as answer:
            assert answer.status == 200
        assert site.asked[1][:2] == (method, "/there")
        assert site.sent[1] == body


def test_the_environments_proxy_is_used(monkeypatch: pytest.MonkeyPatch) -> None:
    """With its user and password, which the server behind it does not see; and not for hosts that are excepted."""
    with flaky_site(b"by proxy") as proxy, flaky_site(b"direct") as site:
        monkeypatch.setenv("http_proxy", proxy.url.replace("://", "://me:p%40ss@"))
        monkeypatch.setenv("no_proxy", "127.0.0.1")
        with answered("GET", "http://user:secret@weights.test/net.pth#x", TimedRetries.of(QUICK)) as answer:
            assert answer.read() == b"by proxy"
        with answered("GET", site.url, TimedRetries.of(QUICK)) as answer:
            assert answer.read() == b"direct"
        ((_, target, headers),) = proxy.asked
        assert target == "http://weights.test/net.pth"
        assert headers["Proxy-Authorization"] == _basic("me:p@ss")
        assert headers["Authorization"] == _basic("user:secret")
        assert "Proxy-Authorization" not in site.asked[0][2]


def test_metadata_services_are_asked_by_no_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    """They belong to this machine; nor is anybody followed elsewhere, or told a password."""
    with flaky_site() as proxy, flaky_site(b"", _to(f"{proxy.url}/elsewhere")) as site:
        monkeypatch.setenv("http_proxy", proxy.url)
        with answered_nearby("PUT", f"{site.url}/token", QUICK, {"X-One": "1"}, 2.0) as answer:
            assert answer.status == 302
        assert proxy.asked == []
        ((method, _, headers),) = site.asked
        assert (method, headers["X-One"]) == ("PUT", "1")


def test_users_are_known_by_address_or_netrc(tmp_path: Path) -> None:
    """The address's own user comes first; a file that cannot be read is as good as none."""
    with flaky_site() as site:
        for text in ("machine 127.0.0.1 login me password pass", "nonsense"):
            (tmp_path / "netrc").write_text(text)
            with answered("GET", site.url, TimedRetries.of(QUICK)):
                pass
        (tmp_path / "netrc").write_text("machine 127.0.0.1 login me password pass")
        with answered("GET", site.url.replace("://", "://u:p@"), TimedRetries.of(QUICK)):
            pass
        logins = [headers.get("Authorization") for _, _, headers in site.asked]
        assert logins == [_basic("me:pass"), None, _basic("u:p")]


def test_a_login_does_not_follow_to_another_host(tmp_path: Path) -> None:
    """Where a server leads to is no place for the password of its own."""
    with flaky_site() as other, flaky_site(b"", _to("/here"), _to(f"http://localhost:{other.port}/")) as site:
        with answered("GET", site.url.replace("://", "://u:p@"), TimedRetries.of(QUICK)):
            pass
        assert [headers.get("Authorization") for _, _, headers in site.asked] == [_basic("u:p")] * 2
        assert "Authorization" not in other.asked[0][2]


@contextmanager
def _over_tls(chain: Path, key: Path) -> Generator[tuple[str, list[str]]]:
    asked: list[str] = []

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            asked.append(self.path)
            self.send_response(200)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(chain, key)
    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.handle_error = lambda *_: None  # clients hang up on purpose
    server.socket = context.wrap_socket(server.socket, server_side=True)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
    thread.start()
    try:
        yield f"https://localhost:{server.server_address[1]}", asked
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


@pytest.mark.parametrize("variable", ["REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"])
def test_certificates_of_the_environment_are_trusted(
    variable: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without them a stranger's is refused, at once."""
    chain, key = certificate(tmp_path, "localhost")
    with _over_tls(chain, key) as (url, asked):
        with pytest.raises(MaxRetryError) as caught, answered("GET", url, TimedRetries.of(QUICK)):
            pass
        assert is_untrusted(caught.value)
        assert asked == []
        assert "0x" not in fault_of(caught.value)
        monkeypatch.setenv(variable, str(chain))
        with answered("GET", url, TimedRetries.of(QUICK)) as answer:
            assert answer.status == http.client.OK


def test_nobody_is_there() -> None:
    """A refused connection is tried within the bounds and told as what it is."""
    with pytest.raises(MaxRetryError) as caught, answered("GET", "http://127.0.0.1:9/", TimedRetries.of(QUICK)):
        pass
    assert isinstance(caught.value.reason, NewConnectionError)
    assert "refused" in fault_of(caught.value)
