"""Pages of the runs: all that the state has, their trends, and the report of one."""

from __future__ import annotations

import mimetypes
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Annotated

from fastapi import APIRouter, Depends, Query, Request
from fastapi.responses import FileResponse, Response
from markupsafe import Markup
from starlette.background import BackgroundTask
from starlette.exceptions import HTTPException

from lipwise_ray.reports import charts
from lipwise_ray.reports.report_parts import ROW_HEADS, in_clauses
from lipwise_ray.reports.write import file_names
from lipwise_ray.service.service import Service
from lipwise_ray.service.studio.job_links import JobLinks
from lipwise_ray.service.studio.kept_results import KeptResults
from lipwise_ray.service.studio.row_filter import RowFilter
from lipwise_ray.service.studio.run_figures import RunFigures, kept_figures
from lipwise_ray.service.studio.run_list import RunLine, RunList
from lipwise_ray.service.studio.run_reports import OpenReport, kept_reports
from lipwise_ray.service.studio.shell import StudioShell, day
from lipwise_ray.state.overview import ShardRun, shards_of
from lipwise_ray.state.shards import holders

_HERE = "Runs"
_A_PAGE = 25
_LATEST = 50
_FEWEST_OF_A_TREND = 2
_PATIENCE_S = 4.0
"""So long a page waits for a report; then it says that the report is being made, and asks again."""
_GLANCE_S = 1.0
"""The same of the list, for the figures of all its runs together."""
_AGAIN = {"Refresh": "3"}

Page = Annotated[int, Query(ge=1, le=1_000_000)]


@dataclass(frozen=True, slots=True)
class ListedRun:
    """A run in the list, and its figures; None while they are read, and where none are needed."""

    line: RunLine
    status: str
    figures: RunFigures | None


@dataclass(frozen=True, slots=True)
class RunTrend:
    """A figure over the latest runs that ended: its name and its chart, from the oldest to the newest."""

    name: str
    chart: Markup


def router(service: Service, shell: StudioShell, plain: Callable[[str], str]) -> APIRouter:
    """Return the routes of the pages.

    Args:
        service: The service.
        shell: Makes pages.
        plain: Removes this machine's paths from texts.
    """
    return _RunsPages(service, shell, plain).router


