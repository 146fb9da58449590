"""Who is let in: keys, names, pages, numbers and sizes of requests."""

from __future__ import annotations

import socket
from collections.abc import Generator
from pathlib import Path

import pytest

from lipwise_ray.service.access import AccessRules, is_loopback
from lipwise_ray.service.request_rate import RequestRate
from tests.support.service_site import Site, running


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Generator[Site]:
    with running(tmp_path_factory.mktemp("open") / "s", "service.body_mb=0.01") as found:
        yield found


@pytest.fixture(scope="module")
def locked(tmp_path_factory: pytest.TempPathFactory) -> Generator[Site]:
    public = "https://dub.example.org"
    with running(tmp_path_factory.mktemp("locked") / "s", public_url=public) as found:
        yield found


def test_this_machine_needs_no_key(site: Site) -> None:
    """On the loopback a client asks without a key, and one that brings any is let in too."""
    assert site.asked("GET", "/v2/assets").status_code == 200
    assert site.asked("GET", "/v2/assets", headers={"x-api-key": "whatever"}).status_code == 200


@pytest.mark.parametrize(
    "name", ["evil.example", "evil.example:80", "127.0.0.1.evil.example", "0.0.0.0", "[::2]", "@", ""]
)
def test_a_name_that_was_pointed_here_is_refused(site: Site, name: str) -> None:
    """DNS rebinding: the page's own name is in Host, whatever address it leads to."""
    answer = site.asked("GET", "/v2/assets", headers={"Host": name})
    assert answer.status_code in (400, 403)
    assert "items" not in answer.text


@pytest.mark.parametrize("name", ["localhost", "LOCALHOST:99", "127.0.0.1", "127.1.2.3:8765", "[::1]:8765"])
def test_names_of_this_machine_are_let_in(site: Site, name: str) -> None:
    """Whatever port a tunnel has."""
    assert site.asked("GET", "/v2/assets", headers={"Host": name}).status_code == 200


@pytest.mark.parametrize(
    "headers",
    [
        {"Origin": "https://evil.example"},
        {"Origin": "null"},
        {"Origin": "http://127.0.0.1:1"},
        {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "no-cors"},
        {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "navigate"},
    ],
)
def test_pages_of_other_sites_cannot_send_here(site: Site, headers: dict[str, str]) -> None:
    """A form of another site's page, which a browser sends without asking, changes nothing."""
    plain = {"Content-Type": "text/plain", **headers}
    answer = site.asked("POST", "/v2/assets/upload", data='{"fileName": "a", "size": 5}', headers=plain)
    assert (answer.status_code, answer.json()["errorCode"]) == (403, "foreign_page")


def test_own_pages_may_send(site: Site) -> None:
    """A browser names this server's own address as the page's."""
    headers = {"Origin": site.url, "Sec-Fetch-Site": "same-origin"}
    answer = site.asked("POST", "/v2/assets/upload", json={"fileName": "a", "size": 5}, headers=headers)
    assert answer.status_code == 200


def test_pages_of_the_public_address_may_send(locked: Site) -> None:
    """Proxies often ask by their own name of this machine: the page's is the one that was named at the start."""
    headers = {"Host": "127.0.0.1:8765", "Sec-Fetch-Site": "same-origin", "x-api-key": locked.token}
    for origin, status in (("https://dub.example.org", 200), ("https://evil.example", 403)):
        asked = {"json": {"fileName": "a", "size": 5}, "headers": {**headers, "Origin": origin}}
        assert locked.asked("POST", "/v2/assets/upload", **asked).status_code == status


@pytest.mark.parametrize("asked", ["GET /healthz HTTP/1.0", "HEAD /healthz HTTP/1.0", "HEAD /readyz HTTP/1.0"])
def test_probes_need_no_name(locked: Site, asked: str) -> None:
    """Load balancers ask by HTTP/1.0 without Host, and by HEAD."""
    with socket.create_connection(("127.0.0.1", locked.port), 5) as wire:
        wire.sendall(f"{asked}\r\n\r\n".encode())
        assert b" 200 OK\r\n" in wire.recv(1000)


def test_links_on_other_pages_may_be_followed(site: Site) -> None:
    """Somebody who clicks a link to this server gets there, and no page gets to read it."""
    headers = {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "navigate"}
    answer = site.asked("GET", "/v2/assets", headers=headers)
    assert answer.status_code == 200
    assert "access-control-allow-origin" not in answer.headers


