"""Arenas of glibc's malloc: heaps that its threads are spread over, of which each keeps what it has had.

Every chunk brings threads of its own, and a thread takes whichever arena is free. What was freed in one arena is no
room for another, so with glibc's own choice, eight arenas a core, a worker takes more memory chunk by chunk while it
uses no more.
"""

from __future__ import annotations

import ctypes
from collections.abc import Mapping

MOST_ARENAS = 2

_VARIABLE = "MALLOC_ARENA_MAX"
_TUNABLES, _TUNABLE = "GLIBC_TUNABLES", "glibc.malloc.arena_max"
_M_ARENA_MAX = -8
"""Source: glibc malloc/malloc.h."""


def few_arenas(environment: Mapping[str, str]) -> dict[str, str]:
    """Return the variables that keep a process to few arenas from its start on.

    Args:
        environment: Of the process that starts it; what that says stays.
    """
    return {_VARIABLE: environment.get(_VARIABLE, str(MOST_ARENAS))}


def keep_few_arenas(environment: Mapping[str, str]) -> bool:
    """Keep this process to few arenas from now on, unless its environment says how many it has.

    A process that has eight already keeps its own bound: glibc looks it up once.

    Args:
        environment: Of this process.

    Returns:
        Whether its allocator took the bound: that of other systems has no arenas of this kind.
    """
    if _VARIABLE in environment or _TUNABLE in environment.get(_TUNABLES, ""):
        return False
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    return mallopt is not None and bool(mallopt(_M_ARENA_MAX, MOST_ARENAS))
