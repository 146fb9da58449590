"""Reports of runs as the studio shows them: collected aside, kept on the disk, without this machine's paths."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from tempfile import TemporaryDirectory

from lipwise_ray.reports.report_parts import ReportParts, RowLine, line_of, parts_of
from lipwise_ray.reports.rows import RunReport, collect
from lipwise_ray.reports.worst_first import Stills
from lipwise_ray.reports.write import file_names, stills_of, write_files
from lipwise_ray.service.studio.kept_results import KeptResults
from lipwise_ray.service.studio.row_filter import FilterChoices, RowFilter
from lipwise_ray.state.store import Store

_MOST_OPEN = 4
_MOST_LISTED = 100
ROWS_A_PAGE = 50


@dataclass(frozen=True, slots=True)
class ReportRows:
    """A part of the rows that a filter lets through.

    Attributes:
        lines: As `report_parts.ROW_HEADS` names their cells.
        whole: Number of rows that the filter lets through.
        page: Number of the part, from 1 on.
        pages: Number of parts.
    """

    lines: list[RowLine]
    whole: int
    page: int
    pages: int


@dataclass(slots=True)
class OpenReport:
    """A run's report, with its rows on the disk.

    Attributes:
        report: The run, whose texts name no path of this machine.
        parts: What its page says.
        choices: Values by which its rows can be chosen.
    """

    report: RunReport
    parts: ReportParts
    choices: FilterChoices
    stills: Stills
    _files: TemporaryDirectory[str] = field(default_factory=TemporaryDirectory[str])
    _paths: list[Path] = field(default_factory=list[Path])
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def rows(self, wanted: RowFilter, page: int) -> ReportRows:
        """Return a part of its rows, in the manifest's order.

        Args:
            wanted: Chooses them.
            page: Number of the part, from 1 on; the last one where there are not so many.
        """
        condition, values = wanted.condition()
        sheet = self.report.rows
        with self._lock:
            ((whole,),) = sheet.ask(f"count(*) FROM rows WHERE {condition}", values)
            pages = max(1, -(-whole // ROWS_A_PAGE))
            page = min(page, pages)
            bound = f" LIMIT {ROWS_A_PAGE} OFFSET {(page - 1) * ROWS_A_PAGE}"
            return ReportRows([line_of(row) for row in sheet.where(condition, values, order=bound)], whole, page, pages)

    def file(self, name: str) -> Path:
        """Return a file of its page or tables; the first one that is asked for takes as long as all.

        Args:
            name: One of `reports.write.file_names()`.

        Raises:
            StorageError: The disk for scratch refused.
        """
        with self._lock:
            if not self._paths:
                self._paths = write_files(self.report, self.stills, Path(self._files.name))
            return self._paths[file_names().index(name)]


def kept_reports(store: Store, plain: Callable[[str], str]) -> KeptResults[OpenReport]:
    """Return the reports of runs by their names, a few of which are kept.

    Args:
        store: The state.
        plain: Removes this machine's paths from texts.
    """
    return KeptResults(
        lambda run_id: open_report(store, run_id, plain), lambda found: found.report.ended is not None, _MOST_OPEN
    )


def open_report(store: Store, run_id: str, plain: Callable[[str], str]) -> OpenReport:
    """Return the report of a run; the arguments are those of `kept_reports`.

    Raises:
        StateError: There is no such run, or its record is damaged.
        StorageError: The state cannot be read.
    """
    report = collect(store, run_id)
    for sheet in (report.rows, report.left):
        sheet.rewrite(plain, "/")
    run = report.run
    report = replace(
        report,
        run=replace(
            run,
            manifest=plain(run.manifest),
            notes=tuple(map(plain, run.notes)),
            fallbacks=tuple(map(plain, run.fallbacks or ())),
        ),
    )
    stills = stills_of(store)
    return OpenReport(report, parts_of(report, stills, None, _MOST_LISTED), FilterChoices.of(report.rows), stills)
