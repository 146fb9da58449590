"""Finished videos as files: in parts, under any name, by links that hold for a while, from disks and buckets."""

from __future__ import annotations

import os
from collections.abc import Generator
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from urllib.parse import quote

import boto3
import pytest
import requests
from starlette.requests import Request

from lipwise_ray.errors import RequestError
from lipwise_ray.service.output_routes import output_url
from lipwise_ray.service.sent_files import sent_file
from lipwise_ray.service.signed_links import SignedLinks
from tests.support.s3 import BUCKET, s3_server
from tests.support.service_site import Site, running

BODY = bytes(range(256)) * 40


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Generator[Site]:
    with running(tmp_path_factory.mktemp("outputs") / "s") as found:
        yield found


@pytest.fixture(scope="module")
def link(site: Site) -> str:
    return f"{site.url}/outputs/{site.finished('clip.mp4', BODY).id}/clip.mp4"


def test_an_output_is_sent_whole(site: Site, link: str) -> None:
    """With its type, its length, and a tag by which it is known again."""
    answer = site.asked("GET", link)
    assert (answer.status_code, answer.content) == (200, BODY)
    assert answer.headers["Content-Type"] == "video/mp4"
    assert answer.headers["Accept-Ranges"] == "bytes"
    assert site.asked("GET", link, headers={"If-None-Match": answer.headers["ETag"]}).status_code == 304


def test_its_head_tells_what_it_is(site: Site, link: str) -> None:
    """Without its bytes; of a part too."""
    head = site.asked("HEAD", link)
    assert (head.status_code, head.content, head.headers["Content-Length"]) == (200, b"", str(len(BODY)))
    assert site.asked("HEAD", link, headers={"Range": "bytes=0-9"}).headers["Content-Length"] == "10"


@pytest.mark.parametrize(
    ("span", "start", "stop"),
    [("0-9", 0, 10), ("10-", 10, len(BODY)), ("-7", len(BODY) - 7, len(BODY)), ("5-999999", 5, len(BODY))],
)
def test_parts(site: Site, link: str, span: str, start: int, stop: int) -> None:
    """As players ask for them."""
    answer = site.asked("GET", link, headers={"Range": f"bytes={span}"})
    assert (answer.status_code, answer.content) == (206, BODY[start:stop])
    assert answer.headers["Content-Range"] == f"bytes {start}-{stop - 1}/{len(BODY)}"


def test_several_parts_at_once(site: Site, link: str) -> None:
    """They come as parts of one answer."""
    answer = site.asked("GET", link, headers={"Range": "bytes=0-3,100-103"})
    assert answer.status_code == 206
    assert answer.headers["Content-Type"].startswith("multipart/byteranges")
    assert BODY[:4] in answer.content
    assert BODY[100:104] in answer.content


def test_very_many_parts_are_the_whole(site: Site, link: str) -> None:
    """Asking for every byte by itself costs no more than the file."""
    spans = ",".join(f"{number}-{number}" for number in range(0, 2000, 2))
    assert len(site.asked("GET", link, headers={"Range": f"bytes={spans}"}).content) <= 2 * len(BODY)


def test_parts_behind_the_end(site: Site, link: str) -> None:
    """They are none, and the answer says how long it is."""
    answer = site.asked("GET", link, headers={"Range": f"bytes={len(BODY)}-"})
    assert (answer.status_code, answer.headers["Content-Range"]) == (416, f"bytes */{len(BODY)}")


def test_a_part_of_another_version_is_not_mixed_in(site: Site, link: str) -> None:
    """Whoever goes on with what has changed meanwhile gets all of it."""
    headers = {"Range": "bytes=10-19", "If-Range": '"another"'}
    assert site.asked("GET", link, headers=headers).content == BODY


@pytest.mark.parametrize("name", ["other.mp4", "..", "%2e%2e", "..%2f..%2ftoken", "%2Fetc%2Fpasswd", "clip.mp4%00"])
def test_other_names_lead_nowhere(site: Site, link: str, name: str) -> None:
    """Only the job's own output is under its address."""
    folder = link.rpartition("/")[0]
    answer = requests.Session().send(_unchanged(f"{folder}/{name}"), timeout=20)
    assert answer.status_code == 404
    assert site.token not in answer.text


def _unchanged(url: str) -> requests.PreparedRequest:
    """Return a request whose address is sent as it is spelt."""
    prepared = requests.Request("GET", url).prepare()
    prepared.url = url
    return prepared


@pytest.mark.parametrize("name", ['a "b".mp4', "é\N{SNOWMAN}.mp4", "a\nb.mp4", "a%2fb.mp4", "x;y.mp4"])
def test_any_name_is_quoted(site: Site, name: str) -> None:
    """No name becomes a header of its own, and a browser keeps the file under it."""
    job = site.finished(name, BODY)
    answer = site.asked("GET", f"/outputs/{job.id}/{quote(name)}")
    assert answer.content == BODY
    assert quote(name, safe="") in answer.headers["Content-Disposition"]


