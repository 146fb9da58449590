"""Runs on a running cluster, watched from here: what commands do with `--address http://HOST:8265`."""

from __future__ import annotations

import json
import platform
import shutil
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from lipwise_ray.cli import node_checks
from lipwise_ray.cli.stopping import interruptible
from lipwise_ray.errors import LipwiseError, StateError
from lipwise_ray.exit_codes import ExitCode
from lipwise_ray.storage.address import is_local

if TYPE_CHECKING:
    from lipwise_ray.backends.ray.cluster_jobs import ClusterJobs, JobLine
    from lipwise_ray.runs.sending import RunToSend, SmokeTestToSend

Dashboard = Annotated[
    str | None,
    typer.Option("--address", help="Ask a cluster by its dashboard instead.", metavar="http://HOST:8265"),
]


def send(run: RunToSend | SmokeTestToSend, *, name: str | None, detach: bool) -> int:
    """Send a run to a cluster and follow it; return the exit code.

    Args:
        run: The run.
        name: Id of the run; None for a new one. One that the cluster has is not sent again.
        detach: Return once it is sent.

    Raises:
        LipwiseError: Something that the run needs is not there, or the cluster refuses.
    """
    from lipwise_ray.backends.ray.following import how_to_follow
    from lipwise_ray.runs.sending import packed

    with packed(run) as parcel:
        try:
            with interruptible():
                chosen, fresh = parcel.send(name)
        except KeyboardInterrupt:
            typer.echo("\nit may have been sent: the same command finds it, or sends it", err=True)
            return ExitCode.DISCONNECTED
    address = parcel.jobs.address
    typer.echo(f"{'sent' if fresh else 'there already'}: {chosen} on {address}")
    for option, place in parcel.places.items():
        if is_local(place):
            typer.echo(f"note: {option} {place} must be a folder that all of the cluster's machines share", err=True)
    if detach:
        typer.echo(f"follow it: {how_to_follow(chosen, address)}")
        return 0
    return _follow(parcel.jobs, chosen)


def _follow(jobs: ClusterJobs, name: str) -> int:
    from lipwise_ray.backends.ray.following import follow, how_to_follow

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
    follow: Annotated[
        bool, typer.Option("--follow", help="Follow until the run ends, and end with its exit code.")
    ] = False,
) -> None:
    """Show what a run on a cluster has printed."""
    from lipwise_ray.runs.sending import connect

    jobs = connect(address)
    jobs.must_find(name)
    if follow:
        raise typer.Exit(_follow(jobs, name))
    typer.echo(jobs.logs(name), nl=False)


def show_status(address: str, name: str | None, *, as_json: bool) -> None:
    """List the runs of a cluster, or one of them.

    Args:
        address: The cluster's dashboard.
        name: Id of a run; None for all.
        as_json: Print a JSON object a run.

    Raises:
        LipwiseError: There is none of that name, or the cluster refuses.
    """
    from lipwise_ray.runs.sending import connect

    jobs = connect(address)
    listed = [jobs.must_find(name)] if name else jobs.runs()
    for run in listed:
        if as_json:
            record = {"id": run.id, "status": run.status, "message": run.message, "began_s": run.began_s}
            typer.echo(json.dumps({**record, "exit_code": run.exit_code if run.ended else None}))
            continue
        began = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(run.began_s)) if run.began_s else "not yet"
        typer.echo(f"{run.id}: {run.status.lower()}, begun {began}{_why(run) if run.status == 'FAILED' else ''}")
    if not listed and not as_json:
        typer.echo(f"no runs on {jobs.address}")


def stop(address: str, name: str) -> None:
    """Ask a run on a cluster to end.

    Args:
        address: The cluster's dashboard.
        name: Id of the run.

    Raises:
        LipwiseError: There is none of that name at work, or the cluster refuses.
    """
    from lipwise_ray.runs.sending import connect

    jobs = connect(address)
    if jobs.must_find(name).ended:
        raise StateError("not_running", name, got="has ended already", do="There is nothing to cancel")
    jobs.stop(name)
    typer.echo(f"asked for the end of {name}; what is done stays done")


def findings(
    address: str, job: Path | None, assignments: list[str], places: list[str]
) -> Iterator[node_checks.NodeCheck]:
    """Compare this machine with a cluster, and look at each of its nodes.

    Args:
        address: Of its dashboard.
        job: The settings file of the job that is meant.
        assignments: Its single settings.
        places: What all nodes have to read and write.
    """
    from lipwise_ray.runs.sending import connect

    try:
        jobs = connect(address)
    except LipwiseError as error:
        yield False, "cluster", str(error)
        return
    yield True, "cluster", f"answers at {jobs.address}"
    try:
        jobs.must_fit()
        remote = jobs.probe()
    except LipwiseError as error:
        yield False, "cluster", str(error)
        return
    from importlib.metadata import version

    here = {"python": platform.python_version(), "ray": version("ray")}
    for name, ours in here.items():
        same = ours.split(".")[:2] == str(remote[name]).split(".")[:2]
        hint = "" if same else ". Runs that are sent to the dashboard do not mind; for ray:// both must be equal"
        yield True, name, f"{remote[name]} there, {ours} here{hint}"
    missing = [name for name, found in remote["packages"].items() if not found]
    yield (
        not missing,
        "packages",
        f"missing there: {', '.join(missing)}. Use the image of cluster/image" if missing else "are there",
    )
    gpus = int(remote["gpus"])
    yield True, "nodes", f"{remote['nodes']} alive, {gpus or 'no'} GPUs{'' if gpus else ' (yet): runs would use CPUs'}"
    if not missing:
        yield from _of_the_nodes(jobs, job, assignments, places)


def _of_the_nodes(
    jobs: ClusterJobs, job: Path | None, assignments: list[str], places: list[str]
) -> Iterator[node_checks.NodeCheck]:
    """Let a job of this program look at every node, and yield what it finds."""
    from lipwise_ray.backends.ray.wheel import write_program

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
    checks = [json.loads(line) for line in lines if line.startswith('{"good": ')]
    yield from ((bool(one["good"]), str(one["name"]), str(one["text"])) for one in checks)
    if not checks:
        yield False, "nodes", f"reported nothing of what they found: {' / '.join(lines[-2:]) or 'no output'}"
