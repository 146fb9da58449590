"""The files for Ray's cluster launcher: as Ray and the clouds' own descriptions have it, with nothing public."""

from __future__ import annotations

import copy
import json
import shlex
import subprocess
from collections.abc import Iterator
from functools import cache
from itertools import pairwise
from pathlib import Path
from typing import Any

import botocore.session
import botocore.validate
import jsonschema
import pytest
import yaml
from ray.autoscaler._private.command_runner import DockerCommandRunner
from ray.autoscaler._private.util import prepare_config, validate_config

from tests.conftest import ROOT
from tests.support.dockerfile import environment

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
    assert aws["docker"]["worker_run_options"] == gcp["docker"]["worker_run_options"]


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_spot_machines_are_asked_for_in_several_ways(path: Any) -> None:
    """Several types of spot machines come before one on demand; on AWS each may be in any of three zones."""
    nodes = _read(path)["available_node_types"]
    spot = [node for name, node in nodes.items() if name.startswith("gpu_spot")]
    types = {node["node_config"].get("InstanceType", node["node_config"].get("machineType")) for node in spot}
    assert len(types) == len(spot) >= 2
    assert min(node.get("priority", 0) for node in spot) > nodes["gpu_on_demand"]["priority"]
    if path.name.startswith("aws"):
        assert all(len(set(node["node_config"]["SubnetIds"])) == 3 for node in nodes.values())


class _Machine:
    """Stands for a machine that the launcher reaches by SSH: answers as Docker with NVIDIA's toolkit would."""

    def __init__(self, image_environment: dict[str, str], *, has_gpu: bool) -> None:
        self._environment = [f"{name}={value}" for name, value in image_environment.items()]
        self._has_gpu = has_gpu
        self.said: list[str] = []

    def _answer(self, words: list[str]) -> str:
        text = words[-1]
        self.said.append(text)
        if ".Runtimes" in text:
            return "map[io.containerd.runc.v2:{} nvidia:{nvidia-container-runtime []}]"
        if ".Config.Env" in text:
            return json.dumps(self._environment)
        if "nvidia-smi" in text and not self._has_gpu:
            raise subprocess.CalledProcessError(127, words)
        return ""

    def check_call(self, words: list[str], **options: Any) -> int:
        self._answer(words)
        return 0

    def check_output(self, words: list[str], **options: Any) -> bytes:
        return self._answer(words).encode()


def _container(path: Any, *, is_head: bool) -> dict[str, Any]:
    """Return what the container is started with that the launcher itself renders: environment, options and volumes."""
    docker = prepare_config(_read(path))["docker"]
    if is_head:
        docker = {**docker, "image": docker["head_image"]}
    variant = docker["image"].rpartition("-")[2]
    machine = _Machine(environment(variant), has_gpu=not is_head)
    runner = DockerCommandRunner(
        docker,
        log_prefix="",
        node_id="i-1",
        provider=_Address(),
        auth_config={"ssh_user": "ubuntu"},
        cluster_name="lipwise",
        process_runner=machine,
        use_internal_ip=True,
    )
    runner.run_init(as_head=is_head, file_mounts={}, sync_run_yet=True)
    (command,) = [text for text in machine.said if "docker run" in text]
    words = shlex.split(shlex.split(command)[-1])
    words = words[words.index("run") :]
    told = dict(word.partition("=")[::2] for before, word in pairwise(words) if before == "--env")
    return {"environment": {**environment(variant), **told}, "words": words, "image": docker["image"]}


class _Address:
    """A node's provider, of which the launcher only asks the address."""

    def internal_ip(self, node_id: str) -> str:
        return "10.0.0.1"


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_gpus_reach_the_workers_container(path: Any) -> None:
    """By Ray's own rendering NVIDIA's toolkit is asked for GPUs and for the encoder, on workers and not on the head."""
    worker = _container(path, is_head=False)
    assert "--runtime=nvidia" in worker["words"]
    assert worker["environment"]["NVIDIA_VISIBLE_DEVICES"] == "all"
    assert set(worker["environment"]["NVIDIA_DRIVER_CAPABILITIES"].split(",")) == {"compute", "utility", "video"}
    head = _container(path, is_head=True)
    assert not [name for name in head["environment"] if name.startswith("NVIDIA_")]
    assert head["image"].endswith("-head")


@pytest.mark.parametrize("is_head", [True, False])
@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_scratch_is_the_machines_disk(path: Any, is_head: bool) -> None:  # noqa: FBT001  # both kinds of node
    """Scratch goes to a folder of the machine that is made before the container is, for the container's user alone."""
    container = _container(path, is_head=is_head)
    scratch = container["environment"]["LIPWISE_SCRATCH"]
    volumes = [word.removeprefix("--volume=") for word in container["words"] if word.startswith("--volume=")]
    places = {inside: outside for outside, _, inside in (volume.partition(":") for volume in volumes)}
    assert set(places) == {scratch, "/tmp/ray"} if is_head else {scratch}
    made = {line.split()[-1]: line for line in _read(path)["initialization_commands"] if "install --directory" in line}
    assert all("--owner=10001" in made[outside] for outside in places.values())
    assert "--mode=0700" in made[places[scratch]]
    if is_head:  # the list of nodes, for whoever scrapes them
        assert f"{places['/tmp/ray']}/prom_metrics" in (ROOT / "cluster" / "metrics" / "prometheus.yml").read_text()


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_the_launcher_may_run_again(path: Any) -> None:
    """The token stays the SSH user's, to whom the launcher gives all files before that; no third reads it."""
    config = _read(path)
    (token,) = config["file_mounts"]
    commands = [line for line in config["initialization_commands"] if token in line]
    words = [line.removeprefix("sudo ").split()[:2] for line in commands]
    assert words == [["chgrp", "10001"], ["chmod", "0640"]]


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_gpu_machines_differ_by_priority_alone(path: Any) -> None:
    """Ray takes what would be used best and goes by priority among equals: so all offer the same to it."""
    nodes = _read(path)["available_node_types"]
    offered = [node["resources"] for name, node in nodes.items() if name != "head"]
    assert all(one == offered[0] for one in offered)


def test_the_node_agent_begins_again(tmp_path: Path) -> None:
    """Where it ends before it has drained the node it is begun again, with the head's address, until it has."""
    command = _read(FILES[0])["worker_start_ray_commands"][-1]
    agent = tmp_path / "lipwise-ray"
    agent.write_text('#!/bin/sh\necho "$@" >> "$CALLS"\n[ $(wc -l < "$CALLS") -eq 3 ]\n')
    agent.chmod(0o755)
    (tmp_path / "sleep").write_text("#!/bin/sh\nexit 0\n")
    (tmp_path / "sleep").chmod(0o755)
    environment = {"PATH": f"{tmp_path}:/usr/bin:/bin", "RAY_HEAD_IP": "10.0.0.1", "CALLS": str(tmp_path / "calls")}
    line = command.replace("/tmp/node-agent.log", str(tmp_path / "log")) + " wait"
    subprocess.run(["/bin/sh", "-c", line], env=environment, timeout=30, check=True)
    assert (tmp_path / "calls").read_text().splitlines() == ["node-agent --address 10.0.0.1:6379"] * 3


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_images_come_from_a_registry_that_machines_log_in_to(path: Any) -> None:
    """The login is for the registry that the images are in, and comes before they are pulled."""
    config = _read(path)
    registries = {config["docker"][name].partition("/")[0] for name in ("image", "head_image")}
    (registry,) = registries
    assert any(registry in line and "docker" in line for line in config["initialization_commands"])
