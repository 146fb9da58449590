"""This program as folders that Ray takes to the nodes of a cluster whose image has what it stands on."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

from lipwise_ray import resources
from lipwise_ray.resources import jobs_folder, manifests_folder, models_folder
from lipwise_ray.version import __version__

_PACKAGE = Path(resources.__file__).resolve().parent


def write_program(folder: Path, *, with_demo: bool = False) -> list[Path]:
    """Write this program: code, presets, the registry, the small bundled networks; no other checkpoints.

    Ray makes a zip of each folder, names it after its contents and unpacks it on each node under a lock. A wheel would
    be installed there by pip without one, and two workers that begin at a time on a node that has just joined would
    remove each other's.

    Args:
        folder: Where to.
        with_demo: Write the demo's manifest and inputs too.

    Returns:
        Modules for a runtime environment: the package, and what Python's metadata says of it.
    """
    program = folder / "lipwise_ray"
    for name, file in (*_files(), *(_demo() if with_demo else ())):
        target = program / name
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(file, target)
    about = folder / f"lipwise_ray-{__version__}.dist-info"
    about.mkdir()
    (about / "METADATA").write_text(
        f"Metadata-Version: 2.1\nName: lipwise-ray\nVersion: {__version__}\n", encoding="utf-8"
    )
    return [program, about]


def _files() -> Iterator[tuple[str, Path]]:
    for file in _within(_PACKAGE):
        if file.parts[0] != "_data":
            yield file.as_posix(), _PACKAGE / file
    for file in _within(jobs_folder()):
        yield f"_data/jobs/{file.as_posix()}", jobs_folder() / file
    models = models_folder()
    yield "_data/models/registry.toml", models / "registry.toml"
    for file in sorted((models / "tiny").glob("tiny_*.safetensors")):
        yield f"_data/models/tiny/{file.name}", file


def _demo() -> Iterator[tuple[str, Path]]:
    for file in _within(manifests_folder()):
        if file.parts[:2] != ("demo", "true"):  # only `synth compare` reads these
            yield f"_data/manifests/{file.as_posix()}", manifests_folder() / file


def _within(folder: Path) -> Iterator[Path]:
    for file in sorted(folder.rglob("*")):
        if file.is_file() and "__pycache__" not in file.parts:
            yield file.relative_to(folder)
