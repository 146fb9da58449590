"""Addresses of the API as a client meets them."""

from __future__ import annotations

from collections.abc import Generator

import pytest
import requests

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
