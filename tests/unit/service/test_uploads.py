"""Files that clients send: in parts, cut off, too long, of another kind, and for as long as somebody needs them."""

from __future__ import annotations

import io
import socket
import threading
from collections.abc import Generator
from pathlib import Path
from typing import Any

import pytest

from lipwise_ray.errors import InputError, RequestError, StorageError
from lipwise_ray.service.asset_store import AssetStore
from lipwise_ray.service.media_facts import media_facts
from lipwise_ray.service.upload import Upload
from lipwise_ray.service.upload_range import upload_range
from lipwise_ray.service.web_errors import status_of
from lipwise_ray.state.store import open_store
from tests.support.service_site import Site, clip, running, tone
from tests.support.waiting import until

CLIP = clip()
HALF = len(CLIP) // 2


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Generator[Site]:
    with running(tmp_path_factory.mktemp("uploads") / "s", "service.upload_gb=0.002") as found:
        yield found


def announced(site: Site, size: int, name: str = "a.mp4") -> dict[str, Any]:
    return site.asked("POST", "/v2/assets/upload", json={"fileName": name, "size": size}).json()


def part(site: Site, told: dict[str, Any], start: int, body: bytes, size: int) -> Any:
    span = f"bytes {start}-{start + len(body) - 1}/{size}"
    return site.asked("PUT", told["uploadUrl"], data=body, headers={"Content-Range": span})


def test_a_file_is_sent_in_two_steps(site: Site) -> None:
    """Announced, sent without a key, taken: then it is listed, and comes back as it was."""
    told = announced(site, len(CLIP), "the clip.mp4")
    assert site.asked("PUT", told["uploadUrl"], data=CLIP).json() == {
        "received": len(CLIP),
        "size": len(CLIP),
        "isWhole": True,
    }
    asset = site.asked("POST", "/v2/assets", json={"url": told["url"]})
    assert asset.status_code == 201
    facts = asset.json()
    assert (facts["type"], facts["format"], facts["size"], facts["name"]) == ("VIDEO", "mp4", len(CLIP), "the clip.mp4")
    assert (facts["width"], facts["height"]) == (64, 64)
    assert facts["durationSeconds"] == pytest.approx(8 / 25, abs=0.05)
    assert site.asked("GET", f"/v2/assets/{facts['id']}").json()["id"] == facts["id"]
    back = site.asked("GET", facts["url"])
    assert (back.content, back.headers["Content-Type"]) == (CLIP, "video/mp4")
    assert "sandbox" in back.headers["Content-Security-Policy"]


def test_a_file_is_sent_in_parts(site: Site) -> None:
    """Each says where it belongs, and between them one may ask how far it came."""
    told = announced(site, len(CLIP))
    first = part(site, told, 0, CLIP[:HALF], len(CLIP))
    assert (first.status_code, first.json()["received"], first.json()["isWhole"]) == (202, HALF, False)
    assert site.asked("GET", told["uploadUrl"]).json()["received"] == HALF
    last = part(site, told, HALF, CLIP[HALF:], len(CLIP))
    assert (last.status_code, last.json()["isWhole"]) == (200, True)


def test_an_upload_that_was_cut_off_goes_on(site: Site) -> None:
    """A client vanishes in the middle: what came is there, and the rest is all that is sent again."""
    body = CLIP + bytes(1_500_000)
    told = announced(site, len(body))
    path = told["uploadUrl"].partition(site.url)[2]
    head = f"PUT {path} HTTP/1.1\r\nHost: localhost\r\nContent-Length: {len(body)}\r\n\r\n".encode()
    with socket.create_connection(("127.0.0.1", site.port), 5) as wire:
        wire.sendall(head + body[:1_400_000])
        until(lambda: site.asked("GET", told["uploadUrl"]).json()["received"])
    # Until the server has seen that its client is gone, it says that somebody is sending.
    until(lambda: _rest(site, told, body).status_code != 409)
    asset = site.asked("POST", "/v2/assets", json={"url": told["url"]}).json()
    assert site.asked("GET", asset["url"]).content == body


def _rest(site: Site, told: dict[str, Any], body: bytes) -> Any:
    received = site.asked("GET", told["uploadUrl"]).json()["received"]
    assert received >= 1 << 20
    return part(site, told, received, body[received:], len(body))


