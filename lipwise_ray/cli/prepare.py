"""`lipwise-ray train prepare`: from footage to a data set."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, cast, get_args

import typer

from lipwise_ray.cli import setup
from lipwise_ray.cli.stopping import StopFlag
from lipwise_ray.errors import OutputError, SettingsError
from lipwise_ray.exit_codes import ExitCode
from lipwise_ray.settings.layers import parse_assignment, read_toml
from lipwise_ray.settings.model import Settings
from lipwise_ray.storage.address import whole_path

if TYPE_CHECKING:
    from lipwise_ray.models.checkpoints import Checkpoint
    from lipwise_ray.models.registry import Registry

DetectorName = Literal["yunet", "s3fd", "tiny"]
_WEIGHTS = {"yunet": ("yunet",), "s3fd": ("s3fd", "fan_2d"), "tiny": ("tiny_detector",)}
_AUTO, _NONE = "auto", "none"
_EXPERTS = ("lipsync_expert", "syncnet_v2", "tiny_expert")
"""Taken by ``auto``: the first that is installed; the last comes with the package."""

_MOST_INWARDS, _MOST_OUTWARDS = 0.5, 2.0
"""Shares that are no slip: as `faces.pads_share` allows."""

_EXPERT, _VAD = "lipsync_expert", "silero_vad"
_STOPPING = "stopping: videos that are being prepared end first; press Ctrl-C again to stop at once"


def prepare(
    root: Annotated[Path, typer.Argument(help="Footage: a folder, or a tree with file lists as LRS2 has.")],
    out: Annotated[Path, typer.Argument(help="Where crops, sound, lists and the table of clips go.")],
    *,
    size: Annotated[int, typer.Option("--size", min=0, max=512, help="Side of the crops; 0 keeps the face's.")] = 0,
    pads: Annotated[
        str | None, typer.Option("--pads", help="Pixels around the box: top,bottom,left,right. Without shares then.")
    ] = None,
    pads_share: Annotated[
        str | None,
        typer.Option("--pads-share", help="The same as shares of the face; without either those that dubbing has."),
    ] = None,
    detector: Annotated[str, typer.Option("--detector", help="yunet, s3fd or tiny.")] = "yunet",
    truth: Annotated[bool, typer.Option("--truth", help="Take boxes from the truth of synthetic clips.")] = False,
    expert: Annotated[
        str,
        typer.Option(
            "--expert",
            help="Measures sync: a file, a name of the registry, none, or auto for lipsync_expert, syncnet_v2 or the "
            "bundled tiny_expert, whichever is installed; with --truth auto is none.",
        ),
    ] = _AUTO,
    faces: Annotated[int, typer.Option("--faces", min=1, max=64, help="Faces of a video that are measured.")] = 4,
    job: Annotated[Path | None, typer.Option("--job", help="Rules of the sorting (TOML).", metavar="FILE.toml")] = None,
    values: Annotated[
        list[str] | None,
        typer.Option("--set", help="One rule of the sorting, may be repeated.", metavar="KEY=VALUE"),
    ] = None,
    val_share: Annotated[
        float, typer.Option("--val-share", min=0.01, max=0.5, help="Where there are no lists.")
    ] = 0.05,
    workers: Annotated[int, typer.Option("--workers", min=0, help="0 for one per core, or one per GPU.")] = 0,
    address: Annotated[
        str, typer.Option("--address", help="local (default), auto, or ray://HOST:PORT of a cluster.")
    ] = "local",
) -> None:
    """Turn footage into face crops and sound, sorted by what is fit to train on. Run it again to go on."""
    stop = StopFlag(_STOPPING)  # loading takes seconds
    from lipwise_ray.cli.prepare_progress import shown
    from lipwise_ray.runs.run_inputs import registry_of
    from lipwise_ray.training.curation import make_rules
    from lipwise_ray.training.footage import find_footage
    from lipwise_ray.training.prepare import PrepareSpec
    from lipwise_ray.training.preparing import Preparer, prepare_footage

    _refuse_same(root, out)
    footage = find_footage(root, val_share)
    settings = Settings()
    registry = registry_of(settings, setup.models_folder())
    pixels, shares = _pads(pads, pads_share, settings)
    spec = PrepareSpec(size, pixels, shares, settings, make_rules(_rules(job, values)), faces, truth)
    make, detectors = (None, ()) if truth else _detector(detector, settings, registry)
    judge = _expert(expert, registry, truth=truth)
    speech = registry.resolve(_VAD) if registry.installed(_VAD) else None
    preparer = Preparer(whole_path(out), spec, make, detectors, judge, speech)
    if judge is not None and judge.made_for and not truth:
        typer.echo(
            f"note: sync is measured by {judge.name}, made for {judge.made_for}: on photographed ones it tells "
            "offsets, but its distances say little. Install lipsync_expert or syncnet_v2 for a surer one",
            err=True,
        )
    with shown(footage.clips, stop) as progress:
        for clip, result in prepare_footage(footage, out, preparer, address=address, workers=workers, stop=stop):
            progress.ended(clip, result)
    if progress.left:
        typer.echo(f"{out}: stopped after {progress.videos} of {len(footage.clips)} videos; run it again to go on")
        raise typer.Exit(ExitCode.STOPPED)
    typer.echo(
        f"{progress.clips} clips, {progress.frames} frames in {out}; {progress.skipped} skipped, see {out}/clips.csv "
        f"and {out}/contact.html"
    )
    raise typer.Exit(0 if progress.clips else 1)


def _refuse_same(root: Path, out: Path) -> None:
    """Refuse to put lists beside footage, where the next run would take them for the footage's own.

    Raises:
        OutputError: The data set would go where the footage is.
    """
    if root.exists() and out.exists() and out.samefile(root):
        got, do = "is the folder of the footage, which stays as it is", "Name another folder"
        raise OutputError("overwrites_input", str(out), got=got, do=do)


def _pads(
    pads: str | None, shares: str | None, settings: Settings
) -> tuple[tuple[int, int, int, int], tuple[float, float, float, float]]:
    """Return pads in pixels and as shares; pixels alone leave no shares, as those of a manifest's row."""
    try:
        top, bottom, left, right = (int(part) for part in (pads or "0,0,0,0").split(","))
    except ValueError as error:
        do = "Write four whole numbers: top,bottom,left,right"
        raise SettingsError("bad_value", "--pads", got=f"{pads!r} are not pads", do=do) from error
    pixels = (top, bottom, left, right)
    if shares is None:
        return pixels, settings.faces.pads_share if pads is None else (0.0, 0.0, 0.0, 0.0)
    try:
        above, below, before, behind = (float(part) for part in shares.split(","))
    except ValueError as error:
        do = "Write four numbers such as 0,0.08,0,0: top,bottom,left,right"
        raise SettingsError("bad_value", "--pads-share", got=f"{shares!r} are not pads", do=do) from error
    if not all(-_MOST_INWARDS <= share <= _MOST_OUTWARDS for share in (above, below, before, behind)):
        must = f"each must lie between {-_MOST_INWARDS:g} and {_MOST_OUTWARDS:g}"
        raise SettingsError("bad_value", "--pads-share", must=must, got=f"{shares!r} are not fractions of a face")
    return pixels, (above, below, before, behind)


