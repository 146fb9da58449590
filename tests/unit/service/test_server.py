"""The server as a whole: how it starts, what it says of itself, and how it ends."""

from __future__ import annotations

import asyncio
import re
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import requests
from starlette.exceptions import HTTPException

from lipwise_ray.cli.serve import serve as serve_command
from lipwise_ray.errors import InputError, RequestError, SettingsError, SetupError, StorageError
from lipwise_ray.runs.load_settings import load_settings
from lipwise_ray.service import app, gate
from lipwise_ray.service.secret_files import secret_in
from lipwise_ray.service.server import ListeningSocket, ServerRequest, serve
from lipwise_ray.service.service import Service
from lipwise_ray.service.studio.studio_door import studio_door
from lipwise_ray.service.web_errors import PlainWords, status_of
from lipwise_ray.storage.redact import redact
from tests.support.service_site import clip, running

CLIP = clip()


@contextmanager
def child(folder: Path) -> Generator[tuple[subprocess.Popen[str], str]]:
    """Run `lipwise-ray serve` in a process of its own; yield it and its address."""
    words = [sys.executable, "-m", "lipwise_ray", "serve", str(folder), "--port", "0"]
    with subprocess.Popen(words, stderr=subprocess.PIPE, text=True) as process:
        assert process.stderr is not None
        found = None
        while found is None:
            line = process.stderr.readline()
            assert line, "it ended"
            found = re.search(r"http://127.0.0.1:\d+", line)
        try:
            yield process, found[0]
        finally:
            process.kill()


@pytest.mark.slow
def test_a_server_is_killed_in_the_middle_of_an_upload(tmp_path: Path) -> None:
    """Nothing that had arrived is lost: the next one goes on, with the same key, and ends in order by a signal."""
    body = CLIP + bytes(3_000_000)
    with child(tmp_path / "s") as (process, url):
        told = requests.post(f"{url}/v2/assets/upload", json={"fileName": "a", "size": len(body)}, timeout=20).json()
        path = told["uploadUrl"].removeprefix(url)
        head = f"PUT {path} HTTP/1.1\r\nHost: localhost\r\nContent-Length: {len(body)}\r\n\r\n".encode()
        with socket.create_connection(("127.0.0.1", int(url.rpartition(":")[2])), 5) as wire:
            wire.sendall(head + body[:2_500_000])
            while not requests.get(told["uploadUrl"], timeout=20).json()["received"]:
                pass
            process.send_signal(signal.SIGKILL)
            process.wait()
    with child(tmp_path / "s") as (process, url):
        received = requests.get(url + path, timeout=20).json()["received"]
        assert received >= 1 << 20
        span = {"Content-Range": f"bytes {received}-{len(body) - 1}/{len(body)}"}
        answer = requests.put(url + path, data=body[received:], headers=span, timeout=20)
        assert answer.json()["isWhole"] is True
        process.send_signal(signal.SIGTERM)
        assert process.wait(60) == 0


def test_a_port_that_is_taken_is_said(tmp_path: Path) -> None:
    """Before anything is begun, with the port and what to do."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(SetupError) as refused:
            serve_command(tmp_path / "s", port=port)
    said = f"127.0.0.1:{port}: cannot listen there: address already in use. Choose another --port"
    assert str(refused.value).startswith(said)
    assert not (tmp_path / "s").exists()


@pytest.mark.parametrize("missing", ["fastapi", "python_multipart", "uvicorn"])
def test_a_missing_extra_is_named(tmp_path: Path, missing: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """With the command that installs it."""
    monkeypatch.setitem(sys.modules, missing, None)
    with pytest.raises(SetupError, match=rf"{missing} is not installed\. Run `pip install 'lipwise-ray\[serve\]'`"):
        serve_command(tmp_path / "s")


def test_the_web_process_loads_no_network() -> None:
    """It answers with little memory: torch and Ray are the driver's."""
    code = "import sys, lipwise_ray.service.server; print(sorted({'torch', 'ray'} & {*sys.modules}))"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True)
    assert run.stdout == "[]\n"


