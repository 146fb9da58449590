"""Capabilities that render workers reported when they began, and what those do without."""

from __future__ import annotations

from collections.abc import Container

from lipwise_ray.scheduler.worker_protocol import Capabilities

_NODE_CHARACTERS = 12


class ReportedCapabilities:
    """The latest of each node, also where the worker was sent away since, and every fallback once a node."""

    def __init__(self) -> None:
        self._by_node: dict[str, Capabilities] = {}
        self._fallbacks: dict[str, None] = {}

    @property
    def fallbacks(self) -> list[str]:
        """Sentences on GPU workers that fell back, each with its node."""
        return list(self._fallbacks)

    def add(self, node: str, capabilities: Capabilities) -> None:
        """Take note of what a worker reported.

        Args:
            node: Id of its node.
            capabilities: What it can do.
        """
        self._by_node[node] = capabilities
        if capabilities.fallback:
            self._fallbacks[f"node {node[:_NODE_CHARACTERS]}: {capabilities.fallback}"] = None

    def on(self, nodes: Container[str]) -> list[Capabilities]:
        """Return those of nodes that are among these."""
        return [reported for node, reported in self._by_node.items() if node in nodes]