def test_other_sites_are_not_answered_beforehand(site: Site) -> None:
    """A browser that asks whether another site may send is given no leave."""
    headers = {"Origin": "https://evil.example", "Access-Control-Request-Method": "DELETE"}
    answer = site.asked("OPTIONS", "/v2/assets/x", headers=headers)
    assert answer.status_code == 403
    assert not [name for name in answer.headers if name.lower().startswith("access-control")]


@pytest.mark.parametrize(
    "headers", [{}, {"x-api-key": "wrong"}, {"Authorization": "Basic x"}, {"Authorization": "Bearer "}]
)
def test_without_the_key_nothing_is_told(locked: Site, headers: dict[str, str]) -> None:
    """Behind a proxy every address needs the key, those that do not exist too."""
    for path in ("/v2/assets", "/metrics", "/openapi.json", "/nothing", "/v2/assets/uploads/../../x"):
        answer = locked.asked("GET", path, headers=headers)
        assert answer.status_code == 401
        assert answer.headers["WWW-Authenticate"] == "Bearer"
        assert answer.json()["errorCode"] == "unauthorised"


@pytest.mark.parametrize("path", ["/outputs/a/b.mp4", "/v2/assets/files/a", "/v2/assets/uploads/a"])
def test_addresses_of_files_need_the_key_or_a_signature(locked: Site, path: str) -> None:
    """They are open to whoever has a link, and to nobody else: not even whether they exist is told."""
    for query in ("", "?expires=99999999999&signature=" + "0" * 64, "?expires=x&signature=%F0%9F", "?signature=é"):
        assert locked.asked("GET", path + query).status_code == 403


def test_the_key_opens(locked: Site) -> None:
    """By either header."""
    for headers in ({"x-api-key": locked.token}, {"Authorization": f"Bearer {locked.token}"}):
        assert locked.asked("GET", "/v2/assets", headers=headers).status_code == 200


def test_the_key_is_made_once_and_is_the_owners(locked: Site) -> None:
    """It is shown when it is made, and nobody else can read its file."""
    assert (locked.folder / "token").stat().st_mode & 0o777 == 0o600
    assert any(locked.token in line for line in locked.lines)


def test_whoever_watches_needs_no_key(locked: Site) -> None:
    """Probes of a supervisor come without one."""
    assert locked.asked("GET", "/healthz").json() == {"status": "ok"}
    assert locked.asked("GET", "/readyz").status_code in (200, 503)


def test_long_bodies_are_refused(site: Site) -> None:
    """Whether their length is stated, or they come piece by piece; what is stated is not waited for."""
    body = b'{"fileName": "' + b"x" * 20_000 + b'"}'
    kind = {"Content-Type": "application/json"}
    stated = site.asked("POST", "/v2/assets/upload", data=body, headers=kind)
    pieces = site.asked("POST", "/v2/assets/upload", data=iter([body[:9000], body[9000:]]), headers=kind)
    assert [(one.status_code, one.json()["errorCode"]) for one in (stated, pieces)] == [(413, "body_too_large")] * 2


def test_forms_without_files_have_no_room_for_any(site: Site) -> None:
    """A body is as large as its address needs, whatever kind it says it is."""
    form = {"Content-Type": "multipart/form-data; boundary=x"}
    for path in ("/v2/assets/upload", "/studio/key", "/plain"):
        answer = site.asked("POST", path, data=bytes(20_000), headers=form)
        assert (path, answer.status_code) == (path, 413)
    assert site.asked("POST", "/v2/generate", data=bytes(20_000), headers=form).status_code == 404  # no such door here


@pytest.mark.parametrize("head", ["Content-Length: 5\r\nContent-Length: 6", "Content-Length: -5", "Content-Length: x"])
def test_lengths_that_are_none_are_refused(site: Site, head: str) -> None:
    """Nothing is read by two lengths at once."""
    with socket.create_connection(("127.0.0.1", site.port), 5) as wire:
        wire.sendall(f"POST /v2/assets/upload HTTP/1.1\r\nHost: localhost\r\n{head}\r\n\r\nabc".encode())
        assert wire.recv(200).startswith(b"HTTP/1.1 400")


