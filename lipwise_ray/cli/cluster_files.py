"""`lipwise-ray cluster`: files for a cluster of one's own."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Annotated

import typer

from lipwise_ray.runs.cluster_files import ClusterHome, write_cluster_files

app = typer.Typer(help="Files for a cluster of your own.", no_args_is_help=True)

_SECTIONS = {ClusterHome.AWS: "AWS", ClusterHome.GCP: "Google Cloud", ClusterHome.K8S: "Kubernetes"}
_STARTS = {
    ClusterHome.AWS: "ray up {folder}/aws-gpu-spot.yaml",
    ClusterHome.GCP: "ray up {folder}/gcp-gpu-spot.yaml",
    ClusterHome.K8S: "kubectl apply -k {folder}/kuberay -n lipwise",
}


@app.callback()
def top() -> None:
    """Hold the commands."""


@app.command()
def init(
    cloud: Annotated[ClusterHome, typer.Argument(help="aws or gcp for Ray's cluster launcher, k8s for KubeRay.")],
    folder: Annotated[Path, typer.Argument(help="Folder to write them to.")] = Path("cluster"),
    *,
    force: Annotated[bool, typer.Option("--force", help="Overwrite files that are there and differ.")] = False,
) -> None:
    """Write the files of a cluster, and say what comes next. Nothing that is there is written over."""
    written = write_cluster_files(cloud, folder, force=force)
    for one in written:
        marks = f"  lines {', '.join(map(str, one.lines))} to fill in" if one.lines else ""
        typer.echo(f"{'written' if one.is_new else 'there  '} {one.path}{marks}")
    for number, step in enumerate(_steps(cloud, folder), 1):
        typer.echo(f"{number}. {step}")


def _steps(cloud: ClusterHome, folder: Path) -> Iterator[str]:
    yield f'Read {folder / "README.md"}, section "{_SECTIONS[cloud]}": what the account needs comes first.'
    yield (
        f"Build and push the images in a checkout of lipwise-ray, which the Dockerfile copies: section "
        f'"Images" of {folder / "README.md"}.'
    )
    yield f'Fill in what `grep -rn "FILL IN" {folder}` shows.'
    yield f"Start it: {_STARTS[cloud].format(folder=folder)}"
    yield "Look whether it is fit: lipwise-ray doctor --address http://HOST:8265"