def test_a_part_that_leaves_a_gap_is_refused(site: Site) -> None:
    """Nothing is written, and the answer says how far it came."""
    told = announced(site, len(CLIP))
    part(site, told, 0, CLIP[:10], len(CLIP))
    answer = part(site, told, 20, CLIP[20:], len(CLIP))
    assert (answer.status_code, answer.json()["errorCode"]) == (409, "upload_gap")
    assert "10 bytes are there" in answer.json()["message"]


def test_more_than_was_announced_is_refused(site: Site) -> None:
    """Whoever says less than comes is stopped, and may begin anew."""
    told = announced(site, 10)
    answer = site.asked("PUT", told["uploadUrl"], data=CLIP)
    assert (answer.status_code, answer.json()["errorCode"]) == (413, "upload_too_large")
    assert site.asked("PUT", told["uploadUrl"], data=iter([CLIP])).status_code == 413


def test_less_than_was_announced_is_said(site: Site) -> None:
    """What came stays, and it is no asset."""
    told = announced(site, len(CLIP))
    answer = site.asked("PUT", told["uploadUrl"], data=CLIP[:-1])
    assert (answer.status_code, answer.json()["errorCode"]) == (409, "upload_short")
    assert site.asked("POST", "/v2/assets", json={"url": told["url"]}).status_code == 409
    assert part(site, told, len(CLIP) - 1, CLIP[-1:], len(CLIP)).json()["isWhole"] is True


def test_too_large_is_said_beforehand(site: Site) -> None:
    """By what is announced, before anything is sent."""
    answer = site.asked("POST", "/v2/assets/upload", json={"fileName": "a", "size": 3_000_000})
    assert (answer.status_code, answer.json()["errorCode"]) == (413, "upload_too_large")


@pytest.mark.parametrize(
    "body",
    [b"<html>hello</html>", b"#EXTM3U\n#EXTINF:1,\n/etc/passwd\n", b"\0" * 5000, CLIP[:200], b"ffconcat version 1.0\n"],
)
def test_what_is_no_media_file_is_refused(site: Site, body: bytes) -> None:
    """By its contents, whatever its name and type say; nothing stays, and no path is told."""
    told = announced(site, len(body), "video.mp4")
    answer = site.asked("PUT", told["uploadUrl"], data=body, headers={"Content-Type": "video/mp4"})
    assert (answer.status_code, answer.json()["errorCode"]) == (422, "not_media")
    assert str(site.folder) not in answer.text
    assert site.asked("GET", told["uploadUrl"]).status_code == 404
    assert not [path for path in (site.folder / "uploads").iterdir() if path.stat().st_size == len(body)]


def test_names_lead_nowhere(site: Site) -> None:
    """A name of a client's is for people: the file has one of ours, and the header quotes it."""
    name = '../../etc/"\r\nX-Evil: 1\r\n\u202e\N{SNOWMAN}.mp4'
    told = announced(site, len(CLIP), name)
    site.asked("PUT", told["uploadUrl"], data=CLIP)
    asset = site.asked("POST", "/v2/assets", json={"url": told["url"]}).json()
    back = site.asked("GET", asset["url"])
    assert back.status_code == 200
    assert "X-Evil" not in back.headers
    assert back.headers["Content-Disposition"].startswith("inline; filename*=utf-8''")
    assert {path.parent for path in site.folder.rglob("a0*")} <= {site.folder / "uploads", *site.folder.rglob("assets")}


@pytest.mark.parametrize(
    "address",
    ["http://evil.example/v2/assets/uploads/../x", "/v2/assets/uploads/nope", "file:///etc/passwd", "http://[", "x"],
)
def test_only_own_uploads_become_assets(site: Site, address: str) -> None:
    """Addresses of elsewhere are named in a job's input instead."""
    answer = site.asked("POST", "/v2/assets", json={"url": address})
    assert answer.status_code in (404, 422)
    assert answer.json()["message"]


def test_a_link_for_one_thing_is_for_no_other(tmp_path: Path) -> None:
    """Whoever may send a file may not read another, or the same."""
    with running(tmp_path / "s", public_url="http://dub.example.org") as site:
        key = {"x-api-key": site.token}
        told = site.asked("POST", "/v2/assets/upload", json={"fileName": "a", "size": len(CLIP)}, headers=key).json()
        assert told["uploadUrl"].startswith("http://dub.example.org/v2/assets/uploads/")
        put = told["uploadUrl"].removeprefix("http://dub.example.org")
        assert site.asked("PUT", put.replace("expires=", "expires=1"), data=CLIP).status_code == 403
        assert site.asked("PUT", put, data=CLIP).status_code == 200
        path, _, query = put.partition("?")
        asset_id = path.rpartition("/")[2]
        assert site.asked("GET", f"/v2/assets/files/{asset_id}?{query}").status_code == 403
        assert site.asked("DELETE", f"/v2/assets/{asset_id}?{query}").status_code == 401


