"""`lipwise-ray node-agent`: beside Ray on a spot machine."""

from __future__ import annotations

import signal
import threading
from enum import StrEnum
from types import FrameType
from typing import Annotated

import typer


class _Cloud(StrEnum):
    auto = "auto"
    aws = "aws"
    gcp = "gcp"
    none = "none"


def node_agent(
    *,
    address: Annotated[str, typer.Option("--address", help="HOST:PORT of the cluster's head.")],
    cloud: Annotated[
        _Cloud, typer.Option("--cloud", help="The cloud whose notices are watched; auto finds out which.")
    ] = _Cloud.auto,
    metadata: Annotated[
        str | None, typer.Option("--metadata", help="Another address of the metadata service.", metavar="URL")
    ] = None,
    node_id: Annotated[
        str | None, typer.Option("--node-id", help="The node to drain. Default: this machine's.", metavar="ID")
    ] = None,
    every: Annotated[float, typer.Option("--every", min=0.1, max=60, help="Seconds between two checks.")] = 5.0,
) -> None:
    """Watch for the notice that this machine is taken back, and for SIGTERM, and drain its Ray node in time."""
    from lipwise_ray.backends.ray.node_agent import DrainedNode, cloud_of, watch

    is_ending = threading.Event()

    def on_signal(number: int, frame: FrameType | None) -> None:
        del number, frame
        is_ending.set()

    signal.signal(signal.SIGTERM, on_signal)
    provider = cloud_of(cloud.value, metadata)
    node = DrainedNode(address, node_id) if node_id else DrainedNode.here(address)
    typer.echo(
        f"watching node {node.id}: notices of {provider.name if provider else 'no cloud'}, and SIGTERM", err=True
    )
    watch(node, provider, every, is_ending, lambda text: typer.echo(text, err=True))
