"""Inputs from web servers: what is asked, what is refused, and where a connection may go."""

from __future__ import annotations

import ssl
import threading
import time
from collections import Counter
from collections.abc import Generator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from lipwise_ray.errors import InputError, LipwiseError, MediaError, StorageError
from lipwise_ray.pipeline.inputs import resolver
from lipwise_ray.pipeline.inputs.resolver import Media
from lipwise_ray.storage import web
from lipwise_ray.storage.address import Policy
from lipwise_ray.storage.cache import Cache
from lipwise_ray.storage.web import WebFile, is_public, public_addresses
from tests.support.certificates import certificate

BODY = bytes(range(256)) * 40


@dataclass
class Site:
    """A web server on 127.0.0.1 that is known as cdn.test."""

    port: int = 0
    scheme: str = "http"
    body: bytes = BODY
    asked: Counter[str] = field(default_factory=Counter)
    hosts: set[str] = field(default_factory=set)
    looked_up: list[str] = field(default_factory=list)

    @property
    def root(self) -> str:
        return f"{self.scheme}://cdn.test:{self.port}"

    @property
    def policy(self) -> Policy:
        return Policy(("file", "http", "https"), hosts=(f"cdn.test:{self.port}", f"*.cdn.test:{self.port}"))

    def resolve(self, host: str, port: int) -> list[str]:
        self.looked_up.append(host)
        return ["127.0.0.1"] if host.endswith("cdn.test") else public_addresses(host, port)

    def answer(self, path: str) -> tuple[int, bytes, dict[str, str]]:
        if path.startswith("/to/"):
            return 302, b"", {"Location": path.removeprefix("/to/"), "Content-Length": "0"}
        status = {"/gone": 404, "/secret": 403, "/busy": 503 if self.asked[path] < 3 else 200}.get(path, 200)
        headers = {} if path == "/endless" else {"Content-Length": str(len(self.body))}
        if path == "/sleepy":
            return 503, b"", {"Retry-After": "3600", "Content-Length": "0"}
        if path == "/coded":
            headers["Content-Encoding"] = "gzip"
        if path not in ("/untagged", "/endless"):
            headers["ETag"] = f'"{hash(self.body)}"'
        return status, self.body[:100] if path == "/cut" else self.body, headers

    def file(self, path: str, most_bytes: int = 1 << 20) -> WebFile:
        return WebFile(f"{self.root}{path}", self.policy, most_bytes, self.resolve)


def _handler(site: Site) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        def log_message(self, *_: object) -> None:
            pass

        def do_GET(self) -> None:
            path = self.path.partition("?")[0]
            site.asked[path] += 1
            site.hosts.add(self.headers["Host"])
            status, body, headers = site.answer(path)
            self.send_response(status)
            for name, value in headers.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(body)

    return Handler


def _serve(site: Site, context: ssl.SSLContext | None = None) -> Generator[Site]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), _handler(site))
    server.handle_error = lambda *_: None  # clients hang up on purpose
    if context is not None:
        server.socket = context.wrap_socket(server.socket, server_side=True)
        site.scheme = "https"
    site.port = server.server_address[1]
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield site
    server.shutdown()
    server.server_close()
    thread.join()


@pytest.fixture
def site() -> Generator[Site]:
    yield from _serve(Site())


def test_a_file_is_fetched_under_its_hosts_name(site: Site, tmp_path: Path) -> None:
    """The server is asked by name, whatever address was looked up; a busy one is asked again."""
    facts = site.file("/v.mp4").facts()
    assert facts is not None
    assert (facts.size, facts.tag) == (len(BODY), f'"{hash(BODY)}"')
    assert site.file("/busy").download(tmp_path / "v") is not None
    assert (tmp_path / "v").read_bytes() == BODY
    assert site.asked["/busy"] == 3
    assert site.hosts == {f"cdn.test:{site.port}"}
    assert site.file("/gone").facts() is None
    assert site.file("/gone").download(tmp_path / "gone") is None


@pytest.mark.parametrize(
    ("path", "code"),
    [
        ("/secret?sig=c0ffee", "web_refused"),
        ("/to//to//to//to//to//to//v.mp4", "redirects"),
        ("/to/http://other.test/v.mp4", "host_refused"),
        ("/to/file:///etc/passwd", "no_address"),
        ("/to/ftp://cdn.test/v.mp4", "scheme_refused"),
    ],
)
def test_what_the_server_says_does_not_lead_elsewhere(site: Site, path: str, code: str) -> None:
    """Each step of a redirection has to be allowed; messages show no signature."""
    with pytest.raises(InputError) as caught:
        site.file(path).facts()
    assert caught.value.code == code
    assert "c0ffee" not in str(caught.value)