def test_assets_are_listed_in_parts(tmp_path: Path) -> None:
    """By kind, name and order, with a cursor to go on at; what is unknown is refused."""
    with running(tmp_path / "s") as site:
        ids = [site.sent(CLIP, "b.mp4"), site.sent(tone(), "a.wav"), site.sent(CLIP, "c.mp4")]

        def listed(**asked: Any) -> list[str]:
            return [one["id"] for one in site.asked("GET", "/v2/assets", params=asked).json()["items"]]

        assert listed() == ids[::-1]
        assert listed(sortBy="nameAsc") == [ids[1], ids[0], ids[2]]
        assert listed(types="AUDIO") == [ids[1]]
        assert listed(types=["AUDIO", "IMAGE,video"]) == ids[::-1]
        assert listed(searchQuery="C.M") == [ids[2]]
        first = site.asked("GET", "/v2/assets", params={"limit": 2, "sortBy": "dateAsc"}).json()
        assert (first["totalCount"], [one["id"] for one in first["items"]]) == (3, ids[:2])
        assert listed(limit=2, sortBy="dateAsc", cursor=first["nextCursor"]) == ids[2:]
        unknown = [
            {"types": "TEXT"},
            {"limit": 0},
            {"limit": 101},
            {"sortBy": "x"},
            {"cursor": "x"},
            {"projectId": "p"},
        ]
        for asked in unknown:
            assert site.asked("GET", "/v2/assets", params=asked).status_code == 422


def test_assets_are_there_after_a_restart(tmp_path: Path) -> None:
    """So is the half of one that was being sent; what was cut off before it had a record is gone."""
    with running(tmp_path / "s") as site:
        asset_id = site.sent(CLIP)
        told = announced(site, len(CLIP))
        part(site, told, 0, CLIP[:HALF], len(CLIP))
    stray = tmp_path / "s" / "uploads" / f"a{'0' * 12}-{'1' * 20}.part"
    stray.write_bytes(b"x")
    with running(tmp_path / "s") as site:
        assert site.asked("GET", f"/v2/assets/{asset_id}").json()["size"] == len(CLIP)
        path = told["uploadUrl"].partition("/v2/")[2]
        again = {"uploadUrl": f"{site.url}/v2/{path}"}
        assert site.asked("GET", again["uploadUrl"]).json()["received"] == HALF
        assert part(site, again, HALF, CLIP[HALF:], len(CLIP)).json()["isWhole"] is True
        assert not stray.exists()


def test_a_file_in_use_is_not_removed(tmp_path: Path) -> None:
    """As long as a job that has not ended reads it; then it is."""
    with running(tmp_path / "s") as site:
        video, sound = site.sent(CLIP), site.sent(tone())
        paths = {"video": str(site.door.assets.path(video)), "audio": str(site.door.assets.path(sound))}
        job_id = site.asked("POST", "/plain", json=paths).json()["id"]
        refused = site.asked("DELETE", f"/v2/assets/{video}")
        assert (refused.status_code, refused.json()["errorCode"]) == (409, "asset_in_use")
        site.asked("POST", f"/plain/{job_id}/cancel")
        assert site.asked("DELETE", f"/v2/assets/{video}").status_code == 204
        assert site.asked("GET", f"/v2/assets/{video}").status_code == 404
        assert not Path(paths["video"]).exists()


@pytest.fixture
def store(tmp_path: Path) -> AssetStore:
    return AssetStore(
        open_store(str(tmp_path / "state")), tmp_path / "uploads", 1_000_000, media_facts, lambda: NOW_S[0]
    )


NOW_S = [1000.0]


def test_old_files_go(store: AssetStore) -> None:
    """Those that nobody reads, and uploads that nobody goes on with."""
    NOW_S[0] = 1000.0
    kept, old = (store.add(io.BytesIO(CLIP), "a", "") for _ in range(2))
    pending = store.announce("b", "", 10)
    NOW_S[0] += 100_000.0
    assert store.expire(90_000.0, lambda path: path.endswith(kept.id)) == 2
    assert store.get(kept.id) == kept
    for gone in (old, pending):
        with pytest.raises(RequestError, match="none has the id"):
            store.get(gone.id)


