"""Names in place of paths around Gradio's page, with an application in Gradio's place: no extra is needed."""

from __future__ import annotations

import json
from collections.abc import AsyncGenerator
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
from fastapi import FastAPI
from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.routing import Route
from starlette.testclient import TestClient

from lipwise_ray.errors import RequestError
from lipwise_ray.service.gradio_files import GradioFiles
from lipwise_ray.service.gradio_names import FileNames

_HASH = "0123abcd" * 8


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder whose name each form of text writes in its own way, and a file in it."""
    found = tmp_path / 'Zoë\'s <films> & "more"'
    (found / _HASH).mkdir(parents=True)
    (found / _HASH / "a b.mp4").write_bytes(bytes(range(256)))
    (found / _HASH / "page.html").write_text("<script>")
    (found / _HASH / ".half").write_text("x")
    (found / "secret").write_text("x")
    (found / _HASH / "link.mp4").symlink_to(found / "secret")
    return found


def _told(folder: Path) -> bytes:
    """What Gradio may answer with: a path as JSON of both kinds, in an address, and in the message of an error."""
    path = str(folder / _HASH / "a b.mp4")
    value = {"path": path, "url": f"http://x/gradio_api/file={quote(path)}", "error": f"No access to {folder}."}
    return b"data: " + json.dumps(value).encode() + b"\n" + json.dumps(value, ensure_ascii=False).encode() + b"\n\n"


def _client(folder: Path, blocks: list[bytes] | None = None) -> TestClient:
    async def echo(request: Request) -> Response:
        body = await request.body()
        headers = {"location": str(request.headers.get("content-type"))}
        return Response(body, headers=headers, media_type="application/json")

    async def uploaded(request: Request) -> Response:
        sizes = [len(block) async for block in request.stream() if block]
        return JSONResponse([str(folder / _HASH / "a b.mp4"), sum(sizes)])

    async def streamed(request: Request) -> Response:
        del request

        async def sent() -> AsyncGenerator[bytes]:
            for block in blocks or []:
                yield block

        return StreamingResponse(sent(), headers={"location": str(folder)}, media_type="text/event-stream")

    routes = [
        Route("/gradio_api/run/dub", echo, methods=["POST"]),
        Route("/gradio_api/upload", uploaded, methods=["POST"]),
        Route("/gradio_api/queue/data", streamed),
    ]
    app = FastAPI()
    app.router.routes += routes
    return TestClient(FileNames(app, GradioFiles(folder)))


def test_answers_in_blocks_have_names_wherever_they_are_cut(folder: Path) -> None:
    """However an answer comes apart, the same text arrives, without the folder in any of its forms."""
    told = _told(folder)
    whole = _client(folder, [told]).get("/gradio_api/queue/data")
    assert f'"path": "{_HASH}/a b.mp4"' in whole.text
    assert f"gradio_api/file={_HASH}/a%20b.mp4" in whole.text
    assert "No access to ." in whole.text
    assert whole.headers["location"] == ""
    for cut in range(len(told)):
        parts = [told[:cut], told[cut : cut + 3], told[cut + 3 :]]
        assert _client(folder, parts).get("/gradio_api/queue/data").content == whole.content
    assert folder.name.encode() not in whole.content
    assert str(folder.parent).encode() not in whole.content


def test_a_file_in_a_texts_place_is_seen(folder: Path) -> None:
    """Gradio makes a text of it as Python writes one, whatever marks the folder's name has."""
    value = {"path": str(folder / _HASH / "a b.mp4")}
    assert GradioFiles(folder).shows_in(str(value))
    assert not GradioFiles(folder).shows_in(str({"path": f"{_HASH}/a b.mp4"}))


def test_a_name_in_a_request_becomes_a_path(folder: Path) -> None:
    """Gradio gets the path of a file, however deep it stands; its answer to that has the name again; the rest stays."""
    client = _client(folder)
    body = {"data": [{"video": {"path": f"{_HASH}/a b.mp4"}, "subtitles": None}, "path", 1.5, {"path": None}]}
    assert client.post("/gradio_api/run/dub", json=body).json() == body
    assert client.post("/gradio_api/run/dub").content == b""


def test_a_file_on_its_way_is_not_read_as_json(folder: Path) -> None:
    """A large upload passes in blocks, and its answer has the name."""
    answer = _client(folder).post("/gradio_api/upload", content=b"x" * (3 << 20))
    assert answer.json() == [f"{_HASH}/a b.mp4", 3 << 20]


def test_a_name_that_is_no_text_is_refused(folder: Path) -> None:
    """Half a pair of UTF-16, which JSON may hold and no disk takes, is answered as other names are."""
    body = b'{"data": [{"path": "%s/\\ud800"}]}' % _HASH.encode()
    assert _client(folder).post("/gradio_api/run/dub", content=body).status_code == 404


@pytest.mark.parametrize(
    "name",
    [
        "",
        "/etc/passwd",
        "secret",
        _HASH,
        f"{_HASH}/none.mp4",
        f"{_HASH}/.half",
        f"{_HASH}/..",
        f"{_HASH}/link.mp4",
        f"{_HASH}/../secret",
        f"../{_HASH}/a b.mp4",
        f"{_HASH}/a b.mp4\0",
        f"{_HASH}/{'é' * 200}",
        "http://127.0.0.1/a.mp4",
    ],
)
def test_another_name_is_refused(folder: Path, name: str) -> None:
    """A path, a way out, a link, a hidden or half-written file and an address are all no file, in the same words."""
    client, files = _client(folder), GradioFiles(folder)
    with pytest.raises(RequestError, match="is not one that was sent to this page"):
        files.path(name)
    answer = client.post("/gradio_api/run/dub", json={"data": [{"path": name}]})
    assert answer.status_code == 404
    assert answer.json()["detail"].startswith("the file: is not one that was sent to this page")
    assert [client.get(f"/gradio_api/file{mark}{quote(name)}").status_code for mark in "=/"] == [404, 404]


def test_a_path_of_the_server_is_no_name(folder: Path) -> None:
    """Whoever knows where a file lies gets no more of it than others."""
    path = str(folder / _HASH / "a b.mp4")
    client = _client(folder)
    assert client.get(f"/gradio_api/file={quote(path)}").status_code == 404
    assert client.post("/gradio_api/run/dub", json={"data": [{"path": path}]}).status_code == 404


def test_files_are_sent_in_parts_and_never_as_pages(folder: Path) -> None:
    """A player gets its part; what a browser could run comes as bytes alone."""
    client = _client(folder)
    address = f"/gradio_api/file={_HASH}/a%20b.mp4"
    part = client.get(address, headers={"range": "bytes=4-7"})
    assert (part.status_code, part.content, part.headers["content-type"]) == (206, bytes([4, 5, 6, 7]), "video/mp4")
    assert client.head(address).headers["content-length"] == "256"
    assert client.get(address, headers={"range": "bytes=900-"}).status_code == 416
    assert client.get(f"/gradio_api/file={_HASH}/page.html").headers["content-type"] == "application/octet-stream"


@pytest.mark.parametrize(("body", "status"), [(b"{", 400), (b"[" * 100_000, 400), (b'"' + b"x" * (2 << 20), 413)])
def test_a_body_that_is_none_is_refused(folder: Path, body: bytes, status: int) -> None:
    """Text that is no JSON, that is too deep and that is too long have a sentence each."""
    answer: Any = _client(folder).post("/gradio_api/run/dub", content=body)
    assert answer.status_code == status
    assert answer.json()["detail"].startswith("The body ")
