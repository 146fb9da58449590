"""Calls to others: signed, tried again, remembered over restarts, and never into a network."""

from __future__ import annotations

import hashlib
import hmac
import json
import socket
import threading
import time
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

import lipwise_ray
from lipwise_ray.errors import InputError, StorageError
from lipwise_ray.service import ending_calls
from lipwise_ray.service.asset_store import AssetStore
from lipwise_ray.service.ending_calls import EndingCalls
from lipwise_ray.service.job_record import JobDraft
from lipwise_ray.service.service import Service
from lipwise_ray.service.signed_links import SignedLinks
from lipwise_ray.service.webhook_record import WebhookCall
from lipwise_ray.service.webhooks import Told, Webhooks
from lipwise_ray.state import layout
from lipwise_ray.state.shapes import record_of
from lipwise_ray.state.store import Store, open_store, to_json
from lipwise_ray.storage.posting import post
from tests.support.service_site import PlainDoor
from tests.support.waiting import until

SECRET = "whsec_0123456789abcdef"


@dataclass
class Receiver:
    """A web server on 127.0.0.1 that is known as hook.test."""

    statuses: list[int] = field(default_factory=list)
    calls: list[tuple[dict[str, str], bytes]] = field(default_factory=list)
    came: threading.Condition = field(default_factory=threading.Condition)
    port: int = 0
    location: str = ""

    @property
    def url(self) -> str:
        return f"http://hook.test:{self.port}/told?x=1"

    def resolve(self, host: str, port: int) -> list[str]:
        assert (host, port) == ("hook.test", self.port)
        return ["127.0.0.1"]

    def wait(self, number: int) -> None:
        with self.came:
            assert self.came.wait_for(lambda: len(self.calls) >= number, 10)


@pytest.fixture
def receiver() -> Generator[Receiver]:
    found = Receiver()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            status = found.statuses.pop(0) if found.statuses else 200
            self.send_response(status)
            if status == 302:
                self.send_header("Location", found.location)
            self.send_header("Content-Length", "0")
            self.end_headers()
            with found.came:
                found.calls.append(({**self.headers}, body))
                found.came.notify_all()

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    found.port = server.server_address[1]
    threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
    yield found
    server.shutdown()
    server.server_close()


@contextmanager
def sending(store: Store, receiver: Receiver, *waits_s: float, address: str = "") -> Generator[Webhooks]:
    def tell(call: WebhookCall) -> Told:
        return Told(address or receiver.url, json.dumps({"id": call.job_id}).encode())

    webhooks = Webhooks(store, tell, SECRET, receiver.resolve, waits_s=waits_s)
    try:
        yield webhooks
    finally:
        webhooks.close()


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return open_store(str(tmp_path / "state"))


def test_a_call_is_signed(store: Store, receiver: Receiver) -> None:
    """By the time and the very bytes of the body, as receivers of sync.so check it."""
    with sending(store, receiver) as webhooks:
        webhooks.owe("c1", "j1")
        receiver.wait(1)
        until(lambda: webhooks.owed == 0)
    headers, body = receiver.calls[0]
    assert json.loads(body) == {"id": "j1"}
    assert headers["Host"] == f"hook.test:{receiver.port}"
    stamp, _, digest = headers["Sync-Signature"].removeprefix("t=").partition(",v1=")
    assert abs(int(stamp) - time.time()) < 60
    assert digest == hmac.new(SECRET.encode(), f"{stamp}.".encode() + body, hashlib.sha256).hexdigest()


def test_a_call_is_tried_again(store: Store, receiver: Receiver) -> None:
    """Until it is taken, each time with a signature of its time; then no more."""
    receiver.statuses = [500, 404, 302]
    receiver.location = receiver.url
    with sending(store, receiver, 0.0, 0.0, 0.0, 0.0) as webhooks:
        webhooks.owe("c1", "j1")
        receiver.wait(4)
        until(lambda: webhooks.owed == 0)
    assert len(receiver.calls) == 4


@pytest.mark.parametrize(("statuses", "calls"), [([500] * 9, 3), ([410], 1)])
def test_a_call_is_given_up(store: Store, receiver: Receiver, statuses: list[int], calls: int) -> None:
    """After the last wait, and at once where the receiver wants no more."""
    receiver.statuses = statuses
    with sending(store, receiver, 0.0, 0.0) as webhooks:
        webhooks.owe("c1", "j1")
        until(lambda: webhooks.owed == 0)
    assert len(receiver.calls) == calls


