"""The files for Kubernetes: strictly valid, safe, and of one mind."""

from __future__ import annotations

import copy
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support.kube import FOLDER, NEWEST, OLDEST, objects, problems

FILES = sorted(FOLDER.glob("*.yaml"))
_FREE = {"labels", "annotations", "matchLabels", "nodeSelector", "nodeLabels", "rayStartParams", "requests", "limits"}
_FREE |= {"stringData"}
KUEUE = "kueue.x-k8s.io/queue-name"


def _clusters() -> Iterator[tuple[str, dict[str, Any]]]:
    for path in FILES:
        for item in objects(path):
            spec = item.get("spec", {})
            spec = spec.get("jobTemplate", spec) if item["kind"] == "RayCronJob" else spec
            found = spec if item["kind"] == "RayCluster" else spec.get("rayClusterSpec")
            if found:
                yield path.name, found


def _pods() -> Iterator[tuple[str, dict[str, Any]]]:
    for name, cluster in _clusters():
        for group in (cluster["headGroupSpec"], *cluster["workerGroupSpecs"]):
            yield name, group["template"]["spec"]
    (nightly,) = [item for item in objects(FOLDER / "nightly.yaml") if item["kind"] == "CronJob"]
    yield "nightly.yaml", nightly["spec"]["jobTemplate"]["spec"]["template"]["spec"]
    (fill,) = objects(FOLDER / "fill-models.yaml")
    yield "fill-models.yaml", fill["spec"]["template"]["spec"]
    (clean,) = objects(FOLDER / "clean.yaml")
    yield "clean.yaml", clean["spec"]["jobTemplate"]["spec"]["template"]["spec"]


@pytest.mark.parametrize("version", [OLDEST, NEWEST])
@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_every_object_is_valid(path: Path, version: str) -> None:
    """By Kubernetes' own schemas, of an old and a new version, and the fields of KubeRay and Kueue."""
    for item in objects(path):
        assert problems(item, version) == [], item["kind"]


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
    for item in objects(path):
        places = list(_paths(item))
        assert len(places) > 3
        for place in places:
            broken = copy.deepcopy(item)
            inner = broken
            for step in place[:-1]:
                inner = inner[step]
            inner[f"{place[-1]}x"] = inner.pop(place[-1])
            assert problems(broken), place


def _deletion(*rules: dict[str, Any]) -> dict[str, Any]:
    return {"deletionStrategy": {"deletionRules": [*rules]}}


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
        ("RayJob", {"shutdownAfterJobFinishes": True}, "deletionStrategy excludes"),
        ("RayJob", {"ttlSecondsAfterFinished": 300}, "ttlSecondsAfterFinished needs"),
        ("RayJob", {"deletionStrategy": {}}, "needs rules"),
        ("RayJob", _deletion({"policy": "DeleteCluster", "condition": {}}), "has one of"),
        ("RayJob", _deletion({"policy": "DeleteWorkers", "condition": {"jobStatus": "FAILED"}}), "scales itself"),
        ("RayJob", _deletion(*[{"policy": "DeleteSelf", "condition": {"jobStatus": "FAILED"}}] * 2), "two rules"),
        ("RayJob", {"rayClusterSpec": {"headGroupSpec": {"template": {"spec": {}}}}}, "containers"),
    ],
)
def test_what_schemas_miss_is_caught(kind: str, changes: dict[str, Any], word: str) -> None:
    """Rules that live in controllers."""
    item = next(one for path in FILES for one in objects(path) if one["kind"] == kind)
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
    items = [item for path in FILES for item in objects(path)]
    names = {(item["kind"], item.get("metadata", {}).get("name")) for item in items}
    (kustomization,) = [item for item in items if item["kind"] == "Kustomization"]
    made = kustomization["configMapGenerator"]
    for name in (*kustomization["resources"], *(file for one in made for file in one["files"])):
        assert (FOLDER / name).is_file(), name
    names |= {("ConfigMap", one["name"]) for one in made}
    for _, pod in _pods():
        assert ("ServiceAccount", pod["serviceAccountName"]) in names
        for container in pod["containers"]:
            for one in container.get("envFrom", []):
                assert one == {"secretRef": {"name": "lipwise-store", "optional": True}}
            for one in container.get("env", []):
                assert one.get("valueFrom", {}).get("secretKeyRef", {"optional": True})["optional"]
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


