"""`lipwise-ray doctor`: is this machine fit, and if not, what to do."""

from __future__ import annotations

import importlib
import importlib.metadata
import json
import os
import platform
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated

import typer

import lipwise_ray
from lipwise_ray.cli import cluster, node_checks, setup
from lipwise_ray.errors import LipwiseError, SettingsError
from lipwise_ray.exit_codes import ExitCode
from lipwise_ray.settings.model import Settings
from lipwise_ray.storage.address import is_web
from lipwise_ray.storage.redact import redact

_DRIVERS_PACKAGES = ("ray", "av", "opencv-python-headless", "scipy", "numpy", "obstore")
_PACKAGES = ("torch", *_DRIVERS_PACKAGES)
_RAY = "ray starts"
_LOW_DISK_BYTES = 10 << 30


def doctor(
    *,
    job: setup.Job = None,
    assignments: setup.Set = None,
    folder: Annotated[Path, typer.Option("--disk", help="Folder whose free space matters.")] = Path(),
    address: setup.Address = None,
    out: setup.Out = None,
    state: setup.State = None,
    quick: Annotated[
        bool, typer.Option("--quick", help="Only what is installed, GPU and disk: for the health of a container.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object per line.")] = False,
) -> None:
    """Show whether this machine, or a cluster, can do what a job needs: one line each, with what to do.

    Versions, GPU, disk, Ray; of the job's settings the encoder and every checkpoint, and what `auto` stands for. With
    --address on every node of the cluster, and whether all of them read and write --out and --state.
    """
    settings = lipwise_ray.load_settings(job=job, assignments=assignments or ()).for_run()
    places = [place for place in (out or settings.paths.out, state or settings.paths.state) if place]
    if address is None:
        checks = _findings(settings, folder, quick=True) if quick else _whole(settings, folder)
    elif is_web(address):
        checks = cluster.findings(address, job, assignments or [], places)
    else:
        checks = node_checks.everywhere(address, settings, places, check_here)
    code = ExitCode.DONE
    for good, name, detail in checks:
        text = redact(detail)  # of a cluster's node it goes into a log
        if not good:
            code = max(code, ExitCode.CANNOT_START if name == _RAY else ExitCode.ROWS_FAILED)
        if as_json:
            typer.echo(json.dumps({"good": good, "name": name, "text": text}))
        else:
            typer.echo(f"{'ok  ' if good else 'MISS'} {name:10} {text}")
    raise typer.Exit(code)


def check_here(settings: Settings, *, computes: bool) -> Iterator[node_checks.NodeCheck]:
    """Yield the checks of a node for a job: all but whether a Ray starts there, which has.

    Args:
        settings: What the job needs.
        computes: Whether Ray has CPUs or GPUs there; else only drivers run there, which load no network.
    """
    from lipwise_ray.storage.cache import machine_folder

    folder = Path(settings.paths.scratch or machine_folder())
    if computes:
        yield from _findings(settings, folder, quick=False)
        return
    yield from _installed(_DRIVERS_PACKAGES)
    yield _disk_line(folder)
    yield from _weights(settings)


def _whole(settings: Settings, folder: Path) -> Iterator[node_checks.NodeCheck]:
    yield from _findings(settings, folder, quick=False)
    yield _ray_line()


def _findings(settings: Settings, folder: Path, *, quick: bool) -> Iterator[node_checks.NodeCheck]:
    yield from _installed(_PACKAGES)
    try:
        import av

        importlib.import_module("torch")  # whether it loads
    except ImportError as error:  # installed, but what they stand on is not
        yield False, "packages", f"cannot be loaded: {error}. Install torch and av again, with what they need"
        return

    yield True, "ffmpeg", ".".join(str(n) for n in av.library_versions["libavcodec"]) + " (libavcodec, in PyAV's wheel)"
    yield from gpu_lines()
    yield _disk_line(folder)
    if quick:
        return
    yield onnx_line()
    from lipwise_ray.media.encode import opening_encoders

    opening = opening_encoders()
    yield "libx264" in opening, "encoders", ", ".join(opening) or "none opens. Reinstall av"
    codecs = settings.encode.codecs
    if not {"auto", *opening}.intersection(codecs):
        yield False, "encoder", f"encode.codec = {', '.join(codecs)}: does not open here. Choose one of those above"
    yield downloader_line(settings)
    yield signing_line(settings)
    yield from _weights(settings)


def downloader_line(settings: Settings) -> node_checks.NodeCheck:
    """Return the version of yt-dlp; where it is missing, that is a fault only if a job asks for it.

    Args:
        settings: The job's.
    """
    try:
        return True, "yt-dlp", importlib.metadata.version("yt-dlp")
    except importlib.metadata.PackageNotFoundError:
        is_needed = settings.paths.downloader != "none"
        do = "Run `pip install 'lipwise-ray[web]'`" if is_needed else "Only paths.downloader needs it, the extra `web`"
        return not is_needed, "yt-dlp", f"not installed. {do}"


def signing_line(settings: Settings) -> node_checks.NodeCheck:
    """Return the signer of delivered files; that there is none is a fault only where a job asks for it.

    Args:
        settings: The job's.
    """
    from lipwise_ray.credentials.signer import signer_of

    marking = settings.marking
    if marking.c2pa == "off":
        return True, "signing", "off (marking.c2pa)"
    try:
        signer = signer_of(marking)
    except LipwiseError as error:
        return not marking.is_needed, "signing", f"outputs are not signed: {error}"
    trust = ": self-made, on nobody's list of trusted ones" if signer.is_self_made else ""
    warning = f". {signer.warning}" if signer.warning else ""
    return True, "signing", f"by {signer.name.name} ({signer.algorithm}{trust}), {signer.certificate}{warning}"


