"""The objects for Kubernetes, and what is wrong with one: by published schemas, and by the fields of KubeRay and Kueue.

Strict about unknown fields, which Kubernetes itself drops without a word. Of KubeRay 1.7 and Kueue 0.15 the names and
kinds of all fields stand here, as their CRDs have them; what they share with Kubernetes goes by its schemas.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import jsonschema
import yaml
from kubernetes_validate.utils import schema_contents
from referencing import Registry, Resource

from tests.conftest import ROOT

OLDEST, NEWEST = "1.30", "1.37"
"""Versions of Kubernetes that the files are for."""

FOLDER = ROOT / "cluster" / "kuberay"
_FOLDER = "kubernetes-json-schema/v{version}.0-local-strict"
_TEXT, _NUMBER, _FLAG, _COUNT = (
    {"type": "string"},
    {"type": "integer"},
    {"type": "boolean"},
    {"type": "integer", "minimum": 0},
)
_POSITIVE = {"type": "integer", "minimum": 1}
_QUANTITY = {"type": ["string", "integer"], "pattern": r"^\d+(\.\d+)?(m|Ki|Mi|Gi|Ti|k|M|G)?$"}
_TEXTS, _WORDS = [_TEXT], {"*": _TEXT}


def objects(path: Path) -> list[dict[str, Any]]:
    """Return the objects of a file."""
    return [item for item in yaml.safe_load_all(path.read_text()) if item]


def _core(name: str) -> dict[str, Any]:
    """Return a reference to a type of Kubernetes."""
    group = "apimachinery.pkg.apis.meta.v1" if name in ("ObjectMeta", "LabelSelector") else "api.core.v1"
    return {"$ref": f"kubernetes#/$defs/io.k8s.{group}.{name}"}


def _words(*choices: str) -> dict[str, Any]:
    return {"enum": list(choices)}


_POD, _META = _core("PodTemplateSpec"), _core("ObjectMeta")
_RESOURCES, _ENV = _core("ResourceRequirements"), [_core("EnvVar")]
_DELETION = {"policy!": _words("DeleteCluster", "DeleteWorkers", "DeleteSelf", "DeleteNone")}
_RAY_CLUSTER = {
    "authOptions": {"mode": _words("token", "disabled"), "secretName": _TEXT, "enableK8sTokenAuth": _FLAG},
    "autoscalerOptions": {
        "args": _TEXTS,
        "command": _TEXTS,
        "env": _ENV,
        "envFrom": [_core("EnvFromSource")],
        "idleTimeoutSeconds": _COUNT,
        "image": _TEXT,
        "imagePullPolicy": _words("IfNotPresent", "Always", "Never"),
        "resources": _RESOURCES,
        "securityContext": _core("SecurityContext"),
        "upscalingMode": _words("Default", "Aggressive", "Conservative"),
        "version": _words("v1", "v2"),
        "volumeMounts": [_core("VolumeMount")],
    },
    "enableInTreeAutoscaling": _FLAG,
    "gcsFaultToleranceOptions": {"*": {}},
    "headGroupSpec!": {
        "enableIngress": _FLAG,
        "headService": {"*": {}},
        "ingressOptions": {"*": {}},
        "labels": _WORDS,
        "rayStartParams": _WORDS,
        "resources": _WORDS,
        "serviceType": _words("ClusterIP", "NodePort", "LoadBalancer"),
        "template!": _POD,
    },
    "headServiceAnnotations": _WORDS,
    "historyServerOptions": {"*": {}},
    "managedBy": _words("ray.io/kuberay-operator", "kueue.x-k8s.io/multikueue"),
    "networkPolicy": {"*": {}},
    "rayVersion": _TEXT,
    "suspend": _FLAG,
    "tlsOptions": {"enabled": _FLAG},
    "upgradeStrategy": {"type": _words("Recreate", "None")},
    "workerGroupSpecs": [
        {
            "groupName!": _TEXT,
            "idleTimeoutSeconds": _COUNT,
            "labels": _WORDS,
            "maxReplicas!": _COUNT,
            "minReplicas!": _COUNT,
            "numOfHosts": _POSITIVE,
            "priority": _NUMBER,
            "rayStartParams": _WORDS,
            "replicas": _COUNT,
            "resources": _WORDS,
            "scaleStrategy": {"workersToDelete": _TEXTS},
            "suspend": _FLAG,
            "template!": _POD,
        }
    ],
}
_RAY_JOB = {
    "activeDeadlineSeconds": _POSITIVE,
    "backoffLimit": _COUNT,
    "clusterSelector": _WORDS,
    "deletionStrategy": {
        "deletionRules": [
            {
                **_DELETION,
                "condition!": {
                    "jobStatus": _words("SUCCEEDED", "FAILED"),
                    "jobDeploymentStatus": _words("Failed"),
                    "ttlSeconds": _COUNT,
                },
            }
        ],
        "onFailure": _DELETION,
        "onSuccess": _DELETION,
    },
    "entrypoint": _TEXT,
    "entrypointNumCpus": {"type": "number"},
    "entrypointNumGpus": {"type": "number"},
    "entrypointResources": _TEXT,
    "jobId": _TEXT,
    "managedBy": _words("ray.io/kuberay-operator", "kueue.x-k8s.io/multikueue"),
    "metadata": _WORDS,
    "preRunningDeadlineSeconds": _POSITIVE,
    "rayClusterSpec": _RAY_CLUSTER,
    "runtimeEnvYAML": _TEXT,
    "shutdownAfterJobFinishes": _FLAG,
    "submissionMode": _words("K8sJobMode", "HTTPMode", "InteractiveMode", "SidecarMode"),
    "submitterConfig": {"backoffLimit": _COUNT},
    "submitterPodTemplate": _POD,
    "suspend": _FLAG,
    "ttlSecondsAfterFinished": _COUNT,
}
_QUOTA = {"name!": _TEXT, "nominalQuota!": _QUANTITY, "borrowingLimit": _QUANTITY, "lendingLimit": _QUANTITY}
CUSTOM: dict[str, dict[str, Any]] = {
    "ray.io/v1 RayCluster": {"metadata!": _META, "spec!": _RAY_CLUSTER},
    "ray.io/v1 RayJob": {"metadata!": _META, "spec!": _RAY_JOB},
    "ray.io/v1 RayCronJob": {
        "metadata!": _META,
        "spec!": {"jobTemplate!": _RAY_JOB, "schedule!": _TEXT, "suspend": _FLAG, "timeZone": _TEXT},
    },
    "kueue.x-k8s.io/v1beta2 ResourceFlavor": {
        "metadata!": _META,
        "spec": {
            "nodeLabels": _WORDS,
            "nodeTaints": [_core("Taint")],
            "tolerations": [_core("Toleration")],
            "topologyName": _TEXT,
        },
    },
    "kueue.x-k8s.io/v1beta2 ClusterQueue": {
        "metadata!": _META,
        "spec!": {
            "admissionChecksStrategy": {"*": {}},
            "admissionScope": {"*": {}},
            "cohortName": _TEXT,
            "fairSharing": {"*": {}},
            "flavorFungibility": {"*": {}},
            "namespaceSelector": _core("LabelSelector"),
            "preemption": {"*": {}},
            "queueingStrategy": _words("StrictFIFO", "BestEffortFIFO"),
            "resourceGroups": [
                {"coveredResources!": _TEXTS, "flavors!": [{"name!": _TEXT, "resources!": [_QUOTA]}]},
            ],
            "stopPolicy": _words("None", "Hold", "HoldAndDrain"),
        },
    },
    "kueue.x-k8s.io/v1beta2 LocalQueue": {
        "metadata!": _META,
        "spec!": {
            "clusterQueue!": _TEXT,
            "fairSharing": {"*": {}},
            "stopPolicy": _words("None", "Hold", "HoldAndDrain"),
        },
    },
    "kustomize.config.k8s.io/v1beta1 Kustomization": {
        "resources!": _TEXTS,
        "configMapGenerator": [{"name!": _TEXT, "files!": _TEXTS}],
        "generatorOptions": {"disableNameSuffixHash": _FLAG},
        "namespace": _TEXT,
        "patches": [{"path": _TEXT, "patch": _TEXT, "target": {"kind!": _TEXT, "name": _TEXT}}],
        "images": [{"name!": _TEXT, "newName": _TEXT, "newTag": _TEXT, "digest": _TEXT}],
    },
}
_CRON = re.compile(r"^(\*|\d+)(/\d+)?([,-]\d+)*( (\*|\d+)(/\d+)?([,-]\d+)*){4}$")
_CRON_LIMITS = ((0, 59), (0, 23), (1, 31), (1, 12), (0, 7))


def _schema(told: Any) -> dict[str, Any]:
    """Return the JSON schema of a description: names end in ``!`` where required, ``*`` stands for any."""
    if isinstance(told, list):
        return {"type": "array", "items": _schema(told[0])}
    if not told or "$ref" in told or "enum" in told or isinstance(told.get("type"), str | list):
        return dict(told)
    if "*" in told:
        return {"type": "object", "additionalProperties": _schema(told["*"])}
    return {
        "type": "object",
        "properties": {name.rstrip("!"): _schema(value) for name, value in told.items()},
        "required": [name[:-1] for name in told if name.endswith("!")],
        "additionalProperties": False,
    }


@cache
def _definitions(version: str) -> Resource[Any]:
    found = schema_contents(f"{_FOLDER.format(version=version)}/_definitions.json", version)
    return Resource.from_contents(found)


@cache
def _validator(kind: str, version: str) -> jsonschema.Draft202012Validator | None:
    """Return the validator of a kind, None for one that is not known."""
    definitions = _definitions(version)
    registry = Registry().with_resources([(str(definitions.id()), definitions), ("kubernetes", definitions)])
    if kind in CUSTOM:
        schema = _schema({"apiVersion!": _TEXT, "kind!": _TEXT, **CUSTOM[kind]})
        return jsonschema.Draft202012Validator(schema, registry=registry)
    group, _, name = kind.rpartition(" ")
    short = re.sub(r"^([^./]*)(?:\.[^/]*)?/", r"\1-", group)
    try:
        schema = schema_contents(f"{_FOLDER.format(version=version)}/{name.lower()}-{short}.json", version)
    except FileNotFoundError:
        return None
    return jsonschema.Draft202012Validator(schema, registry=registry)


def problems(item: dict[str, Any], version: str = NEWEST) -> list[str]:
    """Return the problems of an object for a version of Kubernetes."""
    kind = f"{item.get('apiVersion')} {item.get('kind')}"
    validator = _validator(kind, version)
    if validator is None:
        return [f"unknown kind {kind}"]
    found = [f"{list(error.path)}: {error.message[:200]}" for error in validator.iter_errors(item)]
    return found or list(_rules(item))


def _rules(item: dict[str, Any]) -> Iterator[str]:
    """Yield breaches of the rules of controllers beyond their schemas."""
    spec = item.get("spec", {})
    if "schedule" in spec and not _is_cron(spec["schedule"]):
        yield f"schedule: {spec['schedule']!r} is no cron line"
    job = {"RayJob": spec, "RayCronJob": spec.get("jobTemplate")}.get(item["kind"])
    if job is not None:
        yield from _job_rules(job)
    cluster = (job or {}).get("rayClusterSpec", spec if item["kind"] == "RayCluster" else None)
    for group in (cluster or {}).get("workerGroupSpecs", []):
        if not group["minReplicas"] <= group.get("replicas", group["minReplicas"]) <= group["maxReplicas"]:
            yield f"{group['groupName']}: replicas out of bounds"
        if group["template"]["spec"].get("restartPolicy", "Never") != "Never":
            yield f"{group['groupName']}: autoscaler v2 needs restartPolicy Never"
    if item["kind"] == "PodDisruptionBudget" and not isinstance(spec.get("minAvailable"), int):
        yield "pods without a controller that scales need minAvailable as a number"
    if item["kind"] in ("RayJob", "RayCluster"):
        yield from _kueue_rules(item, cluster or {})


def _job_rules(job: dict[str, Any]) -> Iterator[str]:
    if job.get("suspend") and not job.get("shutdownAfterJobFinishes"):
        yield "suspend needs shutdownAfterJobFinishes"
    if job.get("backoffLimit") and ("clusterSelector" in job or job.get("submissionMode") == "InteractiveMode"):
        yield "backoffLimit needs a cluster of the job's own"
    if ("rayClusterSpec" in job) == ("clusterSelector" in job):
        yield "needs a cluster, its own or another"
    if "ttlSecondsAfterFinished" in job and not job.get("shutdownAfterJobFinishes"):
        yield "ttlSecondsAfterFinished needs shutdownAfterJobFinishes"
    if "deletionStrategy" in job:
        yield from _deletion_rules(job)


def _deletion_rules(job: dict[str, Any]) -> Iterator[str]:
    """Yield what KubeRay's validation refuses in rules of deletion (controllers/ray/utils/validation.go)."""
    if job.get("shutdownAfterJobFinishes"):
        yield "deletionStrategy excludes shutdownAfterJobFinishes"
    rules, seen = job["deletionStrategy"].get("deletionRules", []), set[tuple[str, str]]()
    if not rules:
        yield "deletionStrategy needs rules"
    for rule in rules:
        ended = [rule["condition"][name] for name in ("jobStatus", "jobDeploymentStatus") if name in rule["condition"]]
        if len(ended) != 1:
            yield "a condition has one of jobStatus and jobDeploymentStatus"
        if (rule["policy"], *ended) in seen:
            yield "two rules of one policy and status"
        seen.add((rule["policy"], *ended[:1]))
        if rule["policy"] == "DeleteWorkers" and job.get("rayClusterSpec", {}).get("enableInTreeAutoscaling"):
            yield "DeleteWorkers excludes a cluster that scales itself"


def _kueue_rules(item: dict[str, Any], cluster: dict[str, Any]) -> Iterator[str]:
    """Yield reasons for which Kueue would refuse an object for one of its queues."""
    about = item["metadata"]
    if "kueue.x-k8s.io/queue-name" not in about.get("labels", {}):
        return
    is_elastic = about.get("annotations", {}).get("kueue.x-k8s.io/elastic-job") == "true"
    if cluster.get("enableInTreeAutoscaling") and not is_elastic:
        yield "Kueue takes what scales itself only as an elastic job"
    if item["kind"] == "RayJob" and not item["spec"].get("shutdownAfterJobFinishes"):
        yield "Kueue needs shutdownAfterJobFinishes"
    if len(cluster.get("workerGroupSpecs", [])) > 7:
        yield "Kueue takes seven worker groups at most"


def _is_cron(line: str) -> bool:
    if not _CRON.match(line):
        return False
    parts = zip(line.split(), _CRON_LIMITS, strict=True)
    numbers = ((int(n), bounds) for part, bounds in parts for n in re.findall(r"\d+", part.split("/")[0]))
    return all(low <= number <= high for number, (low, high) in numbers)
