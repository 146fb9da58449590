"""What the objects in cluster/kuberay may hold: the fields of Kubernetes, KubeRay 1.7 and Kueue that are used there.

A schema of our own, strict about unknown fields, which Kubernetes itself drops without a word. Names end in ``!`` where
they are required; ``*`` stands for any name.
"""

from __future__ import annotations

import re
from typing import Any

import jsonschema

TEXT, NUMBER, FLAG = {"type": "string"}, {"type": "integer"}, {"type": "boolean"}
QUANTITY = {"type": ["string", "integer"], "pattern": r"^\d+(\.\d+)?(m|Ki|Mi|Gi|Ti|k|M|G)?$"}
COUNT = {"type": "integer", "minimum": 0}
TEXTS = [TEXT]
WORDS = {"*": TEXT}
NAME = {"type": "string", "pattern": r"^[a-z0-9]([-a-z0-9.]{0,61}[a-z0-9])?$"}


def words(*choices: str) -> dict[str, Any]:
    """Return the schema of one of a few words."""
    return {"enum": list(choices)}


METADATA = {"name!": NAME, "namespace": NAME, "labels": WORDS, "annotations": WORDS}
EXPRESSION = {"key!": TEXT, "operator!": words("In", "NotIn", "Exists", "DoesNotExist"), "values": TEXTS}
SELECTOR = {"matchLabels": WORDS, "matchExpressions": [EXPRESSION]}
RESOURCES = {"requests": {"*": QUANTITY}, "limits": {"*": QUANTITY}}
CONTAINER_SECURITY = {
    "allowPrivilegeEscalation": FLAG,
    "readOnlyRootFilesystem": FLAG,
    "runAsNonRoot": FLAG,
    "capabilities": {"drop": TEXTS, "add": TEXTS},
}
CONTAINER = {
    "name!": NAME,
    "image!": TEXT,
    "imagePullPolicy": words("IfNotPresent", "Always", "Never"),
    "command": TEXTS,
    "args": TEXTS,
    "env": [{"name!": TEXT, "value": TEXT, "valueFrom": {"secretKeyRef": {"name!": NAME, "key!": TEXT}}}],
    "resources": RESOURCES,
    "securityContext": CONTAINER_SECURITY,
    "volumeMounts": [{"name!": NAME, "mountPath!": TEXT, "readOnly": FLAG, "subPath": TEXT}],
}
VOLUME = {
    "name!": NAME,
    "emptyDir": {"medium": words("Memory"), "sizeLimit": QUANTITY},
    "persistentVolumeClaim": {"claimName!": NAME, "readOnly": FLAG},
    "configMap": {"name!": NAME, "defaultMode": NUMBER},
    "secret": {"secretName!": NAME},
}
POD = {
    "metadata": {"labels": WORDS, "annotations": WORDS},
    "spec!": {
        "serviceAccountName": NAME,
        "automountServiceAccountToken": FLAG,
        "restartPolicy": words("Never", "OnFailure", "Always"),
        "terminationGracePeriodSeconds": COUNT,
        "nodeSelector": WORDS,
        "tolerations": [
            {
                "key": TEXT,
                "operator": words("Exists", "Equal"),
                "value": TEXT,
                "effect": words("NoSchedule", "PreferNoSchedule", "NoExecute"),
            }
        ],
        "securityContext": {
            "runAsNonRoot": FLAG,
            "runAsUser": COUNT,
            "fsGroup": COUNT,
            "seccompProfile": {"type!": words("RuntimeDefault", "Unconfined", "Localhost")},
        },
        "containers!": [CONTAINER],
        "initContainers": [CONTAINER],
        "volumes": [VOLUME],
    },
}
RAY_CLUSTER = {
    "rayVersion": TEXT,
    "enableInTreeAutoscaling": FLAG,
    "autoscalerOptions": {
        "version": words("v1", "v2"),
        "upscalingMode": words("Default", "Aggressive", "Conservative"),
        "idleTimeoutSeconds": COUNT,
        "resources": RESOURCES,
        "securityContext": CONTAINER_SECURITY,
        "image": TEXT,
        "env": CONTAINER["env"],
    },
    "authOptions": {"mode!": words("token", "disabled"), "secretName": NAME, "enableK8sTokenAuth": FLAG},
    "headGroupSpec!": {"rayStartParams": WORDS, "template!": POD, "labels": WORDS, "resources": {"*": TEXT}},
    "workerGroupSpecs": [
        {
            "groupName!": NAME,
            "replicas": COUNT,
            "minReplicas!": COUNT,
            "maxReplicas!": COUNT,
            "idleTimeoutSeconds": COUNT,
            "priority": NUMBER,
            "labels": WORDS,
            "rayStartParams": WORDS,
            "template!": POD,
        }
    ],
}
RAY_JOB = {
    "entrypoint!": TEXT,
    "entrypointNumCpus": NUMBER,
    "jobId": TEXT,
    "submissionMode": words("K8sJobMode", "HTTPMode", "InteractiveMode", "SidecarMode"),
    "submitterConfig": {"backoffLimit": COUNT},
    "submitterPodTemplate": POD,
    "backoffLimit": COUNT,
    "activeDeadlineSeconds": {"type": "integer", "minimum": 1},
    "preRunningDeadlineSeconds": {"type": "integer", "minimum": 1},
    "suspend": FLAG,
    "shutdownAfterJobFinishes": FLAG,
    "ttlSecondsAfterFinished": COUNT,
    "runtimeEnvYAML": TEXT,
    "rayClusterSpec": RAY_CLUSTER,
    "clusterSelector": WORDS,
}
PORT = {"protocol": words("TCP", "UDP"), "port": NUMBER}
PEER = {"podSelector": SELECTOR, "namespaceSelector": SELECTOR, "ipBlock": {"cidr!": TEXT, "except": TEXTS}}
KINDS: dict[str, dict[str, Any]] = {
    "ray.io/v1 RayCluster": {"metadata!": METADATA, "spec!": RAY_CLUSTER},
    "ray.io/v1 RayJob": {"metadata!": METADATA, "spec!": RAY_JOB},
    "ray.io/v1 RayCronJob": {
        "metadata!": METADATA,
        "spec!": {"schedule!": TEXT, "timeZone": TEXT, "suspend": FLAG, "jobTemplate!": RAY_JOB},
    },
    "batch/v1 CronJob": {
        "metadata!": METADATA,
        "spec!": {
            "schedule!": TEXT,
            "timeZone": TEXT,
            "concurrencyPolicy": words("Allow", "Forbid", "Replace"),
            "startingDeadlineSeconds": COUNT,
            "successfulJobsHistoryLimit": COUNT,
            "failedJobsHistoryLimit": COUNT,
            "suspend": FLAG,
            "jobTemplate!": {
                "spec!": {
                    "backoffLimit": COUNT,
                    "activeDeadlineSeconds": {"type": "integer", "minimum": 1},
                    "ttlSecondsAfterFinished": COUNT,
                    "template!": POD,
                }
            },
        },
    },
    "v1 ServiceAccount": {"metadata!": METADATA, "automountServiceAccountToken": FLAG},
    "v1 Secret": {"metadata!": METADATA, "type": TEXT, "stringData": WORDS, "data": WORDS},
    "v1 PersistentVolumeClaim": {
        "metadata!": METADATA,
        "spec!": {
            "accessModes!": [words("ReadWriteOnce", "ReadOnlyMany", "ReadWriteMany")],
            "storageClassName": NAME,
            "resources!": RESOURCES,
        },
    },
    "rbac.authorization.k8s.io/v1 Role": {
        "metadata!": METADATA,
        "rules!": [{"apiGroups!": TEXTS, "resources!": TEXTS, "verbs!": TEXTS, "resourceNames": TEXTS}],
    },
    "rbac.authorization.k8s.io/v1 RoleBinding": {
        "metadata!": METADATA,
        "roleRef!": {"apiGroup!": TEXT, "kind!": words("Role", "ClusterRole"), "name!": NAME},
        "subjects!": [{"kind!": words("ServiceAccount", "User", "Group"), "name!": TEXT, "namespace": NAME}],
    },
    "networking.k8s.io/v1 NetworkPolicy": {
        "metadata!": METADATA,
        "spec!": {
            "podSelector!": SELECTOR,
            "policyTypes": [words("Ingress", "Egress")],
            "ingress": [{"from": [PEER], "ports": [PORT]}],
            "egress": [{"to": [PEER], "ports": [PORT]}],
        },
    },
    "policy/v1 PodDisruptionBudget": {
        "metadata!": METADATA,
        "spec!": {"minAvailable": COUNT, "maxUnavailable": COUNT, "selector!": SELECTOR},
    },
    "kueue.x-k8s.io/v1beta1 ResourceFlavor": {"metadata!": METADATA, "spec": {"nodeLabels": WORDS}},
    "kueue.x-k8s.io/v1beta1 ClusterQueue": {
        "metadata!": METADATA,
        "spec!": {
            "namespaceSelector": SELECTOR,
            "resourceGroups!": [
                {
                    "coveredResources!": TEXTS,
                    "flavors!": [{"name!": NAME, "resources!": [{"name!": TEXT, "nominalQuota!": QUANTITY}]}],
                }
            ],
        },
    },
    "kueue.x-k8s.io/v1beta1 LocalQueue": {"metadata!": METADATA, "spec!": {"clusterQueue!": NAME}},
    "kustomize.config.k8s.io/v1beta1 Kustomization": {
        "resources!": TEXTS,
        "configMapGenerator": [{"name!": NAME, "files!": TEXTS}],
        "generatorOptions": {"disableNameSuffixHash": FLAG},
        "namespace": NAME,
        "patches": [{"path": TEXT, "patch": TEXT, "target": {"kind!": TEXT, "name": TEXT}}],
        "images": [{"name!": TEXT, "newName": TEXT, "newTag": TEXT, "digest": TEXT}],
    },
}
_CRON = re.compile(r"^(\*|\d+)(/\d+)?([,-]\d+)*( (\*|\d+)(/\d+)?([,-]\d+)*){4}$")
_CRON_LIMITS = ((0, 59), (0, 23), (1, 31), (1, 12), (0, 7))