@pytest.mark.parametrize(
    ("body", "status", "code"),
    [
        ("{", 400, "bad_json"),
        ("[]", 422, "invalid_request"),
        ('{"fileName": "a"}', 422, "invalid_request"),
        ('{"fileName": "a", "size": 1, "colour": 1}', 422, "invalid_request"),
        ('{"fileName": "a", "size": 1e99}', 422, "invalid_request"),
        ("[" * 100_000, 413, "body_too_large"),
    ],
)
def test_errors_have_one_shape(site: Site, body: str, status: int, code: str) -> None:
    """A sentence or several, the status, and a code."""
    answer = site.asked("POST", "/v2/assets/upload", data=body, headers={"Content-Type": "application/json"})
    assert (answer.status_code, answer.json()["statusCode"], answer.json()["errorCode"]) == (status, status, code)
    assert answer.json()["message"]


def test_a_deep_body_is_refused(site: Site) -> None:
    """Pythons differ in how deep they read: some find that its end is missing, others give up before."""
    answer = site.asked("POST", "/v2/assets/upload", data="[" * 4000, headers={"Content-Type": "application/json"})
    assert answer.status_code == 400
    assert answer.json()["errorCode"] in {"bad_json", "bad_request"}


def test_unknown_addresses_and_methods(site: Site) -> None:
    """They have the shape of every error."""
    assert site.asked("GET", "/nothing").json()["errorCode"] == "no_such_address"
    answer = site.asked("PATCH", "/v2/assets")
    assert (answer.status_code, answer.json()["errorCode"]) == (405, "method_refused")
    assert answer.headers["Allow"]


def test_answers_are_careful(site: Site) -> None:
    """No browser takes them for a page, or shows them to another site's."""
    headers = site.asked("GET", "/v2/assets").headers
    assert headers["X-Content-Type-Options"] == "nosniff"
    assert headers["Cross-Origin-Resource-Policy"] == "same-origin"
    assert "default-src 'none'" in headers["Content-Security-Policy"]
    assert headers["Cache-Control"] == "no-store"
    assert "Server" not in headers


def test_clients_are_held_to_their_number(tmp_path: Path) -> None:
    """One that asks too often is told so, and when to come back; whoever watches is not counted."""
    with running(tmp_path / "s", "service.requests_per_minute=3") as site:
        statuses = [site.asked("GET", "/v2/assets").status_code for _ in range(5)]
        refused = site.asked("GET", "/v2/assets")
        assert statuses[:3] == [200, 200, 200]
        assert refused.status_code == 429
        assert int(refused.headers["Retry-After"]) > 0
        assert site.asked("GET", "/healthz").status_code == 200


def test_who_has_the_key_is_not_held_up_by_those_who_have_none(tmp_path: Path) -> None:
    """Behind a proxy all come from one address."""
    with running(tmp_path / "s", "service.requests_per_minute=2", public_url="https://dub.example.org") as site:
        keyless = [site.asked("GET", "/v2/assets").status_code for _ in range(4)]
        assert keyless == [401, 401, 429, 429]
        assert site.asked("GET", "/v2/assets", headers={"x-api-key": site.token}).status_code == 200


def test_a_bucket_fills_up_again() -> None:
    """After a while a client may ask again, and others were never held up."""
    now_s = [0.0]
    rate = RequestRate(60, lambda: now_s[0])
    assert [rate.admit("a") for _ in range(61)] == [True] * 60 + [False]
    assert rate.admit("b")
    now_s[0] = 2.0
    assert [rate.admit("a") for _ in range(3)] == [True, True, False]


def test_clients_are_not_remembered_for_ever() -> None:
    """Many addresses cost no memory."""
    rate = RequestRate(60)
    for number in range(10_000):
        rate.admit(str(number))
    assert len(rate._left) <= 4096


def test_loopback() -> None:
    """All of 127/8 and no more."""
    hosts = ("127.0.0.1", "127.9.9.9", "::1", "localhost", "0.0.0.0", "localhost.evil.example", "10.0.0.1")
    assert [host for host in hosts if is_loopback(host)] == ["127.0.0.1", "127.9.9.9", "::1", "localhost"]


def test_keys_of_any_letters_are_compared() -> None:
    """A key with letters that no token has is wrong, not a fault."""
    rules = AccessRules("right", needs_token=True)
    assert not rules.has_token({"x-api-key": "\udcff é"})
    assert rules.has_token({"authorization": "bearer right"})
