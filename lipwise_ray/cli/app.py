"""The `lipwise-ray` command."""

from __future__ import annotations

import errno
import os
import traceback
from typing import Annotated

import typer

import lipwise_ray
from lipwise_ray.backends.ray import last_exit
from lipwise_ray.cli import (
    backlog,
    checks,
    clean,
    cluster,
    cluster_files,
    control,
    demo,
    diarise,
    doctor,
    dub,
    evaluate,
    explain,
    init,
    inspect,
    jobs,
    models,
    node_agent,
    preview,
    serve,
    settings,
    status,
    synth,
    train,
    verify,
)
from lipwise_ray.cli.logs import LogLevel, log_from
from lipwise_ray.cli.terminal import all_arrived, print_plainly, warn_plainly
from lipwise_ray.errors import LipwiseError, SetupError, ran_out_of_memory
from lipwise_ray.exit_codes import ExitCode, of_error
from lipwise_ray.malloc_arenas import keep_few_arenas
from lipwise_ray.settings.layers import clipped
from lipwise_ray.storage.redact import redact
from lipwise_ray.threads import let_threads_sleep

app = typer.Typer(
    name="lipwise-ray",
    help="Dub videos in bulk: lips follow a new audio track, on a laptop or a Ray cluster.\n\n"
    "Exit codes: 0 all done, 1 some rows failed, 2 bad usage or settings, or nothing could start, 3 stopped in order, "
    "run again to go on, 4 a fault of this program, 5 a run on a cluster that is no longer followed, 130 killed by a "
    "second Ctrl-C.",
    no_args_is_help=True,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
)


_NO_TEMPORARY = "No usable temporary directory"
"""Beginning of what Python says where no folder takes temporary files."""

_NO_HOME = "Could not determine home directory."
"""All that Python says of it, with an error of no kind of its own."""

_REFUSALS = frozenset({errno.EACCES, errno.EPERM, errno.EROFS, errno.ENAMETOOLONG, errno.ELOOP, errno.ENOTDIR})


def _version(show: bool) -> None:  # noqa: FBT001  # typer calls it with the option's value
    if show:
        typer.echo(f"lipwise-ray {lipwise_ray.__version__}")
        raise typer.Exit


@app.callback()
def top(
    *,
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version and exit.")
    ] = False,
    verbose: Annotated[
        bool, typer.Option("-v", "--verbose", help="Log rows, notes and attempts on standard error: --log-level info.")
    ] = False,
    log_level: Annotated[
        LogLevel | None, typer.Option("--log-level", help="Log from this level on. Default: nothing is logged.")
    ] = None,
) -> None:
    """Hold the options of all commands."""
    del version  # it has ended the command already
    if log_level is not None or verbose:
        log_from(log_level or LogLevel.INFO)


app.command("init")(init.init)
app.command("demo")(demo.demo)
app.command("dub", cls=dub.DubCommand)(dub.dub)
app.command("submit")(jobs.submit)
app.command("serve")(serve.serve)
app.command("validate")(checks.validate)
app.command("plan")(checks.plan)
app.command("preview")(preview.preview)
app.command("inspect")(inspect.inspect)
app.command("verify")(verify.verify)
app.command("diarise")(diarise.diarise)
app.command("settings")(settings.settings)
app.command("status")(status.status)
app.command("explain")(explain.explain)
app.command("retry")(control.retry)
app.command("cancel")(control.cancel)
app.command("logs")(cluster.logs)
app.command("reproduce")(control.reproduce)
app.command("report")(status.report)
app.command("tracks")(status.tracks)
app.command("clean")(clean.clean)
app.command("doctor")(doctor.doctor)
app.command("node-agent")(node_agent.node_agent)
app.add_typer(backlog.app, name="backlog")
app.add_typer(cluster_files.app, name="cluster")
app.add_typer(evaluate.app, name="evaluate")
app.add_typer(models.app, name="models")
app.add_typer(synth.app, name="synth")
app.add_typer(train.app, name="train")


def _refused_place(error: Exception) -> LipwiseError | None:
    """Return the plain error for a path that the system will not have; none of this program's doing."""
    if isinstance(error, FileNotFoundError) and error.filename is None:  # only asking where one is has no name to give
        if (tried := error.strerror or "").startswith(_NO_TEMPORARY):
            do = "Make room in one of them, or set TMPDIR to a folder that can be written"
            return SetupError("no_temporary", "temporary files", got=tried[0].lower() + tried[1:], do=do)
        return SetupError("no_cwd", "the working directory", got="was removed", do="Change to another one")
    if isinstance(error, RuntimeError) and str(error) == _NO_HOME:
        got = "not known: HOME is not set, and this user has none, or ~NAME names nobody"
        return SetupError("no_home", "the home folder", got=got, do="Set HOME to a folder that can be written")
    if not isinstance(error, OSError) or error.filename is None or error.errno not in _REFUSALS:
        return None
    where = os.fsdecode(error.filename) if isinstance(error.filename, (str, bytes)) else repr(error.filename)
    return SetupError("refused_place", clipped(where), got=(error.strerror or "").lower(), do="Check the path")


def _want_of_memory(error: Exception) -> LipwiseError | None:
    """Return the plain error for memory that ran out where no task had it, as while a model is loaded."""
    if not ran_out_of_memory(error):
        return None
    lines = str(error).splitlines() or [type(error).__name__]
    do = "What is done is kept: end other work or take a larger machine, then run it again"
    return SetupError("no_memory", "memory", got=f"ran out: {clipped(lines[0])}", do=do)


def main() -> None:
    """Run the command; turn errors into one line and an exit code."""
    print_plainly()
    warn_plainly()
    let_threads_sleep(os.environ)  # processes that this one starts have it too
    keep_few_arenas(os.environ)  # while it has one
    os.environ.setdefault("SVT_LOG", "1")  # the AV1 encoder would print its settings for every segment
    code = _run()
    if not all_arrived() and code == ExitCode.DONE:
        code = ExitCode.STOPPED
    last_exit.end(code)


def _run() -> int:
    try:
        app(standalone_mode=True)
    except LipwiseError as error:
        typer.echo(redact(f"error: {error}"), err=True)
        return of_error(error)
    except SystemExit as end:
        if isinstance(end.__context__, BrokenPipeError):  # typer's own code for that, 1, would be one of failed rows
            return ExitCode.STOPPED
        return end.code if isinstance(end.code, int) else ExitCode.DONE
    except Exception as error:  # noqa: BLE001  # the last place where it can be told from rows that failed
        if refused := _refused_place(error) or _want_of_memory(error):
            typer.echo(redact(f"error: {refused}"), err=True)
            return ExitCode.CANNOT_START
        typer.echo(redact(traceback.format_exc()), err=True, nl=False)
        what = f"internal error: {type(error).__name__}: {error}"
        typer.echo(
            redact(f"error: {what}. What is done is kept: run the same command again, and report this."), err=True
        )
        return ExitCode.CRASHED
    return ExitCode.DONE
