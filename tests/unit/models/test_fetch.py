from __future__ import annotations

import hashlib
import threading
import zlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from lipwise_ray.errors import SetupError, WeightsError
from lipwise_ray.models import fetch
from lipwise_ray.models.registry import Registry

BODY = bytes(range(256)) * 5000


@dataclass
class Site:
    """A local web server whose answers a test chooses."""

    address: str = ""
    status: int = 200
    body: bytes = BODY
    cut_after: int | None = None
    ranges: list[str] = field(default_factory=list)
    requests: int = 0


@pytest.fixture
def site() -> Iterator[Site]:
    state = Site()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            state.requests += 1
            wanted = self.headers.get("Range", "")
            state.ranges.append(wanted)
            start = int(wanted[6:-1]) if wanted else 0
            part = state.body[start:]
            self.send_response(206 if start else state.status)
            self.send_header("Content-Length", str(len(part)))
            self.end_headers()
            if state.cut_after is not None:
                part = part[: state.cut_after]
                state.cut_after = None
            self.wfile.write(part)

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    state.address = f"http://127.0.0.1:{server.server_port}"
    yield state
    server.shutdown()
    thread.join()
    server.server_close()


def make_registry(folder: Path, address: str, *, commercial: bool = True, body: bytes = BODY) -> Registry:
    urls = f'["{address}/x/net.pth"]' if address else "[]"
    (folder / "registry.toml").write_text(
        f'[net]\nnetwork = "wav2lip"\nfile = "net.pth"\nsha256 = "{hashlib.sha256(body).hexdigest()}"\n'
        f'bytes_total = {len(body)}\nurls = {urls}\nlicence = "terms"\n'
        + ('commercial = "yes"\n' if commercial else 'commercial = "no"\nreason = "they say so"\n')
    )
    return Registry(folder / "registry.toml", folder / "models")


def test_pull_places_the_checked_file(site: Site, tmp_path: Path) -> None:
    """A download ends at its place, and a second pull asks nobody."""
    registry = make_registry(tmp_path, site.address)
    seen: list[tuple[int, int | None]] = []
    path = fetch.pull(registry, "net", on_progress=lambda done, total: seen.append((done, total)))
    assert path.read_bytes() == BODY
    assert seen[-1] == (len(BODY), len(BODY))
    fetch.pull(registry, "net")
    assert site.requests == 1
    assert registry.resolve("net").sha256 == hashlib.sha256(BODY).hexdigest()


def test_a_cut_connection_goes_on_where_it_stopped(site: Site, tmp_path: Path) -> None:
    """After a truncated body the rest alone is asked for."""
    site.cut_after = 700_000
    path = fetch.pull(make_registry(tmp_path, site.address), "net")
    assert path.read_bytes() == BODY
    assert site.ranges[0] == ""
    assert 600_000 < int(site.ranges[1].removeprefix("bytes=").removesuffix("-")) <= 700_000


def test_a_part_from_an_earlier_call_is_used(site: Site, tmp_path: Path) -> None:
    """A later call resumes a part that an earlier process left."""
    registry = make_registry(tmp_path, site.address)
    registry.folder.mkdir()
    (registry.folder / "net.pth.part").write_bytes(BODY[:1000])
    assert fetch.pull(registry, "net").read_bytes() == BODY
    assert site.ranges == ["bytes=1000-"]


@pytest.mark.parametrize(
    ("body", "words"),
    [
        (b"<html>sign in</html>", "web page"),
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 1\n", "LFS pointer"),
        (BODY[::-1], r"gave a file of sha256 \w{12}\.\.\.; the published file has \w{12}"),
    ],
)
def test_a_wrong_answer_is_never_installed(body: bytes, words: str, site: Site, tmp_path: Path) -> None:
    """A page, a pointer or other bytes with status 200 leave nothing behind."""
    site.body = body
    registry = make_registry(tmp_path, site.address)
    with pytest.raises(WeightsError, match=words):
        fetch.pull(registry, "net")
    assert list(registry.folder.iterdir()) == []


def test_http_errors_are_told(site: Site, tmp_path: Path) -> None:
    """A 404 is reported with its address and not asked again."""
    site.status = 404
    with pytest.raises(WeightsError, match="HTTP 404"):
        fetch.pull(make_registry(tmp_path, site.address), "net")
    assert site.requests == 1


def test_a_mirror_is_asked_first(site: Site, tmp_path: Path) -> None:
    """A folder mirror serves the file without the network."""
    (tmp_path / "mirror").mkdir()
    (tmp_path / "mirror" / "net.pth").write_bytes(BODY)
    registry = make_registry(tmp_path, site.address)
    fetch.pull(registry, "net", mirror=f"file://{tmp_path}/mirror")
    assert site.requests == 0


def test_a_broken_mirror_falls_back(site: Site, tmp_path: Path) -> None:
    """When the mirror has no such file, the published address is asked."""
    fetch.pull(make_registry(tmp_path, site.address), "net", mirror=f"file://{tmp_path}/nowhere")
    assert site.requests == 1


