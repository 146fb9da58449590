"""The pages of the queue, the models and the cluster, and of refusals, over HTTP; no job is begun."""

from __future__ import annotations

import re
from collections.abc import Iterator

import pytest

from lipwise_ray.models.registry import Registry
from lipwise_ray.resources import models_folder
from lipwise_ray.service.job_record import JobDraft, ServiceJob
from lipwise_ray.state import quarantine
from lipwise_ray.state.lease import DriverLease
from lipwise_ray.state.shapes import FailedTry, LeaseRecord, Letter, WorkerMemory, record_of
from tests.support.service_site import Site, running
from tests.support.studio_runs import DOOR

_PAGE = {"Accept": "text/html,*/*;q=0.8"}
_HTMX = {"HX-Request": "true"}


@pytest.fixture
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    with running(tmp_path_factory.mktemp("studio") / "s", doors=[DOOR]) as found:
        yield found


def _added(site: Site, name: str) -> ServiceJob:
    return site.service.submit(JobDraft(columns=site.columns(), door="studio", name=name))


def _listed(site: Site, query: str = "") -> list[str]:
    """Names of the jobs on a page of the queue, as they stand there."""
    answer = site.asked("GET", f"/queue{query}")
    assert answer.status_code == 200
    assert str(site.folder) not in answer.text
    return re.findall(r'<th scope="row"><a href="/rows/[^"]+">([^<]+)</a>', answer.text)


def test_the_newest_job_is_the_first(site: Site) -> None:
    """Names of people stand as they were given, and are no markup."""
    assert "Nothing has been asked for yet" in site.asked("GET", "/queue").text
    for name in ("one", "a<b>"):
        _added(site, name)
    assert _listed(site) == ["a&lt;b&gt;", "one"]


def test_jobs_are_cancelled_retried_and_moved_up_without_a_script(site: Site) -> None:
    """Each form leads back to the page that it was on; a number that is none changes nothing."""
    job = _added(site, "one")
    at = f"/studio/jobs/{job.id}"
    moved = site.asked("POST", f"{at}/priority", data={"priority": 7, "back": "row"}, allow_redirects=False)
    assert (moved.status_code, moved.headers["location"]) == (303, f"/rows/{job.id}")
    assert site.asked("POST", f"{at}/priority", data={"priority": "much"}).status_code == 422
    assert site.asked("POST", f"{at}/priority", data={"priority": 5_000_000}).status_code == 422
    assert site.service.job(job.id).priority == 7
    gone = site.asked("POST", f"{at}/cancel", allow_redirects=False)
    assert (gone.status_code, gone.headers["location"]) == (303, "/queue")
    assert site.service.job(job.id).status == "cancelled"
    assert _listed(site, "?status=cancelled") == ["one"]
    assert _listed(site, "?status=pending") == []
    site.asked("POST", f"{at}/retry")
    assert site.service.job(job.id).status == "pending"


def test_a_script_gets_the_line_or_the_list_alone(site: Site) -> None:
    """What is swapped into the page is no page of its own."""
    job = _added(site, "one")
    line = site.asked("POST", f"/studio/jobs/{job.id}/cancel", headers=_HTMX).text
    assert line.lstrip().startswith(f'<tr id="job-{job.id}"')
    assert f'data-do="retry" hx-post="/studio/jobs/{job.id}/retry"' in line
    assert "<html" not in site.asked("GET", "/queue", headers=_HTMX).text


def test_long_queues_have_pages_and_batches_their_own_list(site: Site) -> None:
    """Each job stands on one page; a page beyond the last is the last; counts are those of what is listed."""
    single = _added(site, "single")
    drafts = [(str(n), JobDraft(columns=site.columns(), door="studio", name=f"n{n}")) for n in range(60)]
    batch = site.service.submit_many(drafts, door="studio")
    pages = [_listed(site, f"?page={number}") for number in (1, 2)]
    assert sorted([*pages[0], *pages[1]]) == sorted([single.name, *(draft.name for _, draft in drafts)])
    assert _listed(site, "?page=99") == pages[1]
    of_batch = site.asked("GET", f"/queue?batch={batch.id}").text
    assert "all 60</a>" in of_batch
    assert f'href="/queue?batch={batch.id}&amp;page=2"' in of_batch
    assert "single" not in _listed(site, f"?batch={batch.id}&page=2")
    assert site.asked("GET", "/queue?page=0").status_code == 422


def test_the_quarantine_shows_what_failed_and_no_folder(site: Site) -> None:
    """Attempts with traceback and log can be read, however markup-like they are."""
    secret = str(site.folder / "uploads" / "v.mp4")
    tries = [FailedTry(message=f"{secret}: broke <b>", attempt=1, detail="Traceback: x < y", log="the end")]
    letter = Letter(task="scan:1:0", kind="scan", job_id="", payload={}, attempts=tries, nodes=["n1"])
    quarantine.write(site.service.store, letter)
    page = site.asked("GET", "/studio/quarantine").text
    assert "v.mp4: broke &lt;b&gt;" in page
    assert "Traceback: x &lt; y" in page
    assert "1 attempt on n1" in page
    assert str(site.folder) not in page


