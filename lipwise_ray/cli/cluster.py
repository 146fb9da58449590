"""Runs on a running cluster, watched from here: what commands do with `--address http://HOST:8265`."""

from __future__ import annotations

import json
import platform
import shutil
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from lipwise_ray.cli import node_checks, setup
from lipwise_ray.cli.stopping import interruptible
from lipwise_ray.errors import LipwiseError, ManifestError, SettingsError, SetupError, StateError
from lipwise_ray.exit_codes import ExitCode
from lipwise_ray.settings import Settings
from lipwise_ray.storage.address import is_local, is_web, whole_path

if TYPE_CHECKING:
    from lipwise_ray.engine.cluster_jobs import ClusterJobs, JobLine

Dashboard = Annotated[
    str | None,
    typer.Option("--address", help="Ask a cluster by its dashboard instead.", metavar="http://HOST:8265"),
]


@dataclass(frozen=True, slots=True)
class Sent:
    """A `submit` as it was typed."""

    manifest: str
    job: Path | None
    assignments: list[str]
    preset: str | None
    out: str | None
    state: str | None
    workers: int | None
    fail_above: float
    as_json: bool
    verify: bool = False
    shard: str | None = None


def send(sent: Sent, settings: Settings, *, name: str | None, detach: bool) -> int:
    """Send a run to a cluster and follow it; return the exit code.

    Raises:
        LipwiseError: Something that the run needs is not there, or the cluster refuses.
    """
    from lipwise_ray.engine.following import how_to_follow  # noqa: PLC0415  # only for this
    from lipwise_ray.engine.shipping import write_program  # noqa: PLC0415  # the same

    address = settings.engine.address
    if not (sent.out or settings.paths.out):
        raise SettingsError(
            "no_place", "--out", "must be named for a cluster", "none", "Name a prefix in a bucket, or a shared folder"
        )
    out = setup.out_address(sent.out, settings, sent.manifest)
    places = {"--out": out, "--state": setup.state_address(sent.state, settings, out)}
    places = {option: str(whole_path(place)) if is_local(place) else place for option, place in places.items()}
    if is_local(sent.manifest) and not Path(sent.manifest).is_file():
        raise ManifestError("manifest_unreadable", sent.manifest, "must be a file", "none", "Check the path")
    jobs = connect(address)
    jobs.must_fit()
    with tempfile.TemporaryDirectory(prefix="lipwise-") as temporary:
        folder = Path(temporary) / "run"
        folder.mkdir()
        words = [*_words(sent, folder), *(word for pair in places.items() for word in pair), "--address", "auto"]
        key = f"{places['--state']} {sent.shard}" if sent.shard else places["--state"]
        program = write_program(Path(temporary))
        try:
            with interruptible():
                chosen, fresh = jobs.submit(name, key, words, folder, program)
        except KeyboardInterrupt:
            typer.echo("\nit may have been sent: the same command finds it, or sends it", err=True)
            return ExitCode.DISCONNECTED
    typer.echo(f"{'sent' if fresh else 'there already'}: {chosen} on {jobs.address}")
    for option, place in places.items():
        if is_local(place):
            typer.echo(f"note: {option} {place} must be a folder that all of the cluster's machines share", err=True)
    if detach:
        typer.echo(f"follow it: {how_to_follow(chosen, jobs.address)}")
        return 0
    return _follow(jobs, chosen)


def _words(sent: Sent, folder: Path) -> Iterator[str]:
    """Return the command line over there; the small files that it names are copied into the folder."""
    yield "submit"
    if is_local(sent.manifest):
        manifest = whole_path(sent.manifest)
        shutil.copyfile(manifest, folder / manifest.name)
        yield from (manifest.name, "--copy-of", str(manifest))
    else:
        yield sent.manifest
    if sent.job is not None:
        shutil.copyfile(sent.job, folder / "job.toml")
        yield from ("--job", "job.toml", "--job-of", str(whole_path(str(sent.job))))
    if sent.preset is not None:
        yield from ("--preset", sent.preset)
    for text in sent.assignments:
        yield from ("--set", text)
    if sent.workers is not None:
        yield from ("--workers", str(sent.workers))
    if sent.fail_above:
        yield from ("--fail-above", str(sent.fail_above))
    if sent.as_json:
        yield "--json"
    if sent.verify:
        yield "--verify"
    if sent.shard:
        yield from ("--shard", sent.shard)


def connect(address: str) -> ClusterJobs:
    """Return the jobs of a cluster.

    Raises:
        SettingsError: The address is none of a dashboard, or what talks to it is not installed.
        SetupError: It cannot be reached, or refuses the token.
    """
    if not is_web(address):
        raise SettingsError("bad_usage", "--address", "must be http://HOST:PORT or https://HOST:PORT", address)
    if find_spec("aiohttp") is None:  # Ray's client loads without it, and fails later
        raise SetupError(
            "no_extra", "--address", "needs Ray's client", "not installed", "pip install 'lipwise-ray[cluster]'"
        )
    from lipwise_ray.engine.cluster_jobs import ClusterJobs  # noqa: PLC0415  # heavy

    return ClusterJobs(address)


