"""Streams of events: what a listener is told, and what listeners cost."""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import requests

from lipwise_ray.errors import RequestError
from lipwise_ray.service.changes import JobChanged, JobProgress, JobProgressed
from lipwise_ray.service.event_hub import EventHub, PendingChanges
from tests.support.service_site import Site, running
from tests.support.waiting import until


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Generator[Site]:
    with running(tmp_path_factory.mktemp("events") / "s") as found:
        yield found


@contextmanager
def events(site: Site, path: str) -> Generator[Iterator[tuple[str, Any]]]:
    """Yield the events of a stream as they come."""
    with requests.get(site.url + path, stream=True, timeout=20) as answer:
        answer.raise_for_status()
        assert answer.headers["Content-Type"].startswith("text/event-stream")
        yield _events(answer.iter_lines(chunk_size=1, decode_unicode=True))


def _events(lines: Iterator[str]) -> Iterator[tuple[str, Any]]:
    name = ""
    for line in lines:
        kind, _, text = line.partition(": ")
        if kind == "event":
            name = text
        elif kind == "data":
            yield name, json.loads(text)


def waiting(site: Site) -> str:
    return site.asked("POST", "/plain", json=site.columns()).json()["id"]


def test_a_job_is_followed_to_its_end(site: Site) -> None:
    """From where it stands, over its progress, to how it ended: then the stream ends too."""
    job_id = waiting(site)
    with events(site, f"/v2/generate/{job_id}/events") as told:
        assert next(told) == ("status", {"id": job_id, "status": "pending"})
        site.service._listeners.tell(JobProgressed(job_id, JobProgress("rendering", 5, 10, 2.5)))
        name, data = next(told)
        assert (name, data["id"], data["frames_done"], data["frames_total"]) == ("progress", job_id, 5, 10)
        site.asked("POST", f"/plain/{job_id}/cancel")
        assert list(told) == [("status", {"id": job_id, "status": "cancelled"})]


def test_a_job_that_has_ended_is_told_at_once(site: Site) -> None:
    """Whoever comes late waits for nothing."""
    job = site.finished("clip.mp4", b"x")
    with events(site, f"/v2/generate/{job.id}/events") as told:
        assert list(told) == [("status", {"id": job.id, "status": "completed"})]


def test_an_unknown_job_has_no_stream(site: Site) -> None:
    """It is an ordinary error."""
    answer = site.asked("GET", "/v2/generate/nope/events")
    assert (answer.status_code, answer.json()["errorCode"]) == (404, "unknown_job")


def test_all_jobs_are_followed(site: Site) -> None:
    """Those that come later too."""
    with events(site, "/events") as told:
        assert next(told)[0] == "open"
        job_id = waiting(site)
        assert next(told) == ("status", {"id": job_id, "status": "pending"})


def test_listeners_that_vanish_are_forgotten(site: Site) -> None:
    """A browser that is closed leaves nothing behind."""
    assert site.server is not None
    hub = site.server._app._hub
    until(lambda: hub.listeners == 0)
    with events(site, "/events") as told:
        next(told)
        assert hub.listeners == 1
    until(lambda: hub.listeners == 0)


def test_a_stop_ends_every_stream(tmp_path: Path) -> None:
    """A server does not wait for listeners, who would stay for ever."""
    with running(tmp_path / "s") as site, events(site, "/events") as told:
        next(told)
        assert site.server is not None
        site.server.stop()
        assert list(told) == []


def test_two_clients_cancel_at_once(site: Site) -> None:
    """Both are told that it is cancelled, and it is so once."""
    job_id = waiting(site)
    answers: list[Any] = []
    threads = [
        threading.Thread(target=lambda: answers.append(site.asked("POST", f"/plain/{job_id}/cancel"))) for _ in range(2)
    ]
    with events(site, f"/v2/generate/{job_id}/events") as told:
        next(told)
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert [(one.status_code, one.json()["status"]) for one in answers] == [(200, "cancelled")] * 2
        assert len(list(told)) == 1


def test_slow_listeners_cost_a_bounded_memory() -> None:
    """The newest of each job is kept; beyond a thousand jobs a listener is told that it has missed some."""

    async def told() -> tuple[list[Any], list[Any]]:
        same, many = PendingChanges(None), PendingChanges(None)
        for number in range(100_000):
            same.offer(JobProgressed("a", JobProgress("rendering", number, 100_000)))
        for number in range(2500):
            many.offer(JobChanged(str(number), "pending"))
        assert len(many._pending) <= 1000
        for listener in (same, many):
            listener.end()
        return [one async for one in same.changes()], [one async for one in many.changes()]

    same, many = asyncio.run(told())
    assert [one.progress.frames_done for one in same] == [99_999]
    assert many[0] is None
    assert many[-1].id == "2499"
    assert len(many) <= 1001


def test_there_are_so_many_listeners() -> None:
    """One more is refused, until one has gone."""
    hub = EventHub(2)
    with hub.listening(None):
        with hub.listening("a"), pytest.raises(RequestError, match="2 clients are listening"):
            hub.check_room()
        hub.check_room()