def test_gpus_scratch_and_webhooks_reach_the_pods() -> None:
    """Workers ask for the encoder too; scratch is a volume that the pod may fill; the head knows whom to tell."""
    for _, cluster in _clusters():
        head, *workers = (cluster["headGroupSpec"], *cluster["workerGroupSpecs"])
        assert head["template"]["spec"]["containers"][0]["image"].endswith("-head")
        for group in (head, *workers):
            pod = group["template"]["spec"]
            (container,) = pod["containers"]
            told = {one["name"]: one.get("value") for one in container["env"]}
            mounted = {mount["mountPath"]: mount["name"] for mount in container["volumeMounts"]}
            volume = next(one for one in pod["volumes"] if one["name"] == mounted[told["LIPWISE_SCRATCH"]])
            most = container["resources"]["limits"]["ephemeral-storage"]
            assert int(volume["emptyDir"]["sizeLimit"][:-2]) < int(most[:-2])
            if group is head:
                assert "LIPWISE_WEBHOOK" in told
                assert "NVIDIA_DRIVER_CAPABILITIES" not in told
            else:
                assert container["resources"]["limits"]["nvidia.com/gpu"] == "1"
                assert set(told["NVIDIA_DRIVER_CAPABILITIES"].split(",")) == {"compute", "utility", "video"}


def test_spot_comes_first_and_on_demand_after() -> None:
    """The autoscaler prefers spot machines, and has others where there are none; the head is on neither."""
    for _, cluster in _clusters():
        pools = [group["template"]["spec"]["nodeSelector"] for group in cluster["workerGroupSpecs"]]
        assert [list(pool.values()) for pool in pools] == [["gpu-spot"], ["gpu-on-demand"]]
        spot, rest = cluster["workerGroupSpecs"]
        assert spot.get("priority", 0) > rest["priority"]
        assert cluster["headGroupSpec"]["template"]["spec"]["nodeSelector"] not in pools


def _only(name: str, kind: str) -> dict[str, Any]:
    (item,) = [one for one in objects(FOLDER / name) if one["kind"] == kind]
    return item


def test_no_try_outlives_the_timer() -> None:
    """All tries of a night's RayJob fit into what its timer waits, that into a day, and the window into a try."""
    job, timer = _only("rayjob.yaml", "RayJob")["spec"], _only("nightly.yaml", "CronJob")["spec"]
    waits_s = timer["jobTemplate"]["spec"]["activeDeadlineSeconds"]
    assert (job["backoffLimit"] + 1) * job["activeDeadlineSeconds"] < waits_s < 86400
    minute, hour = map(int, timer["schedule"].split()[:2])
    told = dict(zip(words := job["entrypoint"].split(), words[1:], strict=False))
    opens, closes = (int(told[option][:2]) * 3600 for option in ("--from", "--until"))
    begins = hour * 3600 + minute * 60
    assert opens <= begins < closes
    assert closes - begins < job["activeDeadlineSeconds"]
    assert begins + timer["startingDeadlineSeconds"] < closes
    assert _only("raycronjob.yaml", "RayCronJob")["spec"]["jobTemplate"] == job


def test_the_head_and_its_submitter_are_never_taken_away() -> None:
    """However many clusters there are: no count of heads reaches what has to stay, and no pod is under two budgets."""
    head, submitter = objects(FOLDER / "pdb.yaml")
    for budget in (head, submitter):
        assert budget["spec"]["minAvailable"] >= 1000
        assert budget["spec"]["unhealthyPodEvictionPolicy"] == "AlwaysAllow"
    assert "ray.io/node-type" in head["spec"]["selector"]["matchLabels"]
    assert submitter["spec"]["selector"] == {
        "matchExpressions": [
            {"key": "batch.kubernetes.io/job-name", "operator": "Exists"},
            {"key": "ray.io/node-type", "operator": "DoesNotExist"},
        ]
    }


