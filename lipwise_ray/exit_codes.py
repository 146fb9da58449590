"""Exit codes of the command. Schedulers decide by these numbers, so each has one meaning."""

from __future__ import annotations

from enum import IntEnum

from lipwise_ray.errors import DisconnectedError, EngineError, LipwiseError


class ExitCode(IntEnum):
    """Exit code of a command: the way it ended."""

    DONE = 0
    """Every row is done. Of `verify`: every file is the one that was signed."""
    ROWS_FAILED = 1
    """The run went to its end; some rows failed, more than was allowed for. Of `verify`: a file is unsigned, changed or
    unreadable, or its signer is not one of those that are trusted."""
    CANNOT_START = 2
    """Usage, settings, weights, state or workers: nothing could start, and will not until that is put right."""
    STOPPED = 3
    """Stopped in order before the end; the same command goes on."""
    CRASHED = 4
    """A fault of the program itself. What was finished is kept, and the same command goes on."""
    DISCONNECTED = 5
    """A run on a cluster is no longer followed: it may go on there. Sent again, it is found and followed."""
    KILLED = 130
    """A second Ctrl-C or SIGTERM: stopped at once."""


def of_rows(*, failed: int, done: int, left: int, fail_above: float = 0.0) -> ExitCode:
    """Return the exit code of a run.

    Args:
        failed: Rows that failed.
        done: Rows that are done.
        left: Rows that were not worked on to their end.
        fail_above: Fraction of the rows that may fail, in [0, 1].
    """
    if left:
        return ExitCode.STOPPED
    return ExitCode.ROWS_FAILED if failed > fail_above * (failed + done) else ExitCode.DONE


def of_lenient_night(code: ExitCode, *, stopped: bool) -> ExitCode:
    """Return the exit code of a night whose failed rows, and rows left when its window closed, are no failure.

    Args:
        code: Of its rows.
        stopped: Something else than its window ended it early.
    """
    is_fine = code is ExitCode.ROWS_FAILED or (code is ExitCode.STOPPED and not stopped)
    return ExitCode.DONE if is_fine else code


def of_error(error: BaseException) -> ExitCode:
    """Return the exit code of a command that an error ends."""
    if isinstance(error, DisconnectedError):
        return ExitCode.DISCONNECTED
    if isinstance(error, EngineError):
        return ExitCode.STOPPED
    if isinstance(error, LipwiseError):
        return ExitCode.CANNOT_START
    return ExitCode.CRASHED if isinstance(error, Exception) else ExitCode.KILLED
