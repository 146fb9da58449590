"""`lipwise-ray train`: prepare footage, train networks, export weights."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, cast

import typer

from lipwise_ray.cli import setup
from lipwise_ray.cli.prepare import prepare
from lipwise_ray.cli.stopping import StopFlag
from lipwise_ray.errors import SettingsError, WeightsError
from lipwise_ray.exit_codes import ExitCode
from lipwise_ray.settings.layers import read_toml
from lipwise_ray.settings.model import Settings
from lipwise_ray.storage.address import whole_path

if TYPE_CHECKING:
    from lipwise_ray.training.settings import Network

app = typer.Typer(help="Prepare footage, train networks, export weights.", no_args_is_help=True)
app.command("prepare")(prepare)

Data = Annotated[
    Path, typer.Argument(help="A prepared data set; for the detector a corpus of scenes, for visemes of speech.")
]
Run = Annotated[Path, typer.Argument(help="Folder of the run; one that is there is continued.")]
Set = Annotated[list[str] | None, typer.Option("--set", help="One setting, may be repeated.", metavar="KEY=VALUE")]
Workers = Annotated[int, typer.Option("--workers", min=1, help="More than one trains by Ray Train.")]
Address = Annotated[str, typer.Option("--address", help="local (default), auto, or ray://HOST:PORT of a cluster.")]
_STOPPING = "stopping: the step at hand ends first, and is saved; press Ctrl-C again to stop at once"


def _train(
    network: str, data: Path, run: Path, job: Path | None, values: list[str] | None, workers: int, address: str
) -> None:
    stop = StopFlag(_STOPPING)  # loading takes seconds
    from lipwise_ray.cli.train_progress import shown
    from lipwise_ray.training.settings import make_settings

    kind = cast("Network", network)
    settings = make_settings(kind, {**_given(kind, job, values, run), "data": str(whole_path(data))})
    with shown(stop) as display:
        if workers > 1:
            from lipwise_ray.training.workers import run_on_workers

            result = run_on_workers(settings, run, workers, address, display)
        else:
            import torch

            from lipwise_ray.training.run import run as run_here
            from lipwise_ray.training.task import Team

            result = run_here(settings, run, Team(device="cuda" if torch.cuda.is_available() else "cpu"), display)
    if result.interrupted:
        typer.echo(f"{run}: stopped after step {result.step} and saved; run it again to go on")
        raise typer.Exit(ExitCode.STOPPED)
    begun_best = "" if result.best_step else ": no evaluation was better than that before the first step"
    typer.echo(f"best.pth is of step {result.best_step}{begun_best}")
    typer.echo(f"{run}: metrics.csv, curves.png, samples, checkpoints last.pth and best.pth")


def _given(network: Network, job: Path | None, values: list[str] | None, run: Path | None = None) -> dict[str, Any]:
    """Return the settings that a user gives, with the files of the weights that they name.

    Weights that a run in the folder began with are not needed when it goes on.
    """
    from lipwise_ray.runs.run_inputs import registry_of
    from lipwise_ray.training.first_weights import find_weights, terms_note
    from lipwise_ray.training.settings import WEIGHTS, first_weights_of

    given: dict[str, Any] = read_toml(job) if job else {}
    for text in values or []:
        key, equals, value = text.partition("=")
        if not equals:
            raise SettingsError("bad_set", f"--set {text}", got="not KEY=VALUE")
        given[key.strip()] = _value(value)
    registry = registry_of(Settings(), setup.models_folder())
    begun = first_weights_of(run) if run is not None else {}
    for name in WEIGHTS:
        if given.get(name):
            try:
                found = find_weights(name, str(given[name]), network, registry)
            except WeightsError:
                if name not in begun or Path(begun[name]).is_file():
                    raise
                given[name] = begun[name]
                continue
            given[name] = str(found.path)  # whole: Ray Train's workers have a folder of their own
            if note := terms_note(found):
                typer.echo(note, err=True)
    return given


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
def evaluate(
    checkpoint: Annotated[
        str, typer.Argument(help="A checkpoint of a run or of the original, or a published one's name.")
    ],
    data: Annotated[Path, typer.Argument(help="A prepared data set, whose val.txt lists the clips.")],
    *,
    job: setup.Job = None,
    values: Set = None,
    samples: Annotated[
        Path | None, typer.Option("--samples", help="Write samples as a picture.", metavar="FILE.png")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print a JSON object.")] = False,
) -> None:
    """Measure a checkpoint as its run did, on any data set."""
    import torch

    from lipwise_ray.runs.run_inputs import registry_of
    from lipwise_ray.training.evaluation import evaluate_checkpoint, write_samples
    from lipwise_ray.training.first_weights import find_checkpoint
    from lipwise_ray.training.loop import in_figures

    found = find_checkpoint(checkpoint, registry_of(Settings(), setup.models_folder()), None)
    device = "cuda" if torch.cuda.is_available() else "cpu"
    figures = evaluate_checkpoint(found.path, whole_path(data), _given("generator", job, values), device)
    if samples:
        write_samples(samples, figures.result)
    if as_json:
        record = {
            "checkpoint": str(found.path), "network": figures.network, "step": figures.step,
            "score": figures.result.score, "metrics": figures.result.metrics, "left_out": figures.left_out,
        }  # fmt: skip
        typer.echo(json.dumps(record))
        return
    for name, reason in figures.left_out.items():
        typer.echo(f"left out {name}: {reason}", err=True)
    typer.echo(f"{figures.network}, step {figures.step}: {in_figures(figures.result.metrics)}")


@app.command()
def export(
    checkpoint: Annotated[Path, typer.Argument(help="best.pth or last.pth of a run.")],
    target: Annotated[Path, typer.Argument(help="The file to write: .safetensors, or .pth in the original's layout.")],
    *,
    half: Annotated[bool, typer.Option("--half", help="Write float16.")] = False,
    blend: Annotated[
        Path | None, typer.Option("--blend", help="Mix with another checkpoint of the same line of runs.")
    ] = None,
    share: Annotated[float, typer.Option("--share", min=0, max=1, help="The other's weight.")] = 0.5,
    disc: Annotated[bool, typer.Option("--disc", help="Write the discriminator beside the generator.")] = False,
    optimizer: Annotated[
        bool, typer.Option("--optimizer", help="The optimiser's state too, to train on with the original's scripts.")
    ] = False,
) -> None:
    """Write a run's weights for use."""
    from lipwise_ray.storage.digest import sha256_of
    from lipwise_ray.training.checkpoints import export as write

    write(checkpoint, target, half=half, blend=blend, share=share, disc=disc, optimizer=optimizer)
    typer.echo(f"{target}: {target.stat().st_size} bytes, sha256 {sha256_of(target)}")
