"""`lipwise-ray train`: prepare footage, train networks, export weights."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Any, cast

import typer

from lipwise_ray.cli import setup
from lipwise_ray.cli.prepare import prepare
from lipwise_ray.errors import SettingsError
from lipwise_ray.settings.layers import read_toml
from lipwise_ray.storage.address import whole_path

app = typer.Typer(help="Prepare footage, train networks, export weights.", no_args_is_help=True)
app.command("prepare")(prepare)

Data = Annotated[
    Path, typer.Argument(help="A prepared data set; for the detector a corpus of scenes, for visemes of speech.")
]
Run = Annotated[Path, typer.Argument(help="Folder of the run; one that is there goes on.")]
Set = Annotated[list[str] | None, typer.Option("--set", help="One setting, may be repeated.", metavar="KEY=VALUE")]
Workers = Annotated[int, typer.Option("--workers", min=1, help="More than one trains by Ray Train.")]
Address = Annotated[str, typer.Option("--address", help="local (default), auto, or ray://HOST:PORT of a cluster.")]


def _train(
    network: str, data: Path, run: Path, job: Path | None, values: list[str] | None, workers: int, address: str
) -> None:
    from lipwise_ray.training.settings import Network, make_settings

    given: dict[str, Any] = read_toml(job) if job else {}
    for text in values or []:
        key, equals, value = text.partition("=")
        if not equals:
            raise SettingsError("bad_set", f"--set {text}", got="not KEY=VALUE")
        given[key.strip()] = _value(value)
    # Ray Train's workers have a folder of their own.
    files = {name: str(whole_path(str(given[name]))) for name in ("expert", "init", "sound") if given.get(name)}
    settings = make_settings(cast("Network", network), {**given, **files, "data": str(whole_path(data))})
    if workers > 1:
        from lipwise_ray.training.workers import run_on_workers

        run_on_workers(settings, run, workers, address)
    else:
        import torch

        from lipwise_ray.training.run import run as run_here
        from lipwise_ray.training.task import Team

        device = "cuda" if torch.cuda.is_available() else "cpu"
        result = run_here(settings, run, Team(device=device), typer.echo)
        if result.interrupted:
            typer.echo(f"{run}: stopped after step {result.step} and saved; run it again to go on")
            raise typer.Exit(3)
    typer.echo(f"{run}: metrics.csv, curves.png, samples, checkpoints last.pth and best.pth")


def _value(text: str) -> Any:  # noqa: ANN401  # whatever JSON holds
    try:
        return json.loads(text)
    except json.JSONDecodeError:
        return text


@app.command()
def visemes(
    data: Data, run: Run, *, job: setup.Job = None, values: Set = None, workers: Workers = 1, address: Address = "local"
) -> None:
    """Train the mouth reader, whose half that listens a generator can begin with."""
    _train("visemes", data, run, job, values, workers, address)


@app.command()
def expert(
    data: Data, run: Run, *, job: setup.Job = None, values: Set = None, workers: Workers = 1, address: Address = "local"
) -> None:
    """Train the lip-sync expert."""
    _train("expert", data, run, job, values, workers, address)


@app.command()
def generator(
    data: Data, run: Run, *, job: setup.Job = None, values: Set = None, workers: Workers = 1, address: Address = "local"
) -> None:
    """Train Wav2Lip's generator, with or without the discriminator."""
    _train("generator", data, run, job, values, workers, address)


@app.command()
def detector(
    data: Data, run: Run, *, job: setup.Job = None, values: Set = None, workers: Workers = 1, address: Address = "local"
) -> None:
    """Train the small face detector."""
    _train("detector", data, run, job, values, workers, address)


@app.command()
def restorer(
    data: Data, run: Run, *, job: setup.Job = None, values: Set = None, workers: Workers = 1, address: Address = "local"
) -> None:
    """Train the small restorer."""
    _train("restorer", data, run, job, values, workers, address)


@app.command()
def export(
    checkpoint: Annotated[Path, typer.Argument(help="best.pth or last.pth of a run.")],
    target: Annotated[Path, typer.Argument(help="The file to write: .safetensors, or .pth in the original's layout.")],
    *,
    half: Annotated[bool, typer.Option("--half", help="Write float16.")] = False,
    blend: Annotated[
        Path | None, typer.Option("--blend", help="Mix with another checkpoint of the same line of runs.")
    ] = None,
    share: Annotated[float, typer.Option("--share", min=0, max=1, help="The other's share.")] = 0.5,
) -> None:
    """Write a run's weights for use."""
    from lipwise_ray.storage.digest import sha256_of
    from lipwise_ray.training.checkpoints import export as write

    write(checkpoint, target, half=half, blend=blend, share=share)
    typer.echo(f"{target}: {target.stat().st_size} bytes, sha256 {sha256_of(target)}")
