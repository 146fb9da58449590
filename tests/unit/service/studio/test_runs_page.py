"""The studio's pages of runs, over HTTP: every run of the state, and the report of one."""

from __future__ import annotations

import csv
import io
import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from lipwise_ray.state import layout
from lipwise_ray.state.lease import DriverLease
from lipwise_ray.state.store import LocalStore, to_json
from tests.support.service_site import Site, running
from tests.support.studio_runs import DOOR, dubbed_run, write_run
from tests.support.waiting import until
from tests.unit.reports.test_report import _done

_STOPPED, _DAMAGED, _EVALUATION = "20260101T000000-aaaaaa", "20260102T000000-bbbbbb", "20260103T000000-cccccc"
_SHARD, _OTHER_SHARD = "20260104T000000-dddddd", "20260105T000000-eeeeee"
_REQUEST = {"verb": "evaluate", "files": ["x.csv"]}


@dataclass
class Runs:
    """A studio whose state has two runs of the command line."""

    site: Site
    folder: Path
    first: str
    second: str

    def page(self, address: str, **headers: str) -> str:
        answer = self.site.asked("GET", address, headers=headers)
        assert answer.status_code == 200, answer.text
        assert str(self.folder) not in answer.text
        return answer.text

    @property
    def store(self) -> LocalStore:
        return LocalStore(self.folder / "served" / "state")


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Runs]:
    folder = tmp_path_factory.mktemp("studio")
    first, second = dubbed_run(folder), dubbed_run(folder, "again")
    with running(folder / "served", doors=[DOOR]) as site:
        yield Runs(site, folder, first.run_id, second.run_id)


def test_the_list_has_the_runs_of_the_command_line(runs: Runs) -> None:
    """Newest first, with what came of their rows, and trends that are read as charts or as a table."""
    page = runs.page("/runs")
    assert page.index(f'data-run="{runs.second}"') < page.index(f'data-run="{runs.first}"')
    assert ">out.csv</a>" in page
    assert page.count('<span class="badge" data-status="completed">ended</span>') == 2
    assert 'aria-label="rows that failed, of 2 runs"' in page
    assert "<caption>The newest first</caption>" in page
    part = runs.page("/runs", **{"HX-Request": "true"})
    assert "<html" not in part
    assert runs.first in part


def test_a_report_has_what_the_page_of_a_run_has(runs: Runs) -> None:
    """Its sections and rows stand in the studio's frame; names of users are text."""
    page = runs.page(f"/runs/{runs.first}")
    for text in ("Failures by cause", "Worst first", "By language", "anna-de", "ben-fr", "bad&lt;b&gt;"):
        assert text in page
    assert "bad<b>" not in page
    assert 'aria-current="page">Runs' in page
    assert " style=" not in page


@pytest.mark.parametrize(
    ("query", "shown"),
    [
        ("language=de", ["anna-de"]),
        ("tag=news", ["anna-de", "ben-fr"]),
        ("tag=a", ["anna-de"]),
        ("status=failed", ["bad&lt;b&gt;"]),
        ("verdict=failed", ["bad&lt;b&gt;"]),
        ("text=BEN", ["ben-fr"]),
        ("text=%25", []),
        ("language=de&status=failed", []),
        ("page=900", ["anna-de", "ben-fr", "bad&lt;b&gt;"]),
    ],
)
def test_rows_are_chosen(runs: Runs, query: str, shown: list[str]) -> None:
    """A filter lets those rows through that it names, in the page and in the part that replaces its rows."""
    part = runs.page(f"/runs/{runs.first}?{query}", **{"HX-Request": "true"})
    assert [name for name in ("anna-de", "ben-fr", "bad&lt;b&gt;") if f'<th scope="row">{name}</th>' in part] == shown
    assert "<html" not in part
    whole = runs.page(f"/runs/{runs.first}?{query}")
    assert f"{len(shown)} row" in whole.partition('id="rows"')[2]


def test_many_rows_are_paged(runs: Runs) -> None:
    """A page has fifty rows, and links to the others keep the filter."""
    run_id = "20260106T000000-ffffff"
    write_run(runs.folder, run_id)
    for number in range(1, 121):
        runs.store.write(layout.row(run_id, number, "done"), to_json(_done(number)))
    part = runs.page(f"/runs/{run_id}?language=de&page=1", **{"HX-Request": "true"})
    assert part.count('<th scope="row">') == 50
    assert f'href="/runs/{run_id}?language=de&amp;page=2#rows-title"' in part
    rest = runs.page(f"/runs/{run_id}?language=de&page=2", **{"HX-Request": "true"})
    assert rest.count('<th scope="row">') == 10
    assert "Further rows" not in rest
    listed = runs.page("/runs")
    assert "<td" in listed.partition(run_id)[2]


