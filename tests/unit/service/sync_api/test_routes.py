"""Addresses of the API as a client meets them."""

from __future__ import annotations

import json
import shutil
from collections.abc import Generator
from types import SimpleNamespace

import pytest
import requests

from lipwise_ray.service.job_record import JobDraft
from tests.support.sync_server import TOKEN, Served, served

KEY = {"x-api-key": TOKEN}


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Generator[Served]:
    with served(tmp_path_factory.mktemp("api") / "s", (), works=False) as found:
        yield found


def _asked(server: Served, method: str, path: str, **given: object) -> requests.Response:
    return requests.request(method, server.url + path, headers=KEY, timeout=20, **given)  # type: ignore[arg-type]


def test_a_batch_that_is_too_large_is_refused_unread(server: Served) -> None:
    """Its bound is said, and nothing of it is kept."""
    told = _asked(server, "POST", "/v2/batch", files={"input": ("a.jsonl", bytes(5 * (1 << 20) + 1))})
    assert (told.status_code, told.json()["errorCode"]) == (413, "body_too_large")
    assert "5242881 bytes; at most 5242880" in told.json()["message"]


def test_a_form_for_which_there_is_no_room_is_refused_beforehand(
    server: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its files lie on the disk twice for a while."""
    monkeypatch.setattr(shutil, "disk_usage", lambda _: SimpleNamespace(free=(1 << 30) + 5000))
    told = _asked(server, "POST", "/v2/generate", files={"video": ("a.mp4", bytes(4000))})
    assert (told.status_code, told.json()["errorCode"]) == (507, "no_room")


def test_a_batch_is_told_by_its_own_jobs(server: Served) -> None:
    """Its counts and its results are those of its jobs, whatever else is in the queue."""
    (server.service.uploads / "v").touch()
    columns = {"video": str(server.service.uploads / "v"), "audio": str(server.service.uploads / "v")}
    draft = JobDraft(columns=columns, door="sync")
    other = server.service.submit(draft)
    batch = server.service.submit_many([("one", draft), ("two", draft)], door="sync")
    server.service.cancel(other.id)
    server.service.cancel(batch.items[1].job_id)
    told = _asked(server, "GET", f"/v2/batch/{batch.id}").json()
    assert told["metrics"] == {"total_generations": 2, "success_count": 0, "failed_count": 1, "pending_count": 1}
    assert [one["id"] for one in _asked(server, "GET", "/v2/batch").json()] == [batch.id]
    lines = _asked(server, "GET", f"/outputs/batches/{batch.id}/results.jsonl").text.splitlines()
    assert [json.loads(line)["requestId"] for line in lines] == ["one", "two"]
