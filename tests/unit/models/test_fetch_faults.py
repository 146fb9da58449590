"""Downloads of checkpoints over bad lines: what is tried again, what goes on, what is given up."""

from __future__ import annotations

from pathlib import Path

import pytest

from lipwise_ray.errors import WeightsError
from lipwise_ray.models import fetch
from lipwise_ray.storage.retries import RetryPolicy, SlowestPace
from tests.support.flaky_site import Answer, flaky_site
from tests.unit.models.test_fetch import BODY, make_registry


@pytest.fixture(autouse=True)
def short_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    """Waits of a test's length; tries are as many as ever."""
    tries = fetch._RETRIES.tries
    monkeypatch.setattr(fetch, "_RETRIES", RetryPolicy(tries, total_s=30.0, first_wait_s=0.001, longest_wait_s=0.01))


def test_a_busy_publisher_is_asked_again(tmp_path: Path) -> None:
    """Two refusals for the moment, one of which asks for a wait, and then the file."""
    with flaky_site(BODY, Answer(503), Answer(429, {"Retry-After": "0"})) as site:
        assert fetch.pull(make_registry(tmp_path, site.url), "net").read_bytes() == BODY
        assert len(site.asked) == 3


def test_resets_in_the_middle_lose_nothing(tmp_path: Path) -> None:
    """More connections break than an address has tries: each one that brought bytes is no failure."""
    with flaky_site(BODY, *[Answer(reset_after=140_000)] * 6) as site:
        assert fetch.pull(make_registry(tmp_path, site.url), "net").read_bytes() == BODY
        starts = [int(span[6:-1] or 0) for span in site.spans]
        assert len(starts) == 7
        assert starts == sorted(set(starts))


def test_resets_that_bring_nothing_come_to_an_end(tmp_path: Path) -> None:
    """A server whose every answer breaks at once is given up, and people read why."""
    with flaky_site(BODY, *[Answer(reset_after=0)] * 20) as site:
        with pytest.raises(WeightsError, match=r"could not be downloaded: http\S+: \w+: .*[Cc]onnection"):
            fetch.pull(make_registry(tmp_path, site.url), "net")
        assert len(site.asked) == fetch._RETRIES.tries


def test_a_server_that_stays_busy_makes_way_for_the_next(tmp_path: Path) -> None:
    """The mirror is asked as often as the policy says; then the published address is."""
    with flaky_site(BODY, *[Answer(503)] * 20) as mirror, flaky_site(BODY) as site:
        registry = make_registry(tmp_path, site.url)
        assert fetch.pull(registry, "net", mirror=mirror.url).read_bytes() == BODY
        assert len(mirror.asked) == fetch._RETRIES.tries
        assert len(site.asked) == 1


def test_what_is_not_there_is_asked_for_once(tmp_path: Path) -> None:
    """A 404 is an answer."""
    with flaky_site(BODY, Answer(404)) as site:
        with pytest.raises(WeightsError, match="HTTP 404"):
            fetch.pull(make_registry(tmp_path, site.url), "net")
        assert len(site.asked) == 1


def test_an_endless_drip_is_given_up_and_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A server that gives a byte now and then holds nobody up; what came stays for the next call."""
    with flaky_site(BODY, Answer(is_drip=True)) as site:
        registry = make_registry(tmp_path, site.url)
        with monkeypatch.context() as quick:
            quick.setattr(fetch, "SLOWEST", SlowestPace(after_s=0.2, bytes_a_second=10_000))
            quick.setattr(fetch, "_NET_BLOCK_BYTES", 4)
            with pytest.raises(WeightsError, match=r"comes too slowly: \d+ bytes in"):
                fetch.pull(registry, "net")
        assert fetch.pull(registry, "net").read_bytes() == BODY
        assert site.spans[0] == ""
        assert int(site.spans[1][6:-1]) >= 4


def test_a_part_that_the_server_does_not_know_begins_anew(tmp_path: Path) -> None:
    """Where it refuses to go on, the whole file is asked for at once."""
    with flaky_site(BODY, Answer(416)) as site:
        registry = make_registry(tmp_path, site.url)
        registry.folder.mkdir()
        (registry.folder / "net.pth.part").write_bytes(b"other")
        assert fetch.pull(registry, "net").read_bytes() == BODY
        assert site.spans == ["bytes=5-", ""]


def test_a_part_of_another_file_begins_anew(tmp_path: Path) -> None:
    """Its bytes are found out by the hash of the whole."""
    with flaky_site(BODY) as site:
        registry = make_registry(tmp_path, site.url)
        registry.folder.mkdir()
        (registry.folder / "net.pth.part").write_bytes(b"\x01" * 5)
        assert fetch.pull(registry, "net").read_bytes() == BODY
        assert site.spans == ["bytes=5-", ""]


def test_nobody_at_an_address_is_told_as_that(tmp_path: Path) -> None:
    """In words that say what to look at, without the signature that the address may hold."""
    with pytest.raises(WeightsError, match=r"/x/net\.pth: no connection to that server") as caught:
        fetch.pull(make_registry(tmp_path, "http://127.0.0.1:9"), "net")
    assert "urllib3" not in str(caught.value)