def _rules(job: Path | None, values: list[str] | None) -> dict[str, Any]:
    given: dict[str, Any] = read_toml(job) if job else {}
    for text in values or []:
        if "=" not in text:
            raise SettingsError("bad_set", f"--set {text}", got="not KEY=VALUE")
        given |= parse_assignment(f"rules.{text}")["rules"]
    return given


def _detector(name: str, settings: Settings, registry: Registry) -> tuple[Any, tuple[str, ...]]:
    from lipwise_ray.roles.detector import DetectorMaker

    if name not in get_args(DetectorName):
        known = f"Known: {', '.join(get_args(DetectorName))}"
        raise SettingsError("bad_value", "--detector", got=f'unknown detector "{name}"', do=known)
    weights = tuple(registry.resolve(part) for part in _WEIGHTS[cast("DetectorName", name)])
    return DetectorMaker(weights, settings.detect.min_score), tuple(one.sha256 for one in weights)


def _expert(name: str, registry: Registry, *, truth: bool) -> Checkpoint | None:
    if name == _NONE or (name == _AUTO and truth):
        return None
    if name == _AUTO:
        name = next(one for one in _EXPERTS if registry.installed(one))
    path = whole_path(name)
    if name in registry.entries and not path.is_file():
        network = registry.entry(name).network
        return registry.resolve(name, network if network == "syncnet" else _EXPERT)
    return registry.own_file(path, _EXPERT)