def test_every_image_is_pulled_by_the_registrys_secret() -> None:
    """A RayJob's submitter has another account: KubeRay gives it the secrets of the head's pod alone."""
    for name in ("rayjob.yaml", "raycluster.yaml", "raycronjob.yaml"):
        (item,) = [one for one in objects(FOLDER / name) if one["kind"].startswith("Ray")]
        spec = item["spec"].get("jobTemplate", item["spec"])
        head = spec.get("rayClusterSpec", spec)["headGroupSpec"]["template"]["spec"]
        assert head["imagePullSecrets"] == [{"name": "lipwise-registry"}]


def _quantity(text: str | int) -> float:
    ends = {"m": 1e-3, "Ki": 2**10, "Mi": 2**20, "Gi": 2**30, "Ti": 2**40}
    text = str(text)
    end = next((one for one in ends if text.endswith(one)), "")
    return float(text.removesuffix(end)) * ends.get(end, 1)


def test_kueue_lets_a_whole_night_in() -> None:
    """Every resource that a pod asks for is covered, every pool is a flavor of its own, and all workers fit."""
    flavors = {
        item["metadata"]["name"]: item["spec"]["nodeLabels"]
        for item in objects(FOLDER / "kueue.yaml")
        if item["kind"] == "ResourceFlavor"
    }
    (group,) = _only("kueue.yaml", "ClusterQueue")["spec"]["resourceGroups"]
    quotas = {
        flavor["name"]: {one["name"]: _quantity(one["nominalQuota"]) for one in flavor["resources"]}
        for flavor in group["flavors"]
    }
    assert set(quotas) == set(flavors)
    assert all(list(quota) == group["coveredResources"] for quota in quotas.values())
    cluster = _only("rayjob.yaml", "RayJob")["spec"]["rayClusterSpec"]
    sets = [(1, cluster["headGroupSpec"]), *((one["maxReplicas"], one) for one in cluster["workerGroupSpecs"])]
    for count, one in sets:
        pod = one["template"]["spec"]
        (flavor,) = [name for name, labels in flavors.items() if labels == pod["nodeSelector"]]
        asked = pod["containers"][0]["resources"]["requests"]
        assert set(asked) <= set(group["coveredResources"])
        for name, amount in asked.items():
            assert count * _quantity(amount) <= quotas[flavor][name], (flavor, name)


def test_a_night_in_a_queue_is_one_that_kueue_takes(tmp_path: Path) -> None:
    """With QUEUE the RayJob names its queue and says that it is elastic; without either Kueue would refuse it."""
    done = _start(tmp_path, "echo created", "echo $job/Complete", QUEUE="lipwise")
    assert done.returncode == 0, done.stderr
    (made,) = objects(tmp_path / "made")
    assert made["metadata"]["labels"][KUEUE] == _only("kueue.yaml", "LocalQueue")["metadata"]["name"]
    assert problems(made) == []
    assert "deletionStrategy" not in made["spec"]  # KubeRay takes one of the two
    del made["metadata"]["annotations"]
    assert problems(made) == ["Kueue takes what scales itself only as an elastic job"]


def test_a_failed_nights_cluster_stays_for_half_an_hour() -> None:
    """And that of a good one goes at once; both however the job is called."""
    for spec in (_only("rayjob.yaml", "RayJob")["spec"], _only("raycronjob.yaml", "RayCronJob")["spec"]["jobTemplate"]):
        rules = spec["deletionStrategy"]["deletionRules"]
        assert {rule["policy"] for rule in rules} == {"DeleteCluster"}
        assert [rule["condition"] for rule in rules] == [
            {"jobStatus": "SUCCEEDED", "ttlSeconds": 0},
            {"jobDeploymentStatus": "Failed", "ttlSeconds": 30 * 60},
        ]