def test_an_output_that_is_gone_is_said(site: Site) -> None:
    """Somebody removed it: that is no fault of the server, and no path is told."""
    job = site.finished("clip.mp4", BODY)
    Path(str(job.output)).unlink()
    answer = site.asked("GET", f"/outputs/{job.id}/clip.mp4")
    assert (answer.status_code, answer.json()["errorCode"]) == (404, "unknown_output")
    assert str(site.folder) not in answer.text
    assert site.asked("GET", "/outputs/unknown/clip.mp4").json()["errorCode"] == "unknown_job"


def test_links_open_without_a_key(tmp_path: Path) -> None:
    """The link in an answer is all that a client needs, and it opens one file."""
    with running(tmp_path / "s", public_url="https://dub.example.org/") as site:
        job, other = site.finished("clip.mp4", BODY), site.finished("clip.mp4", b"secret")
        link = str(output_url(job, site.door.links)).removeprefix("https://dub.example.org")
        assert site.asked("GET", link).content == BODY
        assert site.asked("HEAD", link).status_code == 200
        assert site.asked("GET", link.replace(job.id, other.id)).status_code == 403
        assert site.asked("GET", link[:-1] + ("0" if link[-1] != "0" else "1")).status_code == 403


def asked(path: str, query: str, method: str = "GET") -> Request:
    scope = {"type": "http", "method": method, "path": path, "query_string": query.encode(), "headers": []}
    return Request(scope)


def test_links_end() -> None:
    """After their time they open nothing, and no other time can be written into them."""
    now_s = [1_000_000.0]
    links = SignedLinks("token", "http://h", 3600, clock=lambda: now_s[0])
    path, _, query = links.to("/outputs/a/b").removeprefix("http://h").partition("?")
    links.check(asked(path, query))
    now_s[0] += 3600
    links.check(asked(path, query))
    now_s[0] += 3600
    with pytest.raises(RequestError, match="no longer"):
        links.check(asked(path, query))
    later = query.replace("expires=", "expires=9")
    with pytest.raises(RequestError, match="signature"):
        links.check(asked(path, later))
    with pytest.raises(RequestError, match="signature"):
        SignedLinks("another", "http://h", 1e9).check(asked(path, query))


def test_links_stay_the_same_for_a_while() -> None:
    """A client that polls sees one address, which caches know again."""
    now_s = [3600.0 * 100 + 1]
    links = SignedLinks("token", "http://h", 3600, clock=lambda: now_s[0])
    first = links.to("/x")
    now_s[0] += 1800
    assert links.to("/x") == first


def test_outputs_of_buckets_are_streamed_through(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Whole, in parts, known again by their tags; clients need no key of the bucket."""
    with s3_server(monkeypatch.setenv):
        boto3.client("s3").put_object(Bucket=BUCKET, Key="out/a b.mp4", Body=BODY)
        address = f"s3://{BUCKET}/out/a b.mp4"
        with running(tmp_path / "s") as site:
            job = site.service._change(site.finished("x.mp4", b""), output=address)
            link = f"{site.url}/outputs/{job.id}/a%20b.mp4"
            whole = site.asked("GET", link)
            assert (whole.status_code, whole.content) == (200, BODY)
            assert site.asked("GET", link, headers={"If-None-Match": whole.headers["ETag"]}).status_code == 304
            part = site.asked("GET", link, headers={"Range": "bytes=5-14", "If-Range": whole.headers["ETag"]})
            assert (part.status_code, part.content) == (206, BODY[5:15])
            assert part.headers["Content-Range"] == f"bytes 5-14/{len(BODY)}"
            assert site.asked("GET", link, headers={"Range": "bytes=-4"}).content == BODY[-4:]
            assert site.asked("GET", link, headers={"Range": f"bytes={len(BODY)}-"}).status_code == 416
            assert site.asked("GET", link, headers={"Range": "bytes=0-1,5-6"}).content == BODY
            head = site.asked("HEAD", link)
            assert (head.headers["Content-Length"], head.content) == (str(len(BODY)), b"")
            boto3.client("s3").delete_object(Bucket=BUCKET, Key="out/a b.mp4")
            assert site.asked("GET", link).status_code == 404


@pytest.mark.parametrize("make", [os.mkfifo, os.mkdir])
def test_what_is_no_file_is_not_sent(tmp_path: Path, make: Any) -> None:
    """A pipe would be waited for."""
    make(tmp_path / "x")
    request: Any = SimpleNamespace(headers={}, method="GET")
    with pytest.raises(RequestError, match="not there"):
        sent_file(str(tmp_path / "x"), "x.mp4", "video/mp4", request)
