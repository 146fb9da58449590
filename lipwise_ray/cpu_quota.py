"""Cores that this process may use: its affinity, and the CPU quota of the control groups around it.

Neither Python nor psutil knows of quotas: a pod with two cores' worth of a machine of 64 would get 64 threads, which
the kernel stops for most of each period.
"""

from __future__ import annotations

import math
import os
import re
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path, PurePosixPath

_SELF = Path("/proc/self")
_ESCAPE = re.compile(r"\\([0-7]{3})")
_V2, _V1, _CPU = "cgroup2", "cgroup", "cpu"


def usable_cores(process: Path = _SELF) -> int:
    """Return the number of cores that this process may keep busy, at least 1: part of a core counts as one.

    Args:
        process: Its folder in `/proc`.
    """
    affinity = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    quota = cpu_quota(process)
    return max(1, affinity if quota is None else min(affinity, math.ceil(quota)))


def cpu_quota(process: Path = _SELF) -> float | None:
    """Return the cores' worth of time that control groups leave to a process, None where none bounds it.

    Groups are nested, and the narrowest of them counts. Both versions are read, as a machine may have both.

    Args:
        process: The process's folder in `/proc`.

    Source: proc_pid_mountinfo(5), cgroups(7); the kernel's cgroup-v2.rst (`cpu.max`) and sched-bwc.rst (`cpu.cfs_*`).
    """
    try:
        groups = (process / "cgroup").read_text("utf-8").splitlines()
        mounts = (process / "mountinfo").read_text("utf-8").splitlines()
    except (OSError, ValueError):  # another system, or a sandbox without /proc
        return None
    return min((quota for folder in _folders(groups, mounts) if (quota := _quota(folder)) is not None), default=None)


def _folders(groups: list[str], mounts: list[str]) -> Iterator[Path]:
    """Yield the folders of a process's groups, from the innermost outwards, in every hierarchy that bounds CPU time."""
    paths: dict[str, str] = {}  # by the version of the hierarchy
    for line in groups:
        number, _, rest = line.partition(":")
        controllers, _, path = rest.partition(":")
        if number == "0" and not controllers:
            paths[_V2] = path
        elif _CPU in controllers.split(","):
            paths[_V1] = path
    for line in mounts:
        before, _, after = line.partition(" - ")
        fields, kind = before.split(" "), after.split(" ")
        version = kind[0]
        if version not in paths or (version == _V1 and _CPU not in kind[-1].split(",")):
            continue
        root, mount = (_ESCAPE.sub(lambda found: chr(int(found[1], 8)), field) for field in fields[3:5])
        inside = PurePosixPath(paths[version])
        # In a container the mount may begin at its group, whose path is still told as the machine sees it.
        below = inside.relative_to(root) if inside.is_relative_to(root) else PurePosixPath()
        yield Path(mount, below)
        for parent in below.parents:
            yield Path(mount, parent)


def _quota(folder: Path) -> float | None:
    """Return the bound of one group, None where it has none."""
    with suppress(OSError, ValueError):
        allowed, period = (folder / "cpu.max").read_text("ascii").split()
        return None if allowed == "max" else int(allowed) / int(period)
    with suppress(OSError, ValueError, ZeroDivisionError):
        allowed_us = int((folder / "cpu.cfs_quota_us").read_text("ascii"))
        return None if allowed_us <= 0 else allowed_us / int((folder / "cpu.cfs_period_us").read_text("ascii"))
    return None
