"""Threads of a worker: how many each part of the work has, and that none of them spins while it waits or is left alone.

Left alone the threads of a network wait for their next part of the work by spinning. That costs nothing where a core is
free for each. Where cores are shared, with encoders, decoders, other workers, or by a quota, it takes the very time in
which the others would finish what is waited for.
"""

from __future__ import annotations

import threading
from collections.abc import Mapping, MutableMapping
from dataclasses import dataclass

WAIT_POLICY = {
    "OMP_WAIT_POLICY": "PASSIVE",  # libgomp, which torch brings
    "KMP_BLOCKTIME": "0",  # LLVM's and Intel's OpenMP, which CTranslate2 and builds of torch for other systems bring
    "OPENBLAS_THREAD_TIMEOUT": "4",  # NumPy's and SciPy's: 2**4 cycles, its least
}
"""Variables that let libraries' threads sleep while they wait; each is read once, as its library is loaded."""

_OF_NETWORKS = "OMP_NUM_THREADS"
_MOST_DECODERS = 16
"""FFmpeg itself takes no more by its own choice: each holds frames. Source: libavcodec's MAX_AUTO_THREADS."""


@dataclass(frozen=True, slots=True)
class ThreadBudget:
    """Threads of each part of a worker's work; small networks always have one.

    Attributes:
        networks: Of the large networks, on a CPU.
        own_code: Of OpenCV.
        encoder: Of an encoder.
        decoder: Of a decoder.
    """

    networks: int
    own_code: int
    encoder: int
    decoder: int

    @classmethod
    def of(cls, threads: int, networks: int = 0) -> ThreadBudget:
        """Return the budget of a worker.

        Args:
            threads: Its threads; 0 leaves all to the libraries.
            networks: Those of its networks, where that is another number; 0 where it is not.
        """
        return cls(networks or threads, threads, threads, min(threads, _MOST_DECODERS))


def let_threads_sleep(environment: MutableMapping[str, str]) -> None:
    """Set the policy by which waiting threads sleep, where the environment says nothing of it.

    Args:
        environment: Of this process, before any of the libraries is loaded.
    """
    for name, value in WAIT_POLICY.items():
        environment.setdefault(name, value)


def own_network_threads(environment: Mapping[str, str]) -> int:
    """Return the threads of networks that the user's own environment names, 0 where it names none.

    Args:
        environment: Of a process that the user started; Ray's have a number of Ray's.
    """
    named = environment.get(_OF_NETWORKS, "").partition(",")[0].strip()  # a number for each level of nesting
    return int(named) if named.isascii() and named.isdigit() else 0


def join_surely(thread: threading.Thread) -> None:
    """Wait for the end of a thread whose files and frames are closed next; an interrupt is raised only then.

    Raises:
        KeyboardInterrupt: One came meanwhile.
    """
    interrupt: KeyboardInterrupt | None = None
    while thread.is_alive():
        try:
            thread.join()
        except KeyboardInterrupt as error:
            interrupt = error
    if interrupt is not None:
        raise interrupt