def test_files_of_a_report(runs: Runs) -> None:
    """The tables and the page agree with the run, and name no folder of the server."""

    def sent(name: str) -> bytes:
        answer = runs.site.asked("GET", f"/runs/{runs.first}/files/{name}")
        assert answer.status_code == 200
        assert f'filename="{runs.first}-{name}"' in answer.headers["content-disposition"]
        assert answer.headers["content-disposition"].startswith("attachment")
        assert str(runs.folder).encode() not in answer.content
        return answer.content

    names = ["anna-de", "ben-fr", "bad<b>"]
    assert [row["row_id"] for row in csv.DictReader(io.StringIO(sent("results.csv").decode("utf-8-sig")))] == names
    assert [json.loads(line)["row_id"] for line in sent("results.jsonl").splitlines()] == names
    assert sent("results.parquet")[:4] == b"PAR1"
    assert b"Failures by cause" in sent("report.html")
    for address in (f"/runs/{runs.first}/files/run.json", "/runs/none/files/results.csv"):
        assert runs.site.asked("GET", address).status_code == 404


def test_rows_of_the_services_own_jobs(runs: Runs) -> None:
    """They link to their pages and can be played; a failed one of another door is a name."""
    run_id = "20260107T000000-abcabc"
    job = runs.site.finished("clip.mp4", b"video")
    write_run(runs.folder, run_id)
    for number, row_id in enumerate((job.id, "not-ours"), 1):
        runs.store.write(layout.row(run_id, number, "done"), to_json({**_done(number), "row_id": row_id}))
    page = runs.page(f"/runs/{run_id}")
    assert page.count(f'<a href="/rows/{job.id}">clip</a>') == 3  # worst first, softest mouths, all rows
    assert f'src="/outputs/{job.id}/clip.mp4" aria-label="Dubbed: clip"' in page
    assert page.count("<video") == 1
    assert "/rows/not-ours" not in page


def test_a_button_is_called_by_the_words_on_it(runs: Runs) -> None:
    """Who steers by voice says what is shown: a name of another wording would not be heard (WCAG 2.5.3)."""
    page = runs.page(f"/rows/{runs.site.finished('clip.mp4', b'video').id}")
    buttons = re.findall(r"<button([^>]*)>([^<]*)</button>", page)
    assert "Loop from here" in {text for _, text in buttons}
    for attributes, text in buttons:
        label = re.search(r'aria-label="([^"]*)"', attributes)
        assert label is None or text.strip() in label[1]


def test_runs_that_did_not_end_as_they_should(runs: Runs) -> None:
    """A run that was stopped, one at work, a damaged one, an evaluation and shards say what they are."""
    digest = {"manifest_sha256": "0" * 64, "out": "/o", "rows_total": 10}
    write_run(runs.folder, _STOPPED)
    write_run(runs.folder, _EVALUATION, request=_REQUEST)
    write_run(runs.folder, _SHARD, shard="1/3", begun=10.0, **digest)
    write_run(runs.folder, _OTHER_SHARD, shard="2/3", begun=11.0, **digest)
    runs.store.write(layout.run_record(_DAMAGED), b"{")
    stopped = runs.page(f"/runs/{_STOPPED}")
    assert ">stopped</span>" in stopped
    assert "not ended yet, or stopped" in stopped
    assert "evaluation of other.csv" in runs.page(f"/runs/{_EVALUATION}")
    shard = runs.page(f"/runs/{_OTHER_SHARD}")
    assert f'<a href="/runs/{_SHARD}">1/3</a>, 3/3 (not begun)' in shard
    listed = runs.page("/runs")
    for name, status in ((_STOPPED, "stopped"), (_DAMAGED, "damaged")):
        assert f">{status}</span>" in listed.partition(f'data-run="{name}"')[2].partition("</tr>")[0]
    lease = DriverLease(runs.store, _STOPPED)
    try:
        assert ">at work</span>" in runs.page(f"/runs/{_STOPPED}")
        assert 'hx-trigger="every 3s"' in runs.page("/runs")
    finally:
        lease.release()


@pytest.mark.parametrize(("run_id", "words"), [("none", "holds no run"), ("..", "no "), (_DAMAGED, "is damaged")])
def test_runs_that_are_not_there(runs: Runs, run_id: str, words: str) -> None:
    """Each is a page that says so, and leads back."""
    runs.store.write(layout.run_record(_DAMAGED), b"{")
    answer = runs.site.asked("GET", f"/runs/{run_id.replace('.', '%2e')}")
    assert answer.status_code == 404
    assert words in answer.text


def test_a_run_that_goes_on_is_read_again(runs: Runs) -> None:
    """A page that is opened later shows the rows that ended since; nothing is read twice within a moment."""
    run_id = "20260108T000000-aabbcc"
    write_run(runs.folder, run_id)
    assert "0 rows" in runs.page(f"/runs/{run_id}").partition('id="rows"')[2]
    runs.store.write(layout.row(run_id, 1, "done"), to_json(_done(1)))
    until(lambda: "1 row<" in runs.page(f"/runs/{run_id}").partition('id="rows"')[2], 60)


def test_a_state_without_runs(tmp_path: Path) -> None:
    """The list says what makes one."""
    with running(tmp_path, doors=[DOOR]) as site:
        assert "There are no runs yet" in site.asked("GET", "/runs").text
