"""`lipwise-ray models`: checkpoints."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from lipwise_ray.cli import setup
from lipwise_ray.cli.terminal import raw_of
from lipwise_ray.errors import LipwiseError, SettingsError
from lipwise_ray.settings.model import Settings

if TYPE_CHECKING:
    from lipwise_ray.models.registry import Registry

app = typer.Typer(help="List, download, add and check checkpoints.", no_args_is_help=True)
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
    names: Annotated[list[str] | None, typer.Argument(help="Names of the registry.")] = None,
    *,
    recommended: Annotated[
        bool,
        typer.Option(
            "--recommended",
            help="What a full dub takes: detector, lip-sync, restorer, sync scorer and embedder, as far as they are "
            "not there. Sizes and terms are listed first.",
        ),
    ] = False,
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
    if bool(names) == recommended:
        happened = "both names and --recommended given" if recommended else "neither names nor --recommended given"
        raise SettingsError("bad_usage", "models pull", got=happened, do="Give one of them")
    names = _to_fetch(registry, accept_licence=accept_licence) if recommended else (names or [])
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


def _to_fetch(registry: Registry, *, accept_licence: bool) -> list[str]:
    """List the recommended checkpoints, and return the names of those that are not there.

    Raises:
        SetupError: Their terms need to be accepted first.
    """
    from lipwise_ray.models.recommended import check_consent, recommended_models
    from lipwise_ray.roles.table import RECOMMENDED

    models = recommended_models(registry, RECOMMENDED)
    for one in models:
        size = "there already" if one.is_there else f"{(one.entry.bytes_total or 0) / 1e6:.1f} MB"
        terms = one.entry.licence + (f" ({one.entry.reason})" if one.entry.reason else "")
        typer.echo(f"{one.role:9} {one.name:12} {size:>13}  {terms}", err=True)
    missing = [one for one in models if not one.is_there]
    total_mb = sum(one.entry.bytes_total or 0 for one in missing) / 1e6
    typer.echo(f"to fetch: {len(missing)} files, {total_mb:.1f} MB, into {registry.folder}", err=True)
    check_consent(models, accept_licence=accept_licence)
    return [one.name for one in missing]


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
            found = registry.resolve(name)
            is_known = bool(registry.entry(name).sha256)
            typer.echo(f"{name}: {'good' if is_known else f'there is no published hash; its own is {found.sha256}'}")
        except LipwiseError as error:
            typer.echo(f"error: {error}", err=True)
            failed += 1
    raise typer.Exit(2 if failed else 0)