def test_calls_are_owed_once_and_over_restarts(store: Store, receiver: Receiver) -> None:
    """What was not taken is sent by the next server; what was is not sent again."""
    receiver.statuses = [500]
    with sending(store, receiver, 0.2) as webhooks:
        webhooks.owe("c1", "j1")
        receiver.wait(1)
        until(lambda: json.loads(store.read("service/webhooks/c1.json") or b"{}").get("tries") == 1)
    with sending(store, receiver, 0.2) as webhooks:
        until(lambda: webhooks.owed == 0)
        webhooks.owe("c1", "j1")
        assert webhooks.owed == 0
    with sending(store, receiver) as webhooks:
        webhooks.owe("c1", "j1")
        assert webhooks.owed == 0
        webhooks.forget(-1.0)
    assert len(receiver.calls) == 2
    assert store.names("service/webhooks") == []


def test_one_dead_receiver_holds_no_other_up(store: Store, receiver: Receiver) -> None:
    """Its call waits for its time, and the others are sent."""
    receiver.statuses = [500]
    with sending(store, receiver, 3600.0) as webhooks:
        for number in range(6):
            webhooks.owe(f"c{number}", f"j{number}")
        receiver.wait(6)
        until(lambda: webhooks.owed == 1)


def test_a_receiver_that_hangs_holds_no_other_up(store: Store, receiver: Receiver) -> None:
    """However many calls it is owed, and whether they are new or of an earlier server."""
    with socket.create_server(("127.0.0.1", 0), backlog=64) as hanging:
        addresses = {"hangs": f"http://hook.test:{hanging.getsockname()[1]}/x", "works": receiver.url}

        def tell(call: WebhookCall) -> Told:
            return Told(addresses[call.job_id], b"{}")

        for number in range(40):
            call = WebhookCall(id=f"c{number}", job_id="hangs", created=1.0, due=1.0)
            store.create(layout.service_webhook(call.id), to_json(record_of(call)))
        webhooks = Webhooks(store, tell, SECRET, lambda *_: ["127.0.0.1"])
        try:
            for number in range(40, 80):
                webhooks.owe(f"c{number}", "hangs")
            webhooks.owe("good", "works")
            receiver.wait(1)
            assert webhooks.owed >= 80
        finally:
            hanging.close()
            webhooks.close()


def test_a_clock_that_is_set_back_holds_no_call_up(store: Store, receiver: Receiver) -> None:
    """A call that would be due in a year, which no wait is, is made at once."""
    call = WebhookCall(id="c1", job_id="j1", created=time.time(), due=time.time() + 365 * 86400.0, tries=1)
    store.create(layout.service_webhook(call.id), to_json(record_of(call)))
    with sending(store, receiver, 3600.0) as webhooks:
        receiver.wait(1)
        until(lambda: webhooks.owed == 0)


@pytest.mark.parametrize(
    "address",
    [
        "http://127.0.0.1:{port}/x",
        "http://localhost:{port}/x",
        "http://[::1]:{port}/x",
        "http://[::ffff:127.0.0.1]:{port}/x",
        "http://2130706433:{port}/x",
        "http://0x7f.1:{port}/x",
        "http://10.0.0.1/x",
        "http://169.254.169.254/latest/meta-data",
        "http://user:word@hook.test:{port}/x",
        "ftp://hook.test/x",
        "file:///etc/passwd",
        "hook.test/x",
    ],
)
def test_no_call_leads_into_a_network(receiver: Receiver, address: str) -> None:
    """However the address is spelt."""
    with pytest.raises((InputError, StorageError)):
        post(address.format(port=receiver.port), b"{}", {})
    assert receiver.calls == []


def test_a_call_into_a_network_is_given_up(store: Store, receiver: Receiver, caplog: pytest.LogCaptureFixture) -> None:
    """It is not tried for a day, and the log says why, without advice on files."""
    address = f"http://127.0.0.1:{receiver.port}/x"

    def tell(call: WebhookCall) -> Told:
        return Told(address, call.id.encode())

    webhooks = Webhooks(store, tell, SECRET, waits_s=(3600.0,))
    webhooks.owe("c1", "j1")
    until(lambda: webhooks.owed == 0)
    webhooks.close()
    assert receiver.calls == []
    assert caplog.messages[-1].endswith("given up: 127.0.0.1: leads to 127.0.0.1, which is not of the public network")


