"""What machines may do in a cloud: as the cloud's own checks have it, enough for Ray's launcher, and no more."""

from __future__ import annotations

import ast
import copy
import fnmatch
import json
from collections.abc import Iterator
from typing import Any

import boto3
import pytest
import yaml
from moto import mock_aws
from ray.autoscaler._private.aws.node_provider import AWSNodeProvider
from ray.autoscaler._private.util import prepare_config

from tests.conftest import ROOT

TEMPLATE = (ROOT / "cluster" / "aws-account.yaml").read_text()
LAUNCHER = ROOT / "cluster" / "aws-gpu-spot.yaml"
REGION = "us-west-2"


def test_cloudformation_takes_the_template_and_no_typo() -> None:
    """Its linter finds nothing wrong, and a misspelt property."""
    assert _errors(TEMPLATE) == []
    assert _errors(TEMPLATE.replace("ManagedPolicyArns", "ManagedPolicyArn", 1))


def _errors(template: str) -> list[str]:
    """Return the linter's errors and warnings; its remarks (I) are about texts that nobody asked for."""
    from cfnlint.api import lint_all  # two seconds, which every process would take that collects tests

    return [str(one) for one in lint_all(template) if not one.rule.id.startswith("I")]


@pytest.fixture(scope="module")
def account() -> Iterator[dict[str, Any]]:
    """An account in which the template was deployed: its stack's outputs, and the network."""
    with pytest.MonkeyPatch.context() as patch, mock_aws():
        for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
            patch.setenv(name, "testing")
        patch.setenv("AWS_DEFAULT_REGION", REGION)
        ec2 = boto3.client("ec2", REGION)
        network = ec2.create_vpc(CidrBlock="10.0.0.0/16")["Vpc"]["VpcId"]
        formation = boto3.client("cloudformation", REGION)
        told = {"Bucket": "my-bucket", "Network": network, "Operators": "10.9.0.0/24"}
        formation.create_stack(
            StackName="lipwise",
            TemplateBody=TEMPLATE,
            Capabilities=["CAPABILITY_NAMED_IAM"],
            Parameters=[{"ParameterKey": name, "ParameterValue": value} for name, value in told.items()],
        )
        (stack,) = formation.describe_stacks(StackName="lipwise")["Stacks"]
        outputs = {one["OutputKey"]: one["OutputValue"] for one in stack["Outputs"]}
        yield {**outputs, "network": network}


def _statements(role: str) -> list[dict[str, Any]]:
    """Return what a role is allowed, by the template's policies that it names, as they were deployed."""
    (resource,) = [one["Properties"] for one in _resources().values() if one["Properties"].get("RoleName") == role]
    return [
        one for policy in resource["ManagedPolicyArns"] for one in _policy(policy["Ref"])
    ]  # moto attaches none of them


def _policy(name: str) -> list[dict[str, Any]]:
    """Return the statements of a policy of the template, as it was deployed."""
    iam = boto3.client("iam", REGION)
    (policy,) = [one for one in iam.list_policies(Scope="Local")["Policies"] if f"-{name}-" in one["PolicyName"]]
    version = iam.get_policy_version(PolicyArn=policy["Arn"], VersionId=policy["DefaultVersionId"])
    document = version["PolicyVersion"]["Document"]
    read = ast.literal_eval(document) if isinstance(document, str) else document  # moto writes some so
    return list(read["Statement"])


def _resources() -> dict[str, Any]:
    from cfnlint.decode import decode_str

    template, problems = decode_str(TEMPLATE)
    assert not problems
    return dict(template["Resources"])


def _actions(role: str) -> set[str]:
    return {action for one in _statements(role) for action in one["Action"]}


@pytest.mark.slow
def test_machines_reach_each_other_and_operators_reach_them_by_ssh(account: dict[str, Any]) -> None:
    """Nobody else reaches them: the group has two rules, for its own members and for one network's SSH."""
    ec2 = boto3.client("ec2", REGION)
    (group,) = ec2.describe_security_groups(GroupIds=[account["SecurityGroup"]])["SecurityGroups"]
    rules = group["IpPermissions"]
    ssh = [one for one in rules if one["IpRanges"]]
    own = [one for one in rules if one["UserIdGroupPairs"]]
    assert [(one["FromPort"], one["ToPort"], one["IpRanges"][0]["CidrIp"]) for one in ssh] == [(22, 22, "10.9.0.0/24")]
    assert [(one["IpProtocol"], one["UserIdGroupPairs"][0]["GroupId"]) for one in own] == [("-1", group["GroupId"])]
    assert len(rules) == 2


