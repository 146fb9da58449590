"""Looks at files of strangers: in a process whose end is one upload's, however many come at once."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Generator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any

import psutil
import pytest
import requests

from lipwise_ray.errors import InputError, MediaError, TransientError
from lipwise_ray.service import media_worker
from lipwise_ray.service.frame_count import FrameCount
from lipwise_ray.service.media_messages import RefusedMedia, media_answer_in, media_line
from lipwise_ray.service.side_work import SideWork
from lipwise_ray.service.studio.studio_door import studio_door
from lipwise_ray.settings.model import Settings, SourceSettings
from tests.support.service_site import Site, clip, running, tone
from tests.support.side_settings import begin_side_work
from tests.support.waiting import until

CLIP, TONE = clip(), tone()
_PATIENCE_S = 20.0


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Generator[Site]:
    folder = tmp_path_factory.mktemp("looks") / "s"
    with running(folder, "service.requests_per_minute=0", doors=(studio_door(),)) as found:
        yield found


def announced(site: Site, body: bytes) -> dict[str, Any]:
    return site.asked("POST", "/v2/assets/upload", json={"fileName": "a.mp4", "size": len(body)}).json()


def looker(site: Site) -> int:
    """Return the number of the process that looks, of which there is one after a look."""
    site.sent(TONE, "s.wav")
    number = site.service.side_work.files_pid
    assert number is not None
    return number


def ended_at_its_look(site: Site, told: dict[str, Any], body: bytes, number: signal.Signals) -> requests.Response:
    """Send a file whose look stands still, end the process, and return what the sender is told."""
    process = looker(site)
    os.kill(process, signal.SIGSTOP)
    with ThreadPoolExecutor(1) as one:
        sending: Future[requests.Response] = one.submit(site.asked, "PUT", told["uploadUrl"], data=body)
        until(lambda: site.asked("GET", told["uploadUrl"]).json()["received"] == len(body), _PATIENCE_S)
        os.kill(process, number)
        os.kill(process, signal.SIGCONT)
        return sending.result(60)


def test_a_file_that_crashes_its_reader_is_refused_alone(site: Site) -> None:
    """Its sender is told so, nothing of it stays, and the next file has a new process."""
    before, told = looker(site), announced(site, CLIP)
    answer = ended_at_its_look(site, told, CLIP, signal.SIGSEGV)
    assert (answer.status_code, answer.json()["errorCode"]) == (422, "look_failed")
    assert "was ended by SIGSEGV" in answer.json()["message"]
    assert site.asked("GET", told["uploadUrl"]).status_code == 404
    assert not list(site.service.uploads.glob("*.part"))
    assert site.asked("GET", f"/v2/assets/{site.sent(CLIP)}").json()["type"] == "VIDEO"
    assert site.service.side_work.files_pid != before


def test_an_upload_outlives_a_reader_that_somebody_killed(site: Site) -> None:
    """It is told to come again, and what arrived is taken then: nobody sends it twice."""
    told = announced(site, CLIP)
    answer = ended_at_its_look(site, told, CLIP, signal.SIGKILL)
    assert (answer.status_code, answer.json()["errorCode"]) == (503, "side_ended")
    assert answer.headers["Retry-After"]
    taken = site.asked("POST", "/v2/assets", json={"url": told["url"]})
    assert (taken.status_code, taken.json()["type"]) == (201, "VIDEO")


def test_many_files_that_end_at_once_are_all_taken(site: Site) -> None:
    """They wait for each other, one that is none is refused alone, and the server answers meanwhile."""
    bodies = [*([CLIP, TONE] * 10), b"no video at all" * 9]
    gate = threading.Barrier(len(bodies))

    def send(body: bytes) -> str:
        told = announced(site, body)
        gate.wait(60)
        sent = site.asked("PUT", told["uploadUrl"], data=body)
        return sent.json().get("errorCode", "taken")

    with ThreadPoolExecutor(len(bodies)) as pool:
        answers = pool.map(send, bodies)
        assert site.asked("GET", "/healthz").status_code == 200
        assert [*answers] == ["taken"] * 20 + ["not_media"]


def test_whoever_waits_for_looks_and_faces_keeps_nobody_else_waiting(site: Site) -> None:
    """As many as may wait do so, for processes that stand still; a page is answered meanwhile."""
    work, video = site.service.side_work, site.sent(CLIP)
    os.kill(looker(site), signal.SIGSTOP)
    told = [announced(site, CLIP) for _ in range(32)]
    with ThreadPoolExecutor(40) as pool:
        asked = {"json": {"video_asset": video, "at_s": 0.0}}
        waiting = [pool.submit(site.asked, "POST", "/studio/new/faces", **asked) for _ in range(8)]
        waiting += [pool.submit(site.asked, "PUT", one["uploadUrl"], data=CLIP) for one in told]
        until(lambda: work.pid and _web_threads() >= len(waiting), _PATIENCE_S)  # the server runs in this process
        assert work.pid is not None
        os.kill(work.pid, signal.SIGSTOP)
        try:
            assert requests.get(f"{site.url}/queue", timeout=10).status_code == 200
            assert not any(one.done() for one in waiting)
        finally:
            for number in (work.pid, work.files_pid):
                if number is not None:
                    os.kill(number, signal.SIGCONT)


def _web_threads() -> int:
    return sum(one.name.startswith("AnyIO worker thread") for one in threading.enumerate())


def test_a_look_has_bounds(tmp_path: Path) -> None:
    """In time by whoever asks, in memory by itself; past them the process is gone, and the next look has another."""
    (tmp_path / "v.mp4").write_bytes(CLIP)
    hasty = SideWork(begin_side_work(tmp_path), look_s=0.01)
    with pytest.raises(TransientError, match=r"took more than 0\.01 s"):
        hasty.facts(tmp_path / "v.mp4")
    assert hasty.files_pid is None
    hasty.close()
    work = SideWork(begin_side_work(tmp_path))
    try:
        assert work.facts(tmp_path / "v.mp4").kind == "VIDEO"
        assert psutil.Process(work.files_pid).rlimit(psutil.RLIMIT_DATA)[0] == 2 << 30
        with pytest.raises(MediaError, match="file not found"):
            work.facts(tmp_path / "none.mp4")
    finally:
        work.close()
    with pytest.raises(TransientError, match="about to stop"):
        work.facts(tmp_path / "v.mp4")


def test_frames_are_counted_in_a_process_that_a_video_may_bring_down(tmp_path: Path) -> None:
    """A count has the row's crop, a crash is the file's fault, and a count that takes too long is tried again."""
    video = tmp_path / "v.mp4"
    video.write_bytes(CLIP)
    settings = Settings(source=SourceSettings(crop=(0, 32, 0, 16)))
    work = SideWork(begin_side_work(tmp_path))
    try:
        assert work.frames(video, settings) == FrameCount(8, 16, 32)
        assert work.files_pid is None  # uploads do not wait for it
        assert work.counting_pid is not None
        os.kill(work.counting_pid, signal.SIGSTOP)
        with ThreadPoolExecutor(1) as one:
            counting = one.submit(work.frames, video, settings)
            os.kill(work.counting_pid, signal.SIGSEGV)
            os.kill(work.counting_pid, signal.SIGCONT)
            assert isinstance(counting.exception(20), MediaError)
        video.write_bytes(b"no video")
        with pytest.raises(MediaError) as refused:
            work.frames(video, settings)
        assert str(tmp_path) not in str(refused.value)
    finally:
        work.close()
    hasty = SideWork(begin_side_work(tmp_path), faces_s=0.01)
    with pytest.raises(TransientError, match=r"took more than 0\.01 s"):
        hasty.frames(video, settings)
    hasty.close()


@pytest.mark.parametrize(
    ("fault", "code", "is_for_now"),
    [
        (MemoryError(), "look_failed", False),
        (OSError(5, "Input/output error"), "side_ended", True),
        (TransientError("store_away", "x", got="is away"), "store_away", True),
        (InputError("not_media", "x", got="is none"), "not_media", False),
        (ZeroDivisionError(), "look_failed", False),
    ],
)
def test_whose_fault_it_is(
    fault: Exception, code: str, is_for_now: object, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A file is removed for its own faults alone; a disk that refuses to read it is none of them."""

    def fails(_: Path) -> None:
        raise fault

    monkeypatch.setattr(media_worker, "media_facts", fails)
    found = media_answer_in(media_line(media_worker.look_at(tmp_path)))
    assert isinstance(found, RefusedMedia)
    assert (found.code, found.is_for_now) == (code, is_for_now)
