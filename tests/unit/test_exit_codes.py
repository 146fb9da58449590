"""What commands end with."""

from __future__ import annotations

import errno
import sys
from collections.abc import Callable

import pytest

import lipwise_ray
from lipwise_ray import __main__ as entry
from lipwise_ray.cli import app
from lipwise_ray.errors import SettingsError
from lipwise_ray.exit_codes import ExitCode, of_rows


@pytest.mark.parametrize(
    ("done", "failed", "left", "fail_above", "code"),
    [
        (3, 0, 0, 0.0, ExitCode.DONE),
        (0, 0, 0, 0.0, ExitCode.DONE),
        (19, 1, 0, 0.0, ExitCode.ROWS_FAILED),
        (19, 1, 0, 0.05, ExitCode.DONE),
        (18, 2, 0, 0.05, ExitCode.ROWS_FAILED),
        (0, 5, 0, 1.0, ExitCode.DONE),
        (19, 1, 1, 1.0, ExitCode.STOPPED),
    ],
)
def test_rows_that_may_fail(done: int, failed: int, left: int, fail_above: float, code: ExitCode) -> None:
    """Up to the fraction the run counts as done; what is left is never made up for."""
    assert of_rows(done=done, failed=failed, left=left, fail_above=fail_above) is code


def _raises(error: Exception) -> Callable[..., None]:
    def fails(*_: object, **__: object) -> None:
        raise error

    return fails


@pytest.mark.parametrize(
    ("error", "code", "said"),
    [
        (SettingsError("bad", "lipsync.model", got="is not known"), ExitCode.CANNOT_START, "error: lipsync.model"),
        (ZeroDivisionError("x"), ExitCode.CRASHED, "internal error: ZeroDivisionError"),
        (OSError(errno.EIO, "gone"), ExitCode.CRASHED, "Traceback"),
        (
            PermissionError(errno.EACCES, "Permission denied", "a/b"),
            ExitCode.CANNOT_START,
            "error: a/b: permission denied",
        ),
        (FileNotFoundError(errno.ENOENT, "gone"), ExitCode.CANNOT_START, "error: the working directory"),
        (BrokenPipeError(errno.EPIPE, "closed"), ExitCode.STOPPED, ""),
        (KeyboardInterrupt(), ExitCode.KILLED, ""),
    ],
)
def test_a_crash_is_neither_usage_nor_rows_that_failed(
    error: Exception, code: ExitCode, said: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """What ends a command tells a mistake of the user from a fault of the program and from a stop."""
    monkeypatch.setattr(sys, "argv", ["lipwise-ray", "submit", "m.csv"])
    monkeypatch.setattr(lipwise_ray, "load_settings", _raises(error))
    for stream in ("stdout", "stderr"):  # typer replaces them after a broken pipe
        monkeypatch.setattr(sys, stream, getattr(sys, stream))
    with pytest.raises(SystemExit) as end:
        app.main()
    assert end.value.code == code
    assert said in capsys.readouterr().err


def test_a_program_that_cannot_be_loaded_has_crashed(monkeypatch: pytest.MonkeyPatch) -> None:
    """An installation that is broken does not end with the code of rows that failed, which units take for success."""
    monkeypatch.setitem(sys.modules, "lipwise_ray.cli.app", None)
    with pytest.raises(SystemExit) as end:
        entry.main()
    assert end.value.code == ExitCode.CRASHED
