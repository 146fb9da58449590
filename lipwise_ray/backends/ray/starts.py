"""Workers that do not begin: where that happened, what their logs say, and when there is nowhere left to try."""

from __future__ import annotations

import os
import time
from collections import defaultdict
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from lipwise_ray.errors import LipwiseError, SetupError
from lipwise_ray.scheduler.task import Lane

MOST_FAILED = 3
"""Starts that fail on a node before it is left out."""

UNKNOWN = ""
"""The node of a worker for which Ray chose one, and that did not begin."""

_NO_ENVIRONMENT = "worker_environment"
_LOG_TAIL_BYTES = 8192
_TAIL_LINES = 6


class Starts:
    """Counts failed starts by lane and node, and remembers the latest reason."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._failed: dict[tuple[Lane, str], int] = defaultdict(int)
        self._why: BaseException | None = None
        self._clock = clock
        self._since_s: dict[Lane, float] = {}

    def begun(self, lane: Lane, node: str) -> None:
        """Take note of a worker that begins: what failed before on its node is forgiven."""
        self._failed.pop((lane, node), None)
        self._failed.pop((lane, UNKNOWN), None)
        self._since_s.pop(lane, None)

    def failed(self, lane: Lane, node: str, why: BaseException, *, for_good: bool = False) -> None:
        """Take note of one that does not.

        Args:
            lane: Lane of the worker.
            node: Id of its node; `UNKNOWN` where Ray was to choose one.
            why: The error.
            for_good: Another try would end the same, so the node is left out at once.
        """
        self._failed[lane, node] += MOST_FAILED if for_good else 1
        self._why = why
        self._since_s.setdefault(lane, self._clock())

    def is_broken(self, lane: Lane, node: str) -> bool:
        """Tell whether a node is to be left out."""
        return self._failed.get((lane, node), 0) >= MOST_FAILED

    def broken(self, lane: Lane) -> list[str]:
        """Return the nodes that are to be left out."""
        return [node for of, node in self._failed if of == lane and node != UNKNOWN and self.is_broken(of, node)]

    def has_no_way(self, lane: Lane, nodes: list[str], patience_s: float) -> bool:
        """Tell whether every node is to be left out, or those that Ray chose failed, and so for a while.

        Args:
            lane: Lane of the workers.
            nodes: Ids of the nodes that they may run on.
            patience_s: Seconds for which starts have to have failed.
        """
        lost = self.is_broken(lane, UNKNOWN) or all(self.is_broken(lane, node) for node in nodes)
        now = self._clock()
        return bool(nodes) and lost and now - self._since_s.get(lane, now) >= patience_s

    @property
    def is_of_a_node(self) -> bool:
        """True where the latest reason is one node's alone: others, which may still come, are none the worse for it."""
        return isinstance(self._why, SetupError) and self._why.code == _NO_ENVIRONMENT

    def error(self) -> SetupError:
        """Return the error with which the run stops."""
        if isinstance(self._why, SetupError):
            return self._why
        if isinstance(self._why, LipwiseError):  # of its node's disk, say
            why = self._why
            return SetupError("worker_start", why.where, got=why.got, must=why.must, do=why.do)
        said = (str(self._why).strip().splitlines() or [""])[-1]
        do = "Check memory and `lipwise-ray doctor`; ask for fewer --workers"
        return SetupError("worker_start", "workers", got=f"did not start: {said}" if said else "did not start", do=do)


def late(worker: str, node: str, start_s: float, log: str) -> SetupError:
    """Return the error of a worker that was given its time and did not begin.

    Args:
        worker: Its name.
        node: Where it was to live; empty where that is not known.
        start_s: The time it was given.
        log: The end of its log, empty where it left none.
    """
    quoted = "".join(f"\n    {line}" for line in log.splitlines())
    said = f"Its log ends with:{quoted}\n" if log else "It left no log. "
    do = f"{said}Check memory and `lipwise-ray doctor`, or give it longer (engine.start_s)"
    where = f"worker {worker} on node {node[:12]}" if node else f"worker {worker}"
    return SetupError("worker_late", where, got=f"did not begin within {start_s:g} s", do=do)


def no_environment(node: str, error: Exception) -> SetupError:
    """Return the error of a worker whose node could not lay out what a run brings: the program, its files.

    Args:
        node: Where that was; empty where it is not known.
        error: Ray's.
    """
    where = f"node {node[:12]}" if node else "a node that joined"
    said = [line.strip() for line in str(error).splitlines() if line.strip()][1:]  # the first says what the class does
    got = said[-1].rstrip(".") if said else "Ray gave no reason"
    do = "See runtime_env_setup-*.log of Ray there: its disk, and its way to the head"
    return SetupError(_NO_ENVIRONMENT, where, got=f"could not unpack the program and the run's files: {got}", do=do)


def words_of_start(scratch: str, worker: str, ray_logs: str) -> tuple[bool, str]:
    """Tell whether a worker's process came to write a log; return the end of it too, or of Ray's log of its node.

    Args:
        scratch: The folder of temporary files.
        worker: The worker's name.
        ray_logs: The folder of Ray's own logs.
    """
    own = _latest(Path(scratch) / "logs", f"{worker}-*.log")
    if own:
        return True, _tail(own)
    return False, words_of_ray(ray_logs)


def words_of_ray(ray_logs: str) -> str:
    """Return the end of Ray's own logs of a node: whoever starts processes tells what keeps them from running."""
    return _tail(_latest(Path(ray_logs), "worker-*.err")) or _tail(_latest(Path(ray_logs), "raylet.err"))


def _latest(folder: Path, pattern: str) -> Path | None:
    found: list[tuple[float, Path]] = []
    for path in folder.glob(pattern):
        with suppress(FileNotFoundError):  # Ray moves its logs on
            facts = path.stat()
            found += [(facts.st_mtime, path)] if facts.st_size else []
    return max(found)[1] if found else None


def _tail(path: Path | None) -> str:
    lines = log_end(path).splitlines() if path is not None else []
    return "\n".join([line.rstrip() for line in lines if line.strip()][-_TAIL_LINES:])


def log_end(path: Path) -> str:
    """Return the end of a log, empty where it cannot be read."""
    try:
        with path.open("rb") as file:
            file.seek(max(0, file.seek(0, os.SEEK_END) - _LOG_TAIL_BYTES))
            return file.read().decode("utf-8", "replace")
    except OSError:
        return ""
