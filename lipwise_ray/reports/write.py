"""Writing a run's report into its state, and a copy elsewhere."""

from __future__ import annotations

import importlib.util
import logging
import shutil
from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from tempfile import TemporaryDirectory

from lipwise_ray.errors import OutputError, StorageError, os_reason
from lipwise_ray.reports.page import page
from lipwise_ray.reports.report_parts import Costs
from lipwise_ray.reports.rows import RunReport, collect, collect_latest, joined
from lipwise_ray.reports.tables import write_tables
from lipwise_ray.reports.worst_first import Stills
from lipwise_ray.state import layout
from lipwise_ray.state.store import Store

_LOG = logging.getLogger("lipwise_ray")
_FILES = ("report.html", "results.csv", "results.jsonl")
_PARQUET = "results.parquet"


def file_names() -> tuple[str, ...]:
    """Names of a report's files, the page first; the last table takes an extra."""
    return (*_FILES, _PARQUET) if importlib.util.find_spec("pyarrow") else _FILES


def write_report(
    store: Store, run_id: str | None = None, folder: Path | None = None, costs: Costs | None = None
) -> str:
    """Write a run's page and tables beside its records, or into a folder; return the page's place.

    Args:
        store: The state.
        run_id: The run, alone; without it the latest, with those of the other shards of its rows.
        folder: Where to write instead.
        costs: What GPU seconds cost.

    Raises:
        StateError: There is no such run.
        StorageError: The state cannot be written.
        OutputError: The folder cannot be written.
    """
    report = collect(store, run_id) if run_id else collect_latest(store)
    return _write(store, report, layout.run(report.run.run_id), folder, costs)


@dataclass(frozen=True, slots=True)
class NightReport:
    """A night's report: the page's place, and the GPU seconds of its videos."""

    place: str
    gpu_s: float


def write_night(
    store: Store,
    night_id: str,
    run_ids: list[str],
    left: int,
    refused: Mapping[str, str],
    costs: Costs | None = None,
) -> NightReport:
    """Write one page and tables of all runs of a night into its folder.

    Args:
        store: The state.
        night_id: The night.
        run_ids: Its runs.
        left: Rows that are for another night.
        refused: Manifests that were not started, and why.
        costs: What GPU seconds cost.

    Raises:
        StorageError: The state cannot be written.
    """
    report = joined(night_id, [collect(store, run_id) for run_id in run_ids], left, refused)
    place = _write(store, report, layout.night(night_id), costs=costs)
    return NightReport(place, sum(report.rows.column("gpu_s")))


def stills_of(store: Store) -> Stills:
    """Return the images of a state's jobs, by their ids."""

    def stills(job_id: str) -> tuple[bytes, bytes] | None:
        before, after = (store.read(layout.still(job_id, name)) for name in ("before", "after"))
        return (before, after) if before and after else None

    return stills


def samples_of(store: Store) -> Stills:
    """Return the images of a state's evaluated videos, by their jobs: the reference's face, and the video's."""

    def samples(job_id: str) -> tuple[bytes, bytes] | None:
        before, after = (store.read(layout.sample(job_id, name)) for name in ("before", "after"))
        return (before, after) if before and after else None

    return samples


def write_files(report: RunReport, stills: Stills, folder: Path, costs: Costs | None = None) -> list[Path]:
    """Write a report's page and tables into a folder, and return their paths, by `file_names`.

    Args:
        report: The run.
        stills: Gives images of a job.
        folder: The folder, for scratch.
        costs: What GPU seconds cost.

    Raises:
        StorageError: The folder cannot be written.
    """
    paths = [folder / name for name in file_names()]
    if len(paths) == len(_FILES):
        _LOG.info("%s is left out: pyarrow is not installed. Run `pip install 'lipwise-ray[parquet]'`", _PARQUET)
    try:
        with ExitStack() as files:
            page_file, *tables = [files.enter_context(path.open("wb")) for path in paths]
            page_file.write(page(report, stills, costs).encode("utf-8", "backslashreplace"))
            write_tables(chain(report.rows, report.left), *tables)
    except OSError as error:
        raise StorageError("scratch", str(folder), got=f"cannot be written: {os_reason(error)}") from error
    return paths


def _write(store: Store, report: RunReport, place: str, folder: Path | None = None, costs: Costs | None = None) -> str:
    with TemporaryDirectory() as temporary:
        paths = write_files(report, stills_of(store), Path(temporary), costs)
        for path in paths:
            if folder is None:
                store.put_file(f"{place}/{path.name}", path)
                continue
            try:
                folder.mkdir(parents=True, exist_ok=True)
                shutil.move(path, folder / path.name)
            except OSError as error:
                raise OutputError(
                    "not_writable", str(folder), got=f"cannot be written: {os_reason(error)}", do="Check the folder"
                ) from error
    return str(folder / _FILES[0]) if folder else f"{store.address}/{place}/{_FILES[0]}"
