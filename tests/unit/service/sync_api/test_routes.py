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


@pytest.mark.parametrize("number", ["20261130", "-5", "0.5", "1764500000"])
def test_a_time_is_not_read_from_a_number(server: Served, number: str) -> None:
    """A day without its dashes would be one of 1970, and all batches were made after it."""
    told = _asked(server, "GET", "/v2/batch", params={"created_after": number})
    assert (told.status_code, told.json()["errorCode"]) == (422, "invalid_request")
    assert "query.created_after: not a time with a date; send one such as" in str(told.json()["message"])


@pytest.mark.parametrize(
    "moment", ["2026-11-30", "2026-11-30T18:00", "2026-11-30T18:00:00.5+02:00", "0001-01-01T00:00Z"]
)
def test_times_of_iso_8601_are_read(server: Served, moment: str) -> None:
    """With and without seconds, a zone and a time of day."""
    for name in ("created_after", "created_before"):
        assert _asked(server, "GET", "/v2/batch", params={name: moment}).status_code == 200


@pytest.mark.parametrize("size", [True, "5", 5.0])
def test_a_size_is_an_integer(server: Served, size: object) -> None:
    """As the document has it: a file of ``true`` bytes would be one of a single byte."""
    told = _asked(server, "POST", "/v2/assets/upload", json={"fileName": "a.mp4", "size": size})
    assert (told.status_code, told.json()["errorCode"]) == (422, "invalid_request")


def test_boxes_with_two_videos_are_the_clients_fault(server: Served) -> None:
    """Whatever else a request has, its inputs are looked at before its boxes are; a fault of the server's it is not."""
    inputs = [{"type": kind, "url": f"https://media.example.com/{kind}"} for kind in ("video", "video", "audio")]
    options = {"active_speaker_detection": {"bounding_boxes": [[0, 0, 9, 9]]}}
    told = _asked(server, "POST", "/v2/generate", json={"model": "fast", "input": inputs, "options": options})
    assert "has 2 videos or images" in str(told.json()["message"])
    assert (told.status_code, told.json()["errorCode"]) == (422, "invalid_request")


def test_a_form_without_its_end_is_refused(server: Served) -> None:
    """What was cut off would be missed, as the option here, and the job be another one."""
    fields = [f'--B\r\nContent-Disposition: form-data; name="{name}"\r\n\r\n' for name in ("model", "options")]
    body = f'{fields[0]}fast\r\n{fields[1]}{{"sync_mode": "cut_off"}}'
    kind = {**KEY, "Content-Type": "multipart/form-data; boundary=B"}
    for end, message in (("", "its last boundary is missing"), ("\r\n--B--\r\n", "has no input")):
        told = requests.post(f"{server.url}/v2/generate", data=(body + end).encode(), headers=kind, timeout=20)
        assert (told.status_code, told.json()["errorCode"]) == (400, "bad_request")
        assert message in told.json()["message"]