def test_a_file_that_a_job_is_about_to_read_stays(store: AssetStore) -> None:
    """One that is named while old ones go: the job that is to read it is not in the queue yet."""
    NOW_S[0] = 1000.0
    old = store.add(io.BytesIO(CLIP), "a", "")
    NOW_S[0] += 100_000.0
    path = store.path(old.id)
    assert store.expire(90_000.0, lambda _: False) == 0
    assert path.exists()
    NOW_S[0] += 7200.0  # no job came of it
    assert store.expire(90_000.0, lambda _: False) == 1
    assert not path.exists()


def test_an_upload_that_goes_on_is_not_given_up(store: AssetStore, tmp_path: Path) -> None:
    """A day counts from its latest part, over a restart too."""
    NOW_S[0] = 1000.0
    pending = store.announce("b", "", 10)
    NOW_S[0] += 80_000.0
    with store.writing(pending.id, 0) as upload:
        upload.write(b"12345")
    NOW_S[0] += 80_000.0
    for one in (
        store,
        AssetStore(open_store(str(tmp_path / "state")), tmp_path / "uploads", 1_000_000, media_facts, lambda: NOW_S[0]),
    ):
        assert one.expire(1.0, lambda _: False) == 0
        assert one.received(pending.id) == 5


def test_a_full_disk_is_said(tmp_path: Path) -> None:
    """With its own status, by which a client knows that the file is not at fault."""
    with pytest.raises(StorageError) as refused, Path("/dev/full").open("wb", buffering=0) as file:
        Upload(file, 0, 10).write(b"1")
    assert (refused.value.code, status_of(refused.value)) == ("no_room", 507)


def test_a_disk_that_fills_up_is_said(store: AssetStore, monkeypatch: pytest.MonkeyPatch) -> None:
    """As that, though the record beside the file cannot be written any more either."""

    def refuse(key: str, data: bytes) -> None:
        raise StorageError("state_write", key, got="cannot be written")

    asset = store.announce("a", "", 50_000)
    (store._folder / f"{asset.id}.part").symlink_to("/dev/full")
    monkeypatch.setattr(store._store, "write", refuse)
    with pytest.raises(StorageError, match="there is no room for it"), store.writing(asset.id, 0) as upload:
        upload.write(bytes(50_000))


def test_one_writes_at_a_time(store: AssetStore) -> None:
    """Two clients that send one file at once do not mix their bytes."""
    asset = store.announce("a", "", 10)
    with store.writing(asset.id, 0) as upload:
        upload.write(b"12345")
        with pytest.raises(RequestError, match="another request"), store.writing(asset.id, 0):
            pass
    assert store.received(asset.id) == 5


def test_a_form_of_too_much_leaves_nothing(store: AssetStore, tmp_path: Path) -> None:
    """A file at hand that is too large, or no media file, is refused without a trace."""
    for body in (b"\0" * 1_000_001, b"text"):
        (tmp_path / "f").write_bytes(body)
        with (tmp_path / "f").open("rb") as file, pytest.raises(InputError):
            store.add(file, "a.mp4", "video/mp4")
    assert list((tmp_path / "uploads").iterdir()) == []
    assert store.listed().total == 0


def test_an_upload_counts_its_bytes(tmp_path: Path) -> None:
    """Not one more than was announced is written."""
    with (tmp_path / "f").open("wb") as file:
        upload = Upload(file, 3, 5)
        upload.write(b"12")
        with pytest.raises(RequestError, match="more than 5 bytes"):
            upload.write(b"3")


def test_kinds_are_told_by_contents(tmp_path: Path) -> None:
    """A sound with any name is audio."""
    (tmp_path / "x.mp4").write_bytes(tone())
    assert media_facts(tmp_path / "x.mp4").kind == "AUDIO"


@pytest.mark.parametrize(
    "header",
    ["bytes 5-4/10", "bytes 0-10/10", "bytes 0-4/11", "bytes=0-4", "items 0-4/10", "bytes 0-4", "bytes \u0661-4/10"],
)
def test_ranges_that_are_none(header: str) -> None:
    """They are refused, with the header's own words."""
    with pytest.raises(RequestError):
        upload_range(header, 10)


def test_many_send_at_once(site: Site) -> None:
    """Eight clients at once, each its own file, all whole."""
    ids: list[str] = []
    threads = [threading.Thread(target=lambda: ids.append(site.sent(CLIP))) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len({*ids}) == 8