def test_the_models_say_what_is_here_and_how_to_get_the_rest(site: Site) -> None:
    """Every checkpoint of the registry has a line, with its terms; commands stand as such."""
    page = site.asked("GET", "/models").text
    entries = Registry(models_folder() / "registry.toml", site.folder / "none").entries
    lines = dict(re.findall(r'<th scope="row">([^<]+)</th>(.*?)</tr>', page, re.DOTALL))
    assert lines.keys() == entries.keys()
    assert "installed" in lines["tiny_generator"]
    assert "Apache-2.0" in lines["tiny_generator"]
    assert page.count(">installed</span>") + page.count(">missing</span>") == len(entries)
    assert "`" not in page
    assert f"{page.count('>installed</span>')} of {len(entries)} are here." in page


def test_the_cluster_shows_who_is_at_work(site: Site) -> None:
    """A driver's process and run stand there while it holds the state, and no longer."""
    assert "No driver is at work" in site.asked("GET", "/cluster").text
    lease = DriverLease(site.service.store, "20260101T000000-aaaaaa")
    try:
        page = site.asked("GET", "/cluster", headers=_HTMX).text
        assert "20260101T000000-aaaaaa" in page
        assert "<html" not in page
        told = WorkerMemory(
            worker="gpu-0",
            node="n1",
            host="far",
            rss_bytes=3 << 30,
            used_bytes=8 << 30,
            total_bytes=16 << 30,
            gpu_used_bytes=512 << 20,
            gpu_total_bytes=24 << 30,
        )
        tasks = [
            LeaseRecord(task="render:1", worker="gpu-0", attempt=1, node="n1"),
            LeaseRecord(task="plan:2", worker="cpu-1", attempt=1, node="n2"),  # whose worker has not told yet
        ]
        lease.about = {
            "running": [record_of(one) for one in tasks],
            "memory": [record_of(told), {"worker": "of another version"}],
        }
        lease._beat()
        page = site.asked("GET", "/cluster").text
        cells = [re.sub("<[^>]+>", "", one) for one in re.findall(r"<td[^>]*data-head=.*?</td>", page)]
        assert cells == ["3.0 GiB", "512 MiB of 24.0 GiB", "render:1, attempt 1", "-", "-", "plan:2, attempt 1"]
        assert "8.0 of 16.0 GiB" in page
        assert "far" in page
    finally:
        lease.release()
    assert "No driver is at work" in site.asked("GET", "/cluster").text


@pytest.mark.parametrize(
    ("address", "status", "words"),
    [
        ("/rows/none", 404, "no job has this id"),
        ("/nowhere", 404, "No page has this address"),
        ("/queue?page=x", 422, "This was refused"),
        ("/studio/rows/none/live.m3u8", 404, "no job has this id"),
    ],
)
def test_a_person_is_told_of_a_refusal_by_a_page(site: Site, address: str, status: int, words: str) -> None:
    """A browser gets a page that leads on, a program and a page's script the same as JSON, each with the status."""
    told = site.asked("GET", address, headers=_PAGE)
    assert (told.status_code, told.headers["content-type"]) == (status, "text/html; charset=utf-8")
    assert words in told.text
    for name in ("/", "/queue", "/runs", "/models", "/cluster"):  # as on every page
        assert f'<a href="{name}" accesskey' in told.text
    for headers in ({}, {**_PAGE, **_HTMX}):
        answer = site.asked("GET", address, headers=headers)
        assert answer.json()["statusCode"] == status


def test_a_job_that_waits_has_no_part_to_show(site: Site) -> None:
    """Its playlist is not there yet, which is no fault of the page's."""
    job = _added(site, "one")
    for name in ("live.m3u8", f"live/{'0' * 24}/head.mp4", f"live/{'0' * 24}/0.m4s"):
        answer = site.asked("GET", f"/studio/rows/{job.id}/{name}")
        assert (answer.status_code, answer.json()["errorCode"]) == (404, "not_rendered")


def test_every_address_that_a_page_names_is_there(site: Site) -> None:
    """Links, styles and scripts of the shell lead somewhere."""
    job = _added(site, "one")
    for page in ("/", "/queue", "/runs", "/models", "/cluster", f"/rows/{job.id}"):
        text = site.asked("GET", page, headers=_PAGE).text
        named = {address.partition("#")[0] for address in re.findall(r'(?:href|src)="(/[^"]*)"', text)}
        assert len(named) > 5
        assert {address: code for address in named if (code := site.asked("GET", address).status_code) != 200} == {}
