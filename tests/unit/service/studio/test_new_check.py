"""Checks of new videos while others' plans wait for slow addresses."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor, as_completed
from pathlib import Path
from typing import NoReturn

import pytest

from lipwise_ray.errors import MediaError, RequestError
from lipwise_ray.service.service import Service
from lipwise_ray.service.studio import new_check
from lipwise_ray.service.studio.new_check import NewChecker
from lipwise_ray.service.web_errors import status_of
from tests.support.service import draft, quiet_settings, write_footage


def test_a_plan_that_waits_holds_up_no_check_and_few_threads(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Other forms are checked meanwhile; more than a few plans at once are refused for now, and nothing is used up."""
    came, is_over = threading.Semaphore(0), threading.Event()

    def estimate_row(*_: object) -> NoReturn:
        came.release()
        is_over.wait(20)
        raise MediaError("web_unreachable", "video", got="it does not answer")

    monkeypatch.setattr(new_check, "estimate_row", estimate_row)
    service = Service.open(tmp_path, quiet_settings(), works=False)
    with ThreadPoolExecutor(8) as pool:
        try:
            write_footage(service.uploads)
            checker, new = NewChecker(service, None, None), draft(service.uploads)
            plans = [pool.submit(checker.plan, new)]
            assert came.acquire(timeout=20)
            assert pool.submit(checker.problems, new).result(10) == []
            plans += [pool.submit(checker.plan, new) for _ in range(4)]
            refused = next(as_completed(plans, 10)).exception()
        finally:
            is_over.set()
            service.close()
        assert isinstance(refused, RequestError)
        assert status_of(refused) == 429
        with pytest.raises(MediaError):  # there is room again
            checker.plan(new)
