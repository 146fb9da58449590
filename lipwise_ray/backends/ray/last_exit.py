"""End of this process: in order, or at once where a native library would crash on its way out."""

from __future__ import annotations

import os
import sys
from contextlib import suppress

_at_once: list[str] = []


def must_be_at_once(why: str) -> None:
    """Take note that the process cannot end in order any more."""
    _at_once.append(why)


def end(code: int) -> None:
    """End the process with a code; everything has been closed."""
    if not _at_once:
        sys.exit(code)
    for stream in (sys.stdout, sys.stderr):
        with suppress(OSError, ValueError):  # closed, or nobody reads any more
            stream.flush()
    os._exit(code)