@pytest.mark.parametrize(
    "url", ["dub.example.org", "ftp://x", "https://a@b", "https://x?y", "http://[", "https://x/studio"]
)
def test_public_addresses_that_are_none(tmp_path: Path, url: str) -> None:
    """They are refused before the port is taken."""
    request = ServerRequest(folder=tmp_path / "s", host="127.0.0.1", port=0, public_url=url)
    with pytest.raises(SetupError, match="--public-url"):
        serve(request, None, [], print)  # type: ignore[arg-type]  # settings are not reached


def test_answers_do_not_wait_for_receipts() -> None:
    """Connections send each packet at once: the body of an answer would wait 40 ms for its head to be confirmed."""
    listener = ListeningSocket("127.0.0.1", 0)
    with listener.socket, socket.create_connection(listener.socket.getsockname()):
        accepted, _ = listener.socket.accept()
        with accepted:
            assert accepted.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)


def test_hosts_of_others_cannot_be_listened_at() -> None:
    """An address of another machine, or a name that there is not."""
    for host in ("192.0.2.1", "no-such-host.invalid"):
        with pytest.raises(SetupError, match="cannot listen there"):
            ListeningSocket(host, 0)


def test_secrets_are_their_owners(tmp_path: Path) -> None:
    """A file is made once and for its owner alone; one that others can read, or that holds nothing, is refused."""
    file = tmp_path / "new" / "token"
    secret = secret_in(file, "whsec_")
    assert secret.startswith("whsec_")
    assert secret_in(file) == secret
    assert file.stat().st_mode & 0o777 == 0o600
    assert [path.name for path in file.parent.iterdir()] == ["token"]
    file.chmod(0o640)
    with pytest.raises(SetupError, match=r'others may read its file "token"\. Run: chmod 600') as raised:
        secret_in(file)
    assert redact(str(raised.value)) == str(raised.value)  # what is said of it is no secret
    file.chmod(0o600)
    for text in ("", "short", "two words that are long enough", "\N{SNOWMAN}" * 20):
        file.write_text(text)
        with pytest.raises(SetupError, match="holds no secret"):
            secret_in(file)
    with pytest.raises(SetupError, match="cannot be used"):
        secret_in(tmp_path)


@pytest.mark.parametrize(
    ("fault", "told"),
    [
        (StorageError("store_refused", "s3://a", got="is away", do="Ask again"), StorageError),
        (RuntimeError("no more threads"), SetupError),
    ],
)
def test_a_start_that_fails_is_an_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fault: Exception, told: type[Exception]
) -> None:
    """Whoever supervises it sees that it failed, and why."""

    def fail(*_: object) -> None:
        raise fault

    monkeypatch.setattr(tempfile, "tempdir", None)
    monkeypatch.setattr(app, "EndingCalls", fail)
    request = ServerRequest(folder=tmp_path / "s", host="127.0.0.1", port=0)
    with pytest.raises(told, match=r"is away|no more threads"):
        serve(request, load_settings(), [], print, works=False)


def test_what_clients_send_is_their_owners_alone(tmp_path: Path) -> None:
    """The folder and the uploads in it are closed to others, those that an earlier version made too."""
    uploads = tmp_path / "old" / "uploads"
    uploads.mkdir(parents=True, mode=0o755)
    for name in ("new", "old"):
        with running(tmp_path / name):
            assert (tmp_path / name / "uploads").stat().st_mode & 0o777 == 0o700
    assert (tmp_path / "new").stat().st_mode & 0o777 == 0o700


def test_links_of_a_listener_at_all_addresses_name_this_machine(tmp_path: Path) -> None:
    """0.0.0.0 leads nowhere, so that webhooks have its name, and whoever starts it is told so."""
    with running(tmp_path / "s", host="0.0.0.0") as site:
        base = f"http://{socket.gethostname()}:{site.port}"
        assert site.door.links.to("/x").startswith(f"{base}/x?")
        assert any(base in line and "--public-url" in line for line in site.lines)


