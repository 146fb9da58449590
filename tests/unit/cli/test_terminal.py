"""What the command prints."""

from __future__ import annotations

import errno
import io
import os
import pty
import subprocess
import sys
from pathlib import Path
from typing import TextIO, cast

import pytest

from lipwise_ray.cli.app import main
from lipwise_ray.cli.terminal import PlainStream
from lipwise_ray.errors import StorageError
from tests.support.dub import command


def test_names_of_files_are_printed_plainly(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A manifest's own name and cells with escape sequences reach neither stream as they are."""
    evil = "\x1b]0;owned\x07\u202e"
    path = tmp_path / f"m{evil}.csv"
    path.write_text(f"id,video,audio,output,{evil}\n", "utf-8")
    monkeypatch.setattr(sys, "argv", ["lipwise-ray", "validate", str(path)])
    for name in ("stdout", "stderr"):
        monkeypatch.setattr(sys, name, getattr(sys, name))  # put back afterwards
    with pytest.raises(SystemExit):
        main()
    said = capsys.readouterr()
    text = said.out + said.err
    assert "owned" in text
    assert not set("\x1b\x07\u202e") & set(text)


@pytest.mark.parametrize(
    ("words", "where", "code"),
    [
        (("models", "list"), "<&- >&- 2>&-", 0),
        (("models", "list"), ">/dev/full", 2),
        (("status", "nowhere"), ">/dev/full 2>&1", 2),
    ],
)
def test_streams_that_take_nothing(words: tuple[str, ...], where: str, code: int, tmp_path: Path) -> None:
    """Closed ones and those on a full disk neither end what only tells of its work, nor change its exit code."""
    line = f'exec "$@" {where}'
    done = subprocess.run(
        ["sh", "-c", line, "sh", *command(*words)], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert (done.returncode, "Traceback" in done.stderr) == (code, False), done.stderr


class _Full(io.StringIO):
    def write(self, text: str) -> int:
        raise OSError(errno.ENOSPC, f"no room for {len(text)} characters")


def test_a_log_may_be_full() -> None:
    """What is said on standard error may get lost; what was asked for on standard output may not."""
    print("a line", file=cast("TextIO", PlainStream(_Full(), may_get_lost=True)), flush=True)
    with pytest.raises(StorageError):
        print("a line", file=cast("TextIO", PlainStream(_Full())))


@pytest.mark.parametrize(("term", "has_bars"), [("xterm", True), ("", True), ("dumb", False)])
def test_a_terminal_that_cannot_draw_has_no_bars(term: str, *, has_bars: bool) -> None:
    """It would show nothing until the end of a run; lines every few seconds it can show."""
    terminal, stream = pty.openpty()
    code = "from lipwise_ray.cli.terminal import shows_bars; print(shows_bars())"
    environment = {**os.environ, "TERM": term}
    done = subprocess.run(
        [sys.executable, "-c", code], env=environment, stdout=subprocess.PIPE, stderr=stream, check=True
    )
    for number in (terminal, stream):
        os.close(number)
    assert done.stdout.decode().strip() == str(has_bars)
