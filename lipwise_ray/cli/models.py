"""`lipwise-ray models`: checkpoints."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from lipwise_ray.cli import setup
from lipwise_ray.cli.terminal import raw_of
from lipwise_ray.errors import LipwiseError
from lipwise_ray.settings.model import Settings

if TYPE_CHECKING:
    from lipwise_ray.models.registry import Registry

app = typer.Typer(help="List, download, add and check checkpoints.", no_args_is_help=True)
Names = Annotated[list[str], typer.Argument(help="Names of the registry.")]
Folder = Annotated[
    Path | None, typer.Option("--models", help="Folder of the checkpoints. Default: the user's cache.", metavar="DIR")
]


def _registry(folder: Path | None) -> Registry:
    from lipwise_ray.runs.run_inputs import registry_of

    return registry_of(Settings(), folder or setup.models_folder())


@app.command("list")
def list_models(folder: Folder = None) -> None:
    """Show every known checkpoint: installed or not, size, whether it may be used in commerce, terms."""
    registry = _registry(folder)
    typer.echo(f"{'name':24} {'':10} {'size':>9}  {'commerce':8} terms")
    for name, entry in registry.entries.items():
        state = "installed" if registry.installed(name) else "-"
        size = f"{entry.bytes_total / 1e6:.1f} MB" if entry.bytes_total else "?"
        terms = entry.licence + (f" ({entry.reason})" if entry.reason else "")
        terms += " [needs --accept-licence]" if entry.needs_consent else ""
        typer.echo(f"{name:24} {state:10} {size:>9}  {entry.commercial:8} {terms}")
    typer.echo(f"folder: {registry.folder}")


@app.command()
def pull(
    names: Names,
    *,
    mirror: Annotated[
        str | None, typer.Option("--mirror", help="Base address asked first: https://, s3://, gs://, file://.")
    ] = None,
    accept_licence: Annotated[
        bool, typer.Option("--accept-licence", help="Accept terms that forbid commercial use.")
    ] = False,
    folder: Folder = None,
) -> None:
    """Download checkpoints. A broken download goes on where it stopped."""
    from rich.console import Console
    from rich.progress import DownloadColumn, Progress, TextColumn, TransferSpeedColumn

    from lipwise_ray.models import fetch

    registry = _registry(folder)
    failed = 0
    columns = (TextColumn("{task.description}"), DownloadColumn(), TransferSpeedColumn())
    with Progress(*columns, console=Console(file=raw_of(sys.stdout)), transient=True) as progress:
        bar = progress.add_task("")

        def show(done: int, total: int | None) -> None:
            progress.update(bar, completed=done, total=total)

        for name in names:
            try:
                entry = registry.entry(name)
                progress.update(bar, description=name, completed=0, total=entry.bytes_total)
                path = fetch.pull(registry, name, mirror=mirror, accept_licence=accept_licence, on_progress=show)
                typer.echo(f"{name}: {path} ({entry.licence})")
            except LipwiseError as error:
                typer.echo(f"error: {error}", err=True)
                failed += 1
    raise typer.Exit(2 if failed else 0)


@app.command()
def add(
    name: Annotated[str, typer.Argument(help="Name of the registry.")],
    file: Annotated[Path, typer.Argument(help="The published file, downloaded by other means.")],
    folder: Folder = None,
) -> None:
    """Install a checkpoint from a file, after checking that it is the published one."""
    from lipwise_ray.models import fetch

    typer.echo(f"{name}: {fetch.add(_registry(folder), name, file)}")


@app.command()
def verify(
    names: Annotated[list[str] | None, typer.Argument(help="Names; default all installed ones.")] = None,
    folder: Folder = None,
) -> None:
    """Check installed checkpoints against their published hashes."""
    registry = _registry(folder)
    failed = 0
    for name in names or [n for n in registry.entries if registry.installed(n)]:
        try:
            registry.resolve(name)
            typer.echo(f"{name}: good")
        except LipwiseError as error:
            typer.echo(f"error: {error}", err=True)
            failed += 1
    raise typer.Exit(2 if failed else 0)