@pytest.mark.parametrize(
    ("out", "state", "words"),
    [
        ("uploads/out", None, "where the files of clients are"),
        (None, "uploads", "where the files of clients are"),
        ("token", None, "is not a folder"),
        ("state", None, "is the state"),
    ],
)
def test_places_that_cannot_be_are_said_at_once(tmp_path: Path, out: str | None, state: str | None, words: str) -> None:
    """Before a job is taken whose output could never be written, or a client's file lies among records."""
    (tmp_path / "token").touch()
    places = {name: str(tmp_path / one) for name, one in (("out", out), ("state", state)) if one}
    with pytest.raises(SettingsError, match=words):
        Service.open(tmp_path, load_settings(), works=False, **places)


def test_metrics_count_by_route(tmp_path: Path) -> None:
    """Requests by their route and not by the address, jobs by status, and the run's own figures behind them."""
    figures = tmp_path / "run.prom"
    with running(tmp_path / "s", f"engine.metrics_file={str(figures)!r}") as site:
        site.asked("POST", "/plain", json=site.columns())
        for number in range(3):
            site.asked("GET", f"/v2/assets/{number}")
            site.asked("GET", f"/no/{number}")
        text = site.asked("GET", "/metrics").text
        assert 'lipwise_service_requests_total{method="GET",route="/v2/assets/{asset_id}",status="404"} 3.0' in text
        assert 'lipwise_service_requests_total{method="none",route="none",status="404"} 3.0' in text
        assert 'lipwise_service_jobs{status="pending"} 1.0' in text
        assert "lipwise_service_ready 1.0" in text
        (waited,) = re.findall(r"^lipwise_service_queue_age_seconds (.+)$", text, re.MULTILINE)
        assert 0 < float(waited) < 300
        figures.write_text("lipwise_frames_total 7\n")
        assert site.asked("GET", "/metrics").text.endswith("lipwise_frames_total 7\n")


def test_a_server_that_stops_goes_on_answering(tmp_path: Path) -> None:
    """While the last tasks end, clients see their jobs; new ones are sent away with a time to come back."""
    with running(tmp_path / "s") as site:
        job_id = site.asked("POST", "/plain", json=site.columns()).json()["id"]
        assert site.server is not None
        site.server._app.drain()
        site.service.close()
        ready = site.asked("GET", "/readyz")
        assert (ready.status_code, ready.json()["message"]) == (503, "This server is about to stop.")
        refused = site.asked("POST", "/plain", json=site.columns())
        assert (refused.status_code, refused.json()["errorCode"]) == (503, "closing")
        assert int(refused.headers["Retry-After"]) > 0
        assert site.service.job(job_id).status == "pending"
        assert site.asked("GET", "/healthz").status_code == 200


def test_a_full_queue_is_said(tmp_path: Path) -> None:
    """With the status that clients wait on, and for how long."""
    with running(tmp_path / "s", "service.queue=1") as site:
        site.asked("POST", "/plain", json=site.columns())
        refused = site.asked("POST", "/plain", json=site.columns())
        assert (refused.status_code, refused.json()["errorCode"]) == (429, "queue_full")
        assert int(refused.headers["Retry-After"]) > 0


def test_no_path_of_the_server_is_told(tmp_path: Path) -> None:
    """Whatever a client asks for; what it named itself comes back by its last part alone."""
    with running(tmp_path / "s s") as site:
        columns = site.columns()
        asked: list[dict[str, Any]] = [
            {**columns, "audio": str(site.service.uploads / "none.wav")},
            {**columns, "video": "/etc/passwd"},
            {**columns, "video": "../../etc/passwd"},
            {**columns, "video": str(site.folder / "token")},
        ]
        for one in asked:
            answer = site.asked("POST", "/plain", json=one)
            assert answer.status_code == 422
            assert str(tmp_path) not in answer.text
            assert "/etc" not in answer.text.replace("../../etc", "")


