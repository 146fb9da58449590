"""The files for Kubernetes: strictly valid, safe, and of one mind."""

from __future__ import annotations

import copy
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.conftest import ROOT
from tests.unit.cluster.kube import problems

FOLDER = ROOT / "cluster" / "kuberay"
FILES = sorted(FOLDER.glob("*.yaml"))
_FREE = {"labels", "annotations", "matchLabels", "nodeSelector", "nodeLabels", "rayStartParams", "requests", "limits"}
_FREE |= {"stringData"}


def _objects(path: Path) -> list[dict[str, Any]]:
    return [item for item in yaml.safe_load_all(path.read_text()) if item]


def _clusters() -> Iterator[tuple[str, dict[str, Any]]]:
    for path in FILES:
        for item in _objects(path):
            spec = item.get("spec", {})
            spec = spec.get("jobTemplate", spec) if item["kind"] == "RayCronJob" else spec
            found = spec if item["kind"] == "RayCluster" else spec.get("rayClusterSpec")
            if found:
                yield path.name, found


def _pods() -> Iterator[tuple[str, dict[str, Any]]]:
    for name, cluster in _clusters():
        for group in (cluster["headGroupSpec"], *cluster["workerGroupSpecs"]):
            yield name, group["template"]["spec"]
    (nightly,) = [item for item in _objects(FOLDER / "nightly.yaml") if item["kind"] == "CronJob"]
    yield "nightly.yaml", nightly["spec"]["jobTemplate"]["spec"]["template"]["spec"]


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_every_object_is_valid(path: Path) -> None:
    """Known kinds, known fields, whole."""
    for item in _objects(path):
        assert problems(item) == [], item["kind"]


def _paths(value: Any, at: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Yield the places of all names that a schema knows."""
    if isinstance(value, dict):
        for name, inner in value.items():
            yield (*at, name)
            if name not in _FREE:
                yield from _paths(inner, (*at, name))
    elif isinstance(value, list):
        for number, inner in enumerate(value):
            yield from _paths(inner, (*at, number))


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_a_typo_in_any_name_is_caught(path: Path) -> None:
    """Each field, misspelt, is an unknown one."""
    for item in _objects(path):
        places = list(_paths(item))
        assert len(places) > 3
        for place in places:
            broken = copy.deepcopy(item)
            inner = broken
            for step in place[:-1]:
                inner = inner[step]
            inner[f"{place[-1]}x"] = inner.pop(place[-1])
            assert problems(broken), place


@pytest.mark.parametrize(
    ("kind", "changes", "word"),
    [
        ("RayJob", {"suspend": True, "shutdownAfterJobFinishes": False}, "suspend needs"),
        ("RayJob", {"activeDeadlineSeconds": -1}, "activeDeadlineSeconds"),
        ("RayJob", {"clusterSelector": {"a": "b"}}, "a cluster of the job's own"),
        ("RayCronJob", {"schedule": "15 25 * * *"}, "no cron line"),
        ("RayCronJob", {"schedule": "TZ=UTC 15 1 * * *"}, "no cron line"),
        ("RayCronJob", {"concurrencyPolicy": "Forbid"}, "concurrencyPolicy"),
        ("CronJob", {"schedule": "@nightly"}, "no cron line"),
    ],
)
def test_what_schemas_miss_is_caught(kind: str, changes: dict[str, Any], word: str) -> None:
    """Rules that live in controllers."""
    (item,) = [one for path in FILES for one in _objects(path) if one["kind"] == kind]
    item["spec"].update(changes)
    assert any(word in problem for problem in problems(item))


def test_the_clusters_are_one() -> None:
    """The cluster that stays, the night's and the opt-in timer's have the same spec."""
    found = dict(_clusters())
    assert set(found) == {"raycluster.yaml", "rayjob.yaml", "raycronjob.yaml"}
    assert found["raycluster.yaml"] == found["rayjob.yaml"] == found["raycronjob.yaml"]


def test_pods_are_safe() -> None:
    """No root, no privileges, no token of Kubernetes where none is needed, pinned images, bounds on memory and disk."""
    for name, pod in _pods():
        assert pod["securityContext"]["runAsNonRoot"], name
        assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
        for container in pod["containers"]:
            assert container["securityContext"]["allowPrivilegeEscalation"] is False
            assert container["securityContext"]["capabilities"] == {"drop": ["ALL"]}
            tag = container["image"].rpartition("/")[2].partition(":")[2]
            assert tag, container["image"]
            assert tag != "latest"
            assert {"cpu", "memory"} <= container["resources"]["limits"].keys()
        mounts = {mount["name"] for container in pod["containers"] for mount in container["volumeMounts"]}
        assert mounts == {volume["name"] for volume in pod["volumes"]}
    for _, cluster in _clusters():
        assert cluster["authOptions"] == {"mode": "token", "secretName": "lipwise-auth"}
        head, *workers = (cluster["headGroupSpec"], *cluster["workerGroupSpecs"])
        assert head["rayStartParams"]["num-cpus"] == "0"
        for group in workers:
            spec = group["template"]["spec"]
            assert (group["minReplicas"], spec["automountServiceAccountToken"]) == (0, False)
            assert spec["terminationGracePeriodSeconds"] > 90
            shm = next(volume for volume in spec["volumes"] if volume["name"] == "shm")
            assert shm["emptyDir"]["medium"] == "Memory"


def test_what_is_named_is_there() -> None:
    """Accounts, secrets, claims, config maps and files that objects name."""
    items = [item for path in FILES for item in _objects(path)]
    names = {(item["kind"], item.get("metadata", {}).get("name")) for item in items}
    (kustomization,) = [item for item in items if item["kind"] == "Kustomization"]
    made = kustomization["configMapGenerator"]
    for name in (*kustomization["resources"], *(file for one in made for file in one["files"])):
        assert (FOLDER / name).is_file(), name
    names |= {("ConfigMap", one["name"]) for one in made}
    for _, pod in _pods():
        assert ("ServiceAccount", pod["serviceAccountName"]) in names
        for volume in pod["volumes"]:
            for kind, key, field in (
                ("PersistentVolumeClaim", "persistentVolumeClaim", "claimName"),
                ("ConfigMap", "configMap", "name"),
            ):
                if key in volume:
                    assert (kind, volume[key][field]) in names
    assert ("Secret", "lipwise-auth") in names
    (binding,) = [item for item in items if item["kind"] == "RoleBinding"]
    assert (binding["roleRef"]["kind"], binding["roleRef"]["name"]) in names


_KUBECTL = """#!/bin/sh
echo "$@" >> "$FOLDER/calls"
case $1 in
  create) cat > "$FOLDER/made"; {create} ;;
  get) n=$(($(cat "$FOLDER/n" 2>/dev/null || echo 0) + 1)); echo $n > "$FOLDER/n"; job=$3; {get} ;;
