"""Plans and prices of what clients ask about: in a process whose end is one question's, however many ask at once."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Generator
from concurrent.futures import Future, ThreadPoolExecutor, as_completed
from contextlib import contextmanager
from pathlib import Path

import psutil
import pytest
import requests

from lipwise_ray.errors import TransientError
from lipwise_ray.pipeline.manifest.row_table import Row
from lipwise_ray.runs.costs import Machine, Prices
from lipwise_ray.service.row_estimate import RowEstimate
from lipwise_ray.service.service import Service
from lipwise_ray.service.side_work import SideWork
from lipwise_ray.service.studio.new_check import NewChecker
from lipwise_ray.service.studio.studio_door import studio_door
from lipwise_ray.service.sync_api.door import sync_door
from lipwise_ray.service.web_errors import status_of
from tests.support.dub import PASSTHROUGH
from tests.support.service import draft, quiet_settings, write_footage
from tests.support.service_site import Site, clip, running, tone
from tests.support.side_settings import begin_side_work

PRICES = Prices(currency="EUR", as_of="2026-11", machine=(Machine(name="l4", spot=0.3, on_demand=0.8),))
Asks = Callable[[Site, str, str], requests.Response]


def planned(site: Site, video: str, audio: str) -> requests.Response:
    """Ask for the plan of a form."""
    return site.asked("POST", "/studio/new/check", json={"video_asset": video, "audio_asset": audio})


def priced(site: Site, video: str, audio: str) -> requests.Response:
    """Ask for the price of a generation."""
    inputs = [{"type": "video", "assetId": video}, {"type": "audio", "assetId": audio}]
    return site.asked("POST", "/v2/analyze/cost", json={"model": "fast", "input": inputs})


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Generator[Site]:
    folder = tmp_path_factory.mktemp("estimates") / "s"
    settings = (PASSTHROUGH, 'detect.detector="tiny"', "faces.select=box:8,40,8,40")
    with running(folder, *settings, doors=[studio_door(PRICES), sync_door(PRICES)]) as found:
        yield found


@contextmanager
def standing_still(work: SideWork, ends_by: signal.Signals) -> Generator[None]:
    """Have the process that estimates stand still, and end it."""
    number = work.estimating_pid
    assert number is not None
    os.kill(number, signal.SIGSTOP)
    try:
        yield
    finally:
        os.kill(number, ends_by)
        os.kill(number, signal.SIGCONT)


@pytest.mark.parametrize("asks", [planned, priced])
def test_a_file_that_crashes_its_reader_costs_its_asker_alone(site: Site, asks: Asks) -> None:
    """Whoever asked is told so, the server answers others meanwhile, and the next question has a new process."""
    files = site.sent(clip()), site.sent(tone(), "s.wav")
    assert asks(site, *files).status_code == 200
    work = site.service.side_work
    before = work.estimating_pid
    with ThreadPoolExecutor(1) as one:
        with standing_still(work, signal.SIGSEGV):
            asking = one.submit(asks, site, *files)
            assert site.asked("GET", "/healthz").status_code == 200
            assert not asking.done()
        answer = asking.result(60)
    assert (answer.status_code, answer.json()["errorCode"]) == (422, "look_failed")
    assert "was ended by SIGSEGV" in answer.json()["message"]
    assert asks(site, *files).status_code == 200
    assert work.estimating_pid != before


@pytest.mark.parametrize("asks", [planned, priced])
def test_a_file_that_is_no_video_any_more_is_told_without_a_path(site: Site, asks: Asks) -> None:
    """The file is named as the server knows it, and the process goes on."""
    video, audio = site.sent(clip()), site.sent(tone(), "s.wav")
    asks(site, video, audio).raise_for_status()
    before = site.service.side_work.estimating_pid
    (file,) = site.service.uploads.glob(f"{video}*")
    file.write_bytes(b"no video at all")
    answer = asks(site, video, audio)
    assert answer.status_code == 422
    assert file.name in answer.json()["message"]
    assert str(site.folder) not in answer.text
    assert site.service.side_work.estimating_pid == before


def test_plans_that_wait_hold_up_no_check_and_are_few(tmp_path: Path) -> None:
    """Other forms are checked meanwhile; more than a few plans at once are refused for now, and nothing is used up."""
    service = Service.open(tmp_path, quiet_settings(), works=False)
    try:
        write_footage(service.uploads)
        checker, new = NewChecker(service, None, None), draft(service.uploads)
        assert checker.plan(new).frames == 12
        with ThreadPoolExecutor(9) as pool:
            with standing_still(service.side_work, signal.SIGKILL):
                plans: list[Future[object]] = [pool.submit(checker.plan, new) for _ in range(9)]
                refused = next(as_completed(plans, 10)).exception()
                assert checker.problems(new) == []
            ends = [one.exception(60) for one in plans]
        assert isinstance(refused, TransientError)
        assert (refused.code, status_of(refused)) == ("side_busy", 503)
        assert len([one for one in ends if one is not None]) == 2  # and the one whose process was ended
    finally:
        service.close()


def test_an_estimate_has_bounds(tmp_path: Path) -> None:
    """In time by whoever asks, in memory by itself; past them the process is gone."""
    write_footage(tmp_path / "uploads")
    begin = begin_side_work(tmp_path)
    row = Row(1, "r", str(tmp_path / "uploads" / "v.mp4"), str(tmp_path / "uploads" / "s.wav"), "r.mp4")
    settings = begin.source.for_row(row)
    settings = settings.model_copy(update={"paths": settings.paths.model_copy(update={"roots": (str(tmp_path),)})})
    hasty = SideWork(begin, faces_s=0.01)
    with pytest.raises(TransientError, match=r"took more than 0\.01 s"):
        hasty.estimate(row, settings)
    assert hasty.estimating_pid is None
    hasty.close()
    work = SideWork(begin)
    try:
        assert work.estimate(row, settings) == RowEstimate(12, 0.48, 0)
        assert psutil.Process(work.estimating_pid).rlimit(psutil.RLIMIT_DATA)[0] == 8 << 30
    finally:
        work.close()
    with pytest.raises(TransientError, match="about to stop"):
        work.estimate(row, settings)
