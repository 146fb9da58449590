"""When the agent of a spot machine drains its node."""

from __future__ import annotations

import threading
from dataclasses import dataclass, field

import pytest

from lipwise_ray.backends.ray import node_agent
from lipwise_ray.backends.ray.node_agent import Ec2, Gce, cloud_of, watch
from lipwise_ray.errors import SetupError

NOBODY = "http://127.0.0.1:9"


@dataclass
class _Cloud:
    """Tells of the end the third time that it is asked."""

    name: str = "aws"
    asked: int = 0

    def is_here(self) -> bool:
        return True

    def seconds_left(self) -> float | None:
        self.asked += 1
        return 90.0 if self.asked == 3 else None


@dataclass
class _Node:
    """Notes that it is drained."""

    id: str = "n0de"
    drained: list[tuple[str, float]] = field(default_factory=list[tuple[str, float]])

    def drain(self, reason: str, seconds: float) -> None:
        self.drained.append((reason, seconds))


def _watched(cloud: node_agent.Cloud | None, is_ending: threading.Event) -> tuple[list[tuple[str, float]], list[str]]:
    node, said = _Node(), list[str]()
    watch(node, cloud, 0.001, is_ending, said.append)  # type: ignore[arg-type]  # a node that no cluster has
    return node.drained, said


def test_a_notice_drains_the_node_once_with_the_time_that_is_left() -> None:
    """The node stays at work until the cloud says so, and people read why it goes."""
    drained, said = _watched(_Cloud(), threading.Event())
    assert drained == [("aws takes the machine back", 90.0)]
    assert len(said) == 1
    assert "n0de" in said[0]
    assert "90 s" in said[0]


def test_an_agent_that_is_asked_to_end_drains_its_node_first() -> None:
    """Also where no cloud is known, as on a machine that is about to be shut down by hand."""
    ending = threading.Event()
    ending.set()
    ((reason, seconds),) = _watched(None, ending)[0]
    assert reason == "asked to end"
    assert seconds > 0


def test_a_machine_of_no_cloud_has_no_notices() -> None:
    """Nobody answers: `auto` finds none, and a cloud that is named all the same is refused."""
    assert not Ec2(NOBODY).is_here()
    assert not Gce(NOBODY).is_here()
    assert Ec2(NOBODY).seconds_left() is None
    assert cloud_of("auto", NOBODY) is None
    assert cloud_of("none") is None
    with pytest.raises(SetupError) as caught:
        cloud_of("gcp", NOBODY)
    assert caught.value.code == "no_metadata"
