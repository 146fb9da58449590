"""Files for clusters of a cloud, as they ship with the package."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from lipwise_ray.errors import OutputError, os_reason
from lipwise_ray.resources import cluster_folder

_MARK = "FILL IN"
_SHARED = ("README.md", "prices.toml", "image/*", "metrics/*")


class Cloud(StrEnum):
    """Where a cluster is to run."""

    AWS = "aws"
    GCP = "gcp"
    K8S = "k8s"


_FILES = {Cloud.AWS: ("aws-*",), Cloud.GCP: ("gcp-*",), Cloud.K8S: ("kuberay/*",)}


@dataclass(frozen=True, slots=True)
class WrittenFile:
    """A file of a cluster.

    Attributes:
        path: The file.
        lines: Numbers of the lines that are to be filled in.
        is_new: It was written; else it was there, and the same.
    """

    path: Path
    lines: tuple[int, ...]
    is_new: bool


def write_cluster_files(cloud: Cloud, folder: Path, *, force: bool = False) -> list[WrittenFile]:
    """Write a cloud's files.

    Args:
        cloud: The cloud.
        folder: Where to.
        force: Write over files that are there and differ.

    Raises:
        OutputError: A file is there and differs, or cannot be written; in the first case nothing was written.
    """
    source = cluster_folder()
    names = sorted(path.relative_to(source) for pattern in (*_SHARED, *_FILES[cloud]) for path in source.glob(pattern))
    try:
        there = [name for name in names if (folder / name).exists()]
        differing = [name for name in there if (folder / name).read_bytes() != (source / name).read_bytes()]
        if differing and not force:
            shown = ", ".join(str(folder / name) for name in differing)
            do = "Name another folder, or add --force to write over them"
            raise OutputError("file_there", str(folder), got=f"holds other files of these names: {shown}", do=do)
        written: list[WrittenFile] = []
        for name in names:
            target, is_new = folder / name, name not in there or name in differing
            if is_new:
                target.parent.mkdir(parents=True, exist_ok=True)
                target.write_bytes((source / name).read_bytes())
                target.chmod((source / name).stat().st_mode & 0o777)
            lines = target.read_text("utf-8").splitlines()
            found = tuple(number for number, line in enumerate(lines, 1) if _MARK in line)
            written.append(WrittenFile(target, found if name.suffix in (".yaml", ".yml") else (), is_new))
    except OSError as error:
        where, happened = str(error.filename or folder), f"cannot be written: {os_reason(error)}"
        raise OutputError("not_writable", where, got=happened, do="Check the folder") from error
    return written