def test_a_fault_says_nothing_of_itself(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """Its traceback is for the log."""
    with running(tmp_path / "s") as site:
        site.door.service = None  # type: ignore[assignment]  # a fault
        answer = site.asked("POST", "/plain", json={})
        assert (answer.status_code, answer.json()["errorCode"]) == (500, "internal")
        assert "NoneType" not in answer.text
    assert "NoneType" in caplog.text


@pytest.mark.parametrize(
    ("text", "plain"),
    [
        ("/srv/my videos/a/b.mp4: is gone", "a/b.mp4: is gone"),
        ("under /srv/my videos", "under the server"),
        ("cannot read '/var/lib/x/y.mp4'", "cannot read 'y.mp4'"),
        ("https://host.example/a/b/c.mp4 is gone", "https://host.example/a/b/c.mp4 is gone"),
        ("3/8 of a/b, and/or", "3/8 of a/b, and/or"),
        ("see GET /v2/models or /v2/assets/upload", "see GET /v2/models or /v2/assets/upload"),
    ],
)
def test_paths_become_names(text: str, plain: str) -> None:
    """Those of the server's folders, and any other; addresses and fractions stay."""
    assert PlainWords(["/srv/my videos"])(text) == plain


def test_errors_have_statuses() -> None:
    """The client's by 4xx, the server's by 5xx."""
    assert status_of(InputError("no_audio", "x")) == 422
    assert status_of(SettingsError("unknown_setting", "x")) == 422
    assert status_of(RequestError("unknown_asset", "x")) == 404
    assert status_of(StorageError("state_read", "x")) == 503


@pytest.mark.parametrize("removed", ["", "/lip/wise"])
@pytest.mark.parametrize("host", ["dub.example.org", "127.0.0.1"])
def test_a_proxy_may_have_it_under_a_path(tmp_path: Path, host: str, removed: str) -> None:
    """Pages, links and signatures hold whether the proxy passes the path on or not, and by whichever name it asks."""
    public = "https://dub.example.org/lip/wise"
    with running(tmp_path / "s", public_url=f"{public}/", doors=[studio_door()]) as site:
        job = site.finished("a.mp4", CLIP)

        def asked(method: str, address: str, **headers: str) -> requests.Response:
            path = address.removeprefix("https://dub.example.org").removeprefix(removed)
            return site.asked(method, path, headers={"Host": host, **headers}, allow_redirects=False)

        page = asked("GET", "/lip/wise/queue", Accept="text/html")
        assert page.status_code == 401
        assert 'action="/lip/wise/studio/key"' in page.text
        assert 'name="back" value="/queue"' in page.text
        page = asked("GET", "/lip/wise/queue", **{"x-api-key": site.token})
        places = re.findall(r'(?:href|src|action|hx-get|data-events)="(/[^"]*)"', page.text)
        assert [place for place in places if not place.startswith("/lip/wise/")] == []
        static = next(place for place in places if place.endswith("/queue.js"))
        assert asked("GET", static).status_code == 200
        link = site.door.links.to(f"/outputs/{job.id}/a.mp4")
        assert link.startswith(f"{public}/outputs/")
        assert asked("GET", link).content == CLIP
        assert asked("GET", link.replace("signature=", "signature=0")).status_code == 403


def test_bodies_that_stand_still_are_given_up() -> None:
    """A client that says nothing more for too long is told so; one whose body is whole may be silent."""

    async def still() -> None:
        async def never() -> Any:
            await asyncio.Event().wait()

        await gate._hurried(never, 0.01)()

    async def whole() -> Any:
        messages: list[Any] = [{"type": "http.request", "body": b"x"}, {"type": "http.disconnect"}]

        async def next_one() -> Any:
            await asyncio.sleep(0)
            return messages.pop(0)

        receive = gate._hurried(next_one, 5.0)
        await receive()
        return await receive()

    with pytest.raises(HTTPException, match="408"):
        asyncio.run(still())
    assert asyncio.run(whole())["type"] == "http.disconnect"
