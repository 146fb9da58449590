"""`lipwise-ray evaluate`: judging results."""

from __future__ import annotations

from dataclasses import fields
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from lipwise_ray.cli.status import must_be_state
from lipwise_ray.errors import OutputError

if TYPE_CHECKING:
    from lipwise_ray.reports.compare import Comparison

app = typer.Typer(help="Judge results.", no_args_is_help=True, rich_markup_mode=None)


@app.callback()
def top() -> None:
    """Hold the commands."""


@app.command("compare")
def compare(
    a: Annotated[str, typer.Argument(help="A state: a folder or an address.", metavar="STATE_A")],
    b: Annotated[str, typer.Argument(help="Another, or the same with other runs.", metavar="STATE_B")],
    *,
    run_a: Annotated[str | None, typer.Option("--run-a", help="A run of the first; its latest without it.")] = None,
    run_b: Annotated[str | None, typer.Option("--run-b", help="A run of the second.")] = None,
    out: Annotated[Path | None, typer.Option("--out", help="Folder for rows.csv, summary.csv and a plot.")] = None,
) -> None:
    """Compare two runs of one manifest row by row, and by language: means, medians, and how sure the difference is."""
    from lipwise_ray.reports import compare as runs  # noqa: PLC0415  # with its store
    from lipwise_ray.reports.rows import collect  # noqa: PLC0415  # the same
    from lipwise_ray.state.store import open_store  # noqa: PLC0415  # the same

    for state in (a, b):
        must_be_state(state)
    found = runs.compare(collect(open_store(a), run_a), collect(open_store(b), run_b))
    heads = ("rows", "mean a", "mean b", "median a", "median b", "b - a")
    typer.echo(" " * 30 + "".join(f"{head:>10}" for head in heads) + "  95 %")
    last = ""
    for one in found.differences:
        bounds = f"{one.low:+.3f} to {one.high:+.3f}" if one.low is not None and one.high is not None else "-"
        numbers = (one.mean_a, one.mean_b, one.median_a, one.median_b)
        typer.echo(
            f"{one.language if one.language != last else '':16}{one.figure:14}{one.rows:>10}"
            + "".join(f"{value:>10.3f}" for value in numbers)
            + f"{one.difference:>+10.3f}  {bounds}{'  *' if one.is_clear else ''}"
        )
        last = one.language
    typer.echo("* the interval leaves out no difference")
    for count, what in (
        (found.only_a, "rows are done in the first alone"),
        (found.only_b, "rows are done in the second alone"),
        (found.other_judge, "rows were scored by different judges, whose figures do not compare"),
    ):
        if count:
            typer.echo(f"{count} {what}")
    if out is not None:
        _write(out, found)


def _write(out: Path, found: Comparison) -> None:
    from lipwise_ray.reports import charts, tables  # noqa: PLC0415  # with the others
    from lipwise_ray.reports.compare import Difference  # noqa: PLC0415  # the same

    certain = [one for one in found.differences if one.figure == "lse_c"]
    lines = [(one.language, one.difference, one.low, one.high) for one in certain]
    contents = {
        "rows.csv": tables.as_csv(found.rows, list(found.rows[0])),
        "summary.csv": tables.as_csv(found.summary(), [field.name for field in fields(Difference)]),
        "lse_c.svg": charts.intervals(lines, "LSE-C, second run less first, with 95 % intervals").encode(),
    }
    try:
        out.mkdir(parents=True, exist_ok=True)
        for name, data in contents.items():
            (out / name).write_bytes(data)
    except OSError as error:
        got = error.strerror or ""
        raise OutputError("not_writable", str(out), "must be a folder to write to", got, "Check it") from error
    typer.echo(f"written: {', '.join(str(out / name) for name in contents)}")
