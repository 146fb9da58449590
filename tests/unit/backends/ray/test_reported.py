"""Capabilities that workers reported."""

from __future__ import annotations

from lipwise_ray.backends.ray.reported import ReportedCapabilities
from lipwise_ray.pipeline.dubbing.capabilities import RenderCapabilities

GOOD = RenderCapabilities(("libx264",))
SLOW = RenderCapabilities(("libx264",), fallback="NVIDIA T4: faces are cropped on the CPU")


def test_capabilities_are_those_of_living_nodes() -> None:
    """The latest report of a node counts, and none of a node that is gone."""
    reported = ReportedCapabilities()
    for node, capabilities in (("a", SLOW), ("a", GOOD), ("b", SLOW)):
        reported.add(node, capabilities)
    assert reported.on({"a"}) == [GOOD]
    assert reported.on({"a", "b"}) == [GOOD, SLOW]


def test_every_worker_that_fell_back_is_named() -> None:
    """One of several on a node is not lost behind the others, equal ones are named once, and a lost node's stays."""
    reported = ReportedCapabilities()
    for node, capabilities in (("a" * 56, SLOW), ("a" * 56, SLOW), ("a" * 56, GOOD), ("b", SLOW)):
        reported.add(node, capabilities)
    assert reported.fallbacks == [f"node {'a' * 12}: {SLOW.fallback}", f"node b: {SLOW.fallback}"]