def _schema(told: Any) -> dict[str, Any]:
    """Return the JSON schema of a description."""
    if isinstance(told, list):
        return {"type": "array", "items": _schema(told[0])}
    if isinstance(told.get("type"), str | list) or "enum" in told:
        return dict(told)
    if "*" in told:
        return {"type": "object", "additionalProperties": _schema(told["*"])}
    return {
        "type": "object",
        "properties": {name.rstrip("!"): _schema(value) for name, value in told.items()},
        "required": [name[:-1] for name in told if name.endswith("!")],
        "additionalProperties": False,
    }


def problems(item: dict[str, Any]) -> list[str]:
    """Return what is wrong with an object."""
    kind = f"{item.get('apiVersion')} {item.get('kind')}"
    if kind not in KINDS:
        return [f"unknown kind {kind}"]
    told = {"apiVersion!": TEXT, "kind!": TEXT, **KINDS[kind]}
    errors = jsonschema.Draft202012Validator(_schema(told)).iter_errors(item)
    return [f"{list(error.path)}: {error.message}" for error in errors] or list(_rules(item))


def _rules(item: dict[str, Any]) -> Any:
    """Yield breaches of what controllers ask for beyond their schemas."""
    spec = item.get("spec", {})
    if "schedule" in spec and not _is_cron(spec["schedule"]):
        yield f"schedule: {spec['schedule']!r} is no cron line"
    job = {"RayJob": spec, "RayCronJob": spec.get("jobTemplate")}.get(item["kind"])
    if job is not None:
        if job.get("suspend") and not job.get("shutdownAfterJobFinishes"):
            yield "suspend needs shutdownAfterJobFinishes"
        if job.get("backoffLimit") and ("clusterSelector" in job or job.get("submissionMode") == "InteractiveMode"):
            yield "backoffLimit needs a cluster of the job's own"
        if ("rayClusterSpec" in job) == ("clusterSelector" in job):
            yield "needs a cluster, its own or another"
    cluster = (job or {}).get("rayClusterSpec", spec if item["kind"] == "RayCluster" else None)
    for group in (cluster or {}).get("workerGroupSpecs", []):
        if not group["minReplicas"] <= group.get("replicas", group["minReplicas"]) <= group["maxReplicas"]:
            yield f"{group['groupName']}: replicas out of bounds"
        if group["template"]["spec"].get("restartPolicy", "Never") != "Never":
            yield f"{group['groupName']}: autoscaler v2 needs restartPolicy Never"


def _is_cron(line: str) -> bool:
    if not _CRON.match(line):
        return False
    parts = zip(line.split(), _CRON_LIMITS, strict=True)
    numbers = ((int(n), bounds) for part, bounds in parts for n in re.findall(r"\d+", part.split("/")[0]))
    return all(low <= number <= high for number, (low, high) in numbers)