def test_a_redirection_is_not_followed(receiver: Receiver) -> None:
    """It could lead anywhere."""
    receiver.statuses, receiver.location = [302], "http://169.254.169.254/"
    assert post(receiver.url, b"{}", {}, receiver.resolve) == 302
    receiver.wait(1)  # it notes a call once it has answered
    assert len(receiver.calls) == 1


@pytest.fixture
def service(tmp_path: Path) -> Generator[Service]:
    found = Service.open(tmp_path / "s", lipwise_ray.load_settings(), works=False)
    yield found
    found.close()


def calls_of(service: Service, receiver: Receiver) -> EndingCalls:
    assets = AssetStore(service.store, service.uploads, 1000, service.side_work.facts)
    door = PlainDoor(service, assets, SignedLinks("token", "http://h", 60))
    return EndingCalls(service, [door], SECRET, receiver.resolve)


def draft(service: Service, receiver: Receiver) -> JobDraft:
    columns: dict[str, Any] = {}
    for name in ("video", "audio"):
        (service.uploads / name).touch()
        columns[name] = str(service.uploads / name)
    return JobDraft(columns=columns, door="plain", webhook_url=receiver.url)


def test_the_end_of_a_job_is_told_once(service: Service, receiver: Receiver) -> None:
    """With the link to what it made; another one that ended while nobody watched is told after the next start."""
    calls = calls_of(service, receiver)
    job = service.submit(draft(service, receiver))
    service._change(job, status="completed", output="/o/clip.mp4")
    receiver.wait(1)
    assert json.loads(receiver.calls[0][1])["url"].startswith(f"http://h/outputs/{job.id}/clip.mp4?expires=")
    until(lambda: calls.owed == 0)
    calls.close()
    missed = service.submit(draft(service, receiver))
    service.cancel(missed.id)
    calls = calls_of(service, receiver)
    receiver.wait(2)
    until(lambda: calls.owed == 0)
    calls.close()
    assert [json.loads(body)["id"] for _, body in receiver.calls] == [job.id, missed.id]


class AwayAtFirst:
    """A store that cannot be written a few times."""

    def __init__(self, store: Store, times: int) -> None:
        self._store, self.left = store, times

    def __getattr__(self, name: str) -> Any:
        return getattr(self._store, name)

    def create(self, key: str, data: bytes) -> bool:
        if self.left:
            self.left -= 1
            raise StorageError("store_refused", key, got="busy", do="Ask again")
        return self._store.create(key, data)


def test_an_end_that_could_not_be_noted_is_told_later(
    service: Service, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A state that is away for a moment delays a call, and not until the next start."""
    monkeypatch.setattr(ending_calls, "_AGAIN_S", 0.05)
    job = service.submit(draft(service, receiver))
    store = AwayAtFirst(service.store, 3)
    monkeypatch.setattr(service, "store", store)
    calls = calls_of(service, receiver)
    service.cancel(job.id)
    receiver.wait(1)
    assert store.left == 0
    calls.close()


def test_an_old_job_that_has_just_ended_is_told(service: Service, receiver: Receiver) -> None:
    """What counts after a start is when it ended: a queue may be longer than two days."""
    job = service.submit(draft(service, receiver))
    service._change(replace(job, created=job.created - 10 * 86_400), status="completed", output="/o/clip.mp4")
    calls = calls_of(service, receiver)
    receiver.wait(1)
    until(lambda: calls.owed == 0)
    calls.close()


def test_a_job_that_is_done_again_is_told_again(service: Service, receiver: Receiver) -> None:
    """Its second end is another one."""
    calls = calls_of(service, receiver)
    job = service.submit(draft(service, receiver))
    for number in (1, 2):
        service.cancel(job.id)
        receiver.wait(number)
        service.retry(job.id)
    until(lambda: calls.owed == 0)
    calls.close()


def test_the_end_of_a_batch_is_told_when_all_have_ended(service: Service, receiver: Receiver) -> None:
    """Not before, and once."""
    calls = calls_of(service, receiver)
    plain = JobDraft(columns=draft(service, receiver).columns, door="plain")
    batch = service.submit_many([("a", plain), ("b", plain)], door="plain", webhook_url=receiver.url)
    first, second = (item.job_id for item in batch.items)
    service.cancel(first)
    until(calls._ended.empty)
    assert receiver.calls == []
    service.cancel(second)
    receiver.wait(1)
    until(lambda: calls.owed == 0)
    calls.close()
    assert [json.loads(body) for _, body in receiver.calls] == [{"id": batch.id}]
