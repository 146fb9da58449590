"""Page and tables of a comparison of lip models, beside its outputs."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import asdict, fields
from pathlib import Path
from urllib.parse import quote

from lipwise_ray.errors import OutputError, os_reason
from lipwise_ray.pipeline.quality.face_distances import FEW_FACES, face_distances
from lipwise_ray.reports.rows import RunReport, collect
from lipwise_ray.reports.sweep_figures import GroupDistances, figures_of
from lipwise_ray.reports.sweep_page import sweep_page
from lipwise_ray.reports.sweep_rows import ColumnRuns
from lipwise_ray.reports.tables import as_csv
from lipwise_ray.reports.write import samples_of
from lipwise_ray.runs.sweep import SweepReport
from lipwise_ray.state.store import Store, open_store
from lipwise_ray.state.sweep_records import SweepFigure, SweepRow
from lipwise_ray.storage.address import is_local

PAGE, ROWS, SUMMARY = "comparison.html", "rows.csv", "summary.csv"
_PLAYED = frozenset({".mp4", ".mov", ".webm", ".m4v"})


def write_sweep(report: SweepReport, manifest: str, folder: Path) -> list[Path]:
    """Write `comparison.html`, `rows.csv` and `summary.csv`, and return their paths.

    Args:
        report: What was run.
        manifest: Name of the manifest.
        folder: The folder, which is made.

    Raises:
        OutputError: The folder cannot be written.
        StorageError: The state cannot be read.
    """
    store = open_store(report.state)

    def run(run_id: str) -> RunReport | None:
        return collect(store, run_id) if run_id else None

    columns = [
        ColumnRuns(one.label, one.kind, run(one.dubbing_run), run(one.evaluation_run), one.absent, one.fault)
        for one in report.columns
    ]
    rows = [row for column in columns for row in column.rows()]
    figures = figures_of(rows, [column.label for column in columns], _KeptDistances(store, columns))
    page = sweep_page(manifest, columns, rows, figures, samples_of(store), lambda video: _link(video, folder))
    contents = {
        PAGE: page.encode("utf-8", "backslashreplace"),
        ROWS: as_csv([asdict(row) for row in rows], [one.name for one in fields(SweepRow)]),
        SUMMARY: as_csv([asdict(one) for one in figures], [one.name for one in fields(SweepFigure)]),
    }
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for name, data in contents.items():
            (folder / name).write_bytes(data)
    except OSError as error:
        happened = f"cannot be written: {os_reason(error)}"
        raise OutputError("not_writable", str(folder), got=happened, do="Check the folder") from error
    return [folder / name for name in contents]


class _KeptDistances:
    """Gives the distances over the faces of evaluations; groups of the same rows are measured once.

    Args:
        store: The state.
        columns: The columns that the evaluations are of.
    """

    def __init__(self, store: Store, columns: Sequence[ColumnRuns]) -> None:
        self._store = store
        self._known: dict[tuple[str, ...], GroupDistances | None] = {}
        self._chunks = {
            str(row["job_id"]): int(row["chunks"] or 1)
            for column in columns
            if column.evaluated
            for row in column.evaluated.rows.where("status = 'done'")
        }

    def __call__(self, jobs: Sequence[str]) -> GroupDistances | None:
        """Return the distances; None where a record is gone."""
        key = tuple(sorted(set(jobs)))
        if key not in self._known:
            self._known[key] = self._measured(key)
        return self._known[key]

    def _measured(self, jobs: Sequence[str]) -> GroupDistances | None:
        found = face_distances(self._store, {job_id: self._chunks[job_id] for job_id in jobs})
        if found is None:
            return None
        few = f"FID over {found.faces} faces: below {FEW_FACES} it says more of their number than of the faces"
        return GroupDistances(found.fid, found.kid, found.faces, few if found.faces < FEW_FACES else None)


def _link(video: str, folder: Path) -> str:
    """Return the address of a video as seen from the page; empty where a browser cannot play it from there."""
    if not video or not is_local(video) or Path(video).suffix.lower() not in _PLAYED:
        return ""
    return quote(os.path.relpath(video, folder.absolute()))
