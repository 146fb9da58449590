"""Arenas of malloc that a worker's process has."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from lipwise_ray.malloc_arenas import MOST_ARENAS, few_arenas, keep_few_arenas

# Threads that are there at once, each with an arena where there is one for it; then as many others.
_COUNTED = """
import contextlib, ctypes, os, re, sys, tempfile, threading
from lipwise_ray.cli.app import main
from lipwise_ray.malloc_arenas import keep_few_arenas

how, took = sys.argv.pop(1), False
if how == "few":
    took = keep_few_arenas(os.environ)
elif how == "command":
    sys.argv.append("--version")
    with contextlib.suppress(SystemExit):
        main()
libc = ctypes.CDLL(None)
libc.malloc.restype = libc.fopen.restype = ctypes.c_void_p
libc.malloc.argtypes = [ctypes.c_size_t]
all_there = threading.Barrier(6)

def work():
    all_there.wait()
    assert libc.malloc(1000)  # by ctypes, which lets the other threads run
    all_there.wait()

threads = [threading.Thread(target=work) for _ in range(6)]
for one in threads:
    one.start()
for one in threads:
    one.join()
with tempfile.NamedTemporaryFile() as told:
    file = ctypes.c_void_p(libc.fopen(told.name.encode(), b"w"))
    libc.malloc_info(0, file)
    libc.fclose(file)
    print(took, len(re.findall(rb"<heap nr=", told.read())))
"""


def _counted(how: str, **variables: str) -> tuple[str, int]:
    environment = {"PATH": os.environ["PATH"], **variables}
    done = subprocess.run(
        [sys.executable, "-c", _COUNTED, how], env=environment, capture_output=True, text=True, check=True
    )
    took, count = done.stdout.splitlines()[-1].split()
    return took, int(count)


@pytest.mark.skipif("CS_GNU_LIBC_VERSION" not in os.confstr_names, reason="no glibc here")
def test_threads_share_few_arenas() -> None:
    """Six threads have more by glibc's own choice; what the environment says stays."""
    assert _counted("many")[1] > MOST_ARENAS
    assert _counted("few") == ("True", MOST_ARENAS)
    assert _counted("command")[1] == MOST_ARENAS  # it has one while it begins
    assert _counted("many", **few_arenas({})) == ("False", MOST_ARENAS)
    assert _counted("few", MALLOC_ARENA_MAX="4") == ("False", 4)
    assert _counted("few", GLIBC_TUNABLES="glibc.malloc.arena_max=3") == ("False", 3)


def test_an_environment_that_says_how_many_is_left_alone() -> None:
    """By the variable, and by glibc's tunables; whoever starts processes hands on what it has."""
    assert few_arenas({"MALLOC_ARENA_MAX": "8"}) == {"MALLOC_ARENA_MAX": "8"}
    assert not keep_few_arenas(few_arenas({}))
    assert not keep_few_arenas({"GLIBC_TUNABLES": "glibc.malloc.check=0:glibc.malloc.arena_max=8"})
