"""The files for Ray's cluster launcher: as Ray and the clouds' own descriptions have it, with nothing public."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from functools import cache
from typing import Any

import botocore.session
import botocore.validate
import jsonschema
import pytest
import yaml
from ray.autoscaler._private.util import prepare_config, validate_config

from tests.conftest import ROOT

FILES = sorted((ROOT / "cluster").glob("*-gpu-spot.yaml"))
PROVIDERS = {
    "aws": {"type", "region", "availability_zone", "cache_stopped_nodes", "use_internal_ips"},
    "gcp": {"type", "region", "availability_zone", "project_id", "use_internal_ips"},
}
_RAYS_OWN = {"SubnetIds"}
"""Of an EC2 machine: what the launcher takes out before it asks for one."""

TEXT, FLAG, NUMBER = {"type": "string"}, {"type": "boolean"}, {"type": "integer"}


def _strict(**fields: Any) -> dict[str, Any]:
    return {"type": "object", "properties": fields, "additionalProperties": False}


GCE = _strict(
    machineType=TEXT,
    disks={
        "type": "array",
        "items": _strict(
            boot=FLAG,
            autoDelete=FLAG,
            type={"enum": ["PERSISTENT", "SCRATCH"]},
            initializeParams=_strict(diskSizeGb=NUMBER, sourceImage=TEXT, diskType=TEXT),
        ),
    },
    networkInterfaces={"type": "array", "items": _strict(subnetwork=TEXT, network=TEXT)},
    serviceAccounts={"type": "array", "items": _strict(email=TEXT, scopes={"type": "array", "items": TEXT})},
    scheduling={
        "type": "array",
        "items": _strict(
            provisioningModel={"enum": ["SPOT", "STANDARD"]},
            instanceTerminationAction={"enum": ["DELETE", "STOP"]},
            onHostMaintenance={"enum": ["TERMINATE", "MIGRATE"]},
            automaticRestart=FLAG,
        ),
    },
)
"""The fields of a Compute Engine instance that are used; accessConfigs, which make addresses public, are none."""


def _read(path: Any) -> dict[str, Any]:
    return dict(yaml.safe_load(path.read_text()))


def _problems(config: dict[str, Any]) -> list[str]:
    """Return what Ray, the cloud's own model, or our list of the launcher's fields find wrong."""
    kind = config["provider"]["type"]
    found = [f"provider: unknown {name}" for name in config["provider"].keys() - PROVIDERS[kind]]
    try:
        validate_config(prepare_config(copy.deepcopy(config)))
    except (jsonschema.ValidationError, AssertionError, ValueError, KeyError, TypeError) as error:
        found.append(str(error).splitlines()[0])
    for node in config.get("available_node_types", {}).values():
        found += _machine_problems(kind, node.get("node_config", {}))
    return found


@cache
def _run_instances() -> Any:
    return botocore.session.get_session().get_service_model("ec2").operation_model("RunInstances")


def _machine_problems(kind: str, machine: dict[str, Any]) -> list[str]:
    if kind == "gcp":
        return [error.message for error in jsonschema.Draft202012Validator(GCE).iter_errors(machine)]
    model = _run_instances()
    asked = {name: value for name, value in machine.items() if name not in _RAYS_OWN}
    report = botocore.validate.ParamValidator().validate({**asked, "MinCount": 1, "MaxCount": 1}, model.input_shape)
    known = set(model.input_shape.members) | _RAYS_OWN
    return [f"unknown {name}" for name in machine.keys() - known] + (
        [report.generate_report()] if report.has_errors() else []
    )


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_files_are_valid(path: Any) -> None:
    """Ray's schema and checks pass, and the machines are such as the cloud describes."""
    assert _problems(_read(path)) == []


def _paths(value: Any, at: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    if isinstance(value, dict):
        for name, inner in value.items():
            yield (*at, name)
            yield from _paths(inner, (*at, name))
    elif isinstance(value, list):
        for number, inner in enumerate(value):
            yield from _paths(inner, (*at, number))


_FREE = ("resources", "labels", "file_mounts", "available_node_types")
"""What has names of the user's own."""


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_a_typo_in_any_name_is_caught(path: Any) -> None:
    """Each field, misspelt, is an unknown one: also within provider and node_config, where Ray takes anything."""
    config = _read(path)
    places = [place for place in _paths(config) if len(place) < 2 or place[-2] not in _FREE]
    assert len(places) > 60
    for place in places:
        broken = copy.deepcopy(config)
        inner: Any = broken
        for step in place[:-1]:
            inner = inner[step]
        inner[f"{place[-1]}x"] = inner.pop(place[-1])
        try:
            assert _problems(broken), place
        except KeyError:  # no provider's type to go by
            assert place[0] == "provider"


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_nothing_is_public_and_nothing_is_fetched(path: Any) -> None:
    """Tokens, inner addresses, the dashboard on the head alone, no packages installed behind one's back."""
    config = _read(path)
    prepared = prepare_config(copy.deepcopy(config))
    commands = " ".join(
        command
        for name in ("initialization", "setup", "head_setup", "worker_setup", "head_start_ray", "worker_start_ray")
        for command in prepared[f"{name}_commands"]
    )
    assert "pip install" not in commands
    assert "0.0.0.0" not in path.read_text().replace("0.0.0.0/0", "")
    assert "--dashboard-host=127.0.0.1" in commands
    assert commands.count("--disable-usage-stats") == 2
    assert prepared["provider"]["use_internal_ips"] is True
    options = " ".join(prepared["docker"]["run_options"])
    assert all(word in options for word in ("RAY_AUTH_MODE=token", "--shm-size=", "RAY_USAGE_STATS_ENABLED=0"))
    nodes = config["available_node_types"]
    assert nodes["head"]["resources"]["CPU"] == 0
    assert {node.get("min_workers", 0) for node in nodes.values()} == {0}
    assert nodes["gpu_on_demand"]["priority"] < nodes["gpu_spot"].get("priority", 0)
    for node in nodes.values():
        machine = node["node_config"]
        if config["provider"]["type"] == "aws":
            assert machine["MetadataOptions"]["HttpTokens"] == "required"
            assert machine["SecurityGroupIds"]  # else the launcher opens SSH to everybody
            assert all(disk["Ebs"]["Encrypted"] for disk in machine["BlockDeviceMappings"])


def test_the_two_clouds_are_alike() -> None:
    """What does not depend on the cloud is the same in both files."""
    aws, gcp = (_read(path) for path in FILES)
    for name in ("idle_timeout_minutes", "file_mounts", "head_start_ray_commands", "worker_start_ray_commands"):
        assert aws[name] == gcp[name]
    assert aws["available_node_types"].keys() == gcp["available_node_types"].keys()
