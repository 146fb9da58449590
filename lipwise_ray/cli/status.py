"""`lipwise-ray status` and `lipwise-ray tracks`: reading a state, without Ray."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from lipwise_ray.cli import cluster, setup
from lipwise_ray.cli.completed_ids import state_rows
from lipwise_ray.cli.time_left import in_words
from lipwise_ray.errors import OutputError, SettingsError, StateError
from lipwise_ray.storage.address import is_local, local_path

if TYPE_CHECKING:
    from lipwise_ray.state.overview import Overview


def status(
    state: Annotated[
        str | None,
        typer.Argument(help="The state: a folder or an address. With --address: a run's id. Default: all."),
    ] = None,
    *,
    address: cluster.Dashboard = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Show the latest run of a state: rows done, failed and why, chunks so far; or the runs of a cluster."""
    from lipwise_ray.state.overview import overview

    if address is not None:
        cluster.show_status(address, state, as_json=as_json)
        return
    if state is None:
        raise SettingsError("bad_usage", "status", got="neither a state nor --address", do="Give what --state named")
    must_be_state(state)
    summary = overview(state)
    if as_json:
        typer.echo(json.dumps(summary.record()))
        return
    for line in _lines(summary):
        typer.echo(line)


def _lines(state: Overview) -> Iterator[str]:
    yield f"run {state.run_id} of {state.manifest}: {state.done} done, {state.failed} failed, {state.left} left"
    for shard in state.not_begun:
        yield f"shard {shard}: not begun"
    for row in state.failures:
        yield f"FAILED {row.row_id} [{row.code}] {row.message}"
    for holder in state.holders:
        yield f"at work: process {holder.get('pid')} on {holder.get('host')}"
    if state.loading:
        yield f"loading: {state.loading} workers fetch and load their models"
    for text in state.fallbacks:
        yield f"slower: {text}"
    for task in state.running:
        yield f"running {task.task} on {task.worker}, attempt {task.attempt}"
    for letter in state.quarantined:
        yield f"quarantined {letter.task}: {letter.message}"
    if state.frames_total:
        left = f", {in_words(state.eta_s)}" if state.eta_s is not None else ""
        yield f"frames of planned jobs: {state.frames_done} of {state.frames_total} rendered{left}"
    for job in state.unfinished:
        yield f"job {job.job_id}: {job.chunks_done} of {job.chunks} chunks rendered"


def tracks(
    state: Annotated[str, typer.Argument(help="The state: a folder or an address.")],
    row: Annotated[str, typer.Argument(help="Id of a row of the latest runs.", autocompletion=state_rows)],
    target: Annotated[Path, typer.Argument(help="The .npz file to write.")],
) -> None:
    """Export the face tracks of a row's video, to look at, edit, and give back in the tracks column."""
    from lipwise_ray.state.overview import tracks_of

    must_be_state(state)
    found = tracks_of(state, row)
    try:
        target.write_bytes(found.read_bytes())
    except OSError as error:
        happened = f"cannot be written: {(error.strerror or '').lower()}"
        raise OutputError("not_writable", str(target), got=happened, do="Check the path") from error
    typer.echo(f"tracks of {row}: {target}")


def report(
    state: Annotated[str, typer.Argument(help="The state: a folder or an address.")],
    *,
    run: Annotated[
        str | None, typer.Option("--run", help="A run's name; without it the latest, with all its shards.")
    ] = None,
    out: Annotated[
        Path | None, typer.Option("--out", help="Folder to write to. Default: beside the run's records in the state.")
    ] = None,
    prices: setup.Prices = None,
) -> None:
    """Write what became of a run: report.html, and results as CSV, JSON lines and Parquet."""
    from lipwise_ray.reports.write import write_report
    from lipwise_ray.runs.costs import read_prices
    from lipwise_ray.state.store import open_store

    must_be_state(state)
    listed = read_prices(prices) if prices else None
    typer.echo(write_report(open_store(state), run, out, listed.lines if listed else None))


def must_be_state(state: str) -> None:
    """Refuse a place in which no run was ever started, and the state of a newer program.

    Args:
        state: A folder or a prefix.

    Raises:
        StateError: It is one of these.
    """
    from lipwise_ray.state import layout
    from lipwise_ray.state.format import check_format
    from lipwise_ray.state.store import open_store

    if is_local(state) and not ((folder := local_path(state)) / "runs").is_dir():
        kind = "a folder without runs" if folder.is_dir() else "a file"
        got = f"not a state, but {kind}" if folder.exists() else "nothing is there"
        raise StateError("no_state", state, got=got, do="Give what --state named")
    store = open_store(state)
    if not check_format(store) and not store.folders(layout.RUNS):
        # What lies there is not ours to remove, whatever its folders are called.
        raise StateError(
            "no_state", state, got="not a state: no run was ever started there", do="Give what --state named"
        )