def test_a_stopped_nights_cluster_goes(tmp_path: Path) -> None:
    """KubeRay's rules know no stopped job, which is Complete: the script removes its cluster, and may; no other's."""
    done = _start(tmp_path, "echo created", "echo $job/Complete/STOPPED/$job-abc12")
    assert done.returncode == 0, done.stderr
    (deleted,) = [line for line in (tmp_path / "calls").read_text().splitlines() if line.startswith("delete")]
    assert re.fullmatch(r"delete raycluster lipwise-night-\d+-abc12 --ignore-not-found --wait=false", deleted)
    (role,) = [one for one in objects(FOLDER / "nightly.yaml") if one["kind"] == "Role"]
    assert {"apiGroups": ["ray.io"], "resources": ["rayclusters"], "verbs": ["delete"]} in role["rules"]


def test_nights_long_gone_are_removed(tmp_path: Path) -> None:
    """RayJobs of nights before those that are kept go, others stay; that removing fails is no failure of a night."""
    old, new = "2020-01-01T01:15:03Z", "2999-01-01T01:15:03Z"
    names = f"lipwise-night-1/{old} lipwise-night-2/{new} 20200101/{old} other/{old} lipwise-night-3/"
    listing = f"case $* in *items*) echo {names};; *) echo $job/Complete;; esac"
    done = _start(tmp_path, "echo created", listing)
    assert done.returncode == 0, done.stderr
    deleted = [line for line in (tmp_path / "calls").read_text().splitlines() if line.startswith("delete")]
    assert deleted == ["delete rayjob lipwise-night-1 --wait=false"]


@pytest.mark.parametrize(("job", "name"), [("lipwise-nightly-29438475", "29438475"), ("first", "first")])
def test_a_night_is_named_after_its_job(tmp_path: Path, job: str, name: str) -> None:
    """So a trial takes no night's name; and not like the job, as KubeRay makes one of the RayJob's name."""
    assert _start(tmp_path, "echo created", "echo $job/Complete", JOB=job).returncode == 0
    (made,) = objects(tmp_path / "made")
    assert made["metadata"]["name"] == f"lipwise-night-{name}" != job


_KUBECTL = """#!/bin/sh
echo "$@" >> "$FOLDER/calls"
case $*-$1 in
  *items*-get) {get}; exit 0 ;;
esac
case $1 in
  delete) exit 1 ;;
  create) cat > "$FOLDER/made"; {create} ;;
  get) n=$(($(cat "$FOLDER/n" 2>/dev/null || echo 0) + 1)); echo $n > "$FOLDER/n"; job=$3; {get} ;;
esac
"""


def _start(folder: Path, create: str, get: str, **more: str) -> subprocess.CompletedProcess[str]:
    """Run the night's script beside a kubectl that answers so."""
    kubectl = folder / "kubectl"
    kubectl.write_text(_KUBECTL.replace("{create}", create).replace("{get}", get))
    kubectl.chmod(0o755)
    environment = {"KUBECTL": str(kubectl), "WAIT_S": "0", "FOLDER": str(folder), "PATH": "/usr/bin:/bin", **more}
    return subprocess.run(
        ["/bin/sh", str(FOLDER / "start.sh")], env=environment, capture_output=True, text=True, timeout=30, check=False
    )


def test_the_night_waits_for_its_end(tmp_path: Path) -> None:
    """It makes a RayJob named after the date, valid as it is, and ends as that does."""
    done = _start(tmp_path, "echo created", "[ $n -lt 3 ] && echo $job/Running || echo $job/Complete")
    assert done.returncode == 0, done.stderr
    (made,) = objects(tmp_path / "made")
    assert problems(made) == []
    assert made["metadata"]["name"].startswith("lipwise-night-20")
    assert len((tmp_path / "calls").read_text().splitlines()) == 5  # the first looks for nights long gone


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
        ("echo . >> $FOLDER/m; [ $(wc -l < $FOLDER/m) -gt 19 ] || exit 1", "echo $job/Complete", 0, "Complete"),
        ("exit 1", "echo $job/Complete", 1, "no answer, 20 times"),
    ],
)
def test_nights_that_go_otherwise(tmp_path: Path, create: str, get: str, code: int, word: str) -> None:
    """A failure is one; a second start waits for the first; what Kubernetes refuses is told."""
    done = _start(tmp_path, create, get)
    assert done.returncode == code
    assert word in done.stdout + done.stderr