def test_workers_reach_the_bucket_and_pull_their_image_alone(account: dict[str, Any]) -> None:
    """What a worker may do names one bucket and one repository, but for the registry's login."""
    assert {action.partition(":")[0] for action in _actions("lipwise-worker")} == {"s3", "ecr"}
    for one in _statements("lipwise-worker"):
        resources = one["Resource"] if isinstance(one["Resource"], list) else [one["Resource"]]
        assert one["Action"] == ["ecr:GetAuthorizationToken"] or all(
            resource.startswith("arn:aws:s3:::my-bucket") or resource.endswith(":repository/lipwise-ray")
            for resource in resources
        )
    assert _actions("lipwise-worker") < _actions("lipwise-head")


@pytest.mark.slow
def test_the_head_may_do_what_the_launcher_asks(account: dict[str, Any]) -> None:
    """Ray's own node provider makes, names, lists and ends a machine with calls that are all allowed, and tagged so."""
    config = prepare_config(copy.deepcopy(yaml.safe_load(LAUNCHER.read_text())))
    ec2 = boto3.client("ec2", REGION)
    subnet = ec2.create_subnet(VpcId=account["network"], CidrBlock="10.0.1.0/24")["Subnet"]["SubnetId"]
    image = ec2.describe_images()["Images"][0]["ImageId"]
    called: dict[str, Any] = {}
    boto3.DEFAULT_SESSION = None
    provider = AWSNodeProvider(config["provider"], config["cluster_name"])
    for client in (provider.ec2.meta.client, provider.ec2_fail_fast.meta.client):
        client.meta.events.register(
            "provide-client-params.ec2.*",
            lambda params, model, **_: called.setdefault(model.name, copy.deepcopy(params)),
        )
    node = copy.deepcopy(config["available_node_types"]["gpu_spot"]["node_config"])
    node |= {"SubnetIds": [subnet], "SecurityGroupIds": [account["SecurityGroup"]], "ImageId": image}
    node["IamInstanceProfile"] = {"Arn": account["WorkerProfile"]}
    provider.create_node(node, {"ray-node-type": "worker"}, 1)
    (made,) = provider.non_terminated_nodes({})
    provider.set_node_tags(made, {"ray-node-status": "up-to-date"})
    provider._create_tags({("ray-node-status", "up-to-date"): [made]})
    provider.terminate_node(made)
    assert {"RunInstances", "DescribeInstances", "CreateTags", "TerminateInstances"} <= set(called)
    allowed = _actions("lipwise-head")
    for name in called:
        assert any(fnmatch.fnmatch(f"ec2:{name}", action) for action in allowed), name
    tags = [tag for one in called["RunInstances"]["TagSpecifications"] for tag in one["Tags"]]
    assert {"Key": "ray-cluster-name", "Value": config["cluster_name"]} in tags
    passing = [one for one in _statements("lipwise-head") if "iam:PassRole" in one["Action"]]
    assert json.dumps([one["Resource"] for one in passing]).endswith(':role/lipwise-worker"]')


def test_whoever_runs_the_launcher_may_make_a_key_and_the_head(account: dict[str, Any]) -> None:
    """Three policies are printed for people: machines of the cluster, the bucket, and what the head itself may not."""
    assert {"StoragePolicy", "LauncherPolicy", "OperatorPolicy", "WorkerRole"} <= set(account)
    own = {action: one["Resource"] for one in _policy("Operator") for action in one["Action"]}
    assert {"ec2:CreateKeyPair", "ec2:DescribeKeyPairs", "ecr:PutImage"} <= set(own)
    assert own["iam:PassRole"].endswith(":role/lipwise-head")
    assert not {"ec2:CreateKeyPair", "ecr:PutImage"} & _actions("lipwise-head")


def test_the_head_on_google_may_do_what_the_launcher_asks() -> None:
    """Of Compute Engine alone, without a wildcard; what Ray's provider was seen to call is among it."""
    role = yaml.safe_load((ROOT / "cluster" / "gcp-head-role.yaml").read_text())
    assert set(role) == {"title", "description", "stage", "includedPermissions"}
    permissions = role["includedPermissions"]
    assert permissions == sorted(set(permissions))
    assert all(one.startswith("compute.") and "*" not in one for one in permissions)
    asked = {"instances": ("create", "delete", "get", "list", "setLabels"), "zoneOperations": ("get",)}
    assert {f"compute.{kind}.{verb}" for kind, verbs in asked.items() for verb in verbs} <= set(permissions)