def test_terms_must_be_accepted(site: Site, tmp_path: Path) -> None:
    """Weights that forbid commercial use are not fetched without consent."""
    registry = make_registry(tmp_path, site.address, commercial=False)
    with pytest.raises(SetupError, match="--accept-licence"):
        fetch.pull(registry, "net")
    assert site.requests == 0
    assert fetch.pull(registry, "net", accept_licence=True).is_file()


def test_add_takes_the_published_file_only(tmp_path: Path) -> None:
    """A file that a user brings is installed when its hash is right, and refused otherwise."""
    registry = make_registry(tmp_path, "")
    (tmp_path / "right").write_bytes(BODY)
    (tmp_path / "wrong").write_bytes(BODY[:-1])
    with pytest.raises(WeightsError, match=f"{len(BODY) - 1} of {len(BODY)} bytes"):
        fetch.add(registry, "net", tmp_path / "wrong")
    assert fetch.add(registry, "net", tmp_path / "right").read_bytes() == BODY


def _unhashed(folder: Path, address: str) -> Registry:
    """Return a registry whose file has no hash, but a CRC32 beside it."""
    (folder / "registry.toml").write_text(
        '[net]\nnetwork = "onnx_lips"\nfile = "net.onnx"\nsha256 = ""\ncrc32_beside = true\n'
        f'urls = {[f"{address}/net.onnx"] if address else []}\nlicence = "terms"\ncommercial = "yes"\n'
    )
    return Registry(folder / "registry.toml", folder / "models")


@pytest.mark.parametrize("stated", ["{crc32}", "{crc32}\n", "00000000", ""])
def test_a_file_without_a_hash_is_checked_by_its_crc32(stated: str, tmp_path: Path) -> None:
    """The sum that lies beside it must fit; then its own hash is what results are named after, and a copy stays."""
    mirror = tmp_path / "mirror"
    mirror.mkdir()
    crc32 = f"{zlib.crc32(BODY):08x}"
    (mirror / "net.onnx").write_bytes(BODY)
    (mirror / "net.hash").write_text(stated.format(crc32=crc32))
    registry = _unhashed(tmp_path, "")
    if crc32 not in stated.format(crc32=crc32):
        with pytest.raises(WeightsError, match=f"gave a file of CRC32 {crc32}"):
            fetch.pull(registry, "net", mirror=f"file://{mirror}")
        assert not registry.installed("net")
        return
    path = fetch.pull(registry, "net", mirror=f"file://{mirror}")
    assert registry.resolve("net", "onnx_lips").sha256 == hashlib.sha256(BODY).hexdigest()
    assert fetch.pull(registry, "net") == path


def test_a_part_of_another_file_without_a_hash_is_left(tmp_path: Path) -> None:
    """What an earlier address gave before it broke off is no part of this one's file: it is fetched from the start."""
    mirror, registry = tmp_path / "mirror", _unhashed(tmp_path, "")
    mirror.mkdir()
    (mirror / "net.onnx").write_bytes(BODY)
    (mirror / "net.hash").write_text(f"{zlib.crc32(BODY):08x}")
    registry.folder.mkdir()
    (registry.folder / "net.onnx.part").write_bytes(bytes(1000))
    assert fetch.pull(registry, "net", mirror=f"file://{mirror}").read_bytes() == BODY


def test_a_file_without_a_hash_is_not_taken_without_its_sum(site: Site, tmp_path: Path) -> None:
    """A page in the place of the file or of the sum installs nothing, whatever the status says."""
    site.body = b"<html>sign in</html>"
    with pytest.raises(WeightsError, match="web page"):
        fetch.pull(_unhashed(tmp_path, site.address), "net")
    site.body = BODY
    with pytest.raises(WeightsError, match="longer than 1024 bytes"):
        fetch.pull(_unhashed(tmp_path, site.address), "net")


def test_s3_mirror(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A mirror in an S3 bucket serves the file over the real protocol."""
    boto3 = pytest.importorskip("boto3")
    server_module = pytest.importorskip("moto.server")
    server = server_module.ThreadedMotoServer(ip_address="127.0.0.1", port=0)
    server.start()
    try:
        host, port = server.get_host_and_port()
        monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://{host}:{port}")
        monkeypatch.setenv("AWS_ACCESS_KEY_ID", "test")
        monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "test")
        monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
        client = boto3.client("s3")
        client.create_bucket(Bucket="weights")
        client.put_object(Bucket="weights", Key="v1/net.pth", Body=BODY)
        registry = make_registry(tmp_path, "")
        registry.folder.mkdir()
        (registry.folder / "net.pth.part").write_bytes(BODY[:1000])
        assert fetch.pull(registry, "net", mirror="s3://weights/v1").read_bytes() == BODY
    finally:
        server.stop()


def test_the_shipped_registry_is_sound() -> None:
    """Every line of the shipped registry is complete, and Wav2Lip needs its terms accepted."""
    from lipwise_ray.resources import models_folder

    registry = Registry(models_folder() / "registry.toml", Path("nowhere"))
    assert {"wav2lip", "wav2lip_gan", "yunet", "s3fd", "fan_2d"} <= set(registry.entries)
    assert registry.entries["wav2lip_gan"].needs_consent
    with pytest.raises(WeightsError, match=r'^unknown model "wav2lip_gann" - did you mean "wav2lip_gan"\? Known: '):
        registry.entry("wav2lip_gann")
