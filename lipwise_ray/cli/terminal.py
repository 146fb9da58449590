"""Text made fit for a terminal: names and messages of inputs must not move its cursor or set its title."""

from __future__ import annotations

import os
import sys
import warnings
from collections.abc import Generator, Iterable
from contextlib import contextmanager
from io import TextIOWrapper
from pathlib import Path
from typing import Any, TextIO, cast

from lipwise_ray.errors import StorageError
from lipwise_ray.printable import printable
from lipwise_ray.settings.renamed import OldNameWarning
from lipwise_ray.storage.redact import redact

_CANNOT_DRAW = ("dumb", "unknown")
"""Terminals, by TERM, whose cursor cannot be moved: bars would show nothing until the end."""


class PlainStream:
    """A stream of text that spells out control characters, which a terminal would act on.

    Args:
        raw: Where it goes; for what draws on the terminal itself, and prints nothing else as it is.
        may_get_lost: A disk that takes no more is no reason to end, as with a log of what is said meanwhile.
    """

    encoding = "utf-8"
    """Whatever the terminal's: what it does not have is spelt out too, so nobody needs to go around this stream."""

    def __init__(self, raw: TextIO, *, may_get_lost: bool = False) -> None:
        self.raw = raw
        self._may_get_lost = may_get_lost
        if isinstance(raw, TextIOWrapper):
            raw.reconfigure(errors="backslashreplace")

    def write(self, text: str) -> int:
        """Write a text.

        Raises:
            StorageError: The disk takes no more.
        """
        with self._arriving():
            self.raw.write(printable(text))
        return len(text)

    def flush(self) -> None:
        """Let what was written arrive.

        Raises:
            StorageError: The disk takes no more.
        """
        with self._arriving():
            self.raw.flush()

    @contextmanager
    def _arriving(self) -> Generator[None]:
        try:
            yield
        except BrokenPipeError:  # whoever reads has had enough
            raise
        except OSError as error:
            if self._may_get_lost:
                return
            got = error.strerror or "an error"
            raise StorageError("not_printed", "the output", got=f"cannot be written: {got}", do="Make room") from error

    def writelines(self, lines: Iterable[str]) -> None:
        """Write several."""
        for line in lines:
            self.write(line)

    def __getattr__(self, name: str) -> Any:  # noqa: ANN401  # all else is the raw stream's
        return getattr(self.raw, name)


def print_plainly() -> None:
    """Let all that is printed go through plain streams from now on, into nothing where there is no stream."""
    for name, mode in (("stdin", "r"), ("stdout", "w"), ("stderr", "w")):
        if getattr(sys, name) is None:  # closed: the next file to be opened would take its number, and what is printed
            setattr(sys, name, Path(os.devnull).open(mode))  # noqa: SIM115  # stays open
    sys.stdout = cast("TextIO", PlainStream(raw_of(sys.stdout)))
    sys.stderr = cast("TextIO", PlainStream(raw_of(sys.stderr), may_get_lost=True))


def warn_plainly() -> None:
    """Let warnings that are for the user be lines like others from now on, without a place in the source."""
    by_python = warnings.showwarning

    def show(  # as Python calls it
        message: Warning | str,
        category: type[Warning],
        filename: str,
        lineno: int,
        file: TextIO | None = None,
        line: str | None = None,
    ) -> None:
        if issubclass(category, OldNameWarning):
            print(redact(f"warning: {message}"), file=file or sys.stderr)  # the terminal's own
        else:
            by_python(message, category, filename, lineno, file, line)

    warnings.showwarning = show


def all_arrived() -> bool:
    """Tell whether all that was printed on standard output has arrived; what cannot is dropped, on both streams."""
    arrived = True
    for stream in (sys.stdout, sys.stderr):
        raw = raw_of(stream)
        try:
            raw.flush()
        except OSError:
            arrived = arrived and stream is sys.stderr
            # Else the interpreter fails at it once more, with a code of its own.
            os.dup2(os.open(os.devnull, os.O_WRONLY), raw.fileno())
    return arrived


def shows_bars() -> bool:
    """Tell whether standard error is a terminal on which bars can be drawn, as rich knows them."""
    return sys.stderr.isatty() and os.environ.get("TERM", "").lower() not in _CANNOT_DRAW


def raw_of(stream: TextIO) -> TextIO:
    """Return the stream behind a plain one."""
    return stream.raw if isinstance(stream, PlainStream) else stream
