"""From command-line options to settings, folders and the registry."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Callable
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from lipwise_ray.errors import InputError, LipwiseError, SettingsError
from lipwise_ray.layers import clipped, parse_assignment, preset_names, read_toml
from lipwise_ray.resources import jobs_folder, models_folder
from lipwise_ray.settings import Settings
from lipwise_ray.storage.address import STORES, Policy, bucket_and_key, is_local, is_store, shown, whole_path
from lipwise_ray.storage.redact import scrub

if TYPE_CHECKING:
    from lipwise_ray.dubbing.manifest import Manifest
    from lipwise_ray.engine.sources import SettingsSource
    from lipwise_ray.nets.registry import Registry
    from lipwise_ray.state.shapes import Request

DEFAULT_PRESET = "quality"
_LOST_SLASH = re.compile(r"^[a-z][a-z0-9+.-]+:/")

Job = Annotated[Path | None, typer.Option("--job", help="Settings file (TOML).", metavar="FILE.toml")]
Set = Annotated[
    list[str] | None, typer.Option("--set", help="One setting, may be repeated.", metavar="SECTION.KEY=VALUE")
]
Preset = Annotated[str | None, typer.Option("--preset", help="quality (default), fast or parity.")]
ManifestFile = Annotated[
    str, typer.Argument(help="A .csv, .xlsx, .jsonl or .parquet file, or its address: s3://, gs:// or az://.")
]
Out = Annotated[
    str | None,
    typer.Option("--out", help="Folder or s3://, gs://, az:// prefix for outputs. Default: out beside the manifest."),
]

State = Annotated[
    str | None,
    typer.Option(
        "--state",
        help="Where progress is kept: a folder, s3://, gs:// or az://. Default: OUT.state.",
        metavar="ADDRESS",
    ),
]
Address = Annotated[
    str | None,
    typer.Option(
        "--address", help="local (default), auto, ray://HOST:PORT of a cluster, or http://HOST:8265 of its dashboard."
    ),
]
Prices = Annotated[
    Path | None, typer.Option("--prices", help="What machines cost, such as cluster/prices.toml.", metavar="FILE.toml")
]
FailAbove = Annotated[
    float,
    typer.Option(
        "--fail-above",
        min=0.0,
        max=1.0,
        help="The fraction of rows that may fail: up to it the exit code is 0 all the same.",
        metavar="SHARE",
    ),
]
Workers = Annotated[int | None, typer.Option("--workers", min=0, help="Render workers; 0 chooses.")]


def with_engine(assignments: list[str] | None, address: str | None, workers: int | None) -> list[str]:
    """Return assignments with those that options of their own stand for."""
    found = list(assignments or [])
    if address is not None:
        found.append(f"engine.address={json.dumps(address)}")
    if workers is not None:
        found.append(f"engine.workers={workers}")
    return found


def settings_source(job: Path | None, assignments: list[str] | None, preset: str | None) -> SettingsSource:
    """Return the run's settings: preset, then job file, then --set.

    A job file may name its preset as a top-level ``preset = "fast"``.

    Raises:
        SettingsError: The job file or an assignment cannot be read.
    """
    from lipwise_ray.engine.sources import SettingsSource  # noqa: PLC0415  # heavy

    values: dict[str, Any] = read_toml(job) if job else {}
    named = values.pop("preset", None)
    if named is not None and not isinstance(named, str):
        raise SettingsError("preset", f"{job}: preset", "must be a preset's name", repr(named))
    layers: list[tuple[str, dict[str, Any]]] = [(str(job), values)] if job else []
    layers += [(f"--set {clipped(text)}", parse_assignment(text)) for text in assignments or []]
    return SettingsSource(jobs_folder(), preset or named or DEFAULT_PRESET, list(layers))


def models_path(settings: Settings) -> Path:
    """Return the folder of pulled checkpoints: paths.models, LIPWISE_MODELS of the environment, or the user's cache."""
    told = settings.paths.models or os.environ.get("LIPWISE_MODELS")
    if told:
        return whole_path(told)
    cache = os.environ.get("XDG_CACHE_HOME")
    return (Path(cache) if cache else Path.home() / ".cache") / "lipwise-ray" / "models"


