"""Cores by affinity and the quotas of control groups, on made-up trees of them."""

from __future__ import annotations

import math
import os
from pathlib import Path

import pytest

from lipwise_ray.cpu_quota import cpu_quota, usable_cores

_V2 = "0::{group}\n"
_V1 = "12:cpu,cpuacct:{group}\n11:memory:/elsewhere\n1:name=systemd:/\n"
_OTHER = "25 1 0:22 / /proc rw - proc proc rw\n"


def _mount(folder: Path, kind: str, root: str = "/", options: str = "rw") -> str:
    escaped = str(folder).replace(" ", "\\040")
    return f"30 25 0:27 {root} {escaped} rw,nosuid shared:9 master:2 - {kind} cgroup {options}\n"


def _process(folder: Path, groups: str, *mounts: str) -> Path:
    folder.mkdir()
    (folder / "cgroup").write_text(groups)
    (folder / "mountinfo").write_text(_OTHER + "".join(mounts))
    return folder


def _v2(folder: Path, allowed: str, period: int = 100_000) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "cpu.max").write_text(f"{allowed} {period}\n")


def _v1(folder: Path, allowed_us: int, period_us: int = 100_000) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "cpu.cfs_quota_us").write_text(f"{allowed_us}\n")
    (folder / "cpu.cfs_period_us").write_text(f"{period_us}\n")


@pytest.mark.parametrize(
    ("outer", "middle", "inner", "expected"),
    [
        ("max", "max", "max", None),
        ("max", "150000", "max", 1.5),
        ("400000", "max", "800000", 4.0),
        ("400000", "max", "50000", 0.5),
    ],
)
def test_the_narrowest_of_nested_groups_counts(
    tmp_path: Path, outer: str, middle: str, inner: str, expected: float | None
) -> None:
    """A pod's container may have more than its pod, and a service more than its slice."""
    tree = tmp_path / "c group"
    _v2(tree / "pods.slice", outer)
    _v2(tree / "pods.slice" / "pod", middle)
    _v2(tree / "pods.slice" / "pod" / "c", inner)
    process = _process(tmp_path / "p", _V2.format(group="/pods.slice/pod/c"), _mount(tree, "cgroup2"))
    assert cpu_quota(process) == expected


def test_the_first_version_is_read_where_its_cpu_controller_is(tmp_path: Path) -> None:
    """Only the hierarchy of CPU time counts, whatever else is mounted; minus one stands for no bound."""
    tree, memory = tmp_path / "cpu", tmp_path / "memory"
    _v1(tree / "docker" / "a", -1)
    _v1(tree / "docker", 250_000)
    _v1(memory / "docker" / "a", 1000)
    mounts = _mount(memory, "cgroup", options="rw,memory"), _mount(tree, "cgroup", options="rw,cpu,cpuacct")
    assert cpu_quota(_process(tmp_path / "p", _V1.format(group="/docker/a"), *mounts)) == 2.5


@pytest.mark.parametrize("group", ["/docker/a", "/"])
def test_a_container_sees_its_own_group_as_the_root(tmp_path: Path, group: str) -> None:
    """Without a namespace of its own a container is told a path that begins above what is mounted for it."""
    tree = tmp_path / "cpu"
    _v1(tree, 300_000)
    mount = _mount(tree, "cgroup", root="/docker/a" if group != "/" else "/", options="rw,cpuacct,cpu")
    assert cpu_quota(_process(tmp_path / "p", _V1.format(group=group), mount)) == 3.0


def test_both_versions_beside_each_other_are_read(tmp_path: Path) -> None:
    """A machine that mounts both may have its CPU controller in either."""
    old, new = tmp_path / "old", tmp_path / "new"
    _v1(old / "x", 700_000)
    _v2(new / "y", "200000")
    groups = _V1.format(group="/x") + _V2.format(group="/y")
    mounts = _mount(old, "cgroup", options="rw,cpu"), _mount(new, "cgroup2")
    assert cpu_quota(_process(tmp_path / "p", groups, *mounts)) == 2.0


@pytest.mark.parametrize("text", ["", "x y\n", "max\n"])
def test_files_that_say_nothing_bound_nothing(tmp_path: Path, text: str) -> None:
    """What cannot be read is no quota: all cores, as before."""
    tree = tmp_path / "t"
    tree.mkdir()
    (tree / "cpu.max").write_text(text)
    assert cpu_quota(_process(tmp_path / "p", _V2.format(group="/"), _mount(tree, "cgroup2"))) is None
    assert cpu_quota(tmp_path / "none") is None


def test_part_of_a_core_counts_as_one_and_affinity_bounds_all(tmp_path: Path) -> None:
    """Cores are whole, at least one, and never more than the scheduler may use."""
    tree, affinity = tmp_path / "t", len(os.sched_getaffinity(0))
    _v2(tree, "30000")
    process = _process(tmp_path / "p", _V2.format(group="/"), _mount(tree, "cgroup2"))
    assert usable_cores(process) == 1
    _v2(tree, str(100_000 * (affinity + 3)))
    assert usable_cores(process) == affinity
    _v2(tree, str(100_000 * affinity - 50_000))
    assert usable_cores(process) == max(1, math.ceil(affinity - 0.5))
