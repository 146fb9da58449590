"""`lipwise-ray evaluate`: judging finished videos, and comparing runs."""

from __future__ import annotations

from dataclasses import fields
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from typer.core import TyperGroup

import lipwise_ray
from lipwise_ray.cli import setup
from lipwise_ray.cli.status import must_be_state
from lipwise_ray.cli.stopping import StopFlag
from lipwise_ray.errors import OutputError

if TYPE_CHECKING:
    from lipwise_ray.reports.compare import RunComparison

_VIDEOS = "videos"


class _VideosUnlessNamed(TyperGroup):
    """Takes words that name no command for videos: ``evaluate a.mp4`` is ``evaluate videos a.mp4``."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:  # noqa: ANN401  # typer keeps its context's class to itself
        """Put the command in where it was left out."""
        is_named = not args or args[0] in self.commands or args[0] in ctx.help_option_names
        return super().parse_args(ctx, args if is_named else [_VIDEOS, *args])


app = typer.Typer(
    cls=_VideosUnlessNamed,
    help="Score finished videos: `evaluate VIDEO...`; or put side by side: runs (`evaluate compare`), or lip models "
    "(`evaluate sweep`).",
    no_args_is_help=True,
    rich_markup_mode=None,
)


@app.callback()
def top() -> None:
    """Hold the commands."""


@app.command(_VIDEOS)
def videos(
    files: Annotated[
        list[str],
        typer.Argument(help="Videos; or a manifest (.csv, .xlsx, .jsonl, .parquet) of them.", metavar="VIDEO"),
    ],
    *,
    references: Annotated[
        list[str] | None,
        typer.Option(
            "--reference", help="A video to compare with: one for all, or repeated, one for each.", metavar="VIDEO"
        ),
    ] = None,
    job: setup.Job = None,
    assignments: setup.Set = None,
    out: Annotated[Path, typer.Option("--out", help="Folder for report.html and results.*.")] = Path("evaluation"),
    state: setup.State = None,
    address: setup.Address = None,
    workers: setup.Workers = None,
    fail_above: setup.FailAbove = 0.0,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object per video instead of text.")] = False,
) -> None:
    """Score finished videos, whoever made them: LSE-D, LSE-C, offset; with a reference PSNR, SSIM, FID and more.

    The command's own name can be left out. Run it again to go on after a stop.
    """
    stop = StopFlag()  # loading takes seconds
    from lipwise_ray.cli.progress import show
    from lipwise_ray.runs.run_request import request_for

    settings = lipwise_ray.load_settings(job=job, assignments=assignments or [], address=address, workers=workers)
    request = request_for(
        "evaluate", files, settings, references=references or (), fail_above=fail_above, as_json=as_json
    )
    with show(stop, as_json=as_json, done="measured") as display:
        report = lipwise_ray.evaluate(
            files,
            references=references or (),
            out=out,
            state=state,
            settings=settings,
            models=setup.models_folder(),
            progress=display,
            stop=stop,
            request=request,
        )
    raise typer.Exit(report.code_above(fail_above))


@app.command("sweep")
def sweep(
    manifest: setup.ManifestFile,
    *,
    models: Annotated[
        str | None,
        typer.Option(
            "--models",
            help="Models, between commas: a name of the registry, LABEL=NAME, LABEL=FILE or LABEL=NAME@FILE. "
            "Without it: what lipsync.model lists, or --files alone.",
            metavar="A,B,C",
        ),
    ] = None,
    files: Annotated[
        list[str] | None,
        typer.Option(
            "--files", help="Another tool's or run's videos of the rows as a column; repeated.", metavar="LABEL=FOLDER"
        ),
    ] = None,
    job: setup.Job = None,
    assignments: setup.Set = None,
    preset: setup.Preset = None,
    out: Annotated[Path, typer.Option("--out", help="Folder for comparison.html, tables and outputs.")] = Path("sweep"),
    state: setup.State = None,
    address: setup.Address = None,
    workers: setup.Workers = None,
    fail_above: setup.FailAbove = 0.0,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object per row instead of text.")] = False,
) -> None:
    """Dub a manifest with several lip models, and put them side by side: figures, intervals, samples, terms.

    Faces, audio and original lips are looked at once. Run it again to go on after a stop.
    """
    stop = StopFlag()  # loading takes seconds
    from lipwise_ray.cli.progress import show

    settings = lipwise_ray.load_settings(
        preset, job=job, assignments=assignments or [], address=address, workers=workers
    )
    with show(stop, as_json=as_json) as display:
        report = lipwise_ray.sweep(
            manifest,
            models,
            files=files or (),
            out=out,
            state=state,
            settings=settings,
            models=setup.models_folder(),
            progress=display,
            stop=stop,
        )
    typer.echo(f"comparison: {report.page}", err=as_json)
    raise typer.Exit(report.code_above(fail_above))


@app.command("compare")
def compare(
    a: Annotated[str, typer.Argument(help="A state: a folder or an address.", metavar="STATE_A")],
    b: Annotated[str, typer.Argument(help="Another, or the same with other runs.", metavar="STATE_B")],
    *,
    run_a: Annotated[str | None, typer.Option("--run-a", help="A run of the first. Default: its latest.")] = None,
    run_b: Annotated[str | None, typer.Option("--run-b", help="A run of the second.")] = None,
    out: Annotated[Path | None, typer.Option("--out", help="Folder for rows.csv, summary.csv and a plot.")] = None,
) -> None:
    """Compare two runs of one manifest row by row, and by language: means, medians, and how sure the difference is."""
    from lipwise_ray.reports import compare as runs
    from lipwise_ray.reports.rows import collect
    from lipwise_ray.state.store import open_store

    for state in (a, b):
        must_be_state(state)
    comparison = runs.compare(collect(open_store(a), run_a), collect(open_store(b), run_b))
    heads = ("rows", "mean a", "mean b", "median a", "median b", "b - a")
    typer.echo(" " * 30 + "".join(f"{head:>10}" for head in heads) + "  95 %")
    last = ""
    for row in comparison.differences:
        bounds = f"{row.low:+.3f} to {row.high:+.3f}" if row.low is not None and row.high is not None else "-"
        numbers = (row.mean_a, row.mean_b, row.median_a, row.median_b)
        typer.echo(
            f"{row.language if row.language != last else '':16}{row.figure:14}{row.rows:>10}"
            + "".join(f"{value:>10.3f}" for value in numbers)
            + f"{row.difference:>+10.3f}  {bounds}{'  *' if row.is_clear else ''}"
        )
        last = row.language
    typer.echo("* the interval leaves out no difference")
    for count, what in (
        (comparison.only_a, "rows are done in the first alone"),
        (comparison.only_b, "rows are done in the second alone"),
        (
            comparison.other_judge,
            "rows were scored by different judges (by their weights), whose figures do not compare",
        ),
        (
            comparison.other_protocol,
            "rows were measured in different ways (submit, evaluate, other faces): nothing compares",
        ),
    ):
        if count:
            typer.echo(f"{count} {what}")
    if out is not None:
        _write(out, comparison)


def _write(out: Path, comparison: RunComparison) -> None:
    from lipwise_ray.reports import charts, tables
    from lipwise_ray.reports.compare import Difference

    certain = [one for one in comparison.differences if one.figure == "lse_c"]
    lines = [(one.language, one.difference, one.low, one.high) for one in certain]
    contents = {
        "rows.csv": tables.as_csv(comparison.rows, list(comparison.rows[0])),
        "summary.csv": tables.as_csv(comparison.summary(), [field.name for field in fields(Difference)]),
        "lse_c.svg": charts.intervals(lines, "LSE-C, second run less first, with 95 % intervals").encode(),
    }
    try:
        out.mkdir(parents=True, exist_ok=True)
        for name, data in contents.items():
            (out / name).write_bytes(data)
    except OSError as error:
        got = error.strerror or ""
        happened = f"cannot be written: {got.lower()}"
        raise OutputError("not_writable", str(out), got=happened, do="Check the folder") from error
    typer.echo(f"written: {', '.join(str(out / name) for name in contents)}")