def request(
    verb: Literal["submit", "evaluate"],
    files: list[str],
    job: Path | None,
    assignments: list[str] | None,
    preset: str | None,
    out: str,
    address: str | None,
    workers: int | None,
    fail_above: float,
    references: list[str] | None = None,
    *,
    as_json: bool = False,
    shard: str | None = None,
    sent_to: str | None = None,
) -> Request:
    """Return what asked for a run, for `retry`: whole paths, and nothing of whom it tells."""
    from lipwise_ray.state.shapes import Request  # noqa: PLC0415  # heavy

    def whole(place: str) -> str:
        try:
            return str(whole_path(place)) if is_local(place) else place
        except InputError:  # its row says so
            return place

    asked = Request(
        verb=verb,
        files=[whole(file) for file in files],
        references=[whole(file) for file in references or []],
        job=whole(str(job)) if job is not None else None,
        assignments=assignments or [],
        preset=preset,
        out=whole(out),
        address=address,
        workers=workers,
        fail_above=fail_above,
        as_json=as_json,
        shard=shard,
        sent_to=sent_to,
    )
    words = asdict(asked)
    return replace(asked, is_cut=scrub(words) != words)


def registry(settings: Settings) -> Registry:
    """Return the registry of checkpoints."""
    from lipwise_ray.dubbing.placing import mirror_of  # noqa: PLC0415  # heavy
    from lipwise_ray.nets import registry as checkpoints  # noqa: PLC0415  # heavy

    path, folder = models_folder() / "registry.toml", models_path(settings)
    mirror = mirror_of(settings.paths)
    return checkpoints.Registry(path, folder, mirror.has) if mirror else checkpoints.Registry(path, folder)


def out_address(out: str | None, settings: Settings, manifest: str) -> str:
    """Return the folder or prefix that outputs go under.

    Raises:
        SettingsError: It is an address of another kind.
    """
    beside = str(whole_path(manifest).parent) if is_local(manifest) else manifest.rpartition("/")[0]
    return _place(out or settings.paths.out or f"{beside}/out", "--out")


def read_manifest(
    manifest: str, source: SettingsSource, settings: Settings, out: str, copy_of: str | None = None
) -> Manifest:
    """Read and check a manifest of rows that are to be dubbed: a file, or an object, of which a copy is read.

    Args:
        manifest: Its path or address.
        source: The settings of its rows.
        settings: Those of the run.
        out: Where outputs go.
        copy_of: The file that `manifest` is a copy of: relative paths go by where that one is.

    Raises:
        ManifestError: It cannot be used as a whole.
        StorageError: The store refused.
    """
    from lipwise_ray.dubbing import manifest as reading  # noqa: PLC0415  # heavy
    from lipwise_ray.dubbing import media  # noqa: PLC0415  # heavy

    presets, policy = preset_names(source.presets), media.policy_of(settings.paths)
    keeps_extra = settings.manifest.extra == "keep"

    def read(path: Path, at: str | None) -> Manifest:
        return reading.read_manifest(path, out, presets, policy, copy_of or at, keeps_extra=keeps_extra)

    return _read(manifest, settings, read)


def read_evaluation(manifest: str, settings: Settings) -> Manifest:
    """Read and check a manifest of videos that are to be evaluated, as `read_manifest` does.

    Raises:
        ManifestError: It cannot be used as a whole.
        StorageError: The store refused.
    """
    from lipwise_ray.dubbing import evaluation_rows, media  # noqa: PLC0415  # heavy

    policy = media.policy_of(settings.paths)
    keeps_extra = settings.manifest.extra == "keep"

    def read(path: Path, at: str | None) -> Manifest:
        return evaluation_rows.read_evaluation(path, policy, at, keeps_extra=keeps_extra)

    return _read(manifest, settings, read)


def _read(manifest: str, settings: Settings, read: Callable[[Path, str | None], Manifest]) -> Manifest:
    from lipwise_ray.dubbing import media  # noqa: PLC0415  # heavy
    from lipwise_ray.dubbing.manifest import MOST_BYTES  # noqa: PLC0415  # heavy

    if is_local(manifest):
        return read(Path(manifest), None)
    # Whoever runs this names it: what manifests may name does not bound it.
    inputs = media.Media(Policy(STORES), MOST_BYTES, media.cache_of(settings.paths))
    copy = inputs.local(manifest, inputs.identity(manifest))
    try:
        return read(copy, manifest)
    except LipwiseError as error:
        raise inputs.named(error) from error


def state_address(state: str | None, settings: Settings, out: str) -> str:
    """Return where the state is: beside the outputs by default, never among them."""
    return _place(state or settings.paths.state or f"{out}.state", "--state")


def _place(address: str, option: str) -> str:
    if is_local(address) and not _LOST_SLASH.match(address):
        whole_path(address)
        return str(Path(address).expanduser())
    if not is_store(address) or not bucket_and_key(address)[1]:
        raise SettingsError(
            "no_place", option, "must be a folder, or a prefix in a bucket of s3, gs or az", shown(address)
        )
    return address.rstrip("/")