def test_a_redirection_to_a_private_address_is_refused(site: Site) -> None:
    """A host that may be asked sends to one that may be asked too, but which lies inside this network."""
    policy = Policy(("http",), hosts=(f"cdn.test:{site.port}", f"127.0.0.1:{site.port}"))
    file = WebFile(f"{site.root}/to/http://127.0.0.1:{site.port}/v.mp4", policy, 1 << 20, site.resolve)
    with pytest.raises(InputError, match=r"127\.0\.0\.1: leads to 127\.0\.0\.1, which is not of the public network"):
        file.facts()
    assert site.asked["/v.mp4"] == 0


def test_a_redirection_within_the_hosts_is_followed(site: Site, tmp_path: Path) -> None:
    """Names under an allowed domain count, relative addresses too; each name is looked up once a step."""
    file = site.file(f"/to/http://eu.cdn.test:{site.port}/to//v.mp4")
    assert file.download(tmp_path / "v") is not None
    assert (tmp_path / "v").read_bytes() == BODY
    assert site.looked_up == ["cdn.test", "eu.cdn.test", "eu.cdn.test"]


def test_a_cut_answer_is_no_file(site: Site, tmp_path: Path) -> None:
    """Fewer bytes than stated are an error that is worth another attempt; too many are one that is not."""
    with pytest.raises(StorageError) as caught:
        site.file("/cut").download(tmp_path / "v")
    assert caught.value.code == "web_unreachable"
    with pytest.raises(MediaError, match=r"has \S+ GB; at most 5e-06 GB are allowed"):
        site.file("/endless", most_bytes=5000).download(tmp_path / "v")
    with pytest.raises(MediaError, match="coded as gzip"):
        site.file("/coded").download(tmp_path / "v")


@pytest.mark.slow
def test_a_server_does_not_put_a_worker_to_sleep(site: Site) -> None:
    """Whatever it says about when to come again: it is asked six times within seconds, and then that is an error."""
    begun = time.monotonic()
    with pytest.raises(StorageError, match="503"):
        site.file("/sleepy").facts()
    assert site.asked["/sleepy"] == 6
    assert time.monotonic() - begun < 60


def test_an_address_that_does_not_answer_is_passed_over(site: Site) -> None:
    """Of several addresses of a host one that answers is used."""
    file = WebFile(f"{site.root}/v.mp4", site.policy, 1 << 20, lambda host, port: ["127.0.0.9", "127.0.0.1"])
    assert file.facts() is not None


@pytest.mark.parametrize(
    "place",
    [
        "127.0.0.1", "10.0.0.1", "172.16.0.1", "192.168.1.1", "169.254.169.254", "100.64.0.1", "0.0.0.0",
        "224.0.0.1", "255.255.255.255", "::1", "::", "fe80::1", "fe80::1%eth0", "fc00::1", "ff02::1",
        "fec0::1", "64:ff9b:1::a9fe:a9fe", "::7f00:1", "::ffff:0:7f00:1", "192.88.99.1",
        "::ffff:127.0.0.1", "::ffff:169.254.169.254", "2002:7f00:1::", "64:ff9b::a9fe:a9fe", "2001:0:7f00:1::",
        "fd00:ec2::254", "fd20:ce::254", "168.63.129.16", "192.0.0.192", "192.0.0.9", "100.100.100.200", "198.18.0.1",
        "203.0.113.1", "240.0.0.1", "161.26.0.10", "166.9.0.1", "::ffff:168.63.129.16", "2002:a83f:8110::",
        "64:ff9b::a83f:8110", "64:ff9b::c000:c0", "3fff::1", "2001:2::1", "2001:20::1",
    ],
)  # fmt: skip
def test_addresses_inside_a_network_are_not_public(place: str) -> None:
    """Loopback, private, link-local, shared and multicast ones, also inside an IPv6 address."""
    assert not is_public(place)


def test_public_addresses_are_public() -> None:
    """Those of real servers, also behind a translator."""
    for place in (
        "93.184.216.34",
        "2606:2800:220:1::1",
        "64:ff9b::5db8:d822",
        "2002:5db8:d822::1",
        "2001:4860:4860::8888",
    ):
        assert is_public(place)


