"""What is printed, made fit for a terminal: names and messages of inputs must not move its cursor or set its title."""

from __future__ import annotations

import sys
from collections.abc import Iterable
from io import TextIOWrapper
from typing import Any, TextIO, cast

from lipwise_ray.printable import printable


class PlainStream:
    """A stream of text that spells out what a terminal would act on.

    Args:
        raw: Where it goes; for what draws on the terminal itself, and prints nothing else as it is.
    """

    encoding = "utf-8"
    """Whatever the terminal's: what it does not have is spelt out too, so nobody needs to go around this stream."""

    def __init__(self, raw: TextIO) -> None:
        self.raw = raw
        if isinstance(raw, TextIOWrapper):
            raw.reconfigure(errors="backslashreplace")

    def write(self, text: str) -> int:
        """Write a text."""
        self.raw.write(printable(text))
        return len(text)

    def writelines(self, lines: Iterable[str]) -> None:
        """Write several."""
        for line in lines:
            self.write(line)

    def __getattr__(self, name: str) -> Any:  # noqa: ANN401  # all else is the raw stream's
        return getattr(self.raw, name)


def print_plainly() -> None:
    """Let all that is printed go through plain streams from now on."""
    sys.stdout, sys.stderr = (cast("TextIO", PlainStream(raw_of(one))) for one in (sys.stdout, sys.stderr))


def raw_of(stream: TextIO) -> TextIO:
    """Return the stream behind a plain one."""
    return stream.raw if isinstance(stream, PlainStream) else stream