esac
"""


def _start(folder: Path, create: str, get: str) -> subprocess.CompletedProcess[str]:
    """Run the night's script beside a kubectl that answers so."""
    kubectl = folder / "kubectl"
    kubectl.write_text(_KUBECTL.replace("{create}", create).replace("{get}", get))
    kubectl.chmod(0o755)
    environment = {"KUBECTL": str(kubectl), "WAIT_S": "0", "FOLDER": str(folder), "PATH": "/usr/bin:/bin"}
    return subprocess.run(
        ["/bin/sh", str(FOLDER / "start.sh")], env=environment, capture_output=True, text=True, timeout=30, check=False
    )


def test_the_night_waits_for_its_end(tmp_path: Path) -> None:
    """It makes a RayJob named after the date, valid as it is, and ends as that does."""
    done = _start(tmp_path, "echo created", "[ $n -lt 3 ] && echo $job/Running || echo $job/Complete")
    assert done.returncode == 0, done.stderr
    (made,) = _objects(tmp_path / "made")
    assert problems(made) == []
    assert made["metadata"]["name"].startswith("lipwise-nightly-20")
    assert len((tmp_path / "calls").read_text().splitlines()) == 4


@pytest.mark.parametrize(
    ("create", "get", "code", "word"),
    [
        ("echo created", "echo $job/Failed", 1, "Failed"),
        ("echo created", "exit 0", 1, "is gone"),
        ("echo created", "exit 1", 1, "no answer, 20 times"),
        (
            "echo created",
            "[ $((n % 4)) = 0 ] || exit 1; [ $n -lt 8 ] && echo $job/ || echo $job/Complete",
            0,
            "Complete",
        ),
        ("echo created", "echo Throttled >&2; echo $job/Complete", 0, "Complete"),
        ("echo 'Error (AlreadyExists): rayjobs' >&2; exit 1", "echo $job/Complete", 0, "was started before"),
        ("echo 'Error: forbidden' >&2; exit 1", "echo $job/Complete", 1, "forbidden"),
    ],
)
def test_nights_that_go_otherwise(tmp_path: Path, create: str, get: str, code: int, word: str) -> None:
    """A failure is one; a second start waits for the first; what Kubernetes refuses is told."""
    done = _start(tmp_path, create, get)
    assert done.returncode == code
    assert word in done.stdout + done.stderr