@pytest.mark.parametrize("host", ["localhost", "127.1", "0x7f.0.0.1", "2130706433", "169.254.169.254", "::1"])
def test_other_spellings_of_this_machine_are_refused(host: str) -> None:
    """What a name or number means to the system is what counts."""
    with pytest.raises(LipwiseError) as caught:
        public_addresses(host, 80)
    assert caught.value.code in ("private_address", "no_host")


@pytest.mark.parametrize(
    "address",
    [
        "http://other.test/v.mp4",
        "http://cdn.test.evil.test/v.mp4",
        "http://evilcdn.test/v.mp4",
        "http://cdn.test:81/v.mp4",
        "http://user:pw@cdn.test/v.mp4",
        "http://other.test\\@cdn.test/v.mp4",
        "http://cdn.test/a/%2e%2e/v.mp4",
        "http://[::1]/v.mp4",
        "http:///v.mp4",
        "http://[::1/v.mp4",
        "http://cdn.test/public/..?download=secret",
    ],
)
def test_only_named_hosts_may_be_asked(address: str) -> None:
    """By their whole name and port; neither users nor ways up are taken."""
    with pytest.raises(InputError) as caught:
        Policy(("http",), hosts=("cdn.test", "*.media.test")).check(address)
    assert caught.value.code in ("host_refused", "place_refused", "no_address")
    assert "pw" not in str(caught.value)


def test_named_hosts_and_their_domains_may_be_asked() -> None:
    """Case does not count; a domain stands for what is under it, at any depth."""
    policy = Policy(("http", "https"), hosts=("cdn.test", "*.media.test"))
    for address in ("http://CDN.test/v.mp4", "https://a.media.test/v", "https://b.a.media.test/v?sig=x"):
        assert policy.check(address) is None


def _media(site: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Media:
    def reach(address: str, policy: Policy, most_bytes: int) -> WebFile:
        return WebFile(address, policy, most_bytes, site.resolve)

    monkeypatch.setattr(resolver, "WebFile", reach)  # only the name's lookup differs
    return Media(site.policy, 1 << 20, Cache(tmp_path / "cache"))


def test_contents_have_one_name(site: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A new signature is no new file, another tag or another query is; where there is no tag the bytes count, and are
    kept once.
    """
    inputs = _media(site, tmp_path, monkeypatch)
    first = inputs.identity(f"{site.root}/v.mp4?lang=de&sig=one&X-Amz-Date=1")
    assert inputs.identity(f"{site.root}/v.mp4?lang=de&sig=two&X-Amz-Date=2") == first
    others = {
        inputs.identity(f"{site.root}/v.mp4?{words}") for words in ("lang=fr&sig=two", "sid=1", "sid=2", "size=4")
    }
    assert len(others | {first}) == 5
    assert inputs.local(f"{site.root}/v.mp4?lang=de&sig=two", first).read_bytes() == BODY
    for _ in range(3):
        plain = inputs.identity(f"{site.root}/untagged")
    assert len([path for path in (tmp_path / "cache").iterdir() if not path.name.startswith(".lock")]) == 2
    before = site.asked["/untagged"]
    assert inputs.local(f"{site.root}/untagged", plain).read_bytes() == BODY
    assert site.asked["/untagged"] == before
    site.body = BODY[::-1]
    assert inputs.identity(f"{site.root}/v.mp4") != first
    assert inputs.identity(f"{site.root}/untagged") != plain
    fresh = Media(site.policy, 1 << 20, Cache(tmp_path / "another machine"))
    for address, identity in ((f"{site.root}/v.mp4?lang=de", first), (f"{site.root}/untagged", plain)):
        with pytest.raises(MediaError, match="changed while it was dubbed"):
            fresh.local(address, identity)
    assert not [path for path in (tmp_path / "another machine").iterdir() if not path.name.startswith(".lock")]


@pytest.mark.parametrize("name", ["cdn.test", "other.test"])
def test_a_host_has_to_prove_its_name(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Over https a certificate is needed that somebody trusted has signed for that very name."""
    chain, private = certificate(tmp_path, name)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(chain, private)
    for site in _serve(Site(), context):
        with pytest.raises(MediaError, match="its certificate is not trusted"):
            site.file("/v.mp4").facts()
        monkeypatch.setattr(web.certifi, "where", lambda: str(chain))
        if name == "cdn.test":
            assert site.file("/v.mp4").facts() is not None
        else:
            with pytest.raises(MediaError, match="its certificate is not trusted"):
                site.file("/v.mp4").facts()
