"""What pods on Kubernetes reach, and who is under the policies that say so."""

from __future__ import annotations

from ipaddress import ip_address, ip_network

import pytest

from tests.support.kube import FOLDER, objects


def test_every_pod_is_under_the_network_policy() -> None:
    """Of ours; those that speak to a bucket may have their identity and a store in the cluster, too."""
    labels = {"lipwise-ray"}
    for name in ("nightly.yaml", "clean.yaml", "fill-models.yaml"):
        (job,) = [one for one in objects(FOLDER / name) if one["kind"] in ("CronJob", "Job")]
        spec = job["spec"].get("jobTemplate", job)["spec"]
        labels.add(spec["template"]["metadata"]["labels"]["app.kubernetes.io/name"])
    chosen = {
        (name, item["metadata"]["name"]): set(item["spec"]["podSelector"]["matchExpressions"][0]["values"])
        for name in ("networkpolicy.yaml", "identity-aws.yaml", "identity-gke.yaml")
        for item in objects(FOLDER / name)
    }
    assert chosen.pop(("networkpolicy.yaml", "lipwise")) == labels
    others = {("networkpolicy.yaml", "lipwise-store")}
    others |= {(f"identity-{cloud}.yaml", "lipwise-identity") for cloud in ("aws", "gke")}
    assert chosen == dict.fromkeys(others, labels - {"lipwise-nightly"})


def _reached(address: str, port: int, *names: str) -> bool:
    """Tell whether the policies of some files let a pod of ours reach an address."""
    wanted = ip_address(address)
    for rule in (rule for name in names for item in objects(FOLDER / name) for rule in item["spec"]["egress"]):
        blocks = [peer["ipBlock"] for peer in rule.get("to", []) if "ipBlock" in peer]
        nets = [
            block
            for block in blocks
            if wanted in ip_network(block["cidr"])
            and not any(wanted in ip_network(net) for net in block.get("except", []))
        ]
        if nets and port in [one["port"] for one in rule.get("ports", [])]:
            return True
    return False


@pytest.mark.parametrize(
    ("address", "port", "names"),
    [
        ("52.218.1.1", 443, ("networkpolicy.yaml",)),  # a bucket
        ("2600:1f68::1", 443, ("networkpolicy.yaml",)),  # one by IPv6
        ("10.0.0.5", 6443, ("networkpolicy.yaml",)),  # Kubernetes behind its service
        ("169.254.170.23", 80, ("networkpolicy.yaml", "identity-aws.yaml")),  # EKS Pod Identity
        ("fd00:ec2::23", 80, ("networkpolicy.yaml", "identity-aws.yaml")),
        ("169.254.169.252", 988, ("networkpolicy.yaml", "identity-gke.yaml")),  # Workload Identity
        ("169.254.169.254", 80, ("networkpolicy.yaml", "identity-gke.yaml")),
    ],
)
def test_pods_reach_what_they_need(address: str, port: int, names: tuple[str, ...]) -> None:
    """Stores and Kubernetes by either version of IP, and the identity of pods by a policy of the cloud's own."""
    assert _reached(address, port, *names)
    assert address.startswith(("169.", "fd00")) != _reached(address, port, "networkpolicy.yaml")


@pytest.mark.parametrize("address", ["169.254.169.254", "fd00:ec2::254", "fe80::1"])
def test_the_machines_own_identity_is_out_of_reach(address: str) -> None:
    """On any port, also where pods have one of their own."""
    for port in (80, 443, 6443, 988):
        assert not _reached(address, port, "networkpolicy.yaml", "identity-aws.yaml")


def test_a_store_in_the_cluster_is_reached() -> None:
    """MinIO's port, in its namespace alone."""
    (store,) = [one for one in objects(FOLDER / "networkpolicy.yaml") if one["metadata"]["name"] == "lipwise-store"]
    (rule,) = store["spec"]["egress"]
    assert [one["port"] for one in rule["ports"]] == [9000]
    assert all("namespaceSelector" in peer for peer in rule["to"])