def _installed(packages: tuple[str, ...]) -> Iterator[node_checks.NodeCheck]:
    yield True, "python", platform.python_version()
    for package in packages:
        try:
            yield True, package, importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            yield False, package, "not installed. Run `pip install lipwise-ray`"


def gpu_lines() -> Iterator[tuple[bool, str, str]]:
    """Yield the GPUs that this process sees: in a worker's container those that were passed on to it."""
    import torch

    from lipwise_ray.lipsync.planes_check import planes_for
    from lipwise_ray.nets.bfloat16 import has_bfloat16_cpu
    from lipwise_ray.nets.visible_gpus import visible_gpus

    gpus = visible_gpus(os.environ)
    if torch.cuda.is_available():
        yield True, "gpu", f"{torch.cuda.get_device_name()} x {torch.cuda.device_count()}"
        yield True, "faces", planes_for("cuda").reason
        yield _engine_line()
        if gpus.encoder_problem:
            yield not gpus.lacks_capability, "gpu", gpus.encoder_problem
        return
    reason = ""
    if torch.version.cuda is not None:
        try:
            torch.cuda.init()
        except (RuntimeError, AssertionError) as error:
            reason = str(error).splitlines()[0]
    speed = "bfloat16 in hardware" if has_bfloat16_cpu() else "float32 only"
    why = gpus.why_none(torch.version.cuda, reason)
    yield not why, "gpu", why or f"none: rendering runs on {torch.get_num_threads()} CPU threads ({speed})"
    if not why:
        yield _runtime_line()


def _engine_line() -> node_checks.NodeCheck:
    """Return the codecs of the GPU's video engine, and why it does not do the others."""
    from lipwise_ray.lipsync.video_engine import hardware_encoding, video_engine
    from lipwise_ray.media.encode import is_hardware, opening_encoders

    engine = video_engine("cuda", stays=False)
    outcomes = engine.table() if engine is not None else ()
    decodes = ", ".join(str(one.kind) for one in outcomes if not one.problem) or "nothing"
    others = "".join(f"; {one.kind} in software: {one.problem}" for one in outcomes if one.problem)
    encoders, encoding = [*filter(is_hardware, opening_encoders())], hardware_encoding("cuda")
    plain = [
        f"; {name} not from its memory: {why}" for name in encoders if encoding and (why := encoding.problem(name))
    ]
    encodes = ", ".join(encoders) or "nothing"
    return True, "video", f"the GPU decodes {decodes} and encodes {encodes}{others}{''.join(plain)}"


def _runtime_line() -> tuple[bool, str, str]:
    from lipwise_ray.nets.runtimes import OPENVINO, is_installed

    if not is_installed(OPENVINO):
        return True, "runtime", "torch. The extra `cpu` brings openvino, which is faster"
    return True, "runtime", f"openvino {importlib.metadata.version(OPENVINO)}, where engine.cpu_runtime allows it"


def onnx_line() -> node_checks.NodeCheck:
    """Return the execution providers of ONNX lip-sync models here."""
    import torch

    from lipwise_ray.nets.onnx_session import providers

    has_gpu = torch.cuda.is_available()
    names = [name.removesuffix("ExecutionProvider") for name in providers("cuda" if has_gpu else "cpu", tensorrt=True)]
    import onnxruntime  # once its telemetry is off

    told = f"onnxruntime {onnxruntime.__version__}: {', '.join(names)}"
    if has_gpu and len(names) == 1:
        told += ". ONNX lip models leave this GPU idle: install onnxruntime-gpu in place of onnxruntime"
    return True, "onnx", told


def _disk_line(folder: Path) -> tuple[bool, str, str]:
    try:
        free = shutil.disk_usage(folder).free
    except OSError as error:
        return False, "disk", f"{folder}: {error.strerror}. Name a folder that is there"
    hint = "" if free > _LOW_DISK_BYTES else ". Free some space, or choose another --out and --state"
    return free > _LOW_DISK_BYTES, "disk", f"{free / 1e9:.0f} GB free at {folder.absolute()}{hint}"


def _weights(settings: Settings) -> Iterator[tuple[bool, str, str]]:
    """Yield the checkpoints that a row without columns of its own needs, and notes on them."""
    from lipwise_ray.pipeline.manifest.row_table import Row
    from lipwise_ray.pipeline.manifest.speakers import Script
    from lipwise_ray.roles.tts import TTS
    from lipwise_ray.runs.run_inputs import registry_of
    from lipwise_ray.runs.validation import NotedRequirements

    requirements = NotedRequirements(registry_of(settings, setup.models_folder()), settings)
    # Whoever names an engine of texts that has networks has texts.
    script = Script("text") if settings.tts.engine in TTS.networks else None
    try:
        needed = requirements.of(settings, Row(line=0, id="", video="", audio="", output="", script=script))
    except LipwiseError as error:  # a setting that asks for what is not there
        yield False, "settings", str(error)
        return
    lacking = requirements.taken()
    yield from ((False, "settings" if isinstance(error, SettingsError) else "weights", str(error)) for error in lacking)
    installed = dict.fromkeys(one.name for one in needed if one.sha256)
    if installed:
        yield True, "weights", ", ".join(installed)
    yield from ((True, "note", note) for note in requirements.notes)


def _ray_line() -> tuple[bool, str, str]:
    from lipwise_ray.backends.ray.environment import guard_local_ray

    guard_local_ray()
    from lipwise_ray.backends.ray.session import check  # after the guard

    problem = check()
    return not problem, _RAY, problem or f"yes, on loopback, authentication: {os.environ['RAY_AUTH_MODE']}"