class _RunsPages:
    """The pages, and what they keep of runs; the arguments are those of `router`."""

    def __init__(self, service: Service, shell: StudioShell, plain: Callable[[str], str]) -> None:
        self._service = service
        self._shell = shell
        self._list = RunList(service.store)
        self._figures: KeptResults[RunFigures] = kept_figures(service.store)
        self._reports: KeptResults[OpenReport] = kept_reports(service.store, plain)
        self.router = APIRouter(include_in_schema=False)
        self.router.get("/runs")(self.runs)
        self.router.get("/runs/{run_id}")(self.run)
        self.router.get("/runs/{run_id}/files/{name}")(self.file)

    def runs(self, request: Request, page: Page = 1) -> Response:
        ids = self._list.ids()
        pages = max(1, -(-len(ids) // _A_PAGE))
        page = min(page, pages)
        shown = self._list.lines(ids[(page - 1) * _A_PAGE : page * _A_PAGE])
        ended = [line for line in self._list.lines(ids[:_LATEST]) if line.record is not None and line.ended is not None]
        ended = ended if len(ended) >= _FEWEST_OF_A_TREND else []
        counted = [line for line in shown if line.record is not None and line.ended is None]
        figures = self._figures_of([*counted, *ended])
        at_work = self._at_work()
        values = {
            "listed": [ListedRun(line, line.status(at_work), figures.get(line.run_id)) for line in shown],
            "whole": len(ids),
            "page": page,
            "pages": pages,
            "ended": [ListedRun(line, "ended", figures.get(line.run_id)) for line in ended],
            "trends": _trends([(line, figures.get(line.run_id)) for line in reversed(ended)]),
            "waiting": len({line.run_id for line in (*counted, *ended)} - {*figures}),
            "is_live": any(line.status(at_work) == "at work" for line in shown),
        }
        if request.headers.get("hx-request"):
            return self._shell.fragment(request, "runs_list.html.jinja", values)
        return self._shell.page(request, "runs.html.jinja", _HERE, values)

    def run(
        self, request: Request, run_id: str, wanted: Annotated[RowFilter, Depends(RowFilter)], page: Page = 1
    ) -> Response:
        line = self._line(run_id)
        if line is None or line.record is None:
            return self._absent(request, run_id, is_damaged=line is not None)
        found = self._reports.get(run_id, _PATIENCE_S)
        stands = line.status(self._at_work())
        if found is None:
            answer = self._shell.page(request, "run_waiting.html.jinja", _HERE, {"line": line})
            answer.headers.update(_AGAIN)
            return answer
        values = {
            "line": line,
            "status": stands,
            "parts": found.parts,
            "choices": found.choices,
            "part": found.rows(wanted, page),
            "wanted": wanted,
            "row_heads": ROW_HEADS,
            "in_clauses": in_clauses,
            "links": JobLinks(self._service, str(request.scope.get("root_path", "")).rstrip("/")),
        }
        if request.headers.get("hx-request"):
            return self._shell.fragment(request, "run_rows.html.jinja", values)
        further = {"files": file_names(), "shards": self._shards(line)}
        return self._shell.page(request, "run.html.jinja", _HERE, {**values, **further})

    def file(self, request: Request, run_id: str, name: str) -> Response:
        line = self._line(run_id) if name in file_names() else None
        if line is None or line.record is None:
            raise HTTPException(404, "There is no such file.")
        found = self._reports.get(run_id, _PATIENCE_S)
        if found is None:
            raise HTTPException(503, "The report is being made. Ask again in some seconds.", _AGAIN)
        path = found.file(name)
        kind = mimetypes.guess_type(name)[0] or "application/octet-stream"
        keep = BackgroundTask(found.file, name)  # the folder is there as long as the report
        del request
        return FileResponse(path, media_type=kind, filename=f"{run_id}-{name}", background=keep)

    def _line(self, run_id: str) -> RunLine | None:
        return self._list.lines([run_id])[0] if run_id in self._list.ids() else None

    def _figures_of(self, lines: Sequence[RunLine]) -> dict[str, RunFigures]:
        """Return the figures of runs by their names; of those that are still read none."""
        until_s = time.monotonic() + _GLANCE_S
        found = {one.run_id: self._figures.get(one.run_id, max(0.0, until_s - time.monotonic())) for one in lines}
        return {run_id: figures for run_id, figures in found.items() if figures is not None}

    def _at_work(self) -> frozenset[str]:
        return frozenset(str(record.get("run_id", "")) for _, record in holders(self._service.store))

    def _shards(self, line: RunLine) -> list[ShardRun]:
        if line.record is None or line.record.shard is None:
            return []
        return [one for one in shards_of(self._service.store, line.run_id, line.record) if one.run_id != line.run_id]

    def _absent(self, request: Request, run_id: str, *, is_damaged: bool) -> Response:
        values = {"run_id": run_id[:80], "is_damaged": is_damaged}
        answer = self._shell.page(request, "run_absent.html.jinja", _HERE, values)
        answer.status_code = 404
        return answer


def _trends(ended: Sequence[tuple[RunLine, RunFigures | None]]) -> list[RunTrend]:
    """Return the trends of runs, the oldest first; those of which nothing is known are left out."""
    trends: list[tuple[str, list[float | None]]] = [
        ("LSE-C, median", [figures.lse_c if figures else None for _, figures in ended]),
        ("LSE-D, median", [figures.lse_d if figures else None for _, figures in ended]),
        ("rows that failed", [float(line.ended.failed) if line.ended else None for line, _ in ended]),
        ("frames a second", [line.frames_per_s for line, _ in ended]),
    ]
    days = [day(line.record.begun if line.record else None) for line, _ in ended]
    drawn: list[RunTrend] = []
    for name, values in trends:
        known = [(label, round(value, 2)) for label, value in zip(days, values, strict=True) if value is not None]
        if known:
            title = f"{name}, of {len(known)} runs"
            drawing = charts.bars([value for _, value in known], [label for label, _ in known], title)
            drawn.append(RunTrend(name, Markup(drawing)))
    return drawn