def _follow(jobs: ClusterJobs, name: str) -> int:
    from lipwise_ray.engine.following import follow, how_to_follow  # noqa: PLC0415  # with Ray's client

    def tell(text: str) -> None:
        typer.echo(text, err=True)

    try:
        with interruptible():
            ended = follow(jobs, name, lambda text: typer.echo(text, nl=False), tell)
    except KeyboardInterrupt:
        tell(f"\n{name} goes on; follow it again: {how_to_follow(name, jobs.address)}")
        return ExitCode.DISCONNECTED
    if ended.exit_code:
        tell(f"{name}: {ended.status.lower()}{_why(ended)}")
    return ended.exit_code


def _why(line: JobLine) -> str:
    return f": {line.message.splitlines()[0]}" if line.message else ""


def logs(
    name: Annotated[str, typer.Argument(help="The run's id, as `submit` printed it.", metavar="ID")],
    *,
    address: Annotated[str, typer.Option("--address", help="The cluster's dashboard.", metavar="http://HOST:8265")],
    follow: Annotated[bool, typer.Option("--follow", help="Go on until the run ends; end with its exit code.")] = False,
) -> None:
    """Show what a run on a cluster has printed."""
    jobs = connect(address)
    jobs.must_find(name)
    if follow:
        raise typer.Exit(_follow(jobs, name))
    typer.echo(jobs.logs(name), nl=False)


def show_status(address: str, name: str | None, *, as_json: bool) -> None:
    """List the runs of a cluster, or one of them.

    Raises:
        LipwiseError: There is none of that name, or the cluster refuses.
    """
    jobs = connect(address)
    found = [jobs.must_find(name)] if name else jobs.runs()
    for one in found:
        if as_json:
            record = {"id": one.id, "status": one.status, "message": one.message, "began_s": one.began_s}
            typer.echo(json.dumps({**record, "exit_code": one.exit_code if one.ended else None}))
            continue
        began = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(one.began_s)) if one.began_s else "not yet"
        typer.echo(f"{one.id}: {one.status.lower()}, begun {began}{_why(one) if one.status == 'FAILED' else ''}")
    if not found and not as_json:
        typer.echo(f"no runs on {jobs.address}")


def stop(address: str, name: str) -> None:
    """Ask a run on a cluster to end.

    Raises:
        LipwiseError: There is none of that name at work, or the cluster refuses.
    """
    jobs = connect(address)
    if jobs.must_find(name).ended:
        raise StateError("not_running", name, "must be at work", "it has ended", "There is nothing to cancel")
    jobs.stop(name)
    typer.echo(f"asked for the end of {name}; what is done stays done")


def findings(
    address: str, job: Path | None, assignments: list[str], places: list[str]
) -> Iterator[node_checks.Finding]:
    """Compare this machine with a cluster, and look at each of its nodes.

    Args:
        address: Of its dashboard.
        job: The settings file of the job that is meant.
        assignments: Its single settings.
        places: What all nodes have to read and write.
    """
    try:
        jobs = connect(address)
    except LipwiseError as error:
        yield False, "cluster", str(error)
        return
    yield True, "cluster", f"answers at {jobs.address}"
    try:
        jobs.must_fit()
        there = jobs.probe()
    except LipwiseError as error:
        yield False, "cluster", str(error)
        return
    from importlib.metadata import version  # noqa: PLC0415  # after the cluster answered

    here = {"python": platform.python_version(), "ray": version("ray")}
    for name, ours in here.items():
        same = ours.split(".")[:2] == str(there[name]).split(".")[:2]
        hint = "" if same else ". Runs that are sent to the dashboard do not mind; for ray:// both must be equal"
        yield True, name, f"{there[name]} there, {ours} here{hint}"
    missing = [name for name, found in there["packages"].items() if not found]
    yield (
        not missing,
        "packages",
        f"missing there: {', '.join(missing)}. Use the image of cluster/image" if missing else "are there",
    )
    gpus = int(there["gpus"])
    yield True, "nodes", f"{there['nodes']} alive, {gpus or 'no'} GPUs{'' if gpus else ' (yet): runs would use CPUs'}"
    if not missing:
        yield from _of_the_nodes(jobs, job, assignments, places)


def _of_the_nodes(
    jobs: ClusterJobs, job: Path | None, assignments: list[str], places: list[str]
) -> Iterator[node_checks.Finding]:
    """Let a job of this program look at every node, and yield what it finds."""
    from lipwise_ray.engine.shipping import write_program  # noqa: PLC0415  # only for this

    words = ["doctor", "--json", "--address", "auto"]
    with tempfile.TemporaryDirectory(prefix="lipwise-") as temporary:
        folder = Path(temporary) / "run"
        folder.mkdir()
        if job is not None:
            shutil.copyfile(job, folder / "job.toml")
            words += ["--job", "job.toml"]
        words += [word for text in assignments for word in ("--set", text)]
        words += [word for option, place in zip(("--out", "--state"), places, strict=False) for word in (option, place)]
        try:
            lines = jobs.ask(words, folder, write_program(Path(temporary)))
        except LipwiseError as error:
            yield False, "nodes", str(error)
            return
    found = [json.loads(line) for line in lines if line.startswith('{"good": ')]
    yield from ((bool(one["good"]), str(one["name"]), str(one["text"])) for one in found)
    if not found:
        yield False, "nodes", f"must tell what they find, got {' / '.join(lines[-2:]) or 'nothing'}"
